"""Submissions that have a place in an array."""

from __future__ import annotations

from typing import Any

from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest

ATTEMPT = Attempt(
    dag_id="grpo",
    run_id="manual__1",
    task_id="combination.submit",
    map_index=3,
    try_number=1,
    id="01-1",
    installation="a",
)


def job(number: int | str = 1, base: str = "grpo_sweep_", **changes: Any) -> JobRequest:
    """Return a job whose name and run directory end with ``number``."""
    values = {"ssh_conn_id": "c", "name": f"{base}{number}", "command": "true", "run_dir": f"/r/{base}{number}"}
    return JobRequest(**{**values, "array": True, **changes})
