"""Waiting for one job: what a trigger and `airflow dags test` have in common."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from airflow_slurm_sweep.errors import TaskTimeoutError
from airflow_slurm_sweep.slurm import results
from airflow_slurm_sweep.slurm.client import failure_text
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.tasks.cancel import cancel_job
from airflow_slurm_sweep.tasks.cluster import ClusterSession, cluster_session
from airflow_slurm_sweep.tasks.live_view import on_page
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.orphans import Siblings, watch_orphans


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How a job ended.

    Attributes:
        job: The job.
        status: Its last status, with what it left in its run directory.
        log_tail: The last lines of its log if it failed.
    """

    job: SubmittedJob
    status: JobStatus
    log_tail: str

    @property
    def succeeded(self) -> bool:
        """Whether the job is COMPLETED."""
        return self.status.state.is_success

    @property
    def text(self) -> str:
        """The end in words: a line for a success, all that is needed to see the cause for a failure."""
        if not self.succeeded:
            return failure_text(self.job, self.status, self.log_tail)
        return f"Job {self.job.job_id} ({self.job.job_name}) completed in {self.status.elapsed} on {self.status.nodes}"


async def await_job(
    job: SubmittedJob,
    *,
    siblings: Siblings | None = None,
    map_index: int | None = None,
    seconds: float | None = None,
) -> JobEnd:
    """Wait until a job has ended.

    Args:
        job: The job.
        siblings: The other pairs of the task group; this call cancels the jobs of those that nobody waits for.
        map_index: The waiting task instance's.
        seconds: How long it may take; None for any time.

    Raises:
        TaskTimeoutError: The time is over; the job is cancelled.
        ClusterUnavailableError: The cluster was silent for longer than ``patience``.
    """
    async with cluster_session(job.ssh_conn_id) as cluster:
        try:
            async with (
                asyncio.timeout(seconds) as limit,
                watch_orphans(cluster.client, siblings, map_index),
                on_page(cluster.monitor, siblings, map_index, job.job_id),
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
    log_tail = await cluster.retry_until_answered(lambda: cluster.client.failure_log(job, status))
    left = await cluster.retry_until_answered(lambda: cluster.results(job))
    await wait_for_slot()
    return JobEnd(job=job, status=results.add(job, status, left), log_tail=log_tail)
