"""The operators on their own, as in anybody's Dag; the scheduler's part is played by the test."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.submit.sbatch import preview
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator
from airflow_slurm_sweep.tasks.triggers import SlurmJobTrigger, SlurmSubmitTrigger
from sandbox import Sandbox

pytestmark = pytest.mark.sandbox


class Context(dict[str, Any]):
    """What the tasks read of Airflow's context, and the XComs they push."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        super().__init__(
            ti=SimpleNamespace(
                dag_id="d",
                run_id="r",
                task_id="submit",
                map_index=-1,
                try_number=1,
                max_tries=0,
                start_date=None,
                id="01-1",
                xcom_push=lambda key, value: self.pushed.update({key: value}),
            )
        )


@pytest.fixture(autouse=True)
def connection(cluster: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(cluster.connection))


def submit(folder: Path, command: str) -> dict[str, Any]:
    job = JobRequest(
        ssh_conn_id="slurm_sandbox",
        name="alone",
        command=command,
        run_dir=str(folder / "run"),
        script='#!/bin/bash\neval "$COMMAND"\n',
    )
    return SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]


def test_submit_and_wait_in_a_worker(tmp_path: Path) -> None:
    job = submit(tmp_path, "sleep 1; echo done")
    assert job.keys() >= {"job_id", "job_name", "run_dir", "log_path"}
    context = Context()
    sensor = SlurmJobSensor(task_id="wait", job=job, deferrable=False, poke_interval=0.3)
    status = sensor.execute(context)  # type: ignore[arg-type]
    assert status["state"] == "COMPLETED"
    assert context.pushed == {}
    assert Path(job["log_path"]).read_text() == "done\n"


def test_a_failure_shows_the_logs_last_50_lines_and_leaves_the_status(tmp_path: Path) -> None:
    job = submit(tmp_path, "for n in $(seq 100); do echo line $n; done; exit 7")
    context = Context()
    sensor = SlurmJobSensor(task_id="wait", job=job, deferrable=False, poke_interval=0.3)
    with pytest.raises(AirflowFailException) as caught:
        sensor.execute(context)  # type: ignore[arg-type]
    first, *rest = str(caught.value).splitlines()
    assert first.startswith(f"Job {job['job_id']} (alone) ended as FAILED (NonZeroExitCode) (scontrol): exit code 7:0")
    assert first.endswith(f"nodes n1, log {job['log_path']}")
    assert rest == ["The log's last 50 lines:", *(f"line {n}" for n in range(51, 101))]
    assert context.pushed["status"]["state"] == "FAILED"


def test_wait_defers_and_ends_as_the_event_says(tmp_path: Path) -> None:
    job = submit(tmp_path, "sleep 2")
    sensor = SlurmJobSensor(task_id="wait", job=job)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(Context())  # type: ignore[arg-type]
    path, arguments = deferred.value.trigger.serialize()
    assert path == "airflow_slurm_sweep.tasks.triggers.SlurmJobTrigger"
    assert SlurmJobTrigger(**arguments).serialize() == (path, arguments)
    assert len(json.dumps(arguments)) < 1024
    with pytest.raises(
        AirflowFailException, match=r"^the login node refuses us\nThe job may still run; to cancel it, on the cluster"
    ):
        sensor.resume(Context(), {"error": "the login node refuses us"})  # type: ignore[arg-type]


def test_errors_tell_airflow_whether_a_retry_can_help(
    tmp_path: Path, cluster: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JobRequest(ssh_conn_id="slurm_sandbox", name="a", command="true", run_dir="/dev/null/a", script="#!/bin/sh\n")
    with pytest.raises(AirflowFailException, match="cannot make the run directory /dev/null/a"):
        SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]
    cluster.stop("sshd")
    try:
        with pytest.raises(TaskDeferred) as deferred:
            submit(tmp_path, "true")
        trigger = deferred.value.trigger
        assert isinstance(trigger, SlurmSubmitTrigger)
        assert type(trigger)(**trigger.serialize()[1]).serialize() == trigger.serialize()
        monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__PATIENCE", "0")
        with pytest.raises(AirflowException, match="no answer from the login node") as caught:
            SlurmSubmitOperator(task_id="submit", job=job, deferrable=False).execute(Context())  # type: ignore[arg-type]
        assert not isinstance(caught.value, AirflowFailException)
    finally:
        cluster.start("sshd")


def test_a_secret_reaches_the_job_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WANDB_KEY", "s3cret one")
    monkeypatch.setenv("AIRFLOW_CONN_STORE", '{"conn_type": "http", "password": "s3cret $two"}')
    request = JobRequest(
        ssh_conn_id="slurm_sandbox",
        name="secret",
        command="true",
        run_dir=str(tmp_path / "run"),
        script=f'#!/bin/bash\nprintf "%s,%s" "$ONE" "$TWO" > {tmp_path}/arrived\n',
        secrets={"ONE": "variable:wandb_key", "TWO": "connection:store"},
    )
    operator = SlurmSubmitOperator(task_id="submit", job=request)
    context = Context()
    job = operator.execute(context)  # type: ignore[arg-type]
    SlurmJobSensor(task_id="wait", job=job, deferrable=False, poke_interval=0.3).execute(context)  # type: ignore[arg-type]
    assert (tmp_path / "arrived").read_text() == "s3cret one,s3cret $two"
    seen = [json.dumps(job), json.dumps(operator.job), caplog.text, *capfd.readouterr(), preview(request)]
    seen += [json.dumps(context.pushed)]
    seen += [path.read_text() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [text for text in seen if "s3cret" in text]
    assert "# ONE comes from Airflow's variable:wandb_key\n" in preview(request)


def test_a_submission_that_waits_in_the_triggerer_carries_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Sandbox
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WANDB_KEY", "s3cret one")
    given = {"ssh_conn_id": "slurm_sandbox", "name": "a", "command": "true", "run_dir": str(tmp_path / "run")}
    request = JobRequest(**given, secrets={"ONE": "variable:wandb_key"})  # type: ignore[arg-type]
    cluster.stop("sshd")
    try:
        with pytest.raises(TaskDeferred) as deferred:
            SlurmSubmitOperator(task_id="submit", job=request).execute(Context())  # type: ignore[arg-type]
    finally:
        cluster.start("sshd")
    shown = json.dumps(deferred.value.trigger.serialize())
    assert "variable:wandb_key" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("wrong", [{"name": "a\nb"}, {"options": {"wrap": "x"}}, {"no_such_field": 1}])
def test_what_is_no_job_fails_at_once(wrong: dict[str, Any]) -> None:
    job = {"ssh_conn_id": "slurm_sandbox", "name": "a", "command": "true", "run_dir": "/r", **wrong}
    with pytest.raises(AirflowFailException, match=r"^job: "):
        SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["variable:none", "connection:none"])
def test_a_missing_secret_fails_at_once(tmp_path: Path, reference: str) -> None:
    job = JobRequest(
        ssh_conn_id="slurm_sandbox", name="a", command="true", run_dir=str(tmp_path), secrets={"A": reference}
    )
    kind = reference.partition(":")[0]
    with pytest.raises(AirflowFailException, match=f"^env: there is no Airflow {kind} 'none', or it holds no secret$"):
        SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]
