"""The page "Sweeps" in Airflow's UI: which combinations run, what became of them, what failed.

app.py           who may see what: FastAPI, mounted into Airflow's API server
data.py          queries to Airflow's database
combinations.py  a Dag run's combinations as JSON: whatever the page shows of them is decided here
compare.py       several runs as one
stages.py        the stage of a combination
link.py          a button of the tasks that leads to it
static/          the page itself: HTML, CSS and ES modules as they stand here, nothing to build, nothing to download
"""

PREFIX = "slurm_sweep"  # of its addresses, below Airflow's own
