"""What a person or a fault does to a task, and what becomes of its job: with all of Airflow running, unless said."""

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

from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until
from slurm_sweep.slurm.job import JobRequest
from slurm_sweep.tasks import operators
from slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator

pytestmark = pytest.mark.sandbox

LIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")
IN_TIME = 60  # seconds; 15 where nothing else keeps the machine busy


class Run:
    """A Dag run of jobs that sleep."""

    def __init__(self, airflow: Standalone, cluster: Sandbox, sweeps: Path, name: str, jobs: int) -> None:
        self._airflow, self._cluster, self.name = airflow, cluster, name
        script = Path(str(cluster.profile["workdir"])) / "sleep.sh"
        script.write_text("#!/bin/bash\nexec sleep 600\n")
        (sweeps / f"{name}.yaml").write_text(
            f"script_path: examples/train_grpo.py\nseed: {list(range(jobs))}\n"
            f"slurm: {{jobname: {name}, nodes: 1, gpus_per_node: 0, batch_script: sleep.sh}}\n"
        )
        airflow.wait_for_dag(name)
        self.path = f"/api/v2/dags/{name}/dagRuns"
        self.id = airflow.call("POST", self.path, {"logical_date": None})["dag_run_id"]

    def tasks(self) -> dict[tuple[str, int], str]:
        tasks = self._airflow.call("GET", f"{self.path}/{self.id}/taskInstances")["task_instances"]
        return {(task["task_id"].removeprefix("combination."), task["map_index"]): task["state"] for task in tasks}

    def wait_for(self, states: dict[tuple[str, int], str], seconds: float = 90) -> None:
        assert wait_until(lambda: states.items() <= self.tasks().items(), seconds), self.tasks()

    def live(self, index: int) -> list[str]:
        """Return the live jobs of a combination."""
        lines = self._cluster.slurm("squeue", "--me", "--states=all", "--noheader", "--format=%i %T %j").splitlines()
        rows = [line.split() for line in lines]
        return [job for job, state, name in rows if state in LIVE and name.startswith(f"{self.name}_sweep_{index + 1}")]

    def set(self, task: str, index: int, state: str) -> None:
        self._airflow.mark_task(f"{self.path}/{self.id}", f"combination.{task}", index, state)

    def clear(self, task: str, index: int, *, downstream: bool) -> None:
        self._airflow.clear_task(self.name, self.id, f"combination.{task}", index, downstream=downstream)

    def mark(self, state: str) -> None:
        self._airflow.mark_run(f"{self.path}/{self.id}", state)

    def delete(self) -> None:
        self._airflow.act("DELETE", f"{self.path}/{self.id}")


def test_who_acts_on_one_task_cancels_one_job(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    run = Run(airflow, cluster, sweeps, "acts", jobs=5)
    run.wait_for({("wait", index): "deferred" for index in range(5)})
    jobs = [run.live(index) for index in range(5)]
    assert [len(job) for job in jobs] == [1] * 5
    run.set("wait", 0, "failed")
    run.set("wait", 1, "success")
    run.clear("wait", 2, downstream=True)
    run.clear("submit", 3, downstream=True)
    assert wait_until(lambda: not run.live(0) and not run.live(1), IN_TIME), "marked"
    assert wait_until(lambda: run.live(3) not in ([], jobs[3]), IN_TIME), "cleared, and submitted again"
    run.wait_for({("wait", index): "deferred" for index in (2, 3, 4)})
    assert run.live(2) == jobs[2], "clearing wait alone keeps the job"
    assert run.live(4) == jobs[4]
    (new,) = run.live(3)
    assert new not in jobs[3]
    run.mark("failed")
    assert wait_until(lambda: not any(run.live(index) for index in range(5)), IN_TIME), "the Dag run failed"
    run.wait_for({("report", -1): "failed"})


def test_jobs_that_no_task_waited_for_yet_are_cancelled_too(
    airflow: Standalone, cluster: Sandbox, sweeps: Path
) -> None:
    """Where submit is done and wait has not begun, no trigger is there that could."""
    run = Run(airflow, cluster, sweeps, "early", jobs=6)
    assert wait_until(lambda: any(run.live(index) for index in range(6)), 90)
    run.mark("success")
    run.wait_for({("report", -1): "failed"})
    assert wait_until(lambda: not any(run.live(index) for index in range(6)), IN_TIME)
    time.sleep(3)
    assert not any(run.live(index) for index in range(6)), "none comes later"
    run.delete()


def test_a_submission_waits_for_the_cluster_in_the_triggerer(
    airflow: Standalone, cluster: Sandbox, sweeps: Path
) -> None:
    cluster.stop("sshd")
    try:
        run = Run(airflow, cluster, sweeps, "patient", jobs=2)
        run.wait_for({("submit", 0): "deferred", ("submit", 1): "deferred"})
        run.set("submit", 0, "failed")
    finally:
        cluster.start("sshd")
    run.wait_for({("wait", 1): "deferred"})
    assert len(run.live(1)) == 1
    assert run.live(0) == []
    run.mark("failed")
    assert wait_until(lambda: not run.live(1), IN_TIME)


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
    operator._submission = slow, operators._attempt(context("submit"))
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
