"""Dag runs of sweeps as plain data, from Airflow's database: one query for each kind of thing, however many rows."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, NamedTuple, cast

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Row, case, func, select
from sqlalchemy.orm import Session

from airflow_slurm_sweep.names import (
    CHECK,
    LIVE_KEY_PREFIX,
    OBJECTIVE_KEY,
    PLAN,
    RETURN_KEY,
    STATUS_KEY,
    SUBMIT,
    TAG,
    WAIT,
)
from airflow_slurm_sweep.page.columns import number, parameters
from airflow_slurm_sweep.slurm import snapshot
from airflow_slurm_sweep.slurm.snapshot import STALE, LiveJob

RUNS = 50  # in the list

# What a combination's two tasks say about it. Airflow's other states come before: none, scheduled, queued, ...
STAGES = ("waiting", "submitting", "in Slurm", "succeeded", "failed", "skipped")
_FAILED = ("failed", "upstream_failed")


def stage(submit: str | None, wait: str | None) -> str:
    """Return which of `STAGES` a combination is in, from the states of its two tasks."""
    if wait == "success":
        return "succeeded"
    if submit in _FAILED or wait in _FAILED:
        return "failed"
    if submit in ("skipped", "removed") or wait in ("skipped", "removed"):
        return "skipped"
    if submit == "success":
        return "in Slurm"
    return "submitting" if submit in ("running", "deferred") else "waiting"


def sweeps(session: Session, readable: Collection[str], dag_id: str | None = None) -> dict[str, Any]:
    """Return the Dags that are sweeps, and their latest `RUNS` runs together.

    Args:
        session: Of Airflow's database.
        readable: The Dags that may be read.
        dag_id: Only the runs of this one.
    """
    found = session.execute(
        select(DagModel.dag_id, DagModel.description, DagModel.is_paused)
        .join(DagTag, DagTag.dag_id == DagModel.dag_id)
        .where(DagTag.name == TAG, DagModel.dag_id != CHECK, DagModel.is_stale.is_(False))
        .order_by(DagModel.dag_id)
    )
    dags = [dag for dag in found if dag.dag_id in readable]
    wanted = [dag.dag_id for dag in dags if dag_id in (None, dag.dag_id)]
    runs = session.execute(_runs().where(DagRun.dag_id.in_(wanted)).order_by(DagRun.run_after.desc()).limit(RUNS)).all()
    counts = _counts(session, runs)
    return {
        "sweeps": [dag._asdict() for dag in dags],
        "runs": [{**_run(run), "counts": counts[run.dag_id, run.run_id]} for run in runs],
    }


def run_version(session: Session, dag_id: str, run_id: str) -> str | None:
    """Return a text that is another one after each change of the run; None if there is no such run. It is cheap."""
    run = session.execute(_runs().where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    if run is None:
        return None
    tasks = session.execute(
        select(TaskInstance.task_id, TaskInstance.state, func.count(), func.max(TaskInstance.updated_at))
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        .group_by(TaskInstance.task_id, TaskInstance.state)
        .order_by(TaskInstance.task_id, TaskInstance.state)
    ).all()
    # That a view is believed no more is a change too.
    believed = XComModel.timestamp > datetime.now(UTC) - timedelta(seconds=STALE)
    fresh = XComModel.key.startswith(LIVE_KEY_PREFIX, autoescape=True) & believed
    xcoms = session.execute(
        select(func.count(), func.max(XComModel.timestamp), func.sum(case((fresh, 1), else_=0))).where(
            _of(XComModel, dag_id, run_id)
        )
    ).one()
    return hashlib.sha256(repr((run, tasks, xcoms)).encode()).hexdigest()[:32]


def run(session: Session, dag_id: str, run_id: str) -> dict[str, Any] | None:
    """Return a Dag run with all its combinations; None if there is no such run."""
    found = session.execute(_runs().where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    if found is None:
        return None
    tasks = _tasks(session, dag_id, run_id)
    xcoms = _xcoms(session, dag_id, run_id)
    plan = xcoms.get((PLAN, RETURN_KEY, -1))
    jobs = plan if isinstance(plan, list) else []
    names, values = parameters(jobs)
    live_at, alive = _live(xcoms, time.time())
    count = max([len(jobs), *(index + 1 for _, index in tasks)])
    rows = [
        _combination(index, jobs[index] if index < len(jobs) else {}, _Tasks.of(tasks, index), xcoms, alive)
        | {"parameters": values[index] if index < len(jobs) else []}
        for index in range(count)
    ]
    plan_task = tasks.get((PLAN, -1))
    return {
        **_run(found),
        "plan": plan_task.state if plan_task else None,
        "objective": _mapping(xcoms.get((PLAN, OBJECTIVE_KEY, -1))) or None,
        "live_at": live_at,
        "parameters": names,
        "metrics": list(dict.fromkeys(name for row in rows for name in row["metrics"])),
        "combinations": rows,
    }


class _Tasks(NamedTuple):
    """The two tasks of a combination; None before Airflow has made them."""

    submit: Row[Any] | None
    wait: Row[Any] | None

    @classmethod
    def of(cls, tasks: Mapping[tuple[str, int], Row[Any]], index: int) -> _Tasks:
        """Return those of a map index."""
        return cls(tasks.get((SUBMIT, index)), tasks.get((WAIT, index)))


def _live(xcoms: Mapping[tuple[str, str, int], Any], now: float) -> tuple[float | None, dict[tuple[int, str], LiveJob]]:
    """Return what triggerers said last of jobs in Slurm, by map index and job id, and when; what is `STALE` is nothing.

    A job may stand in those of two triggerers, where one took it over: the newer one holds.
    """
    views = [
        read
        for (task, key, _), value in xcoms.items()
        if task == WAIT and key.startswith(LIVE_KEY_PREFIX)
        if (read := snapshot.read(_mapping(value))) and now - read[0] < STALE
    ]
    views.sort(key=lambda view: view[0])
    found = {(index, job_id): job for _, jobs in views for index, (job_id, job) in jobs.items()}
    return (views[-1][0] if views else None), found


def _combination(
    index: int,
    job: Mapping[str, Any],
    tasks: _Tasks,
    xcoms: Mapping[tuple[str, str, int], Any],
    alive: Mapping[tuple[int, str], LiveJob],
) -> dict[str, Any]:
    submit = tasks.submit.state if tasks.submit else None
    wait = tasks.wait.state if tasks.wait else None
    # After a clear the earlier attempt's XComs may still be there: only what belongs to the tasks' states counts.
    submitted = _mapping(xcoms.get((SUBMIT, RETURN_KEY, index))) if submit == "success" else {}
    key = {"success": RETURN_KEY, "failed": STATUS_KEY}.get(wait or "")
    ended = _mapping(xcoms.get((WAIT, key, index))) if key else {}
    if ended.get("job_id") != submitted.get("job_id"):
        ended = {}
    name = job.get("name") or submitted.get("job_name") or ""
    last = tasks.wait if submit == "success" else tasks.submit
    stands = stage(submit, wait)
    now = alive.get((index, submitted.get("job_id", ""))) if stands == "in Slurm" else None
    if now is not None:
        text, _, reason = now.text.partition(" (")
        ended = {"text": text, "reason": reason.removesuffix(")"), "nodes": now.nodes, "queued": now.queued}
    return {
        "index": index,
        "number": number(name) if name else index + 1,
        "name": name,
        "label": job.get("label", ""),
        "stage": stands,
        "task": WAIT if submit == "success" else SUBMIT,
        "task_state": last.state if last else None,
        "slurm": ended.get("text", ""),
        "reason": "" if ended.get("reason") == "None" else ended.get("reason", ""),
        "exit_code": ended.get("exit_code", ""),
        "job_id": submitted.get("job_id", ""),
        "nodes": ended.get("nodes", ""),
        "elapsed": ended.get("elapsed", ""),
        "queued": ended.get("queued"),
        "started": now.started if now else None,
        "log_path": submitted.get("log_path", ""),
        "submitted": _time(tasks.submit.end_date) if submit == "success" and tasks.submit else None,
        "ended": _time(last.end_date) if last and last.state in ("success", *_FAILED) else None,
        "metrics": {name: _number(value) for name, value in _mapping(ended.get("metrics")).items()},
        "wandb": _address(ended.get("wandb")),
    }


def _runs() -> Any:
    return select(
        DagRun.dag_id,
        DagRun.run_id,
        DagRun.state,
        DagRun.run_after,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.clear_number,
        DagRun.triggering_user_name,
    )


def _run(run: Row[Any]) -> dict[str, Any]:
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "state": str(run.state),
        "run_after": _time(run.run_after),
        "start": _time(run.start_date),
        "end": _time(run.end_date),
        "user": run.triggering_user_name,
    }


def _of(model: Any, dag_id: str, run_id: str) -> Any:
    return (model.dag_id == dag_id) & (model.run_id == run_id) & model.task_id.in_((PLAN, SUBMIT, WAIT))


def _tasks(session: Session, dag_id: str, run_id: str) -> dict[tuple[str, int], Row[Any]]:
    found = session.execute(
        select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.end_date).where(
            _of(TaskInstance, dag_id, run_id)
        )
    )
    return {(task.task_id, task.map_index): cast("Row[Any]", task) for task in found}


def _xcoms(session: Session, dag_id: str, run_id: str) -> dict[tuple[str, str, int], Any]:
    named = XComModel.key.in_((RETURN_KEY, STATUS_KEY, OBJECTIVE_KEY))
    shown = XComModel.key.startswith(LIVE_KEY_PREFIX, autoescape=True)
    found = session.execute(
        select(XComModel.task_id, XComModel.key, XComModel.map_index, XComModel.value).where(
            _of(XComModel, dag_id, run_id), named | shown
        )
    )
    return {(xcom.task_id, xcom.key, xcom.map_index): xcom.value for xcom in found}


def _counts(session: Session, runs: Iterable[Row[Any]]) -> dict[tuple[str, str], dict[str, int]]:
    """Return how many combinations of each run are in which stage."""
    ids = [(run.dag_id, run.run_id) for run in runs]
    # Submit and wait of one combination are two rows of one table.
    submit, wait = TaskInstance.__table__.alias("submit"), TaskInstance.__table__.alias("wait")
    found = session.execute(
        select(submit.c.dag_id, submit.c.run_id, submit.c.state, wait.c.state, func.count())
        .select_from(submit)
        .outerjoin(
            wait,
            (wait.c.dag_id == submit.c.dag_id)
            & (wait.c.run_id == submit.c.run_id)
            & (wait.c.map_index == submit.c.map_index)
            & (wait.c.task_id == WAIT),
        )
        .where(
            submit.c.task_id == SUBMIT,
            submit.c.map_index >= 0,
            submit.c.dag_id.in_({dag_id for dag_id, _ in ids}),
            submit.c.run_id.in_({run_id for _, run_id in ids}),
        )
        .group_by(submit.c.dag_id, submit.c.run_id, submit.c.state, wait.c.state)
    )
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for dag_id, run_id, submit_state, wait_state, count in found:
        counts[dag_id, run_id][stage(submit_state, wait_state)] += count
    return defaultdict(dict, {key: dict(value) for key, value in counts.items()})


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return what an XCom holds; those that triggers leave are JSON as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> Any:
    """Return a metric; what JSON has no number for, such as NaN, as text."""
    return value if isinstance(value, int) or (isinstance(value, float) and isfinite(value)) else str(value)


def _address(value: Any) -> str:
    """Return what becomes a link, if it is a web address: a job's log said it."""
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else ""


def _time(value: datetime | None) -> float | None:
    return value.timestamp() if value else None
