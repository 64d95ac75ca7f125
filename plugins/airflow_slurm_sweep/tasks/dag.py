"""The Dag class of sweeps: `airflow dags test` is a dry run of it.

That the run is dry stands in the run's conf. A live scheduler on the same database may take the run up, and its
workers know nothing of the process that the command runs in.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from airflow.sdk import DAG, timezone

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.sweep.space_reader import notes
from airflow_slurm_sweep.sweep.spec import SweepSpec
from airflow_slurm_sweep.tasks.internals import let_coroutines_ask

_CELL = 60  # characters of a parameter's values


class SweepDag(DAG):
    """A Dag whose test submits nothing unless its conf says ``{"dry_run": false}``, and whose tasks are not tested."""

    def get_task(self, task_id: str) -> Any:
        """Return a task, but not to ``airflow tasks test``, which takes this way before it touches the database.

        Raises:
            SettingsError: It is that command: it would delete a run without a logical date, and so cancel its jobs.
        """
        if "AIRFLOW_TEST_MODE" in os.environ:
            raise SettingsError(
                "refused: this command deletes the Dag's run that has no logical date, and so cancels its jobs; use "
                "airflow dags test"
            )
        return super().get_task(task_id)

    def test(
        self,
        run_after: datetime | None = None,
        logical_date: Any = None,  # Airflow's default is the present; its None would delete the runs without a date
        run_conf: dict[str, Any] | None = None,
        *others: Any,
        **named: Any,
    ) -> Any:
        """Run the Dag in this process, as `DAG.test` does.

        Raises:
            SettingsError: An unfinished run has that logical date. Airflow would delete it, and so cancel its jobs.
        """
        from airflow.models.dagrun import DagRun  # workers import this module and never use the database

        when = timezone.coerce_datetime(logical_date) or timezone.utcnow()
        same = DagRun.find(dag_id=self.dag_id, logical_date=when)
        if live := [run for run in same if run.state in ("queued", "running")]:
            raise SettingsError(
                f"the run {live[0].run_id} of {self.dag_id} has this logical date and is not finished; `airflow dags "
                "test` would delete it and cancel its jobs: give another date, or none"
            )
        let_coroutines_ask()
        return super().test(run_after, when, {"dry_run": True, **(run_conf or {})}, *others, **named)


def documentation(spec: SweepSpec) -> str:
    """Return what Airflow shows of a sweep, as Markdown."""
    rows = [
        f"| {', '.join(f'`{key}`' for key in axis.keys)} | {len(axis.rows) or ''} | {_cell(str(axis))} |"
        for axis in (*spec.space.axes, *spec.space.repeat)
    ]
    config = f" with `{spec.config_path}`" if spec.config_path else ""
    head = "".join(f"**{warning}.** " for warning in spec.warnings)
    head += f"`{spec.source}`: {spec.size} combinations of `{spec.what}`{config}."
    goal = f" The report ranks by `{best.metric}`: {best.goal}." if (best := spec.sweep.objective) else ""
    head += "".join(f" {note}." for note in notes(spec.space, spec.sweep))
    return "\n".join([head + goal, "", "| parameter | values | |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{shown if len(shown) <= _CELL else shown[:_CELL] + '…'}`"
