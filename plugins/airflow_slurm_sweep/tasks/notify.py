"""Notifications about sweeps, through any notifier of Airflow's: mail, Slack, whatever a provider has.

They are callbacks. Those of the report run in its worker, once, at the end of a run. Those of a combination run in
Airflow's dag-processor, and those about jobs that will not start in the triggerer (stuck.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pkgutil import resolve_name
from typing import Any, cast

from airflow.sdk import BaseNotifier, Context

from airflow_slurm_sweep.names import REPORT_KEY, STATUS_KEY, SUBMIT, log_path
from airflow_slurm_sweep.slurm.failure import failure_text
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob


class Notification:
    """A callback that runs a notifier.

    The notifier's templates know ``dag_id``, ``run_id``, ``report``, and its first line, ``summary``.

    An error of the notifier goes to a log and does no harm.

    Args:
        notifier: Path of a class, such as ``airflow.providers.smtp.notifications.smtp.SmtpNotifier``.
        arguments: The arguments of the class.
        report: Returns the report; None notifies nobody.

    Raises:
        ValueError: There is no such class, it is no notifier, or it does not take these arguments.
    """

    def __init__(self, notifier: str, arguments: Mapping[str, Any], report: Callable[[Context], str | None]) -> None:
        self._class, self._arguments, self._report = _import(notifier), dict(arguments), report
        try:
            self._class(**self._arguments)
        except Exception as error:  # of anybody's code
            raise ValueError(f"notify: {notifier} does not take these arguments: {error}") from None

    def __call__(self, context: Context) -> None:
        """Notify, if there is something to report."""
        if report := self._report(context):
            run = {"dag_id": context["ti"].dag_id, "run_id": context["ti"].run_id}
            texts = {**run, "report": report, "summary": report.partition("\n")[0]}
            self._class(**self._arguments)(cast("Context", {**context, **texts}))


def sweep_report(context: Context) -> str | None:
    """Return what the task report left; None for a dry run."""
    if context["params"].get("dry_run"):
        return None
    ti = context["ti"]
    report: str | None = ti.xcom_pull(task_ids=ti.task_id, key=REPORT_KEY)
    return report or f"{_run(context)}: no report; see the log of the task {ti.task_id}"


def failure_report(context: Context) -> str:
    """Return how submit or wait failed. The dag-processor, where its callback runs, does not know the error."""
    ti: Any = context["ti"]
    job = ti.xcom_pull(task_ids=SUBMIT, map_indexes=ti.map_index)
    status = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=STATUS_KEY)
    if job and status:
        job, status = SubmittedJob.from_json(job), JobStatus.from_json(status)
        if status.earlier:  # of a chain, the last job
            job = replace(job, job_id=status.job_id, log_path=log_path(job.run_dir, status.job_id))
        how = failure_text(job, replace(status, cause=""))
        return f"{_run(context)}: {job.label}: " + "\n".join(filter(None, (status.cause, how)))
    why = context.get("exception") or "see its log"
    return f"{_run(context)}: {ti.task_id} with the map index {ti.map_index} failed\n{why}"


def _run(context: Context) -> str:
    return f"{context['ti'].dag_id} {context['ti'].run_id}"


def _import(path: str) -> type[BaseNotifier]:
    try:
        found = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"notify: {path} cannot be imported: {error}") from None
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ValueError(f"notify: expected a notifier of Airflow's, a class, got {path}: {found!r:.100}")
    return found
