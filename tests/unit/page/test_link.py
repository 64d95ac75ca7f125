"""The button that leads from a task to the page, as Airflow's API server makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_slurm_sweep.factory import sweep_dag
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor

# Airflow uses what its libraries call old where it looks for plugins.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

JOB = SubmittedJob(ssh_conn_id="slurm", job_id="1", job_name="a", run_dir="/log/a", log_path="/log/a/1.out")


@pytest.fixture
def dag(include: Path) -> Any:
    """A sweep's Dag, as Airflow keeps it."""
    path = include / "sweeps" / "lr.yaml"
    path.write_text("script_path: train.py\nlr: [1, 2]\n")
    return DagSerialization.from_dict(DagSerialization.to_dict(sweep_dag(path, include)))


def link(dag: Any, task_id: str, index: int) -> str:
    class Instance:
        key = TaskInstanceKey(
            dag_id=dag.dag_id, run_id="manual__2026-01-31T12:00:00+00:00", task_id=task_id, map_index=index
        )

    told: str = dag.get_task(task_id).get_extra_links(Instance, "On the page Sweeps")
    return told


@pytest.mark.parametrize("task_id", ["combination.submit", "combination.wait"])
def test_a_combinations_task_leads_to_the_combination(dag: Any, task_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = "dag_id=lr&run_id=manual__2026-01-31T12%3A00%3A00%2B00%3A00"
    assert link(dag, task_id, 7) == f"/slurm_sweep/?{run}&index=7"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://host.example/air/")
    assert link(dag, task_id, 7) == f"https://host.example/air/slurm_sweep/?{run}&index=7"


@pytest.mark.parametrize("task_id", ["plan", "report"])
def test_plan_and_report_lead_to_the_run(dag: Any, task_id: str) -> None:
    assert link(dag, task_id, -1).endswith("+00%3A00".replace("+", "%2B"))


def test_a_task_of_another_dag_has_no_link() -> None:
    with DAG("mine") as dag:
        SlurmJobSensor(task_id="wait", job=JOB)
    assert not link(DagSerialization.from_dict(DagSerialization.to_dict(dag)), "wait", -1)
