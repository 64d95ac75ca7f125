"""Submitting one job: what a trigger and `airflow dags test` have in common."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_slurm_sweep.errors import TaskTimeoutError
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks.cancel import withdraw
from airflow_slurm_sweep.tasks.cluster import cluster_session
from airflow_slurm_sweep.tasks.orphans import Siblings, watch_orphans


def attempt_of(task: Any) -> Attempt:
    """Return the attempt that a task instance stands for. The operators allow no retries: each new try is a clear."""
    return Attempt(
        dag_id=task.dag_id,
        run_id=task.run_id,
        task_id=task.task_id,
        map_index=-1 if task.map_index is None else task.map_index,
        try_number=task.try_number,
        id=str(task.id),
    )


async def submit_job(
    request: JobRequest, attempt: Attempt, *, siblings: Siblings | None = None, seconds: float | None = None
) -> SubmittedJob:
    """Submit a job as soon as the cluster takes it.

    Args:
        request: The job, its secrets resolved.
        attempt: The task instance that asks.
        siblings: The other pairs of its task group; this call cancels the jobs of those that nobody waits for.
        seconds: How long it may take; None for any time.

    Raises:
        TaskTimeoutError: The time is over; the submission is withdrawn.
        ClusterRefusedError: The cluster refuses the job, the login or a path.
    """
    async with cluster_session(request.ssh_conn_id) as cluster:
        try:
            async with asyncio.timeout(seconds) as limit, watch_orphans(cluster.client, siblings, None):
                return await cluster.submit(request, attempt)
        except TimeoutError:
            if not limit.expired():
                raise
            await withdraw(cluster.client, request, attempt)
            raise TaskTimeoutError(f"{request.name} was not submitted in time; the submission is withdrawn") from None
