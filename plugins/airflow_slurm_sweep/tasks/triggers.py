"""What `SlurmSubmitOperator` and `SlurmJobSensor` do in the triggerer: their tasks start and end here, in no worker.

Each request of a trigger to Airflow takes the triggerer some 50 ms, in which it does nothing else. Hence one plan for
all tasks of a Dag run (`run_plan`), and records of run directories in place of XComs.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.sdk import Context
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_slurm_sweep.errors import SettingsError, SlurmSweepError
from airflow_slurm_sweep.names import HISTORY_KEY, LOG_KEY, RETURN_KEY, SKIPPED_KEY, STATUS_KEY, WANDB_KEY
from airflow_slurm_sweep.slurm.attempt import task_name
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.patience import PATIENCE, patiently
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.tasks.canary import why_skipped
from airflow_slurm_sweep.tasks.cancel import is_over, scancel_advice, scancel_by_name, states_of, withdraw
from airflow_slurm_sweep.tasks.chained import Chained
from airflow_slurm_sweep.tasks.cluster import cluster_session
from airflow_slurm_sweep.tasks.installation import installation
from airflow_slurm_sweep.tasks.internals import drop_dag, timeout_after
from airflow_slurm_sweep.tasks.job_source import JobSource, read_job
from airflow_slurm_sweep.tasks.log_slots import take_lines, wait_for_slot, wait_until_read
from airflow_slurm_sweep.tasks.loop_resources import run_to_end
from airflow_slurm_sweep.tasks.one_job import Mapped, attempt_of, await_job, cancel_awaited, submit_job
from airflow_slurm_sweep.tasks.operators import TIMEOUT_MARGIN, Json
from airflow_slurm_sweep.tasks.orphans import Siblings, cancelled_with_run, siblings_of
from airflow_slurm_sweep.tasks.run_plan import PlannedJobs, run_plan, xcom_of
from airflow_slurm_sweep.tasks.secrets import with_secrets
from airflow_slurm_sweep.tasks.trials import as_proposed, leave_cancelled

log = logging.getLogger(__name__)


class _TaskTrigger(BaseTrigger):
    """Does the whole work of a task instance, and cancels its job if a user ends the task before.

    Args:
        job: The job as it stands in the Dag file, as JSON, with its Jinja templates; None where ``source`` names it.
        source: A `JobSource` as JSON.
        partner: The other task of the pair that submits and waits.
    """

    _arguments: tuple[str, ...] = ("job", "source", "partner")

    def __init__(self, job: Json | str | None = None, source: Json | None = None, partner: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.job, self.source, self.partner = job, source, partner
        self._installation = ""
        self._siblings: Siblings | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in self._arguments}

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the job of the Dag file, if there is one, and release the Dag."""
        if self.job is not None:
            super().render_template_fields(context, jinja_env)
        drop_dag(self, context)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event that ends the task. An exception would send the task to a worker."""
        take_lines()
        try:
            self._installation = await patiently(sync_to_async(installation), PATIENCE, wait_for_slot)
            if self._task.try_number > 1:  # as Airflow does where a worker starts a task
                for key in (RETURN_KEY, SKIPPED_KEY, STATUS_KEY, WANDB_KEY, HISTORY_KEY, LOG_KEY):
                    await sync_to_async(XCom.delete)(key=key, **_place(self._task))
            event = await self._work()
        except Exception as error:
            await wait_for_slot()
            if isinstance(error, SlurmSweepError):
                log.error("%s%s", error, self._advice())
            else:
                log.exception("Unexpected error%s", self._advice())
            event = TaskFailedEvent()
        await wait_until_read()
        yield event

    async def on_kill(self) -> None:
        """Cancel the job, unless the task lives: it was cleared, or another triggerer took it over."""
        # Airflow cancels this method within about 1 s, so the job is cancelled in a shielded task.
        await asyncio.shield(run_to_end(self._cancel_unless_alive()))

    async def _cancel_unless_alive(self) -> None:
        if await self._has_nothing_to_cancel():
            return
        task_id, map_index = self._task.task_id, self._task.map_index
        if is_over(states := await sync_to_async(states_of)(self._task, [task_id], map_index), task_id, map_index):
            await self._cancel()
        else:
            log.info("The task lives (%s): its job is left alone", *states.values())

    async def _has_nothing_to_cancel(self) -> bool:
        """Return whether there is no job, or it was cancelled with all others because somebody stopped the Dag run."""
        return False

    @abstractmethod
    async def _work(self) -> TriggerEvent:
        """Return how the task ended."""

    @abstractmethod
    async def _cancel(self) -> None:
        """Cancel the job, whose task is over."""

    def _advice(self) -> str:
        """Return what to add to an error."""
        return ""

    @property
    def _task(self) -> Any:
        return self.task_instance

    def _seconds_left(self) -> float | None:
        """Return how long the task may go on; None for any time. A triggerer that takes over keeps the moment."""
        moment = timeout_after(self)
        return None if moment is None else max(0.0, (moment - TIMEOUT_MARGIN - datetime.now(UTC)).total_seconds())

    async def _end(self, event: type[TaskSuccessEvent | TaskFailedEvent], xcoms: Mapping[str, Any]) -> TriggerEvent:
        """Return the event that ends the task with these XComs.

        Those of a mapped task travel in the event, which costs no request, and their readers get JSON text. A task that
        is not mapped sets them itself: its readers get values.
        """
        if self._task.map_index not in (None, -1):
            return event(xcoms=dict(xcoms))
        for key, value in xcoms.items():
            await sync_to_async(XCom.set)(key=key, value=value, **_place(self._task))
        return event()


def _place(task: Any) -> dict[str, Any]:
    return {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id, "map_index": task.map_index}


class SubmitTrigger(_TaskTrigger):
    """Submits the job, a `JobRequest`; ``partner`` is the task that waits for the jobs of this one.

    Args:
        script: The batch script of ``job``, which is not rendered.
    """

    _arguments = (*_TaskTrigger._arguments, "script")

    def __init__(self, script: str = "", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.script = script
        self._submitting: JobRequest | None = None

    async def _work(self) -> TriggerEvent:
        source = JobSource(**self.source) if self.source else None
        if source and source.is_list:
            async with run_plan(self._task, source) as plan:
                request = plan.request(self._task.map_index)
                if found := await self._skipped(request, plan):
                    return TaskSkippedEvent(xcoms={SKIPPED_KEY: found})
                return await self._submit(request, plan)
        job = await xcom_of(self._task, source) if source else self.job
        return await self._submit(read_job(JobRequest, job).with_script(self.script))

    async def _skipped(self, request: JobRequest, plan: PlannedJobs) -> dict[str, Any] | None:
        """Wait for the run's canaries; return the XCom that says why the job is not submitted, None where it is."""
        if not plan.canaries or self._task.map_index in plan.canaries or request.why_skipped:
            return None
        if (pair := self._pair(request)) is None:
            raise SettingsError("canaries: no task waits for the jobs; add a SlurmJobSensor to the mapped task group")
        return await why_skipped(request, pair, {index: plan.request(index).name for index in plan.canaries})

    def _pair(self, request: JobRequest) -> Siblings | None:
        return siblings_of(self._installation, self._task, self._task.task_id, self.partner, request.shared_folder)

    async def _submit(self, request: JobRequest, plan: PlannedJobs | None = None) -> TriggerEvent:
        if request.why_skipped:
            await wait_for_slot()
            log.info("%s", request.why_skipped)
            return TaskSkippedEvent()
        self._submitting = request
        self._siblings = self._pair(request)
        resolve = plan.with_secrets if plan else sync_to_async(with_secrets)
        ready = await patiently(partial(resolve, request), PATIENCE, wait_for_slot)
        attempt, seconds = attempt_of(self._installation, self._task), self._seconds_left()
        search = plan.search if plan else None
        job = await submit_job(ready, attempt, siblings=self._siblings, seconds=seconds, search=search)
        await wait_for_slot()
        log.info("Job %s (%s) submitted, its log: %s", job.job_id, job.job_name, job.log_path)
        return await self._end(TaskSuccessEvent, {RETURN_KEY: (job if plan else job.of(request)).to_json()})

    async def _has_nothing_to_cancel(self) -> bool:
        return self._submitting is None  # thousands may wait for canaries: none asks Airflow for its state

    async def _cancel(self) -> None:
        if self._submitting is not None:
            async with cluster_session(self._submitting.site) as cluster:
                await withdraw(cluster.client, self._submitting, attempt_of(self._installation, self._task))


class WaitTrigger(_TaskTrigger):
    """Waits for the job, a `SubmittedJob`; ``partner`` is the task that submitted it.

    Args:
        planned_by: The `JobSource` of the partner, as JSON, if that is a list: then the plan tells the run directory,
            and the record there the job.
        on_stuck: Notifications to send if Slurm will not start the job, as in `notify_stuck`.
    """

    _arguments = (*_TaskTrigger._arguments, "planned_by", "on_stuck")

    def __init__(self, planned_by: Json | None = None, on_stuck: Sequence[Json] = (), **arguments: Any) -> None:
        super().__init__(**arguments)
        self.planned_by, self.on_stuck = planned_by, on_stuck
        self._waiting: SubmittedJob | None = None
        self._chained: Chained | None = None
        self._looked_for: JobRequest | None = None  # before its record has told the job

    async def _work(self) -> TriggerEvent:
        self._waiting = job = await self._find_job()
        if job.request:
            self._chained = Chained(
                request=read_job(JobRequest, job.request),
                attempt=attempt_of(self._installation, self._task),
                resolve=sync_to_async(with_secrets),
                on_next=partial(setattr, self, "_waiting"),
            )
        folder = self._looked_for.shared_folder if self._looked_for else job.run_dir.rpartition("/")[0]
        self._siblings = siblings_of(self._installation, self._task, self.partner, self._task.task_id, folder)
        end = await await_job(
            job,
            mapped=Mapped(self._siblings, self._task.map_index, self.on_stuck),
            seconds=self._seconds_left(),
            chained=self._chained,
        )
        succeeded = end.status.state.is_success
        log.log(logging.INFO if succeeded else logging.ERROR, "%s", end.text)
        left = {
            RETURN_KEY if succeeded else STATUS_KEY: end.status.to_json(),
            WANDB_KEY: end.status.wandb,
            HISTORY_KEY: end.history,
            LOG_KEY: end.log and {"job_id": end.status.job_id, "lines": end.log},
        }
        xcoms = {key: value for key, value in left.items() if value}
        return await self._end(TaskSuccessEvent if succeeded else TaskFailedEvent, xcoms)

    def _advice(self) -> str:
        how = scancel_by_name(self._looked_for) if self._looked_for else ""
        how = scancel_advice(self._waiting) if self._waiting else how
        return f"\nThe job may still run; to cancel it, {how}" if how else ""

    async def _find_job(self) -> SubmittedJob:
        if self.source is None:
            return read_job(SubmittedJob, self.job)
        job = await self._recorded_job(JobSource(**self.planned_by)) if self.planned_by else None
        job = job or read_job(SubmittedJob, await xcom_of(self._task, JobSource(**self.source)))
        return job.of(self._looked_for) if self._looked_for else job

    async def _recorded_job(self, plan_source: JobSource) -> SubmittedJob | None:
        """Return the job that the run directory's record names; None if the record is another task's by now."""
        task = self._task
        async with run_plan(task, plan_source) as plan:
            self._looked_for = planned = plan.request(task.map_index)
        async with cluster_session(planned.site) as cluster:
            attempt = attempt_of(self._installation, task)
            self._looked_for = request = await as_proposed(cluster, plan.search, planned, attempt)
            record = await cluster.retry_until_answered(lambda: cluster.records(request.run_dir), even_if_refused=True)
        own = (attempt.run, task_name(str(self.partner), task.map_index))
        return submitted_job(request, record.job_id) if record and record[:2] == own and record.job_id else None

    async def _has_nothing_to_cancel(self) -> bool:
        job = self._waiting
        if job is None or self._siblings is None:
            return False
        try:
            async with cluster_session(job.site) as cluster:
                cancelled = await cancelled_with_run(cluster.client, self._siblings)
        except SlurmSweepError:
            return False  # no answer: each job is cancelled as if it were alone, with patience
        return self._chained is None and job.job_id in cancelled  # of a chain, the next job may be underway

    async def _cancel(self) -> None:
        if self._waiting is None:
            log.info("This task has not found its job yet: the other combinations or the report cancel it")
            return
        async with cluster_session(self._waiting.site) as cluster:
            await cancel_awaited(cluster.client, self._waiting, self._chained)
            await leave_cancelled(cluster, self._waiting)
