"""The cluster policy that names the combinations in Airflow's grid, on Airflow's own database."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from airflow_slurm_sweep import policy
from airflow_slurm_sweep.names import APPROVE, PLAN, RETURN_KEY, SUBMIT, WAIT
from tests.unit.page.conftest import Run, Sweep

NAMES = count()


@pytest.fixture
def sweep(session: Session) -> Sweep:
    return Sweep(session, f"named{next(NAMES)}")


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_labels", {})


def dag_run(run: Run) -> Any:
    from airflow.models.dagrun import DagRun  # noqa: PLC0415

    return run.session.get(DagRun, run.id)


def name(task_id: str, map_index: int, dag_run: Any) -> str | None:
    task: Any = SimpleNamespace(task_id=task_id, map_index=map_index, _rendered_map_index=None)
    policy.task_instance_mutation_hook(task, dag_run)
    named: str | None = task._rendered_map_index
    return named


def test_each_combination_is_named_and_the_plan_is_read_once(session: Session, sweep: Sweep) -> None:
    found = dag_run(sweep.run("r"))
    read: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *call: read.append(call[2]))
    labels = [job.label for job in sweep.jobs]
    assert [name(SUBMIT, index, found) for index in range(len(labels))] == labels
    assert [name(WAIT, index, found) for index in range(len(labels))] == labels
    assert len([statement for statement in read if "xcom" in statement]) == 1


def test_after_a_clear_the_plan_is_read_again(sweep: Sweep) -> None:
    run = sweep.run("r")
    found = dag_run(run)
    assert name(SUBMIT, 0, found) == sweep.jobs[0].label
    run.session.connection().exec_driver_sql('update xcom set value = \'[{"label": "another plan"}]\'')
    assert name(SUBMIT, 0, found) == sweep.jobs[0].label
    found.clear_number += 1
    assert name(SUBMIT, 0, found) == "another plan"
    run.session.rollback()


def test_combinations_that_were_approved_in_part_are_named_as_approved(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.tasks([(APPROVE, -1, "success")])
    run.xcoms([(APPROVE, -1, RETURN_KEY, [job.to_json() for job in sweep.jobs[2:]])])
    assert [name(SUBMIT, index, dag_run(run)) for index in range(3)] == [*[job.label for job in sweep.jobs[2:]], None]


def test_where_approve_is_cleared_no_name_of_the_earlier_choice_stays(sweep: Sweep) -> None:
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    run = sweep.run("r")
    run.tasks([(SUBMIT, 0, "success"), (SUBMIT, 1, "success")])
    found = dag_run(run)

    def names() -> list[str | None]:
        return list(
            run.session.scalars(
                select(TaskInstance._rendered_map_index).where(
                    TaskInstance.dag_id == sweep.dag_id, TaskInstance.task_id == SUBMIT
                )
            )
        )

    for task in run.session.scalars(select(TaskInstance).where(TaskInstance.dag_id == sweep.dag_id)):
        policy.task_instance_mutation_hook(task, found)
    run.session.commit()
    assert sorted(filter(None, names())) == [job.label for job in sweep.jobs[:2]]
    for tries in (0, 1):  # a new task instance, and a cleared one
        approve: Any = SimpleNamespace(task_id=APPROVE, map_index=-1, try_number=tries)
        policy.task_instance_mutation_hook(approve, found)
        assert (names() == [None, None]) == bool(tries)
    assert name(SUBMIT, 0, found) is None, "cleared together with approve"


@pytest.mark.parametrize("plan", [None, "text", [], ["text"], [{}], [{"label": ""}]])
def test_without_a_plan_the_map_index_stays(sweep: Sweep, plan: Any) -> None:
    from airflow.models.xcom import XComModel  # noqa: PLC0415
    from sqlalchemy import delete  # noqa: PLC0415

    run = sweep.run("r")
    run.session.execute(delete(XComModel).where(XComModel.dag_id == sweep.dag_id))
    if plan is not None:
        run.xcoms([(PLAN, -1, RETURN_KEY, plan)])
    assert name(SUBMIT, 0, dag_run(run)) is None


@pytest.mark.parametrize(
    ("task_id", "index"), [("plan", -1), ("report", -1), (SUBMIT, -1), ("other.submit", 0), (SUBMIT, 99)]
)
def test_other_tasks_keep_their_names(sweep: Sweep, task_id: str, index: int) -> None:
    assert name(task_id, index, dag_run(sweep.run("r"))) is None


def test_a_policy_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    assert name(SUBMIT, 0, None) is None, "Airflow has no Dag run at hand everywhere"
    broken = SimpleNamespace(dag_id="d", run_id="r", clear_number=0)  # of no session
    assert name(SUBMIT, 0, broken) is None
    assert "Cannot name the combinations of d r" in caplog.text


def test_a_long_name_is_cut(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.session.connection().exec_driver_sql(f'update xcom set value = \'[{{"label": "{"x" * 300}"}}]\'')
    assert name(SUBMIT, 0, dag_run(run)) == "x" * 250
    run.session.rollback()
