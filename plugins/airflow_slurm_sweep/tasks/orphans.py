"""Cancels orphans: jobs whose task was marked while no trigger of the task ran.

If a task is marked failed between its submission and the moment when the triggerer takes up its trigger, Airflow drops
the trigger unseen, and nothing cancels the job. The task's siblings, the other combinations of the Dag run, watch for
such jobs together; the report looks once more.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.slurm.client import Owner, SlurmClient
from airflow_slurm_sweep.slurm.job import run_name, task_name
from airflow_slurm_sweep.tasks.background import running
from airflow_slurm_sweep.tasks.cancel import count_over, insist, is_over, states_of
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.loop_resources import LoopResources

INTERVAL = 10.0
_LOAD = 20  # a look is never sooner than this many times what the last one took
_AT_ONCE = 50  # tasks that a look asks for, one by one

log = logging.getLogger(__name__)


class Siblings(NamedTuple):
    """All instances of a mapped pair of tasks in one Dag run; the run directories of their jobs lie in ``folder``."""

    dag_id: str
    run_id: str
    submit: str
    wait: str
    folder: str

    async def count_over(self, task_id: str) -> int:
        """Ask Airflow how many instances of one of the two tasks are finished."""
        return await sync_to_async(count_over)(self, task_id)

    async def over(self, among: Collection[int]) -> set[int]:
        """Ask Airflow for those of the map indices whose pairs will do nothing any more, or are deleted.

        The answer holds the states of all pairs: not in a triggerer, which may hang with large ones; see log_slots.py.
        """
        tasks = [self.submit, self.wait]
        states = await sync_to_async(states_of)(self, tasks)
        return {index for index in among if all(is_over(states, task, index) for task in tasks)}

    async def is_over(self, index: int) -> bool:
        """Ask Airflow for one."""
        tasks = [self.submit, self.wait]
        await wait_for_slot()
        states = await sync_to_async(states_of)(self, tasks, index)
        return all(is_over(states, task, index) for task in tasks)

    def indices(self, jobs: Mapping[str, str]) -> dict[str, int]:
        """Return the map indices of the jobs, given as `SlurmClient.live_jobs` does, that ``submit`` submitted."""
        name = task_name(self.submit, 0)[:-1]
        return {job_id: int(index) for job_id, task in jobs.items() if (index := task.removeprefix(name)).isdecimal()}


def siblings_of(task: Any, submit: str | None, wait: str | None, run_dir: str) -> Siblings | None:
    """Return the siblings of a task instance; None for one that is not mapped, or not one of a pair."""
    if submit is None or wait is None or task.map_index in (None, -1):
        return None
    return Siblings(task.dag_id, task.run_id, submit, wait, run_dir.rpartition("/")[0])


async def cancel_abandoned(client: SlurmClient, pairs: Siblings) -> None:
    """Cancel the live jobs of pairs that are over; in a worker."""
    live = await client.live_jobs(run_name(pairs.dag_id, pairs.run_id), pairs.folder)
    jobs = pairs.indices(live)
    if not jobs:
        return
    # In this order: asked before, a pair that is cleared meanwhile would lose its new job.
    over = await pairs.over(among=jobs.values())
    for job_id in [job_id for job_id, index in jobs.items() if index in over]:
        await _cancel(client, job_id)


async def _cancel(client: SlurmClient, job_id: str) -> None:
    log.warning("Job %s runs, and no task waits for it any more", job_id)
    await insist(f"Job {job_id}", partial(client.cancel, job_id), f"scancel {job_id}")


class OrphanWatch:
    """Cancels the orphans of one mapped pair of tasks, in a triggerer."""

    def __init__(self, client: SlurmClient, pairs: Siblings) -> None:
        self.waiting: set[int] = set()  # map indices of those that wait in this event loop
        self.ended: set[int] = set()  # and of those that saw their job end
        self._client, self._pairs = client, pairs
        self._told: tuple[int, int] | None = None  # of how many that are over the last look knew
        self._known: dict[str, Owner] = {}

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            began = time.monotonic()
            await self.look()
            await asyncio.sleep(max(INTERVAL, _LOAD * (time.monotonic() - began)))

    async def look(self, *, last: bool = False) -> None:
        """Cancel the jobs of siblings that are over; ``last``: nobody waits here any more."""
        try:
            # Numbers first: they are all that is asked for while everybody here only waits and ends. Airflow learns of
            # those who ended here a little later.
            others = await self._pairs.count_over(self._pairs.wait) - (0 if last else len(self.ended))
            told = (others, await self._pairs.count_over(self._pairs.submit)) if others > 0 else None
            if told and told != self._told and not await self._cancel_abandoned():
                told = None
            self._told = told
        except ClusterUnavailableError:
            pass  # the monitor tells of it
        except Exception:
            log.exception("Cannot tell which tasks were marked; their jobs are looked for when the sweep ends")

    async def _cancel_abandoned(self) -> bool:
        """Return whether that were all: with other triggerers, thousands of jobs may be theirs."""
        live = await self._client.live_jobs(
            run_name(self._pairs.dag_id, self._pairs.run_id), self._pairs.folder, self._known
        )
        jobs = [pair for pair in self._pairs.indices(live).items() if pair[1] not in self.waiting]
        some = random.sample(jobs, min(len(jobs), _AT_ONCE))
        for job_id, index in some:
            if await self._pairs.is_over(index):
                await _cancel(self._client, job_id)
        return len(some) == len(jobs)


@asynccontextmanager
async def _watching(key: tuple[SlurmClient, Siblings]) -> AsyncIterator[OrphanWatch]:
    watch = OrphanWatch(*key)
    async with running(watch.watch()):
        yield watch


_watches = LoopResources(_watching)


@asynccontextmanager
async def watch_orphans(client: SlurmClient, siblings: Siblings | None, index: int | None) -> AsyncIterator[None]:
    """Watch for orphans among the siblings of a task instance, once for all of them in this event loop.

    Args:
        client: The cluster.
        siblings: The siblings; None watches nothing.
        index: The map index of an instance that waits for its job, or None. If the block ends without an error, the job
            has ended.
    """
    if siblings is None:
        yield
        return
    async with _watches.use((client, siblings)) as watch:
        if index is None:
            yield
            return
        watch.ended.discard(index)
        watch.waiting.add(index)
        try:
            yield
            watch.ended.add(index)
            if watch.waiting == {index}:
                await watch.look(last=True)  # nothing looks for later orphans before the report
        finally:
            watch.waiting.discard(index)
