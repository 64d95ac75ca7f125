"""Waiting for a job without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from slurm_sweep.errors import SlurmSweepError
from slurm_sweep.slurm.job import SubmittedJob
from slurm_sweep.tasks.ssh import monitor

HOLD_BACK = 10.0


class SlurmJobTrigger(BaseTrigger):
    """Fires when a job has ended, with its status and, unless it succeeded, the end of its log.

    The event never comes in the first `HOLD_BACK` seconds: one that follows the deferral at once can meet the
    scheduler before the worker's own end does, and the scheduler then fails the task (apache/airflow issue 71580).

    Args:
        job: A `SubmittedJob` as JSON.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.job = job

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"job": self.job}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event, ``{"status": ..., "log_tail": ...}`` or ``{"error": ...}``."""
        began = time.monotonic()
        try:
            event = await self._wait(SubmittedJob.from_json(self.job))
        except SlurmSweepError as error:
            event = {"error": str(error)}
        await asyncio.sleep(max(0.0, HOLD_BACK - (time.monotonic() - began)))
        yield TriggerEvent(event)

    async def _wait(self, job: SubmittedJob) -> dict[str, Any]:
        async with monitor(job.ssh_conn_id) as (client, shared):
            status = await shared.wait(job)
            log_tail = await client.failure_log(job, status)
        return {"status": status.to_json(), "log_tail": log_tail}
