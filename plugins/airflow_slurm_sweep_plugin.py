"""Registers the package beside it with Airflow, which executes the files of this folder and imports the package."""

from airflow_slurm_sweep.plugin import SlurmSweepPlugin

__all__ = ["SlurmSweepPlugin"]
