"""Submit a Slurm job, and wait for one: a pair of tasks for anybody's Dag.

submit = SlurmSubmitOperator(
    task_id="submit",
    job=JobRequest(
        ssh_conn_id="cluster", name="train", command="python train.py", run_dir="/scratch/me/train",
        script=Path("include/job.sh").read_text(), nodes=2, gpus_per_node=8, time="4:0:0",
    ),
)
wait = SlurmJobSensor(task_id="wait", job=submit.output)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, Context, PokeReturnValue, Variable, XComArg
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRuntimeError,
    AirflowSkipException,
)

from slurm_sweep.errors import ClusterUnavailableError, SettingsError, SlurmSweepError
from slurm_sweep.slurm.client import SlurmClient, failure_text
from slurm_sweep.slurm.job import Attempt, JobRequest, JobStatus, SubmittedJob
from slurm_sweep.slurm.monitor import Monitor
from slurm_sweep.tasks.ssh import SshShell
from slurm_sweep.tasks.triggers import SlurmJobTrigger

STATUS_KEY = "status"  # the XCom that wait leaves, also when it fails

Json: TypeAlias = Mapping[str, Any]


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn our errors into Airflow's: what a retry cannot mend fails the task without one."""
    try:
        yield
    except ClusterUnavailableError as error:
        raise AirflowException(str(error)) from error
    except SlurmSweepError as error:
        raise AirflowFailException(str(error)) from None


class SlurmSubmitOperator(BaseOperator):
    """Submit one Slurm job over SSH; it does not wait for it.

    Args:
        job: What to submit: a `JobRequest`, or one as JSON, or the output of a task that gives one.

    Returns (XCom): a `SubmittedJob` as JSON: ``job_id``, ``job_name``, ``run_dir``, ``log_path``, ``ssh_conn_id`` and
    ``label``.

    Fails without retries if the cluster refuses the job, the login, or a path; with retries if it does not answer.
    """

    template_fields: Sequence[str] = ("job",)
    template_fields_renderers = {"job": "json"}  # noqa: RUF012  # as Airflow declares it
    ui_color = "#d5e8d4"

    def __init__(self, *, job: JobRequest | Json | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job.to_json() if isinstance(job, JobRequest) else job

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit and return the job."""
        task = context["ti"]
        attempt = Attempt(
            dag_id=task.dag_id,
            run_id=task.run_id,
            task_id=task.task_id,
            map_index=-1 if task.map_index is None else task.map_index,
            try_number=task.try_number,
        )
        request = JobRequest.from_json(_resolved(self.job))
        if request.dry_run:
            raise AirflowSkipException(f"Dry run: {request.name} is not submitted")
        with airflow_errors():
            env = {**request.env, **{name: _secret(reference) for name, reference in request.secrets.items()}}
            job = asyncio.run(_submit(replace(request, env=env), attempt))
        self.log.info("Job %s (%s) submitted, its log: %s", job.job_id, job.job_name, job.log_path)
        return job.to_json()


class SlurmJobSensor(BaseSensorOperator):
    """Wait until a Slurm job has ended; succeed only if it is COMPLETED.

    Any other end fails the task, without retries (the same job would only fail again), with state, exit code, nodes,
    the log's path and its last 50 lines. The XCom ``status`` holds a `JobStatus` as JSON, whatever the end.

    Args:
        job: A `SubmittedJob`, or one as JSON, or the output of a `SlurmSubmitOperator`.
        deferrable: Wait in the triggerer, where all waiting tasks share one SSH connection and one squeue a tick.
            Otherwise wait in the worker, over one connection, asking each ``poke_interval`` seconds.

    Returns (XCom): the `JobStatus` as JSON.
    """

    template_fields: Sequence[str] = ("job",)
    template_fields_renderers = {"job": "json"}  # noqa: RUF012  # as Airflow declares it
    ui_color = "#dae8fc"

    def __init__(self, *, job: SubmittedJob | Json | XComArg, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job.to_json() if isinstance(job, SubmittedJob) else job
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Look once, then wait."""
        job = SubmittedJob.from_json(_resolved(self.job))
        seen = self.poke(context)
        if seen.xcom_value is not None:
            return dict(seen.xcom_value)
        if self.deferrable:
            self.defer(trigger=SlurmJobTrigger(job=job.to_json()), method_name="resume")
        with airflow_errors():
            status, log_tail = asyncio.run(_wait(job, self.poke_interval))
        return self._end(context, job, status, log_tail)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the job once."""
        job = SubmittedJob.from_json(_resolved(self.job))
        with airflow_errors():
            status, log_tail = asyncio.run(_look(job))
        if status is None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._end(context, job, status, log_tail))

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """End as the trigger's event says."""
        if "error" in event:
            raise AirflowFailException(event["error"])
        job = SubmittedJob.from_json(_resolved(self.job))
        return self._end(context, job, JobStatus.from_json(event["status"]), event["log_tail"])

    def _end(self, context: Context, job: SubmittedJob, status: JobStatus, log_tail: str) -> dict[str, Any]:
        context["ti"].xcom_push(key=STATUS_KEY, value=status.to_json())
        if not status.state.is_success:
            raise AirflowFailException(failure_text(job, status, log_tail))
        self.log.info("Job %s (%s) completed in %s on %s", job.job_id, job.job_name, status.elapsed, status.nodes)
        return status.to_json()


def _resolved(job: Json | XComArg) -> Json:
    if not isinstance(job, Mapping):
        raise AirflowFailException(f"job: expected a job as JSON, got {type(job).__name__}: {job!r}")
    return job


def _secret(reference: str) -> str:
    """Return the value that a reference of `JobRequest.secrets` stands for; it goes to the cluster and nowhere else."""
    kind, _, name = reference.partition(":")
    try:
        value = Variable.get(name) if kind == "variable" else BaseHook.get_connection(name).password
    except (AirflowRuntimeError, AirflowNotFoundException, KeyError):
        value = None
    if not value:
        raise SettingsError(f"env: there is no Airflow {kind} {name!r}, or it holds no secret")
    return str(value)


async def _submit(job: JobRequest, attempt: Attempt) -> SubmittedJob:
    async with SshShell(job.ssh_conn_id) as shell:
        return await SlurmClient(shell).submit(job, attempt)


async def _look(job: SubmittedJob) -> tuple[JobStatus | None, str]:
    """Return the job's end, None if it has not come yet, and the end of its log if it failed."""
    async with SshShell(job.ssh_conn_id) as shell:
        client = SlurmClient(shell)
        status = await client.final_status(job)
        return status, await client.failure_log(job, status) if status else ""


async def _wait(job: SubmittedJob, interval: float) -> tuple[JobStatus, str]:
    async with SshShell(job.ssh_conn_id) as shell:
        client = SlurmClient(shell)
        status = await Monitor(client, interval=interval).wait(job)
        return status, await client.failure_log(job, status)
