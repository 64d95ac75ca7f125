"""One plan for all triggers of a Dag run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks import run_plan as run_plan_module
from airflow_slurm_sweep.tasks import secrets
from airflow_slurm_sweep.tasks.job_source import JobSource
from airflow_slurm_sweep.tasks.loop_resources import LoopResources
from airflow_slurm_sweep.tasks.run_plan import run_plan

SOURCE = JobSource(task_id="plan", key="return_value", is_list=True)
JOBS = [
    JobRequest(
        ssh_conn_id="c", name=f"a_{n}", command="true", run_dir=f"/r/a_{n}", secrets={"KEY": "variable:key"}
    ).to_json()
    for n in range(3)
]


OTHERS = {"script": "#!/bin/sh\n", "consent": "", "attempt": "the first"}  # XCom keys of plan


APPROVED: list[Any] = []  # what approve left, where that is not empty


def task(index: int, run_id: str = "r", try_number: int = 1) -> Any:
    return SimpleNamespace(dag_id="d", run_id=run_id, map_index=index, try_number=try_number)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Airflow was asked for."""
    asked = []

    def get_one(**key: Any) -> list[dict[str, Any]] | str | None:
        if (key["task_id"], key["key"]) == ("approve", "return_value"):
            return APPROVED or None
        if key["key"] in OTHERS:
            return OTHERS[key["key"]]
        asked.append(f"plan of {key['run_id']}")
        return JOBS

    def value(reference: str) -> str:
        asked.append(reference)
        return "s3cret"

    monkeypatch.setattr("airflow_slurm_sweep.tasks.requests.XCom.get_one", get_one)
    monkeypatch.setattr(secrets, "_value", value)
    return asked


async def ready(instance: Any) -> JobRequest:
    async with run_plan(instance, SOURCE) as plan:
        return await plan.with_secrets(plan.request(instance.map_index))


def test_airflow_is_asked_once(asked: list[str]) -> None:
    async def all_of_them() -> list[JobRequest]:
        first = await asyncio.gather(*(ready(task(index)) for index in (0, 1, 2)))
        return [*first, await ready(task(1))]

    jobs = asyncio.run(all_of_them())
    assert [job.name for job in jobs] == ["a_0", "a_1", "a_2", "a_1"]
    assert {(job.env["KEY"], job.script) for job in jobs} == {("s3cret", "#!/bin/sh\n")}
    assert asked == ["plan of r", "variable:key"]


def test_a_secret_that_was_changed_is_taken_up_while_others_of_the_run_wait(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first_and_second() -> list[str]:
        values = []
        async with run_plan(task(0), SOURCE) as plan:  # as a task that waits for a place has it
            for value in ("old", "new"):
                monkeypatch.setattr(secrets, "_value", lambda _reference, value=value: value)
                values.append((await plan.with_secrets(plan.request(0))).env["KEY"])
                monkeypatch.setattr(run_plan_module, "LINGER", 0.0)
        return values

    assert asyncio.run(first_and_second()) == ["old", "new"]
    assert asked == ["plan of r"]


def test_another_run_has_another_plan(asked: list[str]) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(ready(instance) for instance in (task(0), task(0, run_id="r2"))))

    asyncio.run(all_of_them())
    assert sorted(asked) == ["plan of r", "plan of r2", *["variable:key"] * 2]


def test_a_cleared_plan_is_read_again_while_a_task_of_before_still_holds_the_old_one(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_plan_module, "_attempts", LoopResources(run_plan_module._read_attempt, linger=0.05))

    async def before_and_after() -> list[str]:
        async with run_plan(task(0), SOURCE) as plan:
            await asyncio.sleep(0.2)  # a plan takes longer
            monkeypatch.setitem(OTHERS, "attempt", "the second")
            monkeypatch.setitem(globals(), "JOBS", JOBS[1:])
            return [plan.request(0).name, (await ready(task(0))).name]

    assert asyncio.run(before_and_after()) == ["a_0", "a_1"]
    assert asked.count("plan of r") == 2


def test_the_list_of_somebodys_own_task_is_read_again_for_each_try(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OTHERS, "attempt", "")

    async def before_and_after() -> list[str]:
        async with run_plan(task(0), SOURCE) as plan:
            monkeypatch.setitem(globals(), "JOBS", JOBS[1:])
            return [plan.request(0).name, (await ready(task(0, try_number=2))).name]

    assert asyncio.run(before_and_after()) == ["a_0", "a_1"]
    assert asked.count("plan of r") == 2


@pytest.mark.parametrize(("source", "consent"), [("plan", {"why": "x"}), ("approve", "")])
def test_an_approval_that_a_changed_file_adds_or_removes_in_the_middle_of_a_run_changes_no_job(
    source: str, consent: Any, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OTHERS, "consent", consent)
    monkeypatch.setitem(globals(), "APPROVED", JOBS[1:] if consent else [])

    async def name() -> str:
        async with run_plan(task(0), replace(SOURCE, task_id=source)) as plan:
            return plan.request(0).name

    assert asyncio.run(name()) == ("a_1" if consent else "a_0")
    assert len(asked) == 1


def test_jobs_that_need_approval_are_not_submitted_as_plan_left_them(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OTHERS, "consent", {"why": "above_gpu_hours is 1 (a.yaml)", "by": [], "within": None})
    with pytest.raises(SettingsError, match="the run needs approval, but its Dag has no task approve"):
        asyncio.run(ready(task(0)))
    assert "variable:key" not in asked


def test_what_is_no_plan_is_told(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="The plan has 3 jobs, and none for the map index 7"):
        asyncio.run(ready(task(7)))
    monkeypatch.setattr("airflow_slurm_sweep.tasks.requests.XCom.get_one", lambda **_: None)
    with pytest.raises(SettingsError, match="The task 'plan' left no list of jobs: see its log"):
        asyncio.run(ready(task(0)))
    assert asked == ["plan of r"]
