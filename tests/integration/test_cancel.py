"""What ends a task from outside, and what becomes of its job. What a person does to tasks: test_contract.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import AirflowSensorTimeout, TaskDeferred

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks import operators
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator
from airflow_slurm_sweep.tasks.triggers import attempt_of
from sandbox import Sandbox
from sandbox.processes import wait_until

pytestmark = pytest.mark.sandbox

LIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")
IN_TIME = 60  # seconds; 15 where nothing else keeps the machine busy


def test_dags_test_that_is_interrupted_leaves_no_job(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path
) -> None:
    (sweeps / "interrupted.yaml").write_text(
        "script_path: examples/train_grpo.py\nseed: [1, 2, 3]\ngrpo.num_episodes: 1000\ngrpo.step_seconds: 1\n"
        "slurm: {jobname: interrupted, nodes: 1, gpus_per_node: 0}\n"
    )

    def live() -> list[str]:
        lines = cluster.slurm("squeue", "--me", "--noheader", "--states=all", "--format=%j %T").splitlines()
        return [line for line in lines if line.startswith("interrupted_") and line.split()[1] in LIVE]

    with subprocess.Popen(
        ["airflow", "dags", "test", "interrupted", "--conf", '{"dry_run": false}'],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A shell makes its children in the background deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        assert wait_until(lambda: len(live()) == 3, 90)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        log, _ = process.communicate(timeout=IN_TIME)
    assert wait_until(lambda: not live(), IN_TIME), log
    assert process.returncode != 0


# One operator alone


@pytest.fixture
def connection(cluster: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(cluster.connection))


def context(task_id: str) -> Any:
    task = SimpleNamespace(
        dag_id="d", run_id="r", task_id=task_id, map_index=-1, max_tries=0, try_number=1, start_date=None, id="01-1"
    )
    task.xcom_push = lambda **_: None
    return {"ti": task}


def request(folder: Path) -> JobRequest:
    return JobRequest(
        ssh_conn_id="slurm_sandbox",
        name="alone",
        command="sleep 600",
        run_dir=str(folder / "run"),
        script='#!/bin/bash\neval "$COMMAND"\n',
    )


def state(cluster: Sandbox, job_id: str) -> str:
    return cluster.slurm("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job_id}").strip()


def kill_after(seconds: float, operator: Any) -> None:
    """Do as Airflow does on SIGTERM: call `on_kill` in the midst of `execute`."""
    signal.signal(signal.SIGALRM, lambda *_: operator.on_kill())
    signal.setitimer(signal.ITIMER_REAL, seconds)


@pytest.mark.usefixtures("connection")
@pytest.mark.parametrize(("found", "is_cancelled"), [("running", True), ("failed", True), ("restarting", False)])
def test_a_killed_worker_cancels_unless_the_task_was_cleared(
    cluster: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, is_cancelled: bool
) -> None:
    job = SlurmSubmitOperator(task_id="submit", job=request(tmp_path)).execute(context("submit"))
    monkeypatch.setattr(operators, "states_of", lambda task: {task.task_id: found})
    sensor = SlurmJobSensor(task_id="wait", job=job, deferrable=False, poke_interval=0.5, timeout=6)
    kill_after(2, sensor)
    with pytest.raises(Exception, match="CANCELLED" if is_cancelled else "was not over in time, and is cancelled"):
        sensor.execute(context("wait"))
    assert wait_until(lambda: state(cluster, job["job_id"]) == "CANCELLED", IN_TIME)


@pytest.mark.usefixtures("connection")
def test_a_submission_that_is_killed_leaves_no_job(cluster: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "go").mkdir()
    job = request(tmp_path)
    slow = JobRequest(**{**job.to_json(), "inputs": ["."], "workdir": str(tmp_path / "go")})
    operator = SlurmSubmitOperator(task_id="submit", job=slow)
    task = context("submit")["ti"]
    operator._submission = slow, attempt_of(task, generation=task.max_tries)
    submitted = SlurmSubmitOperator(task_id="submit", job=slow).execute(context("submit"))
    operator.on_kill()
    assert wait_until(lambda: state(cluster, submitted["job_id"]) == "CANCELLED", IN_TIME)


@pytest.mark.usefixtures("connection")
def test_a_time_limit_holds_while_deferred_and_cancels(cluster: Sandbox, tmp_path: Path) -> None:
    job = SlurmSubmitOperator(task_id="submit", job=request(tmp_path)).execute(context("submit"))
    sensor = SlurmJobSensor(task_id="wait", job=job, timeout=60)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context("wait"))
    assert deferred.value.timeout is not None
    assert 55 < deferred.value.timeout.total_seconds() <= 60
    with pytest.raises(AirflowSensorTimeout):
        sensor.resume_execution(
            TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT.value}, context("wait")
        )
    assert wait_until(lambda: state(cluster, job["job_id"]) == "CANCELLED", IN_TIME)


def test_without_a_time_limit_there_is_none(tmp_path: Path) -> None:
    sensor = SlurmJobSensor(task_id="wait", job={"job_id": "1"})
    assert sensor._seconds_left(context("wait")) is None
    assert os.fspath(tmp_path)
