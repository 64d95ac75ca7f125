"""Submitting one job and waiting for one: what a trigger and `airflow dags test` have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_slurm_sweep.errors import TaskTimeoutError
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.failure import failure_cause, failure_text
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.metrics import add
from airflow_slurm_sweep.tasks.cancel import cancel_job, withdraw
from airflow_slurm_sweep.tasks.cluster import ClusterSession, cluster_session
from airflow_slurm_sweep.tasks.live_view import LivePart, on_page
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.orphans import Siblings, watch_orphans
from airflow_slurm_sweep.tasks.stuck import Notifications


def attempt_of(installation: str, task: Any) -> Attempt:
    """Return the attempt that a task instance stands for. The operators allow no retries: each new try is a clear."""
    return Attempt(
        dag_id=task.dag_id,
        run_id=task.run_id,
        task_id=task.task_id,
        map_index=-1 if task.map_index is None else task.map_index,
        try_number=task.try_number,
        id=str(task.id),
        installation=installation,
    )


async def submit_job(
    request: JobRequest, attempt: Attempt, *, siblings: Siblings | None = None, seconds: float | None = None
) -> SubmittedJob:
    """Submit a job, its secrets resolved, as soon as the cluster takes it.

    Meanwhile this call cancels the orphans among ``siblings``. It takes at most ``seconds``; None for any time.

    Raises:
        TaskTimeoutError: The time is over; the submission is withdrawn.
        ClusterRefusedError: The cluster refuses the job, the login or a path.
    """
    async with cluster_session(request.site) as cluster:
        try:
            async with asyncio.timeout(seconds) as limit, watch_orphans(cluster.client, siblings, None):
                return await cluster.submit(request, attempt)
        except TimeoutError:
            if not limit.expired():
                raise
            await withdraw(cluster.client, request, attempt)
            raise TaskTimeoutError(f"{request.name} was not submitted in time; the submission is withdrawn") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How a job ended: its last status, with what it left in its run directory, and the end in words."""

    status: JobStatus
    text: str
    history: Mapping[str, Any]  # see `History.to_json`


async def await_job(
    job: SubmittedJob,
    *,
    siblings: Siblings | None = None,
    map_index: int | None = None,
    seconds: float | None = None,
    on_stuck: Notifications = (),
) -> JobEnd:
    """Wait until a job has ended, for the task with that map index.

    Meanwhile this call cancels the orphans among ``siblings``, and sends the notifications ``on_stuck`` if Slurm will
    not start their jobs. It takes at most ``seconds``; None for any time.

    Raises:
        TaskTimeoutError: The time is over; the job is cancelled.
        ClusterUnavailableError: The cluster was silent for longer than ``patience``.
    """
    async with cluster_session(job.site) as cluster, cluster.metrics.following(job) as metrics:
        try:
            async with (
                asyncio.timeout(seconds) as limit,
                watch_orphans(cluster.client, siblings, map_index),
                on_page(cluster.monitor, siblings, map_index, LivePart(job.job_id, metrics), on_stuck),
                cluster.follower.following(job),
            ):
                status = await cluster.monitor.wait(job)
        except TimeoutError:
            if not limit.expired():
                raise
            await cancel_job(cluster.client, job)
            raise TaskTimeoutError(f"Job {job.job_id} did not end in time; it is cancelled") from None
        return await _end(cluster, job, status)


async def _end(cluster: ClusterSession, job: SubmittedJob, status: JobStatus) -> JobEnd:
    log_tail = await cluster.retry_until_answered(lambda: cluster.client.failure_log(job, status), even_if_refused=True)
    left = await cluster.retry_until_answered(lambda: cluster.results(job), even_if_refused=True)
    await wait_for_slot()
    status = add(status, left)
    if status.state.is_success:
        text = f"Job {job.job_id} ({job.job_name}) completed in {status.elapsed} on {status.nodes}"
    else:
        status = replace(status, cause=failure_cause(status, log_tail))
        text = failure_text(job, status, log_tail)
    return JobEnd(status=status, text=text, history=left.history)
