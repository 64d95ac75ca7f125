"""One plan for all triggers of a Dag run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks import secrets
from airflow_slurm_sweep.tasks.job_source import JobSource
from airflow_slurm_sweep.tasks.run_plan import run_plan

SOURCE = JobSource(task_id="plan", key="return_value", is_list=True)
JOBS = [
    JobRequest(
        ssh_conn_id="c", name=f"a_{n}", command="true", run_dir=f"/r/a_{n}", secrets={"KEY": "variable:key"}
    ).to_json()
    for n in range(3)
]


def task(index: int, clear_number: int = 0, run_id: str = "r") -> Any:
    context = SimpleNamespace(dag_run=SimpleNamespace(clear_number=clear_number))
    return SimpleNamespace(dag_id="d", run_id=run_id, map_index=index, _ti_context_from_server=context)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Airflow was asked for."""
    asked = []

    def get_one(**key: Any) -> list[dict[str, Any]] | str:
        if key["key"] in ("script", "consent"):
            return "#!/bin/sh\n" if key["key"] == "script" else ""
        asked.append(f"plan of {key['run_id']}")
        return JOBS

    def value(reference: str) -> str:
        asked.append(reference)
        return "s3cret"

    monkeypatch.setattr("airflow_slurm_sweep.tasks.run_plan.XCom.get_one", get_one)
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


def test_another_run_has_another_plan_and_so_has_one_that_was_cleared(asked: list[str]) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(
            *(ready(instance) for instance in (task(0), task(0, run_id="r2"), task(0, clear_number=1)))
        )

    asyncio.run(all_of_them())
    assert sorted(asked) == ["plan of r", "plan of r", "plan of r2", *["variable:key"] * 3]


def test_what_is_no_plan_is_told(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="The plan has 3 jobs, and none for the map index 7"):
        asyncio.run(ready(task(7)))
    monkeypatch.setattr("airflow_slurm_sweep.tasks.run_plan.XCom.get_one", lambda **_: None)
    with pytest.raises(SettingsError, match="There is no list of jobs: see the log of the task 'plan'"):
        asyncio.run(ready(task(0)))
    assert asked == ["plan of r"]
