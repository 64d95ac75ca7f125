"""Which tasks are over, and what the siblings of one do about its job."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_shell import FakeShell, silent

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError
from airflow_slurm_sweep.slurm import patience
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.shell import Completed
from airflow_slurm_sweep.tasks import cancel, orphans
from airflow_slurm_sweep.tasks.cancel import is_over, retry_cancelling
from airflow_slurm_sweep.tasks.triggers import SubmitTrigger, WaitTrigger

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


@pytest.mark.parametrize("trigger", [WaitTrigger(), SubmitTrigger()])
@pytest.mark.parametrize(
    ("state", "left", "cancels"),
    [
        ("failed", None, True),
        ("success", None, True),  # by a person
        ("success", "{}", False),  # by another triggerer
        ("deferred", None, False),
        (None, None, False),
    ],
)
def test_on_kill_asks_for_the_tasks_state(
    trigger: Any, state: str | None, left: str | None, cancels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = []

    async def cancel_job() -> None:
        cancelled.append(trigger)

    monkeypatch.setattr("airflow_slurm_sweep.tasks.task_trigger.states_of", lambda *_: {"g.wait_1": state})
    monkeypatch.setattr("airflow_slurm_sweep.tasks.requests.XCom.get_one", lambda **_: left)
    monkeypatch.setattr(trigger, "_cancel", cancel_job)
    trigger._task_instance = TASK
    trigger._submitting = SimpleNamespace(site=None)  # a submission that has not begun asks for nothing
    asyncio.run(trigger.on_kill())
    assert bool(cancelled) is cancels


@pytest.mark.parametrize("cancelled", [frozenset(), frozenset("7")])
def test_a_submission_of_a_stopped_run_is_withdrawn_without_a_request_of_its_own(
    cancelled: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands may wait for a place: each request takes the triggerer 50 ms, and live jobs come after them."""
    trigger, done = SubmitTrigger(), []

    async def stopped(_: object) -> frozenset[str]:
        return cancelled

    async def withdraw() -> None:
        done.append(True)

    monkeypatch.setattr("airflow_slurm_sweep.tasks.task_trigger.states_of", None)
    monkeypatch.setattr(trigger, "_cancelled_with_run", stopped)
    monkeypatch.setattr(trigger, "_cancel", withdraw)
    trigger._task_instance = TASK
    trigger._submitting = SimpleNamespace(site=None)  # type: ignore[assignment]
    asyncio.run(trigger.on_kill())
    assert done == [True]


def test_a_cancellation_goes_on_where_airflow_cuts_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = WaitTrigger(job=JOB.to_json())
    trigger._task_instance = TASK
    done = []

    async def slow() -> None:
        await asyncio.sleep(0.1)
        done.append(True)

    monkeypatch.setattr("airflow_slurm_sweep.tasks.task_trigger.states_of", lambda *_: {"g.wait_1": "failed"})
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
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)

    async def try_in_vain() -> None:
        raise ClusterUnavailableError("no answer")

    asyncio.run(retry_cancelling("Job 7", try_in_vain, cancel.scancel_advice(JOB), patience=0.05))
    assert caplog.messages[-1] == (
        "Job 7 could not be cancelled (waited 0 s for the cluster; no answer). Cancel it by hand, "
        "on the cluster of connection 'c': scancel 7"
    )

    async def be_refused() -> None:
        raise ClusterRefusedError("wrong key")

    asyncio.run(retry_cancelling("Job 7", be_refused, cancel.scancel_advice(JOB)))
    assert caplog.messages[-1].startswith("Job 7 could not be cancelled (wrong key).")


PAIRS = orphans.Siblings("a", "d", "r", "g.submit", "g.wait", "/r")


class Cluster(FakeShell):
    """Shows a live job ``INDEX`` of each combination until it is cancelled, among those of others."""

    def __init__(self, *indices: int) -> None:
        self.live = {str(index): f"{index} a d r g.submit {index}" for index in indices}
        self.live |= {"90": "90 d other g.submit 1", "91": "91 a d r h.submit 1"}
        super().__init__(
            squeue=lambda: "".join(f"{job} RUNNING /r/{job}/logs/slurm-%j.out\n" for job in self.live),
            record=lambda: "".join(f"{line} {job}\n" for job, line in self.live.items()),
            scancel="",
        )

    async def run(self, script: str) -> Completed:
        if found := re.search(r"scancel -- ([^<]+) <", script):
            for job in found[1].split():
                self.live.pop(job, None)
        return await super().run(script)


def states(**of: str | None) -> dict[str, Any]:
    """``wait1="failed"``: all others of the four waits are deferred, all submits are done."""
    waits = {f"g.wait_{index}": of.get(f"wait{index}", "deferred") for index in range(4)}
    return waits | {f"g.submit_{index}": of.get(f"submit{index}", "success") for index in range(4)}


def airflow_says(monkeypatch: pytest.MonkeyPatch, now: Callable[[], dict[str, Any]]) -> None:
    async def count(_: Any, task_id: str, states: object = None) -> int:
        known = [index for index in range(4) if f"{task_id}_{index}" in now()]
        return sum(states is None or is_over(now(), task_id, index) for index in known)

    monkeypatch.setattr(orphans.Siblings, "count_tasks", count)
    monkeypatch.setattr(orphans, "states_of", lambda *_: now())


def test_siblings_cancel_for_one_that_was_marked_unseen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = states(wait1="failed", wait3=None)
    monkeypatch.setattr(orphans, "INTERVAL", 0.01)
    airflow_says(monkeypatch, lambda: now)
    shell = Cluster(0, 1, 3)

    async def wait() -> None:
        client = SlurmClient(shell)
        async with orphans.watch_orphans(client, PAIRS, 0), orphans.watch_orphans(client, PAIRS, None):
            async with asyncio.timeout(60):
                while "1" in shell.live:
                    await asyncio.sleep(0.01)
                now["g.wait_3"] = "skipped"
                while "3" in shell.live:
                    await asyncio.sleep(0.01)
        shell.asked.clear()
        await asyncio.sleep(0.05)

    with caplog.at_level(logging.INFO):
        asyncio.run(wait())
    cancelled = [message for message in caplog.messages if message.endswith("is cancelled")]
    assert cancelled == ["Job 1 is cancelled", "Job 3 is cancelled"]
    assert shell.asked == [], "it ends with the last who waits"


def test_a_job_that_is_still_being_submitted_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = states(wait1="failed", submit1="running")
    airflow_says(monkeypatch, lambda: now)
    shell = Cluster()

    async def look_twice() -> None:
        own = orphans.OrphanWatch(SlurmClient(shell), PAIRS)
        await own.look()
        shell.live["1"] = "1 a d r g.submit 1"
        now["g.submit_1"] = "success"
        await own.look()

    asyncio.run(look_twice())
    assert "1" not in shell.live


def clear_while_asked(shell: Cluster, now: dict[str, Any]) -> None:
    """Clear a task while squeue answers."""
    answer = cast("Callable[[], str]", shell.answers["squeue"])

    def cleared_meanwhile() -> str:
        now["g.wait_1"] = None
        return answer()

    shell.answers["squeue"] = cleared_meanwhile


def test_a_pair_that_is_cleared_while_siblings_look_keeps_its_new_job(monkeypatch: pytest.MonkeyPatch) -> None:
    now = states(wait1="failed")
    airflow_says(monkeypatch, lambda: now)
    shell = Cluster(1)
    clear_while_asked(shell, now)
    asyncio.run(orphans.OrphanWatch(SlurmClient(shell), PAIRS).look())
    assert now["g.wait_1"] is None
    assert "1" in shell.live


def test_the_job_of_a_deleted_pair_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "states_of", lambda *_: states())
    shell = Cluster(3, 4)
    asyncio.run(orphans.cancel_orphans(SlurmClient(shell), PAIRS))
    assert shell.live.keys() == {"3", "90", "91"}


def test_the_last_sibling_looks_once_more(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = states()
    airflow_says(monkeypatch, lambda: now)
    shell = Cluster(2)

    async def wait() -> None:
        async with orphans.watch_orphans(SlurmClient(shell), PAIRS, 1):
            await asyncio.sleep(0.05)
            assert shell.asked == [], "nobody is marked, nobody is asked"
            now["g.wait_2"] = "failed"

    with caplog.at_level(logging.INFO):
        asyncio.run(wait())
    assert "Job 2 is cancelled" in caplog.messages


ALL_FAILED = {f"wait{index}": "failed" for index in range(4)}


def test_who_learns_first_that_a_run_was_stopped_cancels_all_its_jobs_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = states(wait0="failed", wait1="failed")
    airflow_says(monkeypatch, lambda: now)
    shell = Cluster(0, 1, 2, 3)
    client = SlurmClient(shell)

    async def stop() -> list[frozenset[str] | None]:
        assert await orphans.cancelled_with_run(client, PAIRS) is None, "two pairs live"
        now.update(states(**ALL_FAILED))
        async with orphans.watch_orphans(client, PAIRS, None):  # as long as one trigger of the run is left
            return await asyncio.gather(*(orphans.cancelled_with_run(client, PAIRS) for _ in range(500)))

    found = asyncio.run(stop())
    assert set(found) == {frozenset("0123")}
    assert shell.live.keys() == {"90", "91"}
    assert shell.asked.count("scancel") == 1


def test_a_pair_that_is_cleared_while_its_run_is_stopped_keeps_its_new_job(monkeypatch: pytest.MonkeyPatch) -> None:
    now = states(**ALL_FAILED)
    airflow_says(monkeypatch, lambda: now)
    shell = Cluster(1)
    clear_while_asked(shell, now)
    assert asyncio.run(orphans.cancelled_with_run(SlurmClient(shell), PAIRS)) is None
    assert "1" in shell.live


def test_a_silent_cluster_stops_no_watch(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(orphans, "INTERVAL", 0.01)
    airflow_says(monkeypatch, lambda: states(wait2="failed"))
    shell = Cluster(2)
    answer = shell.answers["squeue"]
    shell.answers["squeue"] = silent()

    async def wait() -> None:
        async with orphans.watch_orphans(SlurmClient(shell), PAIRS, 1):
            await asyncio.sleep(0.1)
            shell.answers["squeue"] = answer
            await asyncio.sleep(0.1)

    with caplog.at_level(logging.INFO):
        asyncio.run(wait())
    assert "Job 2 is cancelled" in caplog.messages


def test_tasks_without_siblings() -> None:
    single = SimpleNamespace(dag_id="d", run_id="r", task_id="wait", map_index=-1)
    assert orphans.siblings_of("a", single, "submit", "wait", "/r/a") is None
    assert orphans.siblings_of("a", TASK, None, "g.wait", "/r/a") is None
    assert orphans.siblings_of("a", TASK, "g.submit", "g.wait", "/r") == PAIRS
