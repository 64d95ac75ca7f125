"""Holds no Dag: it shows the faults of sweep files as this file's Airflow import error.

Airflow takes down all Dags of a Python file that has an import error, so the faults must not come from sweeps.py.
"""

from pathlib import Path

from airflow_slurm_sweep.factory import check_sweeps

check_sweeps(Path(__file__).parents[1] / "include")
