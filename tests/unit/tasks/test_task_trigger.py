"""Triggers that Airflow begins again though their task was cleared, or has ended."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_slurm_sweep.tasks import installation, task_trigger
from airflow_slurm_sweep.tasks.triggers import SubmitTrigger


class Trigger(SubmitTrigger):
    """One that has nothing to submit."""

    async def _work(self) -> TriggerEvent:
        return TaskSuccessEvent()


async def works(run: str, task_id: str, try_number: int) -> bool:
    """Begin a trigger of a task instance; return whether it ends, and does not rest."""
    trigger = Trigger()
    trigger._task_instance = SimpleNamespace(
        dag_id="d", run_id=run, task_id="g.submit", map_index=1, id=task_id, try_number=try_number
    )
    try:
        async with asyncio.timeout(0.3):
            return [event async for event in trigger.run()] != []
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    ("second", "state", "is_new"),
    [
        (("a", 1), None, True),  # another triggerer's; nobody is asked
        (("b", 1), None, False),  # cleared, and not deferred again
        (("b", 1), "deferred", True),  # of a run that was deleted, and made again with the same id
        (("b", 2), "deferred", True),
        (("b", 2), "success", False),  # another triggerer has ended it meanwhile
    ],
)
def test_a_trigger_that_is_left_over_rests(
    second: tuple[str, int], state: str | None, is_new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[str] = []

    async def delete(_task: Any, *keys: str) -> None:
        deleted.extend(keys)

    monkeypatch.setattr(installation, "_known", ["ours"])
    monkeypatch.setattr(task_trigger, "take_lines", lambda: None)
    monkeypatch.setattr(task_trigger, "delete_xcoms", delete)
    monkeypatch.setattr(task_trigger, "states_of", lambda *_: {"g.submit_1": state})
    run = f"{second} {state}"

    async def twice() -> tuple[bool, bool]:
        return await works(run, "a", 1), await works(run, *second)

    assert asyncio.run(twice()) == (True, is_new)
    assert bool(deleted) == (is_new and second[1] > 1), "the results of a task that has ended stay"
