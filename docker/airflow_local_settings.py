"""Airflow's local settings: the grid names the combinations of a sweep."""

from airflow_slurm_sweep.policy import task_instance_mutation_hook

__all__ = ["task_instance_mutation_hook"]
