"""Cancelling for tasks that were marked when no trigger of theirs ran.

A task that is marked failed between its submission and the moment when the triggerer takes up its trigger leaves a job
without anybody to cancel it: Airflow drops the trigger unseen. The triggers of its siblings, the other instances of
the same mapped task, see to it: one look a while at all of them together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from airflow.sdk.execution_time.xcom import XCom
from asgiref.sync import sync_to_async

from slurm_sweep.errors import ClusterUnavailableError
from slurm_sweep.slurm.client import SlurmClient
from slurm_sweep.slurm.job import SubmittedJob
from slurm_sweep.tasks.cancel import cancel_job, is_over, states_of

INTERVAL = 10.0

log = logging.getLogger(__name__)

_guards: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], _Guard]] = WeakKeyDictionary()


class _Guard:
    def __init__(self, client: SlurmClient, task: Any, submitted_by: str) -> None:
        self.users = 0
        self.ended: set[int] = set()  # map indices of those that saw their job end
        self.work = asyncio.create_task(self._watch())
        self._client, self._task, self._submitted_by = client, task, submitted_by
        self._seen: set[int] = set()

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Cancel the jobs of siblings that are over."""
        try:
            await self._look()
        except ClusterUnavailableError:
            pass  # the monitor tells of it
        except Exception:
            log.exception("Cannot tell which tasks were marked; their jobs are looked for when the sweep ends")

    async def _look(self) -> None:
        name = self._task.task_id
        states = await sync_to_async(states_of)(self._task, [name])
        indices = {int(key.rpartition("_")[2]) for key in states if key.removeprefix(f"{name}_").isdecimal()}
        over = {index for index in indices if is_over(states, name, index)}
        self._seen &= over  # one that was cleared comes back
        new = over - self._seen - self.ended
        if jobs := [job for index in new if (job := await self._job(index))]:
            await self._cancel_live(jobs)
        self._seen |= new

    async def _cancel_live(self, jobs: Sequence[SubmittedJob]) -> None:
        live = {job_id for job_id, status in (await self._client.queue()).items() if not status.state.is_final}
        for job in jobs:
            if job.job_id in live:
                log.warning("Job %s runs, and its task is over", job.job_id)
                await cancel_job(self._client, job)

    async def _job(self, index: int) -> SubmittedJob | None:
        task = self._task
        job = await sync_to_async(XCom.get_one)(
            key="return_value", dag_id=task.dag_id, run_id=task.run_id, task_id=self._submitted_by, map_index=index
        )
        return SubmittedJob.from_json(job) if job else None


@asynccontextmanager
async def guard(client: SlurmClient, task: Any, submitted_by: str | None) -> AsyncIterator[None]:
    """Watch over the siblings of a task instance, once for all of them in this event loop.

    Args:
        client: The cluster.
        task: The task instance; nothing is watched for one that is not mapped.
        submitted_by: The task whose instances gave their jobs to those with the same map index.
    """
    if submitted_by is None or task is None or task.map_index in (None, -1):
        yield
        return
    guards = _guards.setdefault(asyncio.get_running_loop(), {})
    key = (task.dag_id, task.run_id, task.task_id)
    if key not in guards:
        guards[key] = _Guard(client, task, submitted_by)
    own = guards[key]
    own.users += 1
    own.ended.discard(task.map_index)
    try:
        yield
        own.ended.add(task.map_index)
        if own.users == 1:
            await own.look()  # the last one: for what was marked since, nobody looks before the sweep's report
    finally:
        own.users -= 1
        if own.users == 0:
            del guards[key]
            own.work.cancel()
