"""Registers slurm_sweep with Airflow. Airflow executes the files of this folder; the package beside it is imported."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class SlurmSweepPlugin(AirflowPlugin):
    """Makes the package known in Admin > Plugins."""

    name = "slurm_sweep"
