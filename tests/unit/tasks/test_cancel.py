"""Which tasks are over, and what the siblings of one do about its job."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from fake_shell import FakeShell, silent

from slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError
from slurm_sweep.slurm.client import SlurmClient
from slurm_sweep.slurm.job import SubmittedJob
from slurm_sweep.tasks import cancel, guard
from slurm_sweep.tasks.cancel import insist, is_over
from slurm_sweep.tasks.triggers import SlurmJobTrigger, SlurmSubmitTrigger

JOB = SubmittedJob(ssh_conn_id="c", job_id="7", job_name="a", run_dir="/r/a", log_path="/r/a/logs/slurm-7.out")
TASK = SimpleNamespace(dag_id="d", run_id="r", task_id="g.wait", map_index=1)


@pytest.mark.parametrize(
    ("states", "over"),
    [
        ({"g.wait_1": "failed"}, True),
        ({"g.wait_1": "success"}, True),
        ({"g.wait_1": "skipped"}, True),
        ({"g.wait_0": "deferred"}, True),  # deleted
        ({"g.wait_1": None}, False),  # cleared
        ({"g.wait_1": "deferred"}, False),  # another triggerer has it
        ({"g.wait_1": "up_for_retry"}, False),
        ({"g.wait_1": "restarting"}, False),
    ],
)
def test_which_task_is_over(states: dict[str, Any], over: bool) -> None:
    assert is_over(states, "g.wait", 1) is over


def test_a_task_that_is_not_mapped() -> None:
    assert is_over({"wait": "failed"}, "wait", -1)
    assert not is_over({"wait": "deferred"}, "wait", None)


@pytest.mark.parametrize("trigger", [SlurmJobTrigger(job={}), SlurmSubmitTrigger(request={}, attempt={})])
@pytest.mark.parametrize(("state", "cancels"), [("failed", True), ("deferred", False), (None, False)])
def test_on_kill_asks_for_the_tasks_state(
    trigger: Any, state: str | None, cancels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = []

    async def cancel_job() -> None:
        cancelled.append(trigger)

    monkeypatch.setattr("slurm_sweep.tasks.triggers.states_of", lambda _: {"g.wait_1": state})
    monkeypatch.setattr(trigger, "_cancel", cancel_job)
    trigger._task_instance = TASK
    asyncio.run(trigger.on_kill())
    assert bool(cancelled) is cancels


def test_a_cancellation_goes_on_where_airflow_cuts_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = SlurmJobTrigger(job=JOB.to_json())
    trigger._task_instance = TASK
    done = []

    async def slow() -> None:
        await asyncio.sleep(0.1)
        done.append(True)

    monkeypatch.setattr("slurm_sweep.tasks.triggers.states_of", lambda _: {"g.wait_1": "failed"})
    monkeypatch.setattr(trigger, "_cancel", slow)

    async def cut_off() -> None:
        kill = asyncio.create_task(trigger.on_kill())
        await asyncio.sleep(0.05)
        kill.cancel()
        await asyncio.sleep(0.2)

    asyncio.run(cut_off())
    assert done


def test_what_cannot_be_cancelled_is_told_with_the_command(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "_PAUSE", 0.01)

    async def try_in_vain() -> None:
        raise ClusterUnavailableError("no answer")

    asyncio.run(insist("Job 7", try_in_vain, cancel.by_hand(JOB), patience=0.05))
    assert caplog.messages[-1] == (
        "Job 7 could not be cancelled (no answer). Cancel it by hand, on the cluster of connection 'c': scancel 7"
    )

    async def be_refused() -> None:
        raise ClusterRefusedError("wrong key")

    asyncio.run(insist("Job 7", be_refused, cancel.by_hand(JOB)))
    assert caplog.messages[-1].startswith("Job 7 could not be cancelled (wrong key).")


def test_siblings_cancel_for_one_that_was_marked_unseen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    states: dict[str, Any] = {"g.wait_0": "deferred", "g.wait_1": "failed", "g.wait_2": "success", "g.wait_3": None}
    jobs = {index: {**JOB.to_json(), "job_id": str(index)} for index in range(4)}
    monkeypatch.setattr(guard, "INTERVAL", 0.01)
    monkeypatch.setattr(guard, "states_of", lambda *_: states)
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_one", lambda *, map_index, **_: jobs[map_index])
    queue = "\n".join(f"{index}|{'COMPLETED' if index == 2 else 'RUNNING'}|0:01|n1|None" for index in range(4))
    shell = FakeShell(squeue=queue, scancel="")

    async def wait() -> None:
        client = SlurmClient(shell)
        async with guard.guard(client, TASK, "g.submit"), guard.guard(client, TASK, "g.submit"):
            await asyncio.sleep(0.1)
            shell.answers["squeue"] = queue.replace("1|RUNNING", "1|CANCELLED")
            states["g.wait_3"] = "skipped"
            await asyncio.sleep(0.1)
        shell.asked.clear()
        await asyncio.sleep(0.05)

    with caplog.at_level(logging.INFO):
        asyncio.run(wait())
    cancelled = [message for message in caplog.messages if message.endswith("is cancelled")]
    assert cancelled == ["Job 1 is cancelled", "Job 3 is cancelled"]
    assert shell.asked == [], "it ends with the last who waits"


def test_the_last_sibling_looks_once_more(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    states = {"g.wait_2": "running"}
    monkeypatch.setattr(guard, "states_of", lambda *_: states)
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_one", lambda **_: JOB.to_json())
    shell = FakeShell(squeue="7|RUNNING|0:01|n1|None", scancel="")

    async def wait() -> None:
        async with guard.guard(SlurmClient(shell), TASK, "g.submit"):
            await asyncio.sleep(0.05)
            assert shell.asked == [], "nobody is marked, nobody is asked"
            states["g.wait_2"] = "failed"

    with caplog.at_level(logging.INFO):
        asyncio.run(wait())
    assert "Job 7 is cancelled" in caplog.messages


def test_a_silent_cluster_stops_no_guard(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(guard, "INTERVAL", 0.01)
    monkeypatch.setattr(guard, "states_of", lambda *_: {"g.wait_1": "failed"})
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_one", lambda **_: JOB.to_json())
    shell = FakeShell(squeue=silent(), scancel="")

    async def wait() -> None:
        async with guard.guard(SlurmClient(shell), TASK, "g.submit"):
            await asyncio.sleep(0.1)
            shell.answers["squeue"] = "7|RUNNING|0:01|n1|None"
            await asyncio.sleep(0.1)

    with caplog.at_level(logging.INFO):
        asyncio.run(wait())
    assert "Job 7 is cancelled" in caplog.messages
