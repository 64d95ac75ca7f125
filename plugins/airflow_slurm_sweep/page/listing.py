"""The list of sweeps and their latest runs as JSON, from Airflow's database: a fixed number of queries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Row, and_, func, select
from sqlalchemy.orm import Session

from airflow_slurm_sweep import names
from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.page.data import LIVE, SELECT_RUNS, run_json
from airflow_slurm_sweep.page.stages import Stage, counts, stage_of

RUNS = 50  # in the list
_HAS_LIVE_RUN = select(DagRun.id).where(DagRun.dag_id == DagModel.dag_id, DagRun.state.in_(LIVE)).exists()
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
        SELECT_RUNS.where(DagRun.dag_id.in_(wanted)).order_by(DagRun.run_after.desc()).limit(RUNS)
    ).all()
    stages, best = _stages(session, runs), _best(session, runs)
    return {
        "sweeps": [dag._asdict() for dag in dags],
        "runs": [
            {**run_json(run), **counts(stages[run.dag_id, run.run_id]), "best": best.get((run.dag_id, run.run_id), "")}
            for run in runs
        ],
    }


def faults(session: Session) -> list[str]:
    """Return what is wrong with sweep files, as Airflow's import errors have it."""
    found = session.scalars(select(ParseImportError.stacktrace).where(ParseImportError.stacktrace.contains(_ERROR)))
    return [text.rpartition(_ERROR)[2].partition(": ")[2].strip() for text in found if text]


def _stages(session: Session, runs: Iterable[Row[Any]]) -> Mapping[tuple[str, str], Counter[Stage]]:
    """Return how many combinations of each run are in which stage, without what Slurm says of their jobs."""
    # Submit and wait of one combination are two rows of one table.
    submit, wait = TaskInstance.__table__.alias("submit"), TaskInstance.__table__.alias("wait")
    is_same = _same(submit.c, wait.c, "dag_id", "run_id", "map_index")
    columns = (submit.c.dag_id, submit.c.run_id, submit.c.state, wait.c.state)
    ids = [(run.dag_id, run.run_id) for run in runs]
    found = session.execute(
        select(*columns, func.count())
        .select_from(submit)
        .outerjoin(wait, is_same & (wait.c.task_id == names.WAIT))
        .where(
            submit.c.task_id == names.SUBMIT,
            submit.c.map_index >= 0,
            _is_of(submit.c, ids),
        )
        .group_by(*columns)
    )
    stages: dict[tuple[str, str], Counter[Stage]] = defaultdict(Counter)
    for dag_id, run_id, submit_state, wait_state, count in found:
        stages[dag_id, run_id][stage_of(submit_state, wait_state)] += count
    for key, stopped in _stopped(session, ids).items():
        stages[key] += {Stage.SUCCEEDED: -stopped, Stage.STOPPED: stopped}
    return stages


def _stopped(session: Session, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return in how many combinations of runs `sweep.stop` stopped the job; their tasks have succeeded."""
    is_its_task = _same(TaskInstance, XComModel, "dag_id", "run_id", "task_id", "map_index")
    columns = (XComModel.dag_id, XComModel.run_id)
    found = session.execute(
        select(*columns, func.count())
        .join(TaskInstance, is_its_task)
        .where(
            XComModel.key == names.STOPPED_KEY,
            _is_of(XComModel, ids),
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
    found = session.execute(columns.where(is_best, _is_of(XComModel, ids)))
    return {(dag_id, run_id): str(value) for dag_id, run_id, value in found}


def _same(one: Any, other: Any, *columns: str) -> Any:
    return and_(*(getattr(one, name) == getattr(other, name) for name in columns))


def _is_of(table: Any, ids: Sequence[tuple[str, str]]) -> Any:
    """Return the condition that a row may be of one of these runs, given by Dag and run id."""
    return table.dag_id.in_({dag_id for dag_id, _ in ids}) & table.run_id.in_({run_id for _, run_id in ids})
