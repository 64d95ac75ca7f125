"""Requests to Airflow from a coroutine of a trigger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.xcom import XCom
from asgiref.sync import sync_to_async

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.slurm.patience import PATIENCE, patiently
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot

Result = TypeVar("Result")


async def ask_airflow(call: Callable[..., Result], *args: Any, patience: float = PATIENCE, **named: Any) -> Result:
    """Return what a call returns that asks Airflow and blocks; call it again while the API server does not answer.

    Raises:
        ClusterUnavailableError: There was no answer for ``patience`` seconds.
    """

    async def ask() -> Result:
        try:
            # asgiref forgets the message of a cancel, by which Airflow tells what a user does from all else.
            return await asyncio.shield(asyncio.ensure_future(sync_to_async(call)(*args, **named)))
        except AirflowRuntimeError as error:
            if not _is_away(error):
                raise
            raise ClusterUnavailableError(f"Airflow does not answer: {error}") from None

    return await patiently(ask, patience, wait_for_slot)


def _is_away(error: AirflowRuntimeError) -> bool:
    """Return whether the API server may answer later: it has not, or not as one that understood the request."""
    status = (error.error.detail or {}).get("status_code")
    return error.error.error is ErrorType.API_SERVER_ERROR and (status in (None, 401, 403, 429) or status >= 500)


async def read_xcom(run: Any, task_id: str, key: str, map_index: int | None = -1, *, patience: float = PATIENCE) -> Any:
    """Return an XCom of a task in a Dag run, which has the ``dag_id`` and ``run_id``; None if there is none."""
    await wait_for_slot()  # the answer may be large
    return await ask_airflow(XCom.get_one, key=key, patience=patience, **_place(run, task_id, map_index))


async def set_xcom(task: Any, key: str, value: Any) -> None:
    """Set an XCom of a task instance."""
    await ask_airflow(XCom.set, key=key, value=value, **_place(task, task.task_id, task.map_index))


async def delete_xcoms(task: Any, *keys: str) -> None:
    """Delete XComs of a task instance, which an earlier try has left."""
    for key in keys:
        await ask_airflow(XCom.delete, key=key, **_place(task, task.task_id, task.map_index))


def _place(run: Any, task_id: str, map_index: int | None) -> dict[str, Any]:
    return {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": task_id, "map_index": map_index}
