"""Where a task in the triggerer finds its job: a literal in the Dag file, or an XCom by task id and key.

Airflow resolves an `XComArg` in a worker only. So the operators take it apart where the Dag is built, and the trigger
reads the XCom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from airflow.sdk import XComArg

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks.internals import mapped_group, mapped_list

Job = TypeVar("Job", JobRequest, SubmittedJob)

MAPPED_GROUP = """\
write a mapped task group:

    @task_group
    def one(job):
        submit = SlurmSubmitOperator(task_id="submit", job=job)
        SlurmJobSensor(task_id="wait", job=submit.output)

    one.expand(job=TASK_THAT_RETURNS_A_LIST_OF_JOBS.output)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSource:
    """An XCom that holds one job, or a list of jobs.

    Attributes:
        task_id: The task that left the XCom.
        key: The XCom's key.
        is_list: The XCom is a list, and the job is the element at the task's map index.
        field: The key of that element that holds the job; None for the element itself.
        is_mapped: Each instance of the task left an XCom, and the job is that of the same map index.
    """

    task_id: str
    key: str
    is_list: bool = False
    field: str | None = None
    is_mapped: bool = False


def job_source(operator: Any, job: Any) -> JobSource | None:
    """Return where the ``job`` of an operator comes from; None if it stands in the Dag file.

    Raises:
        ValueError: ``job`` is a reference that a trigger cannot follow.
    """
    mapped = mapped_list(job)
    if mapped is None and not isinstance(job, XComArg):
        return None
    xcom, field = mapped or (job, None)
    task: Any = getattr(xcom, "operator", None)
    key = getattr(xcom, "key", None)
    is_one = task is not None and not task.is_mapped and mapped_group(task) in (None, mapped_group(operator))
    if not is_one or key is None:
        raise ValueError(
            f"{type(operator).__name__}: job: expected the output of one task, or the argument of a task group that is "
            f"mapped over the output of one task, got {xcom!r:.200}; {MAPPED_GROUP}"
        )
    if mapped:
        return JobSource(task_id=task.task_id, key=key, is_list=True, field=field)
    return JobSource(task_id=task.task_id, key=key, is_mapped=mapped_group(task) is not None)


def read_job(kind: type[Job], job: Any) -> Job:
    """Return a job from its JSON, as a value or as text.

    Raises:
        SettingsError: It is no such job.
    """
    try:
        return kind.from_json(job)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"job: {error}") from None
