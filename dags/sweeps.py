"""Every sweep file in include/sweeps becomes an Airflow Dag. Files with faults are reported by sweep_errors.py."""

from pathlib import Path

from airflow_slurm_sweep.factory import sweep_dags

globals().update(sweep_dags(Path(__file__).parents[1] / "include"))
