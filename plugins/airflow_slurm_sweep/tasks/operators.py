"""Submit a Slurm job, and wait for one: a pair of tasks for anybody's Dag.

submit = SlurmSubmitOperator(
    task_id="submit",
    job=JobRequest(
        ssh_conn_id="cluster", name="train", command="python train.py", run_dir="/scratch/me/train",
        script=JOB_SCRIPT, nodes=2, gpus_per_node=8, time="4:0:0",
    ),
)
wait = SlurmJobSensor(task_id="wait", job=submit.output)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, Context, PokeReturnValue, XComArg
from airflow.sdk.bases.operator import TriggerFailureReason
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.triggers.base import StartTriggerArgs

from airflow_slurm_sweep.errors import ClusterUnavailableError, SlurmSweepError
from airflow_slurm_sweep.slurm import results
from airflow_slurm_sweep.slurm.client import SlurmClient, failure_text
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.log_follower import Follower
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.cancel import (
    by_hand,
    cancel_if_interrupted,
    cancel_job,
    forget,
    in_worker,
    is_over,
    states_of,
    withdraw,
)
from airflow_slurm_sweep.tasks.form import is_dags_test
from airflow_slurm_sweep.tasks.orphans import look_once, siblings
from airflow_slurm_sweep.tasks.secrets import with_secrets
from airflow_slurm_sweep.tasks.ssh import SshShell, import_ssh
from airflow_slurm_sweep.tasks.triggers import STATUS_KEY, WANDB_KEY, SlurmJobTrigger, SlurmSubmitTrigger, attempt_of

_WORKERLESS = "airflow_slurm_sweep.tasks.workerless"  # not imported: reading a Dag file does not need it

_NO_LIMIT = timedelta(days=36500)

Json: TypeAlias = Mapping[str, Any]
Job = TypeVar("Job", JobRequest, SubmittedJob)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn our errors into Airflow's: what a retry cannot mend fails the task without one."""
    try:
        yield
    except ClusterUnavailableError as error:
        raise AirflowException(str(error)) from error
    except SlurmSweepError as error:
        raise AirflowFailException(str(error)) from None


class _InTriggerer(BaseOperator):
    """What may start and end in the triggerer; see tasks/workerless.py."""

    def _start_in_triggerer(
        self, trigger: str, planned_by: str | None, partner: str | None, timeout: timedelta | None = None
    ) -> None:
        if planned_by is None:
            return
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{_WORKERLESS}.{trigger}",
            trigger_kwargs={"planned_by": planned_by, "partner": partner},
            next_method="resume",  # never called: the trigger ends the task
            timeout=timeout,
        )


class SlurmSubmitOperator(_InTriggerer):
    """Submit one Slurm job over SSH; it does not wait for the job.

    However often it runs for one attempt, there is one job: see record.sh. A retry takes over the job of the try
    before; after a clear, the earlier job is cancelled, and a new one submitted when it is gone.

    Args:
        job: What to submit: a `JobRequest`, or one as JSON, or the output of a task that gives one.
        deferrable: Wait in the triggerer while the cluster does not answer or takes no jobs now; otherwise here.
        script: The batch script of a job that names none: what ``script`` of a `PlanSweepOperator` holds.
        awaited_by: In a mapped task group, the task whose instances wait for the jobs of this one; see there.
        planned_by: In a task group that is mapped over the list of jobs that a task returns, that task. Then no worker
            is needed: the task starts and ends in the triggerer, where all that are ready submit together. It has no
            retries (there is no worker that could die), and its XCom reads as JSON text.

    Returns (XCom): a `SubmittedJob` as JSON: ``job_id``, ``job_name``, ``run_dir``, ``log_path``, ``ssh_conn_id`` and
    ``label``.

    Fails without retries if the cluster refuses the job, the login, or a path.
    """

    template_fields: Sequence[str] = ("job", "script")
    template_fields_renderers = {"job": "json", "script": "bash"}  # noqa: RUF012  # as Airflow declares it
    ui_color = "#d5e8d4"

    def __init__(
        self,
        *,
        job: JobRequest | Json | XComArg,
        script: XComArg | None = None,
        deferrable: bool = True,
        awaited_by: str | None = None,
        planned_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**(kwargs if planned_by is None else {**kwargs, "retries": 0}))
        self._start_in_triggerer("SubmitTrigger", planned_by, awaited_by)
        self.job = job.to_json() if isinstance(job, JobRequest) else job
        self.script = script
        self.deferrable = deferrable
        self.awaited_by = awaited_by
        self._submission: tuple[JobRequest, Attempt] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit and return the job."""
        request = _read(JobRequest, self.job).with_script(cast("str | None", self.script))
        if request.dry_run:
            self.log.info("Dry run: %s is not submitted", request.name)
            raise AirflowSkipException
        # A clear raises max_tries, by one more than the try's number; a retry does not.
        attempt = attempt_of(context["ti"], generation=context["ti"].max_tries)
        import_ssh()
        with airflow_errors():
            ready = with_secrets(request)
            self._submission = request, attempt
            patience = 0.0 if self.deferrable else configuration.patience()
            try:
                job = asyncio.run(_submit(ready, attempt, patience))
            except ClusterUnavailableError as error:
                if not self.deferrable:
                    raise
                self.log.info("Waiting in the triggerer: %s", error)
                trigger = SlurmSubmitTrigger(request.to_json(), attempt.to_json(), self.awaited_by)
                self.defer(trigger=trigger, method_name="resume")
            except KeyboardInterrupt:  # in `airflow dags test`
                self.on_kill()
                raise
        return self._end(job)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # Airflow's
        """End as the trigger's event says."""
        if "error" in event:
            raise AirflowFailException(event["error"])
        return self._end(SubmittedJob.from_json(event["job"]))

    def on_kill(self) -> None:
        """Cancel the job that is being submitted."""
        if self._submission:
            in_worker(partial(_withdraw, *self._submission))

    def _end(self, job: SubmittedJob) -> dict[str, Any]:
        self._submission = None
        if is_dags_test():
            cancel_if_interrupted(job)
        self.log.info("Job %s (%s) submitted, its log: %s", job.job_id, job.job_name, job.log_path)
        return job.to_json()


class WandbLink(BaseOperatorLink):
    """A button of a task that has waited: the job's run in Weights & Biases."""

    name = "Weights & Biases"
    xcom_key = WANDB_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, as the task knows it; nothing makes no button."""
        del ti_key
        return str(getattr(operator, "wandb", ""))


class SlurmJobSensor(_InTriggerer, BaseSensorOperator):
    """Wait until a Slurm job has ended; succeed only if it is COMPLETED.

    Any other end fails the task, without retries (the same job would only fail again), with state, exit code, nodes,
    the log's path and its last 50 lines. The XCom ``status`` then holds a `JobStatus` as JSON.

    The job is cancelled if the task is marked failed or successful, is deleted, is killed in its worker, or takes
    longer than ``timeout`` or ``execution_timeout``; not if the task is cleared, and then waits for the same job again.

    Numbers by name that the job left in ``metrics.json`` in its run directory are the status's ``metrics``. Where wandb
    ran in it, the address that it printed is ``wandb``, and a button of the task.

    Args:
        job: A `SubmittedJob`, or one as JSON, or the output of a `SlurmSubmitOperator`.
        deferrable: Wait in the triggerer, where all waiting tasks share one SSH connection and one squeue a tick.
            Otherwise wait in the worker, over one connection, asking each ``poke_interval`` seconds.
        timeout: Seconds, or a timedelta; None for no limit.
        submitted_by: In a mapped task group, the task whose instances submit the jobs for those of this one: then a
            job is cancelled also where its task was marked before the triggerer took it up: the others see to it, each
            as it begins, and as long as it waits.
        planned_by: As for `SlurmSubmitOperator`; needs ``submitted_by``.

    Returns (XCom): the `JobStatus` as JSON.
    """

    template_fields: Sequence[str] = ("job",)
    template_fields_renderers = {"job": "json"}  # noqa: RUF012  # as Airflow declares it
    ui_color = "#dae8fc"
    operator_extra_links = (WandbLink(),)

    def __init__(
        self,
        *,
        job: SubmittedJob | Json | XComArg,
        deferrable: bool = True,
        timeout: timedelta | float | None = None,
        submitted_by: str | None = None,
        planned_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        if planned_by is not None:
            if submitted_by is None:
                raise ValueError("planned_by: needs submitted_by, the task that submits the jobs")
            kwargs["retries"] = 0
        # Airflow's default of seven days is no limit for a job that waits in Slurm's queue.
        super().__init__(timeout=_NO_LIMIT if timeout is None else timeout, **kwargs)
        limit = None if timeout is None else timedelta(seconds=self.timeout)
        self._start_in_triggerer("WaitTrigger", planned_by, submitted_by, limit)
        self.job = job.to_json() if isinstance(job, SubmittedJob) else job
        self.deferrable = deferrable
        self.submitted_by = submitted_by
        self.wandb = ""
        self._waiting: tuple[SubmittedJob, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Look once, then wait."""
        job = _read(SubmittedJob, self.job)
        import_ssh()
        self._waiting = job, context["ti"]
        left = self._seconds_left(context)
        with airflow_errors():
            try:
                status, log_tail = asyncio.run(self._look_around(job, context["ti"]))
            except ClusterUnavailableError as error:
                self.log.info("Waiting: %s", error)
                status = None
        if status is None and self.deferrable:
            limit = None if left is None else timedelta(seconds=left)
            trigger = SlurmJobTrigger(job=job.to_json(), submitted_by=self.submitted_by)
            self.defer(trigger=trigger, method_name="resume", timeout=limit)
        if status is None:
            with airflow_errors():
                status, log_tail = self._wait(job, left)
        return self._end(context, job, status, log_tail)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the job once."""
        job = _read(SubmittedJob, self.job)
        with airflow_errors():
            status, log_tail = asyncio.run(self._look_around(job, context["ti"]))
        if status is None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._end(context, job, status, log_tail))

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """End as the trigger's event says."""
        job = _read(SubmittedJob, self.job)
        if "error" in event:
            raise AirflowFailException(f"{event['error']}\nThe job may still run; to cancel it, {by_hand(job)}")
        return self._end(context, job, JobStatus.from_json(event["status"]), event["log_tail"])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Cancel the job if the time is up: no trigger does, in that case."""
        if (next_kwargs or {}).get("error") == TriggerFailureReason.TRIGGER_TIMEOUT:
            asyncio.run(_cancel(_read(SubmittedJob, self.job)))
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel the job, unless the task was cleared."""
        if self._waiting:
            in_worker(partial(_cancel_unless_cleared, *self._waiting))

    async def _look_around(self, job: SubmittedJob, task: Any) -> tuple[JobStatus | None, str]:
        """Look at the job, and whether siblings were marked that cannot cancel theirs."""
        async with SshShell(job.ssh_conn_id) as shell:
            client = SlurmClient(shell, shell.metrics)
            answer = await _look(client, job)
            pairs = siblings(task, self.submitted_by, self.task_id, job.run_dir)
            if pairs and not is_dags_test():  # there, nobody else runs
                await look_once(client, pairs)
            return answer

    def _seconds_left(self, context: Context) -> float | None:
        """Return how long the task may take from now on; None for any time."""
        limits = [limit for limit in (self.execution_timeout, timedelta(seconds=self.timeout)) if limit is not None]
        limit = min(limits)
        if limit >= _NO_LIMIT:
            return None
        began = context["ti"].start_date or datetime.now(UTC)
        return max(1.0, (began + limit - datetime.now(UTC)).total_seconds())

    def _wait(self, job: SubmittedJob, seconds: float | None) -> tuple[JobStatus, str]:
        try:
            return asyncio.run(asyncio.wait_for(_wait(job, self.poke_interval), seconds))
        except TimeoutError:
            asyncio.run(_cancel(job))
            raise AirflowFailException(f"Job {job.job_id} was not over in time, and is cancelled") from None

    def _end(self, context: Context, job: SubmittedJob, status: JobStatus, log_tail: str) -> dict[str, Any]:
        self._waiting = None
        self.wandb = status.wandb
        forget(job)
        if not status.state.is_success:
            context["ti"].xcom_push(key=STATUS_KEY, value=status.to_json())
            raise AirflowFailException(failure_text(job, status, log_tail))
        self.log.info("Job %s (%s) completed in %s on %s", job.job_id, job.job_name, status.elapsed, status.nodes)
        return status.to_json()


def _read(kind: type[Job], job: Json | str | XComArg) -> Job:
    if not isinstance(job, (Mapping, str)):
        raise AirflowFailException(f"job: expected a job as JSON, got {type(job).__name__}: {job!r}")
    try:
        return kind.from_json(job)
    except (TypeError, ValueError) as error:
        raise AirflowFailException(f"job: {error}") from None


async def _submit(job: JobRequest, attempt: Attempt, patience: float) -> SubmittedJob:
    async with SshShell(job.ssh_conn_id) as shell:
        client = SlurmClient(shell, shell.metrics)
        if patience == 0:
            return await client.submit(job, attempt)
        return await patiently(lambda: client.submit(job, attempt), patience)


async def _withdraw(job: JobRequest, attempt: Attempt) -> None:
    async with SshShell(job.ssh_conn_id) as shell:
        await withdraw(SlurmClient(shell, shell.metrics), job, attempt)


async def _look(client: SlurmClient, job: SubmittedJob) -> tuple[JobStatus | None, str]:
    """Return the job's end, None if it has not come yet, and the end of its log if it failed."""
    status = await client.final_status(job)
    if status is None:
        return None, ""
    async with Follower(client).following(job):
        pass  # it has ended: what is shown is its last lines
    return await _end(client, job, status)


async def _end(client: SlurmClient, job: SubmittedJob, status: JobStatus) -> tuple[JobStatus, str]:
    """Return a job's end with what it left, and the end of its log if it failed."""
    log_tail = await client.failure_log(job, status)
    (left,) = await client.results([job])
    return results.add(job, status, left), log_tail


async def _wait(job: SubmittedJob, interval: float) -> tuple[JobStatus, str]:
    async with SshShell(job.ssh_conn_id) as shell:
        client = SlurmClient(shell, shell.metrics)
        async with Follower(client, interval=interval).following(job):
            status = await Monitor(client, interval=interval, patience=configuration.patience()).wait(job)
        return await patiently(lambda: _end(client, job, status), configuration.patience())


async def _cancel(job: SubmittedJob) -> None:
    async with SshShell(job.ssh_conn_id) as shell:
        await cancel_job(SlurmClient(shell, shell.metrics), job)


async def _cancel_unless_cleared(job: SubmittedJob, task: Any) -> None:
    states = states_of(task)
    if is_over(states, task.task_id, task.map_index) or "running" in states.values():
        await _cancel(job)
