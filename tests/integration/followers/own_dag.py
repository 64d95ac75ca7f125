"""Somebody's own Dag: a pair of tasks alone, and a mapped task group of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, get_current_context, task, task_group

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator

SCRIPT = '#!/bin/bash\neval "$COMMAND"\n'


def job(name: str, command: str) -> dict[str, Any]:
    """Return a job whose run directory is below the folder that the Dag run names."""
    folder = "{{ params.folder }}"
    return {
        "ssh_conn_id": "slurm_sandbox",
        "name": name,
        "command": command,
        "run_dir": f"{folder}/{name}",
        "script": SCRIPT,
    }


with DAG("own_dag", schedule=None, params={"folder": "/nowhere"}, default_args={"retries": 2}):
    alone = SlurmSubmitOperator(task_id="alone", job=job("alone", "echo {{ run_id }}; sleep 1"))
    wait_alone = SlurmJobSensor(task_id="wait_alone", job=alone.output)

    @task(retries=0)
    def read(submitted: dict[str, Any], status: dict[str, Any]) -> list[str]:
        """Read what the pair left, as any task would."""
        return [submitted["job_id"], status["job_id"], status["state"]]

    read(alone.output, wait_alone.output)  # type: ignore[arg-type]

    slow = SlurmSubmitOperator(task_id="slow", job=job("slow", "exec sleep 600"))
    SlurmJobSensor(task_id="wait_slow", job=slow.output, execution_timeout=timedelta(seconds=3))

    @task(retries=0)
    def plan() -> list[dict[str, Any]]:
        """Return three jobs."""
        folder = get_current_context()["params"]["folder"]
        jobs = [
            JobRequest(
                ssh_conn_id="slurm_sandbox",
                name=f"mapped_{number}",
                command=f"exit {number}",
                run_dir=f"{folder}/mapped_{number}",
                script=SCRIPT,
            )
            for number in range(3)
        ]
        return [each.to_json() for each in jobs]

    @task_group
    def one(job: Any) -> None:
        """Submit one of them, and wait for it."""
        submit = SlurmSubmitOperator(task_id="submit", job=job)
        SlurmJobSensor(task_id="wait", job=submit.output)

    one.expand(job=plan())
