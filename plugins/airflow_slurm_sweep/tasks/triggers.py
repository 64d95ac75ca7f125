"""What `SlurmSubmitOperator` and `SlurmJobSensor` do in the triggerer: their tasks start and end here, in no worker.

Each request of a trigger to Airflow takes the triggerer some 50 ms, in which it does nothing else. Hence one plan for
all tasks of a Dag run (`run_plan`), and records of run directories in place of XComs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from airflow_slurm_sweep.errors import ClusterUnavailableError, SettingsError
from airflow_slurm_sweep.names import RETURN_KEY, SKIPPED_KEY, STATUS_KEY, SUBMIT_KEYS, WAIT_KEYS
from airflow_slurm_sweep.slurm.attempt import task_name
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.tasks.canary import why_skipped
from airflow_slurm_sweep.tasks.cancel import scancel_advice, scancel_by_name, withdraw
from airflow_slurm_sweep.tasks.chained import Chained
from airflow_slurm_sweep.tasks.cluster import ClusterSession, cluster_session
from airflow_slurm_sweep.tasks.job_source import JobSource, read_job
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.one_job import Mapped, attempt_of, await_job, cancel_awaited, submit_job
from airflow_slurm_sweep.tasks.operators import Json
from airflow_slurm_sweep.tasks.orphans import Siblings, siblings_of
from airflow_slurm_sweep.tasks.requests import ask_airflow
from airflow_slurm_sweep.tasks.run_plan import PlannedJobs, run_plan, xcom_of
from airflow_slurm_sweep.tasks.secrets import with_secrets
from airflow_slurm_sweep.tasks.task_trigger import TaskTrigger
from airflow_slurm_sweep.tasks.trials import as_proposed, leave_cancelled, submit_trial

log = logging.getLogger(__name__)


class SubmitTrigger(TaskTrigger):
    """Submits the job, a `JobRequest`; ``partner`` is the task that waits for the jobs of this one.

    Args:
        script: The batch script of ``job``, which is not rendered.
    """

    _arguments = (*TaskTrigger._arguments, "script")
    _keys = SUBMIT_KEYS

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
                    return await self._end(TaskSkippedEvent, {SKIPPED_KEY: found})
                return await self._submit(request, plan)
        job = await xcom_of(self._task, source) if source else self.job
        return await self._submit(read_job(JobRequest, job).with_script(self.script))

    async def _skipped(self, request: JobRequest, plan: PlannedJobs) -> dict[str, Any] | None:
        """Wait for the run's canaries; return the XCom that says why the job is not submitted, None where it is."""
        if not plan.canaries or self._task.map_index in plan.canaries or request.why_skipped:
            return None
        if (pair := self._pair(request)) is None:
            raise SettingsError("canaries: no task waits for the jobs; add a SlurmJobSensor to the mapped task group")
        return await why_skipped(request, pair, plan.canaries)

    def _pair(self, request: JobRequest) -> Siblings | None:
        return siblings_of(self._installation, self._task, self._task.task_id, self.partner, request.shared_folder)

    async def _submit(self, request: JobRequest, plan: PlannedJobs | None = None) -> TriggerEvent:
        if request.why_skipped:
            await wait_for_slot()
            log.info("%s", request.why_skipped)
            return TaskSkippedEvent()
        self._submitting = request
        self._siblings = self._pair(request)
        resolve = plan.with_secrets if plan else partial(ask_airflow, with_secrets)
        submit = partial(ClusterSession.submit, resolve=resolve)
        if plan and plan.search:
            submit = partial(submit_trial, search=plan.search, resolve=resolve)
        attempt, seconds = attempt_of(self._installation, self._task), self._seconds_left()
        job = await submit_job(request, attempt, submit=submit, siblings=self._siblings, seconds=seconds)
        await wait_for_slot()
        log.info("Job %s (%s) submitted, its log: %s", job.job_id, job.job_name, job.log_path)
        return await self._end(TaskSuccessEvent, {RETURN_KEY: (job if plan else job.of(request)).to_json()})

    def _advice(self, error: Exception) -> str:
        if self._submitting is None or not isinstance(error, ClusterUnavailableError):
            return ""
        return f"\nA job may have been submitted all the same; to cancel it, {scancel_by_name(self._submitting)}"

    async def _has_nothing_to_cancel(self) -> bool:
        if self._submitting is None:
            return True  # thousands may wait for canaries: none asks Airflow for its state
        if await self._cancelled_with_run(self._submitting.site) is None:
            return False
        await self._cancel()  # its submission may be on its way
        return True

    async def _cancel(self) -> None:
        if self._submitting is not None:
            async with cluster_session(self._submitting.site) as cluster:
                await withdraw(cluster.client, self._submitting, attempt_of(self._installation, self._task))


class WaitTrigger(TaskTrigger):
    """Waits for the job, a `SubmittedJob`; ``partner`` is the task that submitted it.

    Args:
        planned_by: The `JobSource` of the partner, as JSON, if that is a list: then the plan tells the run directory,
            and the record there the job.
        on_stuck: Notifications to send if Slurm will not start the job, as in `notify_stuck`.
    """

    _arguments = (*TaskTrigger._arguments, "planned_by", "on_stuck")
    _keys = WAIT_KEYS

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
                resolve=partial(ask_airflow, with_secrets),
                on_next=partial(setattr, self, "_waiting"),
            )
        folder = self._looked_for.shared_folder if self._looked_for else job.run_dir.rpartition("/")[0]
        self._looked_for = None  # some KiB, which a job that waits for days has no use for
        self._siblings = siblings_of(self._installation, self._task, self.partner, self._task.task_id, folder)
        end = await await_job(
            job,
            mapped=Mapped(self._siblings, self._task.map_index, self.on_stuck),
            seconds=self._seconds_left(),
            chained=self._chained,
        )
        succeeded = end.status.state.is_success
        log.log(logging.INFO if succeeded else logging.ERROR, "%s", end.text)
        return await self._end(TaskSuccessEvent if succeeded else TaskFailedEvent, end.xcoms)

    def _advice(self, error: Exception) -> str:
        del error
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
        if self._waiting is None:
            return False
        cancelled = await self._cancelled_with_run(self._waiting.site)
        # Of a chain, the next job may be underway.
        return self._chained is None and self._waiting.job_id in (cancelled or ())

    async def _cancel(self) -> None:
        if self._waiting is None:
            log.info("This task has not found its job yet: the other combinations or the report cancel it")
            return
        async with cluster_session(self._waiting.site) as cluster:
            await cancel_awaited(cluster.client, self._waiting, self._chained)
            if self._waiting.parameters and not await self.has_left(STATUS_KEY):
                await leave_cancelled(cluster, self._waiting)
