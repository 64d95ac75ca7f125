"""Submitting one job and waiting for one: what a trigger and `airflow dags test` have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from airflow_slurm_sweep.errors import TaskTimeoutError
from airflow_slurm_sweep.names import HISTORY_KEY, LOG_KEY, RETURN_KEY, STATUS_KEY, STOPPED_KEY, WANDB_KEY
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.chain import Verdict
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.failure import failure_cause, failure_text, kept, with_log
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.results import add
from airflow_slurm_sweep.slurm.rungs import as_stopped
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.traces import Trace, question
from airflow_slurm_sweep.tasks.cancel import cancel_job, withdraw
from airflow_slurm_sweep.tasks.chained import Chained, next_job, with_verdict
from airflow_slurm_sweep.tasks.cluster import ClusterSession, cluster_session
from airflow_slurm_sweep.tasks.live_view import LivePart, on_page
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.orphans import Siblings, watch_orphans
from airflow_slurm_sweep.tasks.stopping import stopping
from airflow_slurm_sweep.tasks.stuck import Notifications
from airflow_slurm_sweep.tasks.trials import leave_result

_PAUSES = (5.0, 10.0, 20.0, 40.0)  # seconds
_DID_NOT_RUN = "Slurm says COMPLETED, but job.sh left no exit file: it did not run, or the disk is full"


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
    request: JobRequest,
    attempt: Attempt,
    *,
    submit: Callable[[ClusterSession, JobRequest, Attempt], Awaitable[SubmittedJob]] = ClusterSession.submit,
    siblings: Siblings | None = None,
    seconds: float | None = None,
) -> SubmittedJob:
    """Submit a job by ``submit``, as soon as the cluster takes it.

    Meanwhile this call cancels the orphans among ``siblings``. It takes at most ``seconds``; None for any time.

    Raises:
        TaskTimeoutError: The time is over; the submission is withdrawn.
        ClusterRefusedError: The cluster refuses the job, the login or a path.
    """
    async with cluster_session(request.site) as cluster:
        try:
            async with asyncio.timeout(seconds) as limit, watch_orphans(cluster.client, siblings, None):
                return await submit(cluster, request, attempt)
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
    log: str = ""  # its last lines, where the job failed

    @property
    def xcoms(self) -> dict[str, Any]:
        """What its task leaves; a failed task has no return value."""
        left = {
            RETURN_KEY if self.status.state.is_success else STATUS_KEY: self.status.to_json(),
            STOPPED_KEY: self.status.state is JobState.STOPPED_EARLY,
            WANDB_KEY: self.status.wandb,
            HISTORY_KEY: self.history,
            LOG_KEY: self.log and {"job_id": self.status.job_id, "lines": self.log},
        }
        return {key: value for key, value in left.items() if value}


class Mapped(NamedTuple):
    """What is known of a waiting task in a mapped group; ``on_stuck`` is sent if Slurm will not start its jobs."""

    siblings: Siblings | None = None
    map_index: int | None = None
    on_stuck: Notifications = ()


_NOT_MAPPED = Mapped()


async def await_job(
    job: SubmittedJob, *, mapped: Mapped = _NOT_MAPPED, seconds: float | None = None, chained: Chained | None = None
) -> JobEnd:
    """Wait until a job has ended, and those that follow it if it is ``chained``.

    Meanwhile this call cancels the orphans among the siblings of a ``mapped`` task. It takes at most ``seconds``; None
    for any time.

    Raises:
        TaskTimeoutError: The time is over; the job is cancelled.
        ClusterUnavailableError: The cluster was silent for longer than ``patience``.
    """
    ended: list[JobStatus] = []
    async with cluster_session(job.site) as cluster:
        try:
            async with asyncio.timeout(seconds) as limit, watch_orphans(cluster.client, *mapped[:2]):
                while True:
                    left = await _await_end(cluster, job, mapped, ended)
                    found = await next_job(cluster, job, left.status, left.trace, chained) if chained else None
                    if not isinstance(found, SubmittedJob):
                        return await _end(cluster, job, left, found)
                    job = found
        except TimeoutError:
            if not limit.expired():
                raise
            await cancel_awaited(cluster.client, job, chained)
            if ended and ended[-1].job_id == job.job_id:
                text = f"Job {job.job_id} ended as {ended[-1]}, but what it left could not be read in time"
                raise TaskTimeoutError(text) from None
            raise TaskTimeoutError(f"Job {job.job_id} did not end in time; it is cancelled") from None


async def cancel_awaited(client: SlurmClient, job: SubmittedJob, chained: Chained | None) -> None:
    """Cancel a job that a task waits for, and the one that follows it in a chain, even if it is just submitted."""
    if chained is not None:
        await withdraw(client, chained.following(job), chained.attempt)
    await cancel_job(client, job)  # by its id: the record, which `withdraw` goes by, may be damaged or gone


class _Left(NamedTuple):
    """How a job ended, and what it left."""

    status: JobStatus
    trace: Trace
    history: Mapping[str, Any]
    stopped_at: float | None = None  # the step at which `sweep.stop` did it


async def _await_end(cluster: ClusterSession, job: SubmittedJob, mapped: Mapped, ended: list[JobStatus]) -> _Left:
    """Wait for a job and read what it left; add its end to ``ended`` in between."""
    async with cluster.metrics.following(job) as metrics:
        async with stopping(cluster, mapped.siblings, job, metrics) as stopper:
            async with (
                on_page(cluster.monitor, *mapped[:2], LivePart(job.job_id, metrics), mapped.on_stuck),
                cluster.follower.following(job),
            ):
                status = await cluster.monitor.wait(job)
                ended.append(status)
            left = await cluster.retry_until_answered(lambda: cluster.results(job), even_if_refused=True)
            if stopper:
                await stopper.leave(job, metrics)
        trace = await _trace(cluster, job, status)
    await wait_for_slot()
    status, stopped_at = as_stopped(status, trace.stop, trace.signal), None
    if trace.stop and status.state is JobState.STOPPED_EARLY:
        stopped_at = trace.stop.step
    return _Left(add(status, left), trace, left.history, stopped_at)


async def _trace(cluster: ClusterSession, job: SubmittedJob, status: JobStatus) -> Trace:
    """Return what a job left; NFS may show its exit file on the login node up to a minute late."""
    asked = question(job, status)
    for pause in (*_PAUSES, None):
        trace = await cluster.retry_until_answered(lambda: cluster.traces(asked), even_if_refused=True)
        if pause is None or not _lacks_exit_file(job, status, trace):
            break
        await asyncio.sleep(pause)
    return trace


def _lacks_exit_file(job: SubmittedJob, status: JobStatus, trace: Trace) -> bool:
    """Whether job.sh of a job that COMPLETED did not come to its end with exit status 0, or not even to its beginning.

    Up to Slurm 23.02, a job whose node could not launch it is COMPLETED. Source: batch_finish in Slurm's
    src/slurmd/slurmstepd/mgr.c, which lost the error.
    """
    return status.state is JobState.COMPLETED and trace.lacks_exit_file(job)


async def _end(cluster: ClusterSession, job: SubmittedJob, left: _Left, verdict: Verdict | None) -> JobEnd:
    status, trace, history, stopped_at = left
    if verdict is not None:
        status = with_verdict(status, verdict, trace)
    if _lacks_exit_file(job, status, trace) and not (verdict and verdict.why):  # why: it has reached `until`
        status = replace(status, text=JobState.INCOMPLETE.value, reason=_DID_NOT_RUN)
    if job.parameters:
        await leave_result(cluster, job, status, stopped_at)
    elif job.request.get("max_parallel_jobs"):
        release = partial(cluster.run.release_place, job)
        await cluster.retry_until_answered(release, even_if_refused=True)
    if status.state.is_success and stopped_at is None and trace.signal and not (verdict and verdict.why):
        status = replace(status, reason=f"the job got SIG{trace.signal} before it ended; its work may be incomplete")
    ids = [*dict.fromkeys([*(link.job_id for link in trace.links), job.job_id])]
    hours = await cluster.retry_until_answered(lambda: cluster.hours(ids), even_if_refused=True)
    status = replace(status, gpu_hours=hours.gpu, cpu_hours=hours.cpu)
    await wait_for_slot()
    if not status.state.is_success:
        status = replace(status, cause=failure_cause(status, trace.log))
        text = failure_text(job, status, trace.log)
        return JobEnd(status=status, text=text, history=history, log=kept(trace.log, status.cause))
    facts = "; ".join(part for part in (status.chain, status.reason) if part not in ("", "None"))
    how = "completed in" if stopped_at is None else "was stopped early after"
    text = f"Job {job.job_id} ({job.job_name}) {how} {status.elapsed} on {status.nodes}"
    return JobEnd(status=status, text=with_log(f"{text}; {facts}" if facts else text, trace.log), history=history)
