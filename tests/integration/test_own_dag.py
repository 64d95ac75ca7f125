"""The operators in somebody's own Dag, with all of Airflow running: alone, and in a mapped task group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until

pytestmark = pytest.mark.sandbox

RUNS = "/api/v2/dags/own_dag/dagRuns"


def test_the_pair_alone_and_in_a_mapped_group(airflow: Standalone, cluster: Sandbox, tmp_path: Path) -> None:
    airflow.wait_for_dag("own_dag")
    run = airflow.call("POST", RUNS, {"logical_date": None, "conf": {"folder": str(tmp_path)}})["dag_run_id"]
    ended = ("success", "failed")
    assert wait_until(lambda: airflow.call("GET", f"{RUNS}/{run}")["state"] in ended)

    tasks = airflow.call("GET", f"{RUNS}/{run}/taskInstances")["task_instances"]
    states = {(task["task_id"], task["map_index"]): task["state"] for task in tasks}
    assert states == {
        ("alone", -1): "success",
        ("wait_alone", -1): "success",
        ("read", -1): "success",
        ("slow", -1): "success",
        ("wait_slow", -1): "failed",
        ("plan", -1): "success",
        **{("one.submit", index): "success" for index in range(3)},
        ("one.wait", 0): "success",
        ("one.wait", 1): "failed",
        ("one.wait", 2): "failed",
    }
    of_workers = {task["task_id"] for task in tasks if task["hostname"]}
    assert of_workers == {"read", "plan"}, "submit and wait run in the triggerer"
    assert {task["max_tries"] for task in tasks if "wait" in task["task_id"]} == {0}, "no retries"

    job_id, waited_for, state = xcom(airflow, run, "read", -1)
    assert (job_id == waited_for, state) == (True, "COMPLETED"), "other tasks read values, not text"
    assert (tmp_path / "alone" / "logs" / f"slurm-{job_id}.out").read_text() == f"{run}\n", "Jinja is rendered"

    (slow,) = xcoms(airflow, run, "slow")
    assert wait_until(lambda: slow["job_id"] not in cluster.slurm("squeue", "--me", "--noheader", "--format=%i"))
    log = airflow.call("GET", f"{RUNS}/{run}/taskInstances/wait_slow/logs/1?full_content=true")
    assert f"Job {slow['job_id']} did not end in time; it is cancelled" in json.dumps(log)

    ends = [
        xcom(airflow, run, "one.wait", index, key) for index, key in enumerate(["return_value", "status", "status"])
    ]
    assert [end["exit_code"] for end in ends] == ["0:0", "1:0", "2:0"]


def xcom(airflow: Standalone, run: str, task: str, index: int, key: str = "return_value") -> Any:
    path = f"{RUNS}/{run}/taskInstances/{task}/xcomEntries/{key}?map_index={index}&deserialize=false"
    value = airflow.call("GET", path)["value"]
    while isinstance(value, str):
        value = json.loads(value)
    return value


def xcoms(airflow: Standalone, run: str, task: str) -> list[Any]:
    return [xcom(airflow, run, task, -1)]
