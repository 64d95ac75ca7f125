"""Registers slurm_sweep with Airflow. Airflow executes the files of this folder; the package beside it is imported."""

from slurm_sweep.plugin import SlurmSweepPlugin

__all__ = ["SlurmSweepPlugin"]
