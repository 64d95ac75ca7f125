"""The larger commands of ``airflow-slurm-sweep``.

preview.py   what a sweep would submit, without Airflow; and the options that `run` has too
init.py      the files of an own first sweep, and the text of its Airflow connection
run.py       a sweep, without a scheduler: progress, table, exit code
progress.py  the line that `run` shows
dag_run.py   the Dag run behind `run`, in Airflow's database
results.py   the rows of a run, as a table, CSV, JSON or Markdown
needs_airflow.py  what the commands that need Airflow have in common
"""
