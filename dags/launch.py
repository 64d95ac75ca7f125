"""The Airflow Dag "launch": any script or sweep, from the trigger form."""

from pathlib import Path

from airflow_slurm_sweep.factory import launch_dag

launch = launch_dag(Path(__file__).parents[1] / "include")
