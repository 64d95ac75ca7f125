"""Dag runs of sweeps as JSON, from Airflow's database: a fixed number of queries, however many combinations."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.errors import ParseImportError
from airflow.models.taskinstance import TaskInstance, TaskInstanceNote
from airflow.models.xcom import XComModel
from sqlalchemy import Row, and_, case, func, select
from sqlalchemy.orm import Session

from airflow_slurm_sweep import names
from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.page import compare
from airflow_slurm_sweep.page.combinations import Run, Task, mapping
from airflow_slurm_sweep.page.curves import Curves, all_curves, latest, live_curves
from airflow_slurm_sweep.page.stages import Stage, counts, stage_of
from airflow_slurm_sweep.page.unreadable import readable_view
from airflow_slurm_sweep.page.xcoms import consent_of, live_of, objective_of
from airflow_slurm_sweep.planned import as_submitted, mapped_jobs
from airflow_slurm_sweep.slurm.snapshot import STALE

RUNS = 50  # in the list
_LIVE = ("queued", "running")
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
_HAS_LIVE_RUN = select(DagRun.id).where(DagRun.dag_id == DagModel.dag_id, DagRun.state.in_(_LIVE)).exists()
_SELECT_RUNS = (
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
_ERROR = f"{SlurmSweepError.__module__}."  # begins the class of each of our errors in a traceback


def sweeps(
    session: Session,
    readable: Collection[str],
    dag_id: str | None = None,
    may_read_runs: Callable[[str], bool] = lambda _: True,
) -> dict[str, Any]:
    """Return the Dags of ``readable`` that are sweeps, and the latest `RUNS` runs of them together, or of one.

    ``may_read_runs`` says of a Dag whether its runs are listed.
    """
    found = session.execute(
        select(DagModel.dag_id, DagModel.description, DagModel.is_paused)
        .join(DagTag, DagTag.dag_id == DagModel.dag_id)
        .where(
            DagTag.name == names.TAG, ~DagModel.tags.any(DagTag.name == names.CHECK), ~DagModel.is_stale | _HAS_LIVE_RUN
        )
        .order_by(DagModel.dag_id)
    )
    dags = [dag for dag in found if dag.dag_id in readable]
    wanted = [dag.dag_id for dag in dags if dag_id in (None, dag.dag_id) and may_read_runs(dag.dag_id)]
    runs = session.execute(
        _SELECT_RUNS.where(DagRun.dag_id.in_(wanted)).order_by(DagRun.run_after.desc()).limit(RUNS)
    ).all()
    stages, best = _stages(session, runs), _best(session, runs)
    return {
        "sweeps": [dag._asdict() for dag in dags],
        "runs": [
            {**_run(run), **counts(stages[run.dag_id, run.run_id]), "best": best.get((run.dag_id, run.run_id), "")}
            for run in runs
        ],
    }


def faults(session: Session) -> list[str]:
    """Return what is wrong with sweep files, as Airflow's import errors have it."""
    found = session.scalars(select(ParseImportError.stacktrace).where(ParseImportError.stacktrace.contains(_ERROR)))
    return [text.rpartition(_ERROR)[2].partition(": ")[2].strip() for text in found if text]


def run_version(session: Session, dag_id: str, run_id: str) -> str | None:
    """Return a text that changes with each change of the run; None if there is no such run. It is cheap."""
    run = session.execute(_SELECT_RUNS.where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
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
    found = session.execute(_SELECT_RUNS.where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    if found is None:
        return None
    tasks, xcoms = _tasks(session, dag_id, run_id), _xcoms(session, dag_id, run_id, _OF_ROWS)
    live_at, live = live_of(xcoms, time.time())
    plan, objective = tasks.get((names.PLAN, -1)), objective_of(xcoms)
    numbers = latest(live_curves(xcoms))
    joined = Run(_jobs(xcoms), tasks, xcoms, live, note=found.note or "", metrics=numbers)
    return {
        **_run(found),
        "tasks": {"plan": names.PLAN, "submit": names.SUBMIT, "wait": names.WAIT, "report": names.REPORT},
        "plan": plan.state if plan else None,
        "fault": str(xcoms.get((names.PLAN, names.FAULT_KEY, -1), "")),
        "notice": _notice(found) or consent_of(tasks, xcoms),
        "note": found.note or "",
        "origin": mapping(xcoms.get((names.PLAN, names.ORIGIN_KEY, -1))),
        "live_at": live_at,
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
    if run.state in _LIVE and run.is_unreadable:
        return f"{run.description}."
    if run.state in _LIVE and run.is_stale:
        return (
            f"Airflow finds no Dag {run.dag_id} in {run.relative_fileloc} any more, and schedules nothing of this run "
            "until it does: its sweep file is missing or has errors. Jobs run on."
        )
    return ""


def _run(run: Row[Any]) -> dict[str, Any]:
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "state": str(run.state),
        "run_after": _time(run.run_after),
        "start": _time(run.start_date),
        "end": _time(run.end_date),
        "live": run.state in _LIVE,
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


def _stages(session: Session, runs: Iterable[Row[Any]]) -> Mapping[tuple[str, str], Counter[Stage]]:
    """Return how many combinations of each run are in which stage, without what Slurm says of their jobs."""
    # Submit and wait of one combination are two rows of one table.
    submit, wait = TaskInstance.__table__.alias("submit"), TaskInstance.__table__.alias("wait")
    is_same = and_(*(wait.c[name] == submit.c[name] for name in ("dag_id", "run_id", "map_index")))
    columns = (submit.c.dag_id, submit.c.run_id, submit.c.state, wait.c.state)
    ids = [(run.dag_id, run.run_id) for run in runs]
    found = session.execute(
        select(*columns, func.count())
        .select_from(submit)
        .outerjoin(wait, is_same & (wait.c.task_id == names.WAIT))
        .where(
            submit.c.task_id == names.SUBMIT,
            submit.c.map_index >= 0,
            submit.c.dag_id.in_({dag_id for dag_id, _ in ids}),
            submit.c.run_id.in_({run_id for _, run_id in ids}),
        )
        .group_by(*columns)
    )
    stages: dict[tuple[str, str], Counter[Stage]] = defaultdict(Counter)
    for dag_id, run_id, submit_state, wait_state, count in found:
        stages[dag_id, run_id][stage_of(submit_state, wait_state)] += count
    for key, stopped in _stopped(session, ids).items():
        stages[key] += {Stage.SUCCEEDED: -stopped, Stage.STOPPED: stopped}
    return stages


def _stopped(session: Session, ids: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return in how many combinations of runs `sweep.stop` stopped the job; their tasks have succeeded."""
    is_its_task = and_(
        *(
            getattr(TaskInstance, name) == getattr(XComModel, name)
            for name in ("dag_id", "run_id", "task_id", "map_index")
        )
    )
    columns = (XComModel.dag_id, XComModel.run_id)
    found = session.execute(
        select(*columns, func.count())
        .join(TaskInstance, is_its_task)
        .where(
            XComModel.key == names.STOPPED_KEY,
            XComModel.dag_id.in_({dag_id for dag_id, _ in ids}),
            XComModel.run_id.in_({run_id for _, run_id in ids}),
            TaskInstance.state == "success",  # not cleared since
        )
        .group_by(*columns)
    )
    return {(dag_id, run_id): count for dag_id, run_id, count in found}


def _best(session: Session, runs: Iterable[Row[Any]]) -> dict[tuple[str, str], str]:
    """Return the best combination of each run that has an objective and has ended, in a line."""
    ids = [(run.dag_id, run.run_id) for run in runs]
    columns = select(XComModel.dag_id, XComModel.run_id, XComModel.value)
    is_best = (XComModel.task_id == names.REPORT) & (XComModel.key == names.BEST_KEY)
    found = session.execute(
        columns.where(
            is_best,
            XComModel.dag_id.in_({dag_id for dag_id, _ in ids}),
            XComModel.run_id.in_({run_id for _, run_id in ids}),
        )
    )
    return {(dag_id, run_id): str(value) for dag_id, run_id, value in found}


def _time(value: datetime | None) -> float | None:
    return value.timestamp() if value else None
