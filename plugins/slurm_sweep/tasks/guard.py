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
from typing import Any, NamedTuple

from airflow.sdk.execution_time.xcom import XCom
from asgiref.sync import sync_to_async

from slurm_sweep.errors import ClusterUnavailableError
from slurm_sweep.slurm.client import SlurmClient
from slurm_sweep.slurm.job import SubmittedJob
from slurm_sweep.tasks.cancel import cancel_job, is_over, states_of
from slurm_sweep.tasks.shared import Shared

INTERVAL = 10.0

log = logging.getLogger(__name__)


class _Siblings(NamedTuple):
    """All instances of a mapped task in one Dag run, whose jobs those of another task submitted."""

    client: SlurmClient
    dag_id: str
    run_id: str
    task_id: str
    submitted_by: str


class _Guard:
    def __init__(self, siblings: _Siblings) -> None:
        self.waiting: set[int] = set()  # map indices of those that wait in this event loop
        self.ended: set[int] = set()  # and of those that saw their job end
        self._siblings = siblings
        self._seen: set[int] = set()

    async def watch(self) -> None:
        """Look for ever."""
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
        name = self._siblings.task_id
        states = await sync_to_async(states_of)(self._siblings, [name])
        indices = {int(key.rpartition("_")[2]) for key in states if key.removeprefix(f"{name}_").isdecimal()}
        over = {index for index in indices if is_over(states, name, index)}
        self._seen &= over  # one that was cleared comes back
        new = over - self._seen - self.ended
        if jobs := [job for index in new if (job := await self._job(index))]:
            await self._cancel_live(jobs)
        self._seen |= new

    async def _cancel_live(self, jobs: Sequence[SubmittedJob]) -> None:
        live = {job_id for job_id, status in (await self._siblings.client.queue()).items() if not status.state.is_final}
        for job in jobs:
            if job.job_id in live:
                log.warning("Job %s runs, and its task is over", job.job_id)
                await cancel_job(self._siblings.client, job)

    async def _job(self, index: int) -> SubmittedJob | None:
        siblings = self._siblings
        job = await sync_to_async(XCom.get_one)(
            key="return_value",
            dag_id=siblings.dag_id,
            run_id=siblings.run_id,
            task_id=siblings.submitted_by,
            map_index=index,
        )
        return SubmittedJob.from_json(job) if job else None


@asynccontextmanager
async def _watching(siblings: _Siblings) -> AsyncIterator[_Guard]:
    guard = _Guard(siblings)
    work = asyncio.create_task(guard.watch())
    try:
        yield guard
    finally:
        work.cancel()


_guards = Shared(_watching)


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
    async with _guards.use(_Siblings(client, task.dag_id, task.run_id, task.task_id, submitted_by)) as own:
        own.ended.discard(task.map_index)
        own.waiting.add(task.map_index)
        try:
            yield
            own.ended.add(task.map_index)
            if own.waiting == {task.map_index}:
                await own.look()  # the last one: for what was marked since, nobody looks before the sweep's report
        finally:
            own.waiting.discard(task.map_index)
