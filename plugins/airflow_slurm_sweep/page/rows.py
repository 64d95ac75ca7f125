"""A run's combinations as rows of the report, also while it runs: what the page shows, with the parameters' types."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow.models.dagrun import DagRun
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.page import data
from airflow_slurm_sweep.page.repeats import has_result
from airflow_slurm_sweep.page.stages import Stage
from airflow_slurm_sweep.page.unreadable import UNREADABLE
from airflow_slurm_sweep.planned import planned_job
from airflow_slurm_sweep.report import STOPPED_EARLIER, Row, folded, ranked
from airflow_slurm_sweep.slurm.plain import read_parameters
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.sweep_section import Objective

_NAMED = 5  # runs that an error names


class RunRows(NamedTuple):
    """The rows of a Dag run, ranked by the objective: those of its jobs, and those of its combinations."""

    run_id: str
    objective: Objective | None
    jobs: list[Row]
    combinations: list[Row]  # the same without `repeat`; with it, a row for all repeats of a combination


def rows(session: Session, dag_id: str, run_id: str | None = None) -> RunRows:
    """Return the rows of a run, the latest by default.

    Raises:
        SettingsError: There is no such run.
    """
    newest = select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc())
    known = session.scalars(newest.limit(_NAMED)).all()
    found = data.run(session, dag_id, run_id or (known[0] if known else ""))
    if not known:
        raise SettingsError(f"the Dag {dag_id!r} has no run in Airflow's database")
    if found is None:
        raise SettingsError(f"the Dag {dag_id!r} has no run {run_id!r}; its latest runs: {', '.join(known)}")
    plan = data.jobs(session, dag_id, found["run_id"])
    objective = found["objective"] and Objective(**found["objective"])
    jobs = [_row(plan, each) for each in found["combinations"]]
    first = planned_job(plan, 0) or {}
    combinations = folded(jobs, first.get("repeated", ()), first.get("swept", ()))
    return RunRows(found["run_id"], objective, ranked(jobs, objective), ranked(combinations, objective))


def _row(plan: object, combination: dict[str, Any]) -> Row:
    state, reason = combination["state"], combination["reason"]
    job = {} if state == UNREADABLE else planned_job(plan, combination["index"]) or {}
    return Row(
        index=combination["number"],
        combination=combination["label"],
        parameters=read_parameters(job),
        job=combination["name"],
        job_id=combination["job_id"],
        state=f"{state} ({reason})" if reason else state,
        cause=combination["cause"],
        succeeded=has_result(combination),
        stopped=state.startswith(JobState.STOPPED_EARLY.value) or state == STOPPED_EARLIER,
        elapsed=combination["elapsed"],
        log=combination["log_path"],
        metrics=combination["metrics"],
        gpu_hours=combination["gpu_hours"],
        cpu_hours=combination["cpu_hours"],
        chain=combination["chain"],
        over=Stage(combination["stage"]).is_ended,
    )
