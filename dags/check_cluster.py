"""The Airflow Dag "check_cluster": tries a cluster profile, and says what is wrong with it."""

from pathlib import Path

from airflow_slurm_sweep.factory import check_dag

check_cluster = check_dag(Path(__file__).parents[1] / "include")
