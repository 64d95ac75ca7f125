"""Requests to Airflow from a trigger: what ends them, and what does not."""

from __future__ import annotations

import asyncio
import time

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.slurm import patience
from airflow_slurm_sweep.tasks.requests import ask_airflow


def no_answer(kind: ErrorType = ErrorType.API_SERVER_ERROR) -> AirflowRuntimeError:
    return AirflowRuntimeError(ErrorResponse(error=kind, detail={"status_code": 500}))


def test_a_request_waits_for_an_api_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)
    answers: list[str | Exception] = [no_answer(), no_answer(), "an answer"]

    def call(*, key: str) -> str:
        assert key == "k"
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    assert asyncio.run(ask_airflow(call, key="k")) == "an answer"
    answers[:] = [no_answer()] * 100
    with pytest.raises(ClusterUnavailableError, match=r"Airflow does not answer: API_SERVER_ERROR"):
        asyncio.run(ask_airflow(call, key="k", patience=0.05))
    answers[:] = [no_answer(ErrorType.PERMISSION_DENIED)]
    with pytest.raises(AirflowRuntimeError, match="PERMISSION_DENIED"):
        asyncio.run(ask_airflow(call, key="k"))


def test_a_cancel_keeps_its_message_while_airflow_is_asked() -> None:
    """By it Airflow's triggerer knows that a user ended the task, and calls ``on_kill``."""

    async def run() -> None:
        task = asyncio.create_task(ask_airflow(time.sleep, 0.3))
        await asyncio.sleep(0.1)
        task.cancel("a user's action")
        with pytest.raises(asyncio.CancelledError) as error:
            await task
        assert error.value.args == ("a user's action",)

    asyncio.run(run())
