"""Telling people how a sweep ended, through any notifier of Airflow's: mail, Slack, whatever a provider has.

They are callbacks. The task that reports runs them in a worker, once, at the end; those of single combinations run in a
worker too, or in the dag-processor where those tasks need no worker.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from airflow.sdk import BaseNotifier, Context

from airflow_slurm_sweep.names import REPORT_KEY, STATUS_KEY
from airflow_slurm_sweep.slurm.client import failure_text
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob


class _Notify:
    """A callback that runs a notifier, whose templates know ``report`` and its first line, ``summary``.

    What the notifier raises is in a log, and does no harm.

    Args:
        notifier: Path of a class, such as ``airflow.providers.smtp.notifications.smtp.SmtpNotifier``.
        arguments: What it is built with.

    Raises:
        ValueError: There is no such class, or it is no notifier, or does not take these arguments.
    """

    def __init__(self, notifier: str, arguments: Mapping[str, Any]) -> None:
        self._class = _import(notifier)
        self._arguments = dict(arguments)
        try:
            self._class(**self._arguments)
        except Exception as error:  # of anybody's code
            raise ValueError(f"notify: {notifier} does not take these arguments: {error}") from None

    def __call__(self, context: Context) -> None:
        """Notify, if there is something to tell."""
        if report := self._report(context):
            said = {"report": report, "summary": report.partition("\n")[0]}
            self._class(**self._arguments)(cast("Context", {**context, **said}))

    @abstractmethod
    def _report(self, context: Context) -> str | None:
        """Return what to tell."""


class TellOfSweep(_Notify):
    """A callback of the task that reports; it tells nobody of a dry run."""

    def _report(self, context: Context) -> str | None:
        if context["params"].get("dry_run"):
            return None
        ti = context["ti"]
        report = ti.xcom_pull(task_ids=ti.task_id, key=REPORT_KEY)
        return report or f"{_run(context)}: no report; see the log of the task {ti.task_id}"


class TellOfCombination(_Notify):
    """A callback of the tasks that submit and wait, where they failed.

    Without workers it runs in Airflow's dag-processor, which knows nothing of the error.

    Args:
        notifier: As above.
        arguments: As above.
        submitted_by: The task that submits.
    """

    def __init__(self, notifier: str, arguments: Mapping[str, Any], submitted_by: str) -> None:
        super().__init__(notifier, arguments)
        self._submitted_by = submitted_by

    def _report(self, context: Context) -> str:
        ti: Any = context["ti"]
        job = ti.xcom_pull(task_ids=self._submitted_by, map_indexes=ti.map_index)
        status = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=STATUS_KEY)
        if job and status:
            job = SubmittedJob.from_json(job)
            said, _, _ = failure_text(job, JobStatus.from_json(status), "").partition("\n")
            return f"{_run(context)}: {job.label}: {said}"
        why = context.get("exception") or "see its log"
        return f"{_run(context)}: {ti.task_id} with the map index {ti.map_index} failed\n{why}"


def _run(context: Context) -> str:
    return f"{context['ti'].dag_id} {context['ti'].run_id}"


def _import(path: str) -> type[BaseNotifier]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"notify: {path} cannot be imported: {error}") from None
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ValueError(f"notify: expected a notifier of Airflow's, a class, got {path}: {found!r:.100}")
    return found
