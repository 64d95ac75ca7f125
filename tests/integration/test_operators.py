"""The operators on their own, as in anybody's Dag: as `airflow dags test` runs them, and as a triggerer does."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.triggers.base import TaskFailedEvent, TaskSuccessEvent

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.submit.sbatch import preview
from airflow_slurm_sweep.tasks.loop_resources import one_loop
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator
from sandbox import Sandbox

pytestmark = pytest.mark.sandbox

SCRIPT = '#!/bin/bash\neval "$COMMAND"\n'


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
                id="01-1",
                xcom_push=lambda key, value: self.pushed.update({key: value}),
            )
        )


@pytest.fixture(autouse=True)
def connection(cluster: Sandbox, connected: Callable[[Sandbox], None]) -> None:
    connected(cluster)


@pytest.fixture(autouse=True)
def own_loop() -> Iterator[None]:
    """End the session with the cluster, which would keep its patience for the next test."""
    yield
    one_loop().close()
    one_loop.cache_clear()


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airflow_slurm_sweep")


def request(folder: Path, command: str) -> JobRequest:
    return JobRequest(
        ssh_conn_id="slurm_sandbox", name="alone", command=command, run_dir=str(folder / "run"), script=SCRIPT
    )


def submit(folder: Path, command: str) -> dict[str, Any]:
    return SlurmSubmitOperator(task_id="submit", job=request(folder, command)).execute(Context())  # type: ignore[arg-type]


def trigger(operator: Any, map_index: int) -> Any:
    """Return the trigger that Airflow starts for a task instance of the operator."""
    arguments = operator.start_trigger_args
    module, _, name = arguments.trigger_cls.rpartition(".")
    found = getattr(import_module(module), name)(**arguments.trigger_kwargs)
    found._task_instance = SimpleNamespace(
        dag_id="d", run_id="r", task_id=operator.task_id, map_index=map_index, try_number=1, id="01-1"
    )
    return found


def end_of(operator: Any, map_index: int = 0) -> Any:
    """Return the event with which a task instance of the operator ends in a triggerer."""

    async def run() -> list[Any]:
        return [event async for event in trigger(operator, map_index).run()]

    (event,) = asyncio.run(run())
    return event


def test_a_pair_in_dags_test(tmp_path: Path) -> None:
    job = submit(tmp_path, "sleep 1; echo done")
    assert job.keys() >= {"job_id", "job_name", "run_dir", "log_path"}
    context = Context()
    status = SlurmJobSensor(task_id="wait", job=job).execute(context)  # type: ignore[arg-type]
    assert status["state"] == "COMPLETED"
    assert context.pushed == {}
    assert Path(job["log_path"]).read_text() == "done\n"


def test_a_pair_in_the_triggerer(tmp_path: Path) -> None:
    event = end_of(SlurmSubmitOperator(task_id="submit", job=request(tmp_path, "echo done")))
    assert isinstance(event, TaskSuccessEvent)
    job: Any = (event.xcoms or {})["return_value"]
    event = end_of(SlurmJobSensor(task_id="wait", job=job))
    assert isinstance(event, TaskSuccessEvent)
    assert (event.xcoms or {})["return_value"]["state"] == "COMPLETED"  # type: ignore[call-overload,index]


def test_a_failure_shows_the_logs_last_50_lines_and_leaves_the_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = submit(tmp_path, "for n in $(seq 100); do echo line $n; done; exit 7")
    context = Context()
    with pytest.raises(AirflowFailException) as caught:
        SlurmJobSensor(task_id="wait", job=job).execute(context)  # type: ignore[arg-type]
    first, *rest = str(caught.value).splitlines()
    assert first.startswith(f"Job {job['job_id']} (alone) ended as FAILED (NonZeroExitCode) (scontrol): exit code 7:0")
    assert first.endswith(f"nodes n1, log {job['log_path']}")
    assert rest == ["The log's last 50 lines:", *(f"line {n}" for n in range(51, 101))]
    assert context.pushed["status"]["state"] == "FAILED"

    event = end_of(SlurmJobSensor(task_id="wait", job=job))
    assert isinstance(event, TaskFailedEvent)
    assert event.xcoms == {
        "status": context.pushed["status"],
        "log": {"job_id": job["job_id"], "lines": "\n".join(rest[1:])},
    }
    assert str(caught.value) in caplog.messages, "the same text in the triggerer's log"


@pytest.fixture
def no_sshd(cluster: Sandbox) -> Iterator[None]:
    cluster.stop("sshd")
    yield
    cluster.start("sshd")


def test_what_nobody_mends_fails_at_once(caplog: pytest.LogCaptureFixture) -> None:
    job = JobRequest(ssh_conn_id="slurm_sandbox", name="a", command="true", run_dir="/dev/null/a", script=SCRIPT)
    with pytest.raises(AirflowFailException, match="cannot make the run directory /dev/null/a"):
        SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]
    assert isinstance(end_of(SlurmSubmitOperator(task_id="submit", job=job)), TaskFailedEvent)
    assert "cannot make the run directory /dev/null/a" in caplog.text


@pytest.mark.usefixtures("no_sshd")
def test_what_the_site_mends_is_waited_for_within_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__PATIENCE", "0")
    with pytest.raises(AirflowException, match="no answer from the login node") as caught:
        submit(tmp_path, "true")
    assert not isinstance(caught.value, AirflowFailException), "another try may help"


def test_a_wait_that_gives_up_names_the_job_and_how_to_cancel_it(
    tmp_path: Path, cluster: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = submit(tmp_path, "sleep 1")
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__PATIENCE", "0")
    cluster.stop("sshd")
    try:
        assert isinstance(end_of(SlurmJobSensor(task_id="wait", job=job)), TaskFailedEvent)
    finally:
        cluster.start("sshd")
    by_hand = f"on the cluster of connection 'slurm_sandbox': scancel {job['job_id']}"
    assert f"The job may still run; to cancel it, {by_hand}" in caplog.text


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
    SlurmJobSensor(task_id="wait", job=job).execute(context)  # type: ignore[arg-type]
    assert (tmp_path / "arrived").read_text() == "s3cret one,s3cret $two"
    seen = [json.dumps(job), json.dumps(operator.job), caplog.text, *capfd.readouterr(), preview(request)]
    seen += [json.dumps(context.pushed), json.dumps(trigger(operator, -1).serialize())]
    seen += [path.read_text() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [text for text in seen if "s3cret" in text]
    assert "variable:wandb_key" in json.dumps(trigger(operator, -1).serialize())
    assert "# ONE comes from Airflow's variable:wandb_key\n" in preview(request)


def test_a_dry_run_is_skipped(tmp_path: Path) -> None:
    job = {**request(tmp_path, "true").to_json(), "dry_run": True}
    with pytest.raises(AirflowSkipException):
        SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]
    assert end_of(SlurmSubmitOperator(task_id="submit", job=job)).task_instance_state == "skipped"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", [{"name": "a\nb"}, {"options": {"wrap": "x"}}, {"no_such_field": 1}])
def test_what_is_no_job_fails_at_once(wrong: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    job = {"ssh_conn_id": "slurm_sandbox", "name": "a", "command": "true", "run_dir": "/r", **wrong}
    with pytest.raises(AirflowFailException, match=r"^job: ") as caught:
        SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]
    assert isinstance(end_of(SlurmSubmitOperator(task_id="submit", job=job)), TaskFailedEvent)
    assert str(caught.value) in caplog.messages


@pytest.mark.parametrize("reference", ["variable:none", "connection:none"])
def test_a_missing_secret_fails_at_once(tmp_path: Path, reference: str) -> None:
    job = JobRequest(
        ssh_conn_id="slurm_sandbox", name="a", command="true", run_dir=str(tmp_path), secrets={"A": reference}
    )
    kind = reference.partition(":")[0]
    with pytest.raises(AirflowFailException, match=f"^env: there is no Airflow {kind} 'none', or it holds no secret$"):
        SlurmSubmitOperator(task_id="submit", job=job).execute(Context())  # type: ignore[arg-type]
