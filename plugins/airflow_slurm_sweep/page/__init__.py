"""The page "Sweeps" in Airflow's UI: which combinations run, what became of them, what failed.

app.py      who may see what: FastAPI, mounted into Airflow's API server
data.py     a Dag run as plain data, from Airflow's database
columns.py  which parameters a run's combinations differ in
link.py     a button of the tasks that leads to it
static/     the page itself: HTML, CSS and ES modules as they stand here, nothing to build, nothing to download
"""

PREFIX = "slurm_sweep"  # of its addresses, below Airflow's own
