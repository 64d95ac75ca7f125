"""Thousands of tasks that wait for the canaries of their run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.planned import canaries
from airflow_slurm_sweep.tasks import canary, loop_resources, orphans
from airflow_slurm_sweep.tasks.canary import failed_canary, has_succeeded
from airflow_slurm_sweep.tasks.configuration import check_canary
from airflow_slurm_sweep.tasks.orphans import Siblings

PAIR = Siblings("air", "d", "r", "s", "w", "/log")
STATES: dict[str, Any] = {}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The map indices of the canaries that Airflow was asked about; ``STATES`` is what it answers."""
    asked: list[int] = []

    def states_of(_run: Any, task_ids: list[str], index: int) -> dict[str, Any]:
        asked.append(index)
        if "error" in STATES:
            raise RuntimeError("no answer")
        return {key: STATES[key] for key in (f"{task}_{index}" for task in task_ids) if key in STATES}

    STATES.clear()
    monkeypatch.setattr(orphans, "states_of", states_of)
    monkeypatch.setattr(canary, "INTERVAL", 0.01)
    monkeypatch.setattr(loop_resources, "_LOAD", 0)
    return asked


@pytest.mark.parametrize(
    ("submit", "wait", "expected"),
    [
        ("success", "success", True),
        ("success", "failed", False),
        ("failed", "upstream_failed", False),
        ("skipped", "skipped", False),
        ("removed", None, False),
        ("success", "running", None),
        ("running", "success", None),  # cleared without the task behind it
        (None, None, None),
        ("success", ..., None),  # Airflow has not made the task yet
        (..., ..., None),
    ],
)
def test_how_a_canary_stands(submit: Any, wait: Any, expected: bool | None) -> None:
    states = {"s_3": submit, "w_3": wait, "s_4": "success", "w_4": "success"}
    found = {key: state for key, state in states.items() if state is not ...}
    assert has_succeeded(found, PAIR, 3) is expected


def test_canaries_are_the_first_jobs_that_run() -> None:
    jobs = [{"done": {"job_id": "1"}}, {"canaries": 2}, {"canaries": 2, "done": {"job_id": "2"}}, {"canaries": 2}, {}]
    assert canaries(jobs) == [1, 3]
    assert canaries(jobs[:2]) == [1]
    assert canaries(jobs[:1]) == canaries([]) == canaries([{}, {}]) == canaries(["no job"]) == []


def test_one_question_serves_thousands_until_all_canaries_have_succeeded(asked: list[int]) -> None:
    async def wait() -> list[int | None]:
        # Run directories of several folders make no difference.
        pairs = [PAIR._replace(folder=f"/log/{number % 3}") for number in range(3000)]
        waiting = [asyncio.create_task(failed_canary(pair, [0, 1])) for pair in pairs]
        for state in ("running", "success"):
            await until(lambda: len(asked) >= 6)
            waiting[7].cancel()  # somebody marked its task; the others wait on
            assert not any(task.done() for task in waiting[8:])
            asked.clear()
            STATES["w_1"] = state
        return await asyncio.gather(*waiting[:7], *waiting[8:])

    STATES.update({"s_0": "success", "w_0": "success", "s_1": "success", "w_1": None})
    assert asyncio.run(wait()) == [None] * 2999
    assert len(asked) < 20


def test_a_failed_canary_is_told_and_one_that_is_cleared_is_waited_for_again(asked: list[int]) -> None:
    async def wait() -> None:
        assert await failed_canary(PAIR, [0, 1]) == 1
        STATES.update({"s_1": None, "w_1": None})  # cleared, with the task that was skipped
        again = asyncio.create_task(failed_canary(PAIR, [0, 1]))
        await until(lambda: len(asked) >= 6)
        assert not again.done()
        STATES.update({"s_0": "success", "w_0": "success", "s_1": "success", "w_1": "success"})
        assert await again is None

    STATES.update({"s_0": "success", "w_0": "running", "s_1": "failed", "w_1": "upstream_failed"})
    asyncio.run(wait())


def test_a_task_that_comes_during_a_look_does_not_take_its_answer(asked: list[int], monkeypatch: Any) -> None:
    async def wait() -> None:
        began, go = asyncio.Event(), asyncio.Event()

        async def states(_pair: Siblings, index: int) -> dict[str, Any]:
            found = dict(STATES)
            asked.append(index)
            began.set()
            await go.wait()
            return found

        monkeypatch.setattr(Siblings, "states", states)
        first = asyncio.create_task(failed_canary(PAIR, [0]))
        await began.wait()
        STATES.update({"s_0": "success", "w_0": "success"})  # it was cleared, and has succeeded now
        second = asyncio.create_task(failed_canary(PAIR, [0]))
        await asyncio.sleep(0)
        go.set()
        assert [await first, await second] == [0, None]

    STATES.update({"s_0": "failed", "w_0": "upstream_failed"})
    asyncio.run(wait())


def test_no_answer_of_airflow_decides_nothing(asked: list[int], caplog: pytest.LogCaptureFixture) -> None:
    async def wait() -> int | None:
        waiting = asyncio.create_task(failed_canary(PAIR, [0]))
        await until(lambda: len(asked) >= 3)
        assert not waiting.done()
        del STATES["error"]
        return await waiting

    STATES.update({"s_0": "success", "w_0": "success", "error": True})
    assert asyncio.run(wait()) is None
    assert caplog.text.count("The states of the canaries are unknown, asking again") == 1


def test_those_that_wait_must_leave_the_canaries_a_place_in_the_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRIGGERER__CAPACITY", "3")
    check_canary(3)
    with pytest.raises(
        SettingsError, match=r"^canary: 4 combinations are more than a triggerer sees to at a time \(3\)"
    ):
        check_canary(4)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
