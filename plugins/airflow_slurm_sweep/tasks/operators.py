"""Submit a Slurm job, and wait for one: a pair of tasks for anybody's Dag.

submit = SlurmSubmitOperator(
    task_id="submit",
    job=JobRequest(
        ssh_conn_id="cluster", name="train", command="python train.py", run_dir="/scratch/me/train",
        script=JOB_SCRIPT, nodes=2, gpus_per_node=8, time="4:0:0",
    ),
)
wait = SlurmJobSensor(task_id="wait", job=submit.output)

Both tasks start and end in Airflow's triggerer. ``airflow dags test`` has none, and runs ``execute``. What needs an SSH
library is imported there: Airflow imports this module with each Dag file that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Never, TypeAlias, cast

from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, Context, XComArg
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.triggers.base import StartTriggerArgs

from airflow_slurm_sweep.errors import ClusterUnavailableError, SlurmSweepError
from airflow_slurm_sweep.names import RETURN_KEY, SCRIPT_KEY, SKIPPED_KEY, WANDB_KEY
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks.job_source import MAPPED_GROUP, JobSource, job_source, read_job

Json: TypeAlias = Mapping[str, Any]

# A trigger ends its task in time by itself. Airflow, which would send the task to a worker, does so only later.
TIMEOUT_MARGIN = timedelta(hours=1)
_NO_LIMIT = timedelta(days=36500)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn our errors into Airflow's: what a retry cannot mend fails the task without one."""
    try:
        yield
    except ClusterUnavailableError as error:
        raise AirflowException(str(error)) from error
    except SlurmSweepError as error:
        raise AirflowFailException(str(error)) from None


class _TriggererOperator(BaseOperator):
    """A task that starts and ends in the triggerer."""

    template_fields: Sequence[str] = ("job",)
    template_fields_renderers = {"job": "json"}  # noqa: RUF012  # as Airflow declares it

    @classmethod
    def partial(cls, **_: Any) -> Never:
        """Refuse `expand`, with the mapped task group to write instead: an expanded operator runs in a worker."""
        raise TypeError(f"{cls.__name__}.partial() and .expand() would run each job in a worker; {MAPPED_GROUP}")

    def _start_in_triggerer(self, trigger: str, arguments: Json, timeout: timedelta | None = None) -> None:
        """Let a trigger do the task, within the shorter of ``timeout`` and ``execution_timeout``.

        Airflow must not know the limit: it would send the task to a worker when the time is over.
        """
        limit = min((each for each in (self.execution_timeout, timeout) if each is not None), default=None)
        self.execution_timeout = None
        self._seconds = None if limit is None else limit.total_seconds()
        self.trigger_arguments = dict(arguments)
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"airflow_slurm_sweep.tasks.triggers.{trigger}",
            trigger_kwargs=self.trigger_arguments,
            next_method="execute",  # never called: the trigger ends the task
            timeout=None if limit is None else limit + TIMEOUT_MARGIN,
        )


class SlurmSubmitOperator(_TriggererOperator):
    """Submit one Slurm job over SSH; it does not wait for the job.

    However often it runs for one attempt, there is one job: see record.sh. After a clear, the earlier job is cancelled,
    and a new one submitted when it is gone. While the cluster does not answer or takes no jobs now, the task waits.

    The task has no retries: what the site mends is waited for, and nothing mends the rest. Map a task group over a list
    of jobs for many; tasks that are ready together then submit together.

    Args:
        job: A `JobRequest`, or one as JSON, or the output of a task that gives one, or the argument of a mapped task
            group. A job that stands in the Dag file may hold Jinja templates, but not in its batch script.

    Returns (XCom): a `SubmittedJob` as JSON: ``job_id``, ``job_name``, ``run_dir``, ``log_path``, ``ssh_conn_id`` and
    ``label``; in a mapped task group that JSON as text.

    Fails if the cluster refuses the job, the login, or a path, or after ``execution_timeout``, and then withdraws the
    submission.
    """

    ui_color = "#d5e8d4"

    def __init__(self, *, job: JobRequest | Json | str | XComArg, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "retries": 0})
        self.script = ""
        if isinstance(job, JobRequest):
            self.script, job = job.script, {**job.to_json(), "script": ""}
        self.job = job
        self.source = job_source(self, job)
        self._start_in_triggerer("SubmitTrigger", {**_origin(job, self.source), "script": self.script})

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit and return the job, in ``airflow dags test``."""
        from airflow_slurm_sweep.tasks.canary import skipped
        from airflow_slurm_sweep.tasks.tested import submit

        with airflow_errors():
            script = self._script(context)
            request = read_job(JobRequest, self.job).with_script(script)
            if request.why_skipped:
                self.log.info("%s", request.why_skipped)
                raise AirflowSkipException
            if request.canaries and (canary := self._failed_canary(context, script)):
                found = skipped(request, canary)
                self.log.warning("%s is not submitted: %s", request.name, found["why"])
                context["ti"].xcom_push(key=SKIPPED_KEY, value=found)
                raise AirflowSkipException
            job = submit(context["ti"], request, self._seconds)
        self.log.info("Job %s (%s) submitted, its log: %s", job.job_id, job.job_name, job.log_path)
        return job.to_json()

    def _failed_canary(self, context: Context, script: str | None) -> str:
        from airflow_slurm_sweep.tasks.tested import failed_canary

        if self.source is None or not self.source.is_list:
            return ""
        ti, field = context["ti"], self.source.field
        jobs: Any = ti.xcom_pull(task_ids=self.source.task_id, key=self.source.key)
        jobs = jobs if field is None else [job[field] for job in jobs]
        return failed_canary(ti, jobs, script, self._seconds)

    def _script(self, context: Context) -> str | None:
        """Return the batch script of a job that names none: its own, or what the task that planned it left."""
        if self.source is None or not self.source.is_list:
            return self.script
        return cast("str | None", context["ti"].xcom_pull(task_ids=self.source.task_id, key=SCRIPT_KEY))


class WandbLink(BaseOperatorLink):
    """A button of a task that has waited: the job's run in Weights & Biases."""

    name = "Weights & Biases"
    xcom_key = WANDB_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address, as the task knows it; an empty one makes no button."""
        del ti_key
        return str(getattr(operator, "wandb", ""))


class SlurmJobSensor(_TriggererOperator, BaseSensorOperator):
    """Wait until a Slurm job has ended; succeed only if it is COMPLETED.

    Any other end fails the task with state, exit code, nodes and the log's path. The last 50 lines of the job's log end
    the task's, whatever the end. Where the task fails, the XCom ``status`` holds a `JobStatus` as JSON, and ``log`` the
    job's id and the last lines. The task has no retries: the same job would only fail again.

    The job is cancelled if the task is marked failed or successful, is deleted, or takes longer than ``timeout`` or
    ``execution_timeout``; not if the task is cleared: the task then waits for the same job again.

    The last values of the numbers by name that the job left in its run directory, in ``metrics.json`` or where its
    ``metrics`` say, are the status's ``metrics``. The XCom ``history`` has the values of up to eight over their steps.
    Where wandb ran in the job, the address that it printed is ``wandb``, and a button of the task.

    Args:
        job: A `SubmittedJob`, or one as JSON, or the output of a `SlurmSubmitOperator`. In the latter case, in a mapped
            task group, a job is cancelled also if its task was marked before the triggerer took it up: the waiting
            tasks of the other combinations see to it.
        timeout: Seconds, or a timedelta; None for no limit.

    Returns (XCom): the `JobStatus` as JSON; in a mapped task group that JSON as text.
    """

    ui_color = "#dae8fc"
    operator_extra_links = (WandbLink(),)

    def __init__(
        self, *, job: SubmittedJob | Json | str | XComArg, timeout: timedelta | float | None = None, **kwargs: Any
    ) -> None:
        # Airflow's default of seven days is no limit for a job that waits in Slurm's queue.
        super().__init__(**{**kwargs, "timeout": _NO_LIMIT if timeout is None else timeout, "retries": 0})
        self.job = job.to_json() if isinstance(job, SubmittedJob) else job
        self.wandb = ""
        arguments = {**_origin(self.job, job_source(self, self.job)), "planned_by": None}
        submit = getattr(job, "operator", None)
        if isinstance(submit, SlurmSubmitOperator):
            submit.trigger_arguments["partner"] = self.task_id
            planned_by = asdict(submit.source) if submit.source and submit.source.is_list else None
            arguments |= {"partner": submit.task_id, "planned_by": planned_by}
        limit = None if timeout is None else timedelta(seconds=self.timeout)
        self._start_in_triggerer("WaitTrigger", arguments, limit)

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait, in ``airflow dags test``."""
        from airflow_slurm_sweep.tasks.tested import await_end

        with airflow_errors():
            end = await_end(context["ti"], read_job(SubmittedJob, self.job), self._seconds)
        self.wandb = end.status.wandb
        left = end.xcoms
        returned: dict[str, Any] | None = left.pop(RETURN_KEY, None)
        for key, value in left.items():
            context["ti"].xcom_push(key=key, value=value)
        if returned is None:
            raise AirflowFailException(end.text)
        self.log.info("%s", end.text)
        return returned


def _origin(job: object, source: JobSource | None) -> dict[str, Any]:
    """Return the arguments that tell a trigger where its job is; the sensor of a pair names the partner of both."""
    return {"job": None if source else job, "source": source and asdict(source), "partner": None}
