"""An Airflow cluster policy: the grid shows each combination's values in place of its map index.

Airflow renders names of mapped tasks in workers only, and a sweep's tasks run in none. The package's entry point in the
group ``airflow.policy`` loads this module. Where ``plugins/`` is copied instead, ``airflow_local_settings.py`` does:

    from airflow_slurm_sweep.policy import task_instance_mutation_hook

Airflow loads it in each of its processes: it imports nothing but what they have loaded anyway.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.policies import hookimpl

from airflow_slurm_sweep.names import APPROVE, PLAN, RETURN_KEY, SUBMIT, WAIT
from airflow_slurm_sweep.planned import mapped_jobs, planned_job
from airflow_slurm_sweep.tasks.internals import INSTANCE_NAME, set_instance_name

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

_RUNS = 8  # whose plans are kept: a scheduler creates the instances of one run at a time
_LONGEST = 250  # characters; the database takes no more

log = logging.getLogger(__name__)


# By Dag id, run id and number of clears: after a clear, the plan may be another.
_labels: dict[tuple[str, str, int], list[str]] = {}


@hookimpl
def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None) -> None:
    """Name an instance of submit or wait after its combination; without a plan leave the map index.

    Where ``approve`` is cleared, a map index may soon be another combination's: it is shown again in the name's place,
    since Airflow calls the hook for new instances only.
    """
    index = -1 if task_instance.map_index is None else task_instance.map_index
    is_mapped = index >= 0 and task_instance.task_id in (SUBMIT, WAIT)
    if dag_run is None or not (is_mapped or task_instance.task_id == APPROVE):
        return
    labels: list[str] = []
    try:
        if is_mapped:
            labels = _labels_of(dag_run)
        elif task_instance.try_number:
            _forget_names(dag_run)
    except Exception:  # a policy that raises stops the scheduler
        log.warning("Cannot name the combinations of %s %s", dag_run.dag_id, dag_run.run_id, exc_info=True)
        return
    if 0 <= index < len(labels) and labels[index]:
        set_instance_name(task_instance, labels[index][:_LONGEST])


def _forget_names(dag_run: DagRun) -> None:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import update
    from sqlalchemy.orm import object_session

    _labels[dag_run.dag_id, dag_run.run_id, dag_run.clear_number or 0] = []  # for those cleared together with it
    of_run = (TaskInstance.dag_id == dag_run.dag_id) & (TaskInstance.run_id == dag_run.run_id)
    named = update(TaskInstance).where(of_run, TaskInstance.task_id.in_((SUBMIT, WAIT)))
    if session := object_session(dag_run):
        session.execute(named.values({INSTANCE_NAME: None}).execution_options(synchronize_session=False))


def _labels_of(dag_run: DagRun) -> list[str]:
    run = (dag_run.dag_id, dag_run.run_id, dag_run.clear_number or 0)
    if run not in _labels:
        if (plan := _read_plan(dag_run)) is None:
            return []
        while len(_labels) >= _RUNS:
            del _labels[next(iter(_labels))]
        _labels[run] = [str((planned_job(plan, index) or {}).get("label", "")) for index in range(len(plan))]
    return _labels[run]


def _read_plan(dag_run: DagRun) -> list[object] | None:
    """Read which jobs run, in the scheduler's own session: a policy may open none, and must not commit."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return None
    of_run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id, "map_index": -1, "key": RETURN_KEY}
    columns = select(XComModel.task_id, XComModel.value).filter_by(**of_run)
    with session.no_autoflush:
        found: dict[str, object] = dict(session.execute(columns.where(XComModel.task_id.in_((PLAN, APPROVE)))).all())
    plan = mapped_jobs(found.get(PLAN), found.get(APPROVE))
    return plan if isinstance(plan, list) else None
