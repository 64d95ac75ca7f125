"""The plan of a Dag run in a triggerer: read once for all tasks of the run that start there.

Each request to Airflow takes its triggerer some 50 ms, in which it does nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.xcom import XCom
from asgiref.sync import sync_to_async

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import SCRIPT_KEY
from airflow_slurm_sweep.planned import planned_job
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks.log_slots import turn
from airflow_slurm_sweep.tasks.loop_resources import Shared
from airflow_slurm_sweep.tasks.secrets import with_secrets

LINGER = 60.0  # seconds between two tasks of a run


class _Key(NamedTuple):
    dag_id: str
    run_id: str
    task_id: str
    clear_number: int  # Airflow counts each clear in a Dag run: the plan may be another one after it


class Plan:
    """What a Dag run's tasks submit, by map index.

    Args:
        requests: A `JobRequest` as JSON for each.
        script: The batch script of those that name none.
    """

    def __init__(self, requests: list[dict[str, Any]], script: str | None) -> None:
        self._requests = requests
        self._script = script
        self._secrets: dict[str, str] = {}
        self._asking = asyncio.Lock()

    def request(self, map_index: int) -> JobRequest:
        """Return one of them.

        Raises:
            SettingsError: There is none, or it is no job.
        """
        job = planned_job(self._requests, map_index)
        if job is None:
            raise SettingsError(f"The plan has {len(self._requests)} jobs, and none for the map index {map_index}")
        try:
            return JobRequest.from_json(job).with_script(self._script)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"job: {error}") from None

    async def with_secrets(self, request: JobRequest) -> JobRequest:
        """Return one of them, ready to be submitted; see there. Airflow is asked for each secret once."""
        if self._secrets.keys() >= set(request.secrets.values()):
            return with_secrets(request, self._secrets)
        async with self._asking:
            return await sync_to_async(with_secrets)(request, self._secrets)


@asynccontextmanager
async def _read(key: _Key) -> AsyncIterator[Plan]:
    async def xcom(name: str) -> Any:
        await turn()  # the answer may be large
        of_the_task = {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id}
        return await sync_to_async(XCom.get_one)(key=name, **of_the_task)

    requests = await xcom(BaseXCom.XCOM_RETURN_KEY)
    if not isinstance(requests, list):
        raise SettingsError(f"There is no plan: see the log of the task {key.task_id!r}")
    yield Plan(requests, await xcom(SCRIPT_KEY))


_plans = Shared(_read, linger=LINGER)


def plan_of(task: Any, plan_task_id: str) -> AbstractAsyncContextManager[Plan]:
    """Give the plan that a task instance belongs to.

    Args:
        task: The task instance, as a trigger has it that started its task.
        plan_task_id: The task that returned the plan.
    """
    run = task._ti_context_from_server.dag_run
    return _plans.use(_Key(task.dag_id, task.run_id, plan_task_id, run.clear_number or 0))
