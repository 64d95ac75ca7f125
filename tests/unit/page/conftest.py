"""Airflow's own database and API server, with runs of sweeps as Airflow keeps them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.sweep.spec import parse_sweep
from tests.layers import make_layers

BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def database() -> Callable[[], Session]:
    """Make the database of the tests' Airflow, which is SQLite in its home; gives what opens a session."""
    programs = os.path.dirname(sys.executable)  # noqa: PTH120  # not resolved: the environment's own
    subprocess.run([f"{programs}/airflow", "db", "migrate"], check=True, capture_output=True)
    from airflow.settings import get_session  # noqa: PLC0415

    found: Callable[[], Session] = get_session()
    return found


@pytest.fixture
def session(database: Callable[[], Session]) -> Iterator[Session]:
    with database() as session:
        yield session


class Sweep:
    """A Dag of a sweep in Airflow's database."""

    def __init__(self, session: Session, dag_id: str, *, size: int = 4, tag: str = "sweep", more: str = "") -> None:
        from airflow.models.dag import DagModel, DagTag  # noqa: PLC0415
        from airflow.models.dagbundle import DagBundleModel  # noqa: PLC0415

        self.session, self.dag_id = session, dag_id
        if session.get(DagBundleModel, "dags-folder") is None:
            session.add(DagBundleModel(name="dags-folder"))
            session.flush()
        session.add(
            DagModel(
                dag_id=dag_id,
                bundle_name="dags-folder",
                fileloc="sweeps.py",  # without it Airflow cannot list its Dags
                description=f"The sweep {dag_id}",
                is_stale=False,
            )
        )
        session.flush()
        session.add(DagTag(name=tag, dag_id=dag_id))
        text = f"script_path: a.py\nseed: {[*range(size // 2)]}\nkl: [0.01, 0.05]\nslurm: {{container: null}}\n{more}"
        layers = make_layers({"log": "/lustre/log", "account": "a"})
        self.jobs = plan_run(parse_sweep(text, source="s.yaml", max_combinations=2 * size), layers).jobs
        session.commit()

    def run(self, run_id: str, state: str = "running", began: datetime = BEGAN, plan: str = "success") -> Run:
        """Add a Dag run whose task ``plan`` has ended, or is in another state."""
        return Run(self, run_id, state, began, plan)


class Run:
    """A Dag run of it."""

    def __init__(self, sweep: Sweep, run_id: str, state: str, began: datetime, plan: str) -> None:
        from airflow.models.dagrun import DagRun  # noqa: PLC0415

        self.sweep, self.session, self.run_id = sweep, sweep.session, run_id
        run = DagRun(dag_id=sweep.dag_id, run_id=run_id, run_type="manual", run_after=began, start_date=began)
        run.state = state
        self.session.add(run)
        self.session.flush()
        self.id = run.id
        self.tasks([("plan", -1, plan)])
        if plan == "success":
            self.xcoms([("plan", -1, "return_value", [job.to_json() for job in sweep.jobs])])

    def tasks(self, states: list[tuple[str, int, str | None]]) -> None:
        """Add task instances: id, map index, state."""
        from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415

        rows = [
            {
                "dag_id": self.sweep.dag_id,
                "run_id": self.run_id,
                "task_id": task_id,
                "map_index": index,
                "state": state,
                "pool": "default_pool",
                "end_date": BEGAN + timedelta(seconds=90) if state in ("success", "failed") else None,
            }
            for task_id, index, state in states
        ]
        self.session.execute(insert(TaskInstance), rows)
        self.session.commit()

    def set(self, task_id: str, index: int, state: str) -> None:
        """Change a task instance's state, as the scheduler does: by a statement."""
        from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415
        from sqlalchemy import update  # noqa: PLC0415

        mine = (TaskInstance.dag_id == self.sweep.dag_id) & (TaskInstance.run_id == self.run_id)
        here = (TaskInstance.task_id == task_id) & (TaskInstance.map_index == index)
        self.session.execute(update(TaskInstance).where(mine & here).values(state=state))
        self.session.commit()

    def xcoms(self, values: list[tuple[str, int, str, Any]]) -> None:
        """Add XComs: task id, map index, key, value."""
        from airflow.models.xcom import XComModel  # noqa: PLC0415

        common = {"dag_run_id": self.id, "dag_id": self.sweep.dag_id, "run_id": self.run_id}
        rows = [
            common | {"task_id": task_id, "map_index": index, "key": key, "value": value}
            for task_id, index, key, value in values
        ]
        self.session.execute(insert(XComModel), rows)
        self.session.commit()

    def note(self, task_id: str | None, index: int, text: str) -> None:
        """Note something of a task instance, or of the run."""
        from airflow.models.dagrun import DagRunNote  # noqa: PLC0415
        from airflow.models.taskinstance import TaskInstance, TaskInstanceNote  # noqa: PLC0415

        times = {"created_at": BEGAN, "updated_at": BEGAN}
        if task_id is None:
            self.session.execute(insert(DagRunNote).values(dag_run_id=self.id, content=text, **times))
        else:
            place = {"dag_id": self.sweep.dag_id, "run_id": self.run_id, "task_id": task_id, "map_index": index}
            task = self.session.scalars(select(TaskInstance).filter_by(**place)).one()
            self.session.execute(insert(TaskInstanceNote).values(ti_id=task.id, content=text, **times))
        self.session.commit()

    def job(self, index: int) -> dict[str, Any]:
        """Return what submit leaves."""
        return submitted_job(self.sweep.jobs[index], str(100 + index)).to_json()

    def end(self, index: int, state: JobState, reason: str = "None") -> dict[str, Any]:
        """Return what wait leaves."""
        return JobStatus(
            job_id=str(100 + index),
            text=state.value,
            exit_code="0:0" if state.is_success else "2:0",
            elapsed="1:30",
            nodes="n[1-2]",
            reason=reason,
            source="squeue",
        ).to_json()


def as_text(value: Any) -> str:
    """Return an XCom as triggers leave it."""
    return json.dumps(value)
