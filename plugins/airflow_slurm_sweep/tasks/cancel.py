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
from shlex import quote
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_slurm_sweep.errors import ClusterUnavailableError, SlurmSweepError
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks.ssh import SshShell

_PATIENCE = 600.0
_PAUSE = 5.0
_OVER = frozenset({"failed", "success", "skipped", "upstream_failed", "removed"})

log = logging.getLogger(__name__)


def states_of(task: Any, task_ids: Sequence[str] = (), map_index: int | None = None) -> dict[str, Any]:
    """Return states of task instances in a Dag run, by ``TASK_ID`` or ``TASK_ID_MAPINDEX``; asks Airflow, and blocks.

    Args:
        task: A task instance of the Dag run.
        task_ids: The tasks; by default the task instance alone.
        map_index: The map index of the wanted instances; None for all.
    """
    if not task_ids and task.map_index not in (None, -1):
        map_index = task.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=task.dag_id, map_index=map_index, task_ids=list(task_ids) or [task.task_id], run_ids=[task.run_id]
    )
    return dict(states.get(task.run_id, {}))


def count_over(task: Any, task_id: str) -> int:
    """Return how many instances of a task are finished in the Dag run of a task instance; asks Airflow, and blocks."""
    return RuntimeTaskInstance.get_ti_count(
        dag_id=task.dag_id, task_ids=[task_id], run_ids=[task.run_id], states=sorted(_OVER)
    )


def is_over(states: Mapping[str, Any], task_id: str, map_index: int | None) -> bool:
    """Return whether a task instance is finished or deleted, by the answer of `states_of`."""
    key = task_id if map_index in (None, -1) else f"{task_id}_{map_index}"
    return key not in states or states[key] in _OVER


def scancel_advice(job: SubmittedJob) -> str:
    """Return how a person cancels the job."""
    return f"on the cluster of connection {job.ssh_conn_id!r}: scancel {job.job_id}"


async def retry_cancelling(
    subject: str, cancel: Callable[[], Awaitable[None]], advice: str, patience: float = _PATIENCE
) -> None:
    """Cancel, and try again while the cluster does not answer; log the end.

    Args:
        subject: What is cancelled, for the log.
        cancel: Cancels it, or raises.
        advice: How a person cancels it, for the log if every try fails.
        patience: Seconds.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        try:
            await cancel()
        except SlurmSweepError as error:
            if not isinstance(error, ClusterUnavailableError) or loop.time() + _PAUSE > end:
                log.error("%s could not be cancelled (%s). Cancel it by hand, %s", subject, error, advice)
                return
            log.warning("%s is not cancelled yet, trying again: %s", subject, error)
            await asyncio.sleep(_PAUSE)
        else:
            log.info("%s is cancelled", subject)
            return


async def cancel_job(client: SlurmClient, job: SubmittedJob, patience: float = _PATIENCE) -> None:
    """Cancel a job, as `retry_cancelling` does."""
    advice = scancel_advice(job)
    await retry_cancelling(f"Job {job.job_id}", lambda: client.cancel(job.job_id), advice, patience)


async def withdraw(client: SlurmClient, request: JobRequest, attempt: Attempt) -> None:
    """Cancel the job that an attempt submits, as `retry_cancelling` does."""
    await retry_cancelling(
        f"The submission of {request.name}",
        lambda: client.withdraw(request, attempt),
        f"on the cluster of connection {request.ssh_conn_id!r}: scancel --me --name={quote(request.name)}",
    )


# Jobs of ``airflow dags test``, by id: one process submits them all before it waits for the first.
_tested: dict[str, SubmittedJob] = {}
_excepthooks: list[Callable[..., Any]] = []


def cancel_if_interrupted(job: SubmittedJob) -> None:
    """Cancel the job if an exception such as Ctrl-C ends this process before `forget` is called."""
    if sys.excepthook is not _cancel_tested:
        _excepthooks.append(sys.excepthook)
        sys.excepthook = _cancel_tested
    _tested[job.job_id] = job


def forget(job: SubmittedJob) -> None:
    """Leave the job alone: it has ended."""
    _tested.pop(job.job_id, None)


@contextmanager
def end_if_interrupted(request: JobRequest | None = None, attempt: Attempt | None = None) -> Iterator[None]:
    """End this process, a run of ``airflow dags test``, if Ctrl-C interrupts the block; its jobs are cancelled.

    Airflow takes an interrupted task for a failed one, and would begin with the next.

    Args:
        request: The job that the block submits: the submission is withdrawn.
        attempt: The attempt that submits it.
    """
    try:
        yield
    except KeyboardInterrupt:
        log.error("Interrupted")
        asyncio.run(_cancel_all(request, attempt))
        logging.shutdown()
        sys.stdout.flush()
        os._exit(130)  # as a shell reports Ctrl-C


def _cancel_tested(*error: Any) -> None:
    # Not `atexit`: by then Python starts no more threads, which Airflow needs to look a connection up.
    _excepthooks[-1](*error)
    if _tested:
        asyncio.run(_cancel_all())


async def _cancel_all(request: JobRequest | None = None, attempt: Attempt | None = None) -> None:
    async def cancel(job: SubmittedJob) -> None:
        async with SshShell(job.ssh_conn_id) as shell:
            await cancel_job(SlurmClient(shell, shell.metrics), job, patience=20)

    await asyncio.gather(*map(cancel, _tested.values()))
    if request and attempt:
        async with SshShell(request.ssh_conn_id) as shell:
            await withdraw(SlurmClient(shell, shell.metrics), request, attempt)
