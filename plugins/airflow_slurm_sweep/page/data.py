"""Dag runs of sweeps as JSON, from Airflow's database: a fixed number of queries, however many combinations."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.taskinstance import TaskInstance, TaskInstanceNote
from airflow.models.xcom import XComModel
from sqlalchemy import Row, case, func, select
from sqlalchemy.orm import Session

from airflow_slurm_sweep import names
from airflow_slurm_sweep.page import compare
from airflow_slurm_sweep.page.combinations import Run, Task, mapping
from airflow_slurm_sweep.page.curves import Curves, all_curves, latest, live_curves
from airflow_slurm_sweep.page.stages import Stage
from airflow_slurm_sweep.page.unreadable import readable_view
from airflow_slurm_sweep.page.xcoms import consent_of, live_views, objective_of
from airflow_slurm_sweep.planned import as_submitted, mapped_jobs
from airflow_slurm_sweep.slurm.snapshot import STALE

LIVE = ("queued", "running")
_OF_ROWS = (
    names.RETURN_KEY,
    names.STATUS_KEY,
    names.SKIPPED_KEY,
    names.OBJECTIVE_KEY,
    names.ORIGIN_KEY,
    names.CONSENT_KEY,
    names.FAULT_KEY,
)
_OF_CURVES = (names.HISTORY_KEY, names.OBJECTIVE_KEY)
_IS_LIVE = XComModel.key.startswith(names.LIVE_KEY_PREFIX, autoescape=True)
SELECT_RUNS = (
    select(
        DagRun.dag_id,
        DagRun.run_id,
        DagRun.state,
        DagRun.run_after,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.clear_number,
        DagRun.triggering_user_name,
        DagModel.description,
        DagModel.is_stale,
        DagModel.relative_fileloc,
        DagModel.tags.any(DagTag.name == names.UNREADABLE).label("is_unreadable"),
        DagRunNote.content.label("note"),
    )
    .outerjoin(DagModel, DagModel.dag_id == DagRun.dag_id)
    .outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id)
)


def run_version(session: Session, dag_id: str, run_id: str) -> str | None:
    """Return a text that changes with each change of the run; None if there is no such run. It is cheap."""
    run = session.execute(SELECT_RUNS.where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    if run is None:
        return None
    tasks = session.execute(
        select(
            TaskInstance.task_id,
            TaskInstance.state,
            func.count(),
            func.max(TaskInstance.updated_at),
            func.max(TaskInstanceNote.updated_at),
        )
        .outerjoin(TaskInstanceNote, TaskInstanceNote.ti_id == TaskInstance.id)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        .group_by(TaskInstance.task_id, TaskInstance.state)
        .order_by(TaskInstance.task_id, TaskInstance.state)
    ).all()
    # A live view that has become stale is a change too.
    is_current = _IS_LIVE & (XComModel.timestamp > datetime.now(UTC) - timedelta(seconds=STALE))
    current = func.sum(case((is_current, 1), else_=0))
    columns = select(func.count(), func.max(XComModel.timestamp), current)
    xcoms = session.execute(columns.where(_of(XComModel, dag_id, run_id))).one()
    return hashlib.sha256(repr((run, tasks, xcoms)).encode()).hexdigest()[:32]


def run(session: Session, dag_id: str, run_id: str) -> dict[str, Any] | None:
    """Return a Dag run with all its combinations; None if there is no such run."""
    found = session.execute(SELECT_RUNS.where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    if found is None:
        return None
    tasks, xcoms = _tasks(session, dag_id, run_id), _xcoms(session, dag_id, run_id, _OF_ROWS)
    views = live_views(xcoms, time.time())
    live = {(index, job_id): job for view in views for index, (job_id, job) in view.jobs.items()}
    plan, objective = tasks.get((names.PLAN, -1)), objective_of(xcoms)
    numbers = latest(live_curves(views))
    joined = Run(_jobs(xcoms), tasks, xcoms, live, note=found.note or "", metrics=numbers)
    return {
        **run_json(found),
        "tasks": {"plan": names.PLAN, "submit": names.SUBMIT, "wait": names.WAIT, "report": names.REPORT},
        "plan": plan.state if plan else None,
        "fault": str(xcoms.get((names.PLAN, names.FAULT_KEY, -1), "")),
        "notice": _notice(found) or consent_of(tasks, xcoms),
        "note": found.note or "",
        "origin": mapping(xcoms.get((names.PLAN, names.ORIGIN_KEY, -1))),
        "live_at": views[-1].at if views else None,
        "stages": list(Stage),
        **readable_view(joined, _time(found.start_date), objective),
    }


def jobs(session: Session, dag_id: str, run_id: str) -> object:
    """Return the jobs of a Dag run, a `JobRequest` as JSON for each map index; whatever else is there if none are."""
    return _jobs(_xcoms(session, dag_id, run_id, _OF_ROWS))


def _jobs(xcoms: Mapping[tuple[str, str, int], Any]) -> object:
    planned, approved = (xcoms.get((task_id, names.RETURN_KEY, -1)) for task_id in (names.PLAN, names.APPROVE))
    return as_submitted(
        mapped_jobs(planned, approved), lambda index: mapping(xcoms.get((names.SUBMIT, names.RETURN_KEY, index)))
    )


def curves(session: Session, dag_id: str, run_id: str, metric: str = "") -> dict[str, Any]:
    """Return the names of the metrics that a run's jobs have over steps, and the curves of one by map index.

    Without ``metric``, or with one that there is not, that is the objective's, or else the first.
    """
    found, objective = _curves(session, dag_id, run_id)
    return _one_metric(found, [metric, objective])


def compared(session: Session, runs: Iterable[tuple[str, str]]) -> dict[str, Any] | None:
    """Return runs, given by Dag and run id, as one; None if there is one that is not."""
    found = [run(session, *ids) for ids in runs]
    return compare.compared([each for each in found if each]) if all(found) else None


def compared_curves(session: Session, runs: Iterable[tuple[str, str]], metric: str = "") -> dict[str, Any]:
    """Return the curves of one metric of several runs, as `curves` does of one."""
    found = [_curves(session, *ids) for ids in runs]
    joined = compare.compared_curves([own for own, _ in found])
    return _one_metric(joined, [metric, *(objective for _, objective in found)])


def _curves(session: Session, dag_id: str, run_id: str) -> tuple[Curves, str]:
    xcoms = _xcoms(session, dag_id, run_id, _OF_CURVES)
    objective = objective_of(xcoms)
    return all_curves(_tasks(session, dag_id, run_id), xcoms), objective.metric if objective else ""


def _one_metric(found: Curves, wanted: Iterable[str]) -> dict[str, Any]:
    metric = next((name for name in (*wanted, *found) if name in found), "")
    return {"metrics": list(found), "metric": metric, "curves": found.get(metric, {})}


def log(session: Session, dag_id: str, run_id: str, index: int) -> dict[str, str]:
    """Return what `wait` kept of the log of a failed job, given as its map index, and the job's id; empty for none."""
    task = {"dag_id": dag_id, "run_id": run_id, "task_id": names.WAIT, "map_index": index}
    state = session.scalar(select(TaskInstance.state).filter_by(**task))
    value = session.scalar(select(XComModel.value).filter_by(**task, key=names.LOG_KEY))
    kept = mapping(value) if state == "failed" else {}
    return {name: str(kept.get(name, "")) for name in ("job_id", "lines")}


def _notice(run: Row[Any]) -> str:
    """Return what keeps Airflow from reading the Dag of a live run, or an empty text."""
    if run.state in LIVE and run.is_unreadable:
        return f"{run.description}."
    if run.state in LIVE and run.is_stale:
        return (
            f"Airflow finds no Dag {run.dag_id} in {run.relative_fileloc} any more, and schedules nothing of this run "
            "until it does: its sweep file is missing or has errors. Jobs run on."
        )
    return ""


def run_json(run: Row[Any]) -> dict[str, Any]:
    """Return what both the list and the page of a run say of it."""
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "state": str(run.state),
        "run_after": _time(run.run_after),
        "start": _time(run.start_date),
        "end": _time(run.end_date),
        "live": run.state in LIVE,
        "user": run.triggering_user_name,
    }


def _of(model: Any, dag_id: str, run_id: str) -> Any:
    is_ours = model.task_id.in_((names.PLAN, names.APPROVE, names.SUBMIT, names.WAIT))
    return (model.dag_id == dag_id) & (model.run_id == run_id) & is_ours


def _tasks(session: Session, dag_id: str, run_id: str) -> dict[tuple[str, int], Task]:
    columns = (TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.end_date)
    found = session.execute(
        select(*columns, TaskInstanceNote.content)
        .outerjoin(TaskInstanceNote, TaskInstanceNote.ti_id == TaskInstance.id)
        .where(_of(TaskInstance, dag_id, run_id))
    )
    return {(task_id, index): Task(state, _time(ended), note or "") for task_id, index, state, ended, note in found}


def _xcoms(session: Session, dag_id: str, run_id: str, keys: Collection[str]) -> dict[tuple[str, str, int], Any]:
    is_read = XComModel.key.in_(keys) | _IS_LIVE
    columns = select(XComModel.task_id, XComModel.key, XComModel.map_index, XComModel.value)
    found = session.execute(columns.where(_of(XComModel, dag_id, run_id), is_read))
    return {(task_id, key, map_index): value for task_id, key, map_index, value in found}


def _time(value: datetime | None) -> float | None:
    return value.timestamp() if value else None
