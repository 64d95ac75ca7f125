"""Cancels the job of a task that is over: once, by its id, and never the job of a task that still lives.

Airflow calls ``on_kill`` for tasks that a user marked or deleted, and also for live ones: those that were cleared, and
those whose triggers another triggerer took over. The task instance's state tells which.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from shlex import quote
from typing import Any, NoReturn

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.tasks.cluster import cluster_session
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.loop_resources import run_in_one_loop

CANCEL_PATIENCE = 600.0
OVER = ("failed", "removed", "skipped", "success", "upstream_failed")  # states of a task that is finished

log = logging.getLogger(__name__)


def states_of(run: Any, task_ids: Sequence[str], map_index: int | None = None) -> dict[str, Any]:
    """Return states of task instances in a Dag run, by ``TASK_ID`` or ``TASK_ID_MAPINDEX``; asks Airflow, and blocks.

    Args:
        run: Has the ``dag_id`` and ``run_id``.
        task_ids: The tasks.
        map_index: The map index of the wanted instances; None for all, -1 for those of tasks that are not mapped.
    """
    place = {"dag_id": run.dag_id, "run_ids": [run.run_id], "map_index": None if map_index == -1 else map_index}
    states = RuntimeTaskInstance.get_task_states(task_ids=list(task_ids), **place)
    return dict(states.get(run.run_id, {}))


def is_over(states: Mapping[str, Any], task_id: str, map_index: int | None) -> bool:
    """Return whether a task instance is finished or deleted, by the answer of `states_of`."""
    key = task_id if map_index in (None, -1) else f"{task_id}_{map_index}"
    return key not in states or states[key] in OVER


def scancel_advice(job: SubmittedJob) -> str:
    """Return how a person cancels the job."""
    return f"on the cluster of connection {job.ssh_conn_id!r}: scancel {job.job_id}"


def scancel_by_name(request: JobRequest) -> str:
    """Return how a person cancels a job whose id is not known."""
    return f"on the cluster of connection {request.ssh_conn_id!r}: scancel --me --name={quote(request.name)}"


async def retry_cancelling(
    subject: str, cancel: Callable[[], Awaitable[None]], advice: str, patience: float = CANCEL_PATIENCE
) -> None:
    """Cancel, and try again while the cluster does not answer, for ``patience`` seconds; log the end.

    The log calls it ``subject``, and if every try fails tells with ``advice`` how a person cancels it.
    """
    try:
        await patiently(cancel, patience, wait_for_slot, even_if_refused=True)
    except SlurmSweepError as error:
        log.error("%s could not be cancelled (%s). Cancel it by hand, %s", subject, error, advice)
    else:
        log.info("%s is cancelled", subject)


async def cancel_job(client: SlurmClient, job: SubmittedJob, patience: float = CANCEL_PATIENCE) -> None:
    """Cancel a job, as `retry_cancelling` does."""
    await retry_cancelling(f"Job {job.job_id}", partial(client.cancel, job), scancel_advice(job), patience)


async def withdraw(client: SlurmClient, request: JobRequest, attempt: Attempt) -> None:
    """Cancel the job that an attempt submits, as `retry_cancelling` does."""
    cancel = partial(client.withdraw, request, attempt)
    await retry_cancelling(f"The submission of {request.name}", cancel, scancel_by_name(request))


# Jobs of ``airflow dags test``, by id: one process submits them all before it waits for the first.
_tested: dict[str, SubmittedJob] = {}
_excepthooks: list[Callable[..., Any]] = []


def ask_to_leave_jobs() -> bool:
    """Return whether the jobs go on after an interrupt; `airflow-slurm-sweep run` puts a question in its place."""
    return False


def tested_jobs() -> list[SubmittedJob]:
    """Return the jobs of this process that have not ended."""
    return list(_tested.values())


def cancel_if_interrupted(job: SubmittedJob) -> None:
    """Cancel the job if an exception such as Ctrl-C ends this process before `forget` is called."""
    if sys.excepthook is not _cancel_tested:
        _excepthooks.append(sys.excepthook)
        sys.excepthook = _cancel_tested
    _tested[job.job_id] = job


def follow(job: SubmittedJob) -> None:
    """Do as `cancel_if_interrupted` does with the next job of a chain, in place of the one before."""
    for job_id in [job_id for job_id, each in _tested.items() if each.run_dir == job.run_dir]:
        forget(job_id)
    cancel_if_interrupted(job)


def forget(job_id: str) -> None:
    """Leave the job alone: it has ended."""
    _tested.pop(job_id, None)


@contextmanager
def end_if_interrupted(request: JobRequest | None = None, attempt: Attempt | None = None) -> Iterator[None]:
    """End this process, a run of ``airflow dags test``, if Ctrl-C interrupts the block.

    Its jobs are cancelled, and the submission of ``request`` is withdrawn. Airflow would take the interrupted task for
    a failed one, and begin with the next.
    """
    try:
        yield
    except KeyboardInterrupt:
        log.error("Interrupted")
        end_process(request, attempt)


def end_process(request: JobRequest | None = None, attempt: Attempt | None = None) -> NoReturn:
    """End this process, which somebody interrupted, and cancel its jobs unless `ask_to_leave_jobs` says otherwise."""
    if not ask_to_leave_jobs():
        run_in_one_loop(_cancel_all(request, attempt))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(130)  # as a shell reports Ctrl-C


def _cancel_tested(*error: Any) -> None:
    # Not `atexit`: by then Python starts no more threads, which Airflow needs to look a connection up.
    _excepthooks[-1](*error)
    if _tested:
        run_in_one_loop(_cancel_all())


async def _cancel_all(request: JobRequest | None = None, attempt: Attempt | None = None) -> None:
    async def cancel(job: SubmittedJob) -> None:
        async with cluster_session(job.site) as cluster:
            await cancel_job(cluster.client, job, patience=20)

    await asyncio.gather(*map(cancel, _tested.values()))
    if request and attempt:
        async with cluster_session(request.site) as cluster:
            await withdraw(cluster.client, request, attempt)
