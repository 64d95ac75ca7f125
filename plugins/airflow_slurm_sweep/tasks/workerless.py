"""Submit and wait with no worker at all: the triggerer starts these tasks, and they end there.

One worker process per task is what costs most where a sweep has a thousand combinations. What `SlurmSubmitOperator` and
`SlurmJobSensor` do in a worker, these triggers do for an instance of theirs in a mapped task group, which finds its job
in the plan by its map index.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import Context
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_slurm_sweep.errors import SettingsError, SlurmSweepError
from airflow_slurm_sweep.slurm import results
from airflow_slurm_sweep.slurm.client import failure_text, submitted_job
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest, SubmittedJob, run_name, task_name
from airflow_slurm_sweep.tasks.cancel import by_hand, cancel_job, withdraw
from airflow_slurm_sweep.tasks.cluster import Session, session
from airflow_slurm_sweep.tasks.live_view import on_page
from airflow_slurm_sweep.tasks.log_slots import turn
from airflow_slurm_sweep.tasks.orphans import guard, siblings
from airflow_slurm_sweep.tasks.run_plan import Plan, plan_of
from airflow_slurm_sweep.tasks.triggers import STATUS_KEY, WANDB_KEY, JobTrigger, attempt_of


class _WholeTaskTrigger(JobTrigger):
    """Does the whole work of a task instance.

    Args:
        planned_by: The task whose list of jobs the task group is mapped over.
        partner: The other task of the pair.
    """

    def __init__(self, planned_by: str, partner: str | None) -> None:
        super().__init__()
        self.planned_by = planned_by
        self.partner = partner

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        arguments = {"planned_by": self.planned_by, "partner": self.partner}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render nothing, and let the Dag go: Airflow gives each trigger one of its own, some 70 KiB."""
        del jinja_env
        context.clear()  # type: ignore[attr-defined]  # a dictionary all the same
        self.task_instance.task = None  # type: ignore[union-attr]
        self.task_instance._cached_template_context = None  # type: ignore[union-attr]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event that ends the task."""
        task: Any = self.task_instance
        if task.try_number > 1:
            await sync_to_async(_forget_xcoms)(task)
        try:
            async with plan_of(task, self.planned_by) as plan:
                event = await self._carry_out(plan, plan.request(task.map_index))
        except SettingsError as error:
            self.log.error("%s", error)
            event = TaskFailedEvent()
        yield event

    async def _carry_out(self, plan: Plan, request: JobRequest) -> TriggerEvent:
        if request.dry_run:
            self.log.info("Dry run: %s is not submitted", request.name)
            return TaskSkippedEvent()
        async with session(request.ssh_conn_id) as cluster:
            try:
                return await self._work(plan, request, cluster)
            except SlurmSweepError as error:
                await turn()
                self.log.error("%s%s", error, self._advice())
                return TaskFailedEvent()

    @abstractmethod
    async def _work(self, plan: Plan, request: JobRequest, cluster: Session) -> TriggerEvent:
        """Return how it ended."""

    def _advice(self) -> str:
        """Return what to say after an error."""
        return ""


class SubmitTrigger(_WholeTaskTrigger):
    """What `SlurmSubmitOperator` does; ``partner`` is the task that waits for the jobs."""

    _submitting: JobRequest | None = None

    async def _work(self, plan: Plan, request: JobRequest, cluster: Session) -> TriggerEvent:
        task: Any = self.task_instance
        self._submitting = request
        ready, attempt = await plan.with_secrets(request), _attempt(task)
        pairs = siblings(task, task.task_id, self.partner, request.run_dir)
        async with guard(cluster.client, pairs, None):
            job = await cluster.submit(ready, attempt)
        await cluster.others_first()
        await turn()
        self.log.info("Job %s (%s) submitted, its log: %s", job.job_id, job.job_name, job.log_path)
        return TaskSuccessEvent(xcoms={BaseXCom.XCOM_RETURN_KEY: job.to_json()})

    async def _cancel(self) -> None:
        if self._submitting is not None:
            async with session(self._submitting.ssh_conn_id) as cluster:
                await withdraw(cluster.client, self._submitting, _attempt(self.task_instance))


class WaitTrigger(_WholeTaskTrigger):
    """What `SlurmJobSensor` does; ``partner`` is the task that submitted the jobs."""

    _waiting: SubmittedJob | None = None

    async def _work(self, plan: Plan, request: JobRequest, cluster: Session) -> TriggerEvent:
        del plan
        task: Any = self.task_instance
        client = cluster.client
        self._waiting = job = await cluster.patiently(lambda: self._job(request, cluster))
        pairs, index = siblings(task, self.partner, task.task_id, job.run_dir), task.map_index
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
        link = {WANDB_KEY: status.wandb} if status.wandb else {}
        if not status.state.is_success:
            self.log.error("%s", failure_text(job, status, log_tail))
            return TaskFailedEvent(xcoms={STATUS_KEY: status.to_json(), **link})
        self.log.info("Job %s (%s) completed in %s on %s", job.job_id, job.job_name, status.elapsed, status.nodes)
        return TaskSuccessEvent(xcoms={BaseXCom.XCOM_RETURN_KEY: status.to_json(), **link})

    def _advice(self) -> str:
        return f"\nThe job may still run; to cancel it, {by_hand(self._waiting)}" if self._waiting else ""

    async def _job(self, request: JobRequest, cluster: Session) -> SubmittedJob:
        """Return the job that the partner submitted.

        The run directory's record tells, for many tasks at a time; where it is another's by now, or gone, Airflow does.
        """
        task: Any = self.task_instance
        record = await cluster.records(request.run_dir)
        mine = (run_name(task.dag_id, task.run_id), task_name(str(self.partner), task.map_index))
        if record and record[:2] == mine and record.job_id:
            return submitted_job(request, record.job_id)
        told = await sync_to_async(XCom.get_one)(
            key=BaseXCom.XCOM_RETURN_KEY,
            dag_id=task.dag_id,
            run_id=task.run_id,
            task_id=self.partner,
            map_index=task.map_index,
        )
        if told is None:
            raise SettingsError(f"The task {self.partner!r} has left no job: see its log")
        return SubmittedJob.from_json(told)

    async def _cancel(self) -> None:
        if self._waiting is None:
            self.log.info("Its job is not known here yet: the other combinations see to it, or the sweep's report")
            return
        async with session(self._waiting.ssh_conn_id) as cluster:
            await cancel_job(cluster.client, self._waiting)


def _forget_xcoms(task: Any) -> None:
    """Delete what an earlier try left, as Airflow does where a worker starts a task."""
    for key in (BaseXCom.XCOM_RETURN_KEY, STATUS_KEY, WANDB_KEY):
        XCom.delete(key=key, dag_id=task.dag_id, run_id=task.run_id, task_id=task.task_id, map_index=task.map_index)


def _attempt(task: Any) -> Attempt:
    # Airflow does not tell a trigger whether a try follows a clear; these tasks have no retries, so each one does.
    # Below zero, where no number of a worker's is: see `SlurmSubmitOperator`.
    return attempt_of(task, generation=-task.try_number)
