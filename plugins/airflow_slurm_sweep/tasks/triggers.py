"""Waiting without a worker: for the cluster to take a job, and for the job's end."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.slurm import results
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks.background import behind
from airflow_slurm_sweep.tasks.cancel import cancel_job, is_over, states_of, withdraw
from airflow_slurm_sweep.tasks.cluster import session
from airflow_slurm_sweep.tasks.live_view import on_page
from airflow_slurm_sweep.tasks.log_slots import turn
from airflow_slurm_sweep.tasks.orphans import guard, siblings
from airflow_slurm_sweep.tasks.secrets import with_secrets

STATUS_KEY = "status"  # the XCom of a wait that failed: it has no return value
WANDB_KEY = "_link_wandb"  # the XCom that Airflow makes a link of
HOLD_BACK = 10.0


def attempt_of(task: Any, generation: int) -> Attempt:
    """Return what a task instance is to the cluster; ``generation`` as in `Attempt`."""
    return Attempt(
        dag_id=task.dag_id,
        run_id=task.run_id,
        task_id=task.task_id,
        map_index=-1 if task.map_index is None else task.map_index,
        generation=generation,
        try_number=task.try_number,
        id=str(task.id),
    )


class JobTrigger(BaseTrigger):
    """Cancels its job if the task is over before the trigger."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's

    @abstractmethod
    async def _cancel(self) -> None:
        """Cancel the job, whose task is over."""

    async def on_kill(self) -> None:
        """Cancel the job, unless the task lives: cleared, or taken over by another triggerer."""
        # Airflow cuts this method off after a second or so: the work goes on behind it.
        await asyncio.shield(behind(self._cancel_unless_alive()))

    async def _cancel_unless_alive(self) -> None:
        task = self.task_instance
        if task is None:
            return
        states = await sync_to_async(states_of)(task)
        if is_over(states, task.task_id, task.map_index):
            await self._cancel()
        else:
            self.log.info("The task lives (%s): its job is left alone", *states.values())


class _DeferredTrigger(JobTrigger):
    """Fires once, for a worker to go on.

    The event never comes in the first `HOLD_BACK` seconds: one that follows the deferral at once can meet the
    scheduler before the worker's own end does, and the scheduler then fails the task (apache/airflow issue 71580).
    """

    @abstractmethod
    async def _work(self) -> dict[str, Any]:
        """Return the event's payload."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event; ``{"error": ...}`` for what a retry would not mend."""
        began = time.monotonic()
        try:
            event = await self._work()
        except SlurmSweepError as error:
            event = {"error": str(error)}
        await asyncio.sleep(max(0.0, HOLD_BACK - (time.monotonic() - began)))
        yield TriggerEvent(event)


class SlurmJobTrigger(_DeferredTrigger):
    """Fires when a job has ended: ``{"status": ..., "log_tail": ...}``, its log's end unless it succeeded.

    Args:
        job: A `SubmittedJob` as JSON.
        submitted_by: See `SlurmJobSensor`.
    """

    def __init__(self, job: Mapping[str, Any], submitted_by: str | None = None) -> None:
        super().__init__()
        self.job = job
        self.submitted_by = submitted_by

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        arguments = {"job": self.job, "submitted_by": self.submitted_by}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def _work(self) -> dict[str, Any]:
        job = SubmittedJob.from_json(self.job)
        async with session(job.ssh_conn_id) as cluster:
            client = cluster.client
            task = self.task_instance
            pairs = task and siblings(task, self.submitted_by, task.task_id, job.run_dir)
            index = task and task.map_index
            async with (
                guard(client, pairs, index),
                on_page(cluster.monitor, pairs, index, job.job_id),
                cluster.follower.following(job),
            ):
                status = await cluster.monitor.wait(job)
            log_tail = await cluster.patiently(lambda: client.failure_log(job, status))
            left = await cluster.patiently(lambda: cluster.results(job))
            await turn()
            status = results.add(job, status, left)
        return {"status": status.to_json(), "log_tail": log_tail}

    async def _cancel(self) -> None:
        job = SubmittedJob.from_json(self.job)
        async with session(job.ssh_conn_id) as cluster:
            await cancel_job(cluster.client, job)


class SlurmSubmitTrigger(_DeferredTrigger):
    """Submits a job as soon as the cluster takes it; fires with ``{"job": ...}``, a `SubmittedJob` as JSON.

    Args:
        request: A `JobRequest` as JSON, its secrets still references.
        attempt: An `Attempt` as JSON.
        awaited_by: See `SlurmSubmitOperator`.
    """

    def __init__(self, request: Mapping[str, Any], attempt: Mapping[str, Any], awaited_by: str | None = None) -> None:
        super().__init__()
        self.request = request
        self.attempt = attempt
        self.awaited_by = awaited_by

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        arguments = {"request": self.request, "attempt": self.attempt, "awaited_by": self.awaited_by}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def _work(self) -> dict[str, Any]:
        request, attempt = JobRequest.from_json(self.request), Attempt.from_json(self.attempt)
        request = await sync_to_async(with_secrets)(request)
        async with session(request.ssh_conn_id) as cluster:
            task = self.task_instance
            pairs = task and siblings(task, task.task_id, self.awaited_by, request.run_dir)
            async with guard(cluster.client, pairs, None):
                job = await cluster.submit(request, attempt)
        return {"job": job.to_json()}

    async def _cancel(self) -> None:
        request, attempt = JobRequest.from_json(self.request), Attempt.from_json(self.attempt)
        async with session(request.ssh_conn_id) as cluster:
            await withdraw(cluster.client, request, attempt)
