"""What to run: sweep files, their combinations, and the command line of each. Pure: no Airflow, no network."""

from airflow_slurm_sweep.packages import missing_packages

if missing := missing_packages():
    raise ImportError(missing)
