"""Airflow's side: operators, sensor, trigger, and the SSH connection they speak through."""
