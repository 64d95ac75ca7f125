"""Telling people how a sweep ended, through any notifier of Airflow's: mail, Slack, whatever a provider has.

The task that reports runs them as its callbacks: it is the one that runs in a worker in any case, once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from airflow.sdk import BaseNotifier, Context

REPORT_KEY = "report"  # the XCom of the task that reports: its table as Markdown, for reading


class Notify:
    """A callback that runs a notifier, whose templates know ``report`` and its first line, ``summary``.

    A dry run is not told of. What the notifier raises is in the task's log, and does no harm.

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
        """Notify."""
        if context["params"].get("dry_run"):
            return
        ti = context["ti"]
        report = ti.xcom_pull(task_ids=ti.task_id, key=REPORT_KEY)
        report = report or f"{ti.dag_id} {ti.run_id}: no report; see the log of the task {ti.task_id}"
        said = {"report": report, "summary": report.partition("\n")[0]}
        self._class(**self._arguments)(cast("Context", {**context, **said}))


def _import(path: str) -> type[BaseNotifier]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"notify: {path} cannot be imported: {error}") from None
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ValueError(f"notify: expected a notifier of Airflow's, a class, got {path}: {found!r:.100}")
    return found
