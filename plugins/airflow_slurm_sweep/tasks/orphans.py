"""Cancels orphans: jobs whose task was marked while no trigger of the task ran.

If a task is marked failed between its submission and the moment when the triggerer takes up its trigger, Airflow drops
the trigger unseen, and nothing cancels the job. The task's siblings, the other combinations of the Dag run, watch for
such jobs together; the report looks once more.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError
from airflow_slurm_sweep.slurm.attempt import run_name, task_name
from airflow_slurm_sweep.slurm.client import Owner, SlurmClient
from airflow_slurm_sweep.tasks.cancel import CANCEL_PATIENCE, OVER, is_over, retry_cancelling, states_of
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.loop_resources import LoopResources, repeat, running
from airflow_slurm_sweep.tasks.requests import ask_airflow

INTERVAL = 10.0
_AT_ONCE = 50  # tasks that a look asks for, one by one
_NAMED = 20  # jobs that a line of the log names

log = logging.getLogger(__name__)


class Siblings(NamedTuple):
    """All instances of a mapped pair of tasks in one Dag run; ``folder`` is `JobRequest.shared_folder`."""

    installation: str
    dag_id: str
    run_id: str
    submit: str
    wait: str
    folder: str

    async def count_tasks(self, task_id: str, states: Sequence[str] | None = None) -> int:
        """Return the number of a task's instances: of those in one of ``states``, or of all."""
        place: dict[str, Any] = {"dag_id": self.dag_id, "task_ids": [task_id], "run_ids": [self.run_id]}
        asked = None if states is None else list(states)
        ask = RuntimeTaskInstance.get_ti_count
        return await ask_airflow(ask, states=asked, patience=CANCEL_PATIENCE, **place)

    async def run_is_over(self) -> bool:
        """Return whether each pair is finished or deleted: the run has ended, or somebody stopped it."""
        for task_id in (self.wait, self.submit):
            if await self.count_tasks(task_id, OVER) < await self.count_tasks(task_id):
                return False
        return True

    async def states(self, index: int | None = None) -> dict[str, Any]:
        """Return the states of both tasks at a map index; of all pairs in a worker only (`log_slots` says why)."""
        await wait_for_slot()
        return await ask_airflow(states_of, self, [self.submit, self.wait], index, patience=CANCEL_PATIENCE)

    def pair_is_over(self, states: Mapping[str, Any], index: int) -> bool:
        """Return whether the two tasks of a map index are finished or deleted."""
        return all(is_over(states, task, index) for task in (self.submit, self.wait))

    async def live_jobs(self, client: SlurmClient, known: dict[str, Owner] | None = None) -> dict[str, int]:
        """Return the map indices of the pairs' live jobs, by job id; ``known`` as in `SlurmClient.live_jobs`."""
        jobs = await client.live_jobs(run_name(self.installation, self.dag_id, self.run_id), self.folder, known)
        submitter = task_name(self.submit, 0)[:-1]  # the map index follows
        indices = ((job_id, task.removeprefix(submitter)) for job_id, task in jobs.items())
        return {job_id: int(index) for job_id, index in indices if index.isdecimal()}


def siblings_of(installation: str, task: Any, submit: str | None, wait: str | None, folder: str) -> Siblings | None:
    """Return the siblings of a task instance; None for one that is not mapped, or not one of a pair."""
    if submit is None or wait is None or task.map_index in (None, -1):
        return None
    return Siblings(installation, task.dag_id, task.run_id, submit, wait, folder)


async def cancel_orphans(client: SlurmClient, siblings: Siblings) -> None:
    """Cancel the live jobs of pairs that are over; in a worker."""
    jobs = await siblings.live_jobs(client)
    # Tasks are looked at after jobs: the other way round, a pair that is cleared in between would lose its new job.
    states = await siblings.states() if jobs else {}
    await _cancel(client, [job_id for job_id, index in jobs.items() if siblings.pair_is_over(states, index)])


async def _cancel(client: SlurmClient, job_ids: Sequence[str]) -> None:
    """Cancel orphans together; one after the other, thousands would take minutes."""
    if job_ids:
        ids = " ".join(job_ids[:_NAMED]) + (" …" if len(job_ids) > _NAMED else "")
        what = f"Job {ids}" if len(job_ids) == 1 else f"{len(job_ids)} jobs ({ids})"
        log.warning("%s: no task waits for it any more", what)
        await retry_cancelling(what, partial(client.cancel_found, job_ids), f"scancel {ids}")


class OrphanWatch:
    """Cancels the orphans of one mapped pair of tasks, in a triggerer."""

    def __init__(self, client: SlurmClient, siblings: Siblings) -> None:
        self.waiting: set[int] = set()  # map indices of the tasks that wait in this event loop
        self.ended: set[int] = set()  # map indices of the tasks here whose job has ended
        self._client, self._siblings = client, siblings
        self._counts: tuple[int, int] | None = None  # of finished tasks, at the last look at all candidates
        self._known: dict[str, Owner] = {}
        self._stopping = asyncio.Lock()
        self._looked_at = 0.0  # when `_cancel_stopped` last began
        self._is_stopped = False  # by what that look found
        self._cancelled: frozenset[str] = frozenset()  # jobs that were cancelled with the run

    async def look(self, *, last: bool = False) -> None:
        """Cancel the jobs of siblings that are over; ``last`` says that no task waits here any more."""
        try:
            # Two counts are cheap: while only tasks of this triggerer have finished, nothing else is asked. A task that
            # was cleared after its end, and is elsewhere now, hides one orphan until the report looks.
            others = await self._siblings.count_tasks(self._siblings.wait, OVER) - (0 if last else len(self.ended))
            counts = (others, await self._siblings.count_tasks(self._siblings.submit, OVER)) if others > 0 else None
            if counts and counts != self._counts and not await self._cancel_some():
                counts = None
            self._counts = counts
        except (ClusterUnavailableError, LoginRefusedError):
            pass  # the monitor logs it
        except Exception:
            log.exception("Cannot tell which tasks were marked; their jobs are looked for when the sweep ends")

    async def cancel_if_stopped(self) -> frozenset[str] | None:
        """Cancel all jobs of the Dag run if somebody stopped it; return the ids of those that were, None if nobody did.

        A thousand triggers may call this at once: one looks, and answers all that came before it began.
        """
        loop = asyncio.get_running_loop()
        came = loop.time()
        async with self._stopping:
            if self._looked_at <= came:
                self._looked_at = loop.time()
                self._is_stopped = await self._siblings.run_is_over() and await self._cancel_stopped()
            return self._cancelled if self._is_stopped else None

    async def _cancel_stopped(self) -> bool:
        jobs = await self._siblings.live_jobs(self._client)
        if not await self._siblings.run_is_over():  # a pair that is cleared in between has a new job
            return False
        if jobs:
            log.info("The Dag run was stopped: its %d jobs are cancelled", len(jobs))
            await self._client.cancel_found(list(jobs))
            self._cancelled |= frozenset(jobs)
        return True

    async def _cancel_some(self) -> bool:
        """Cancel what is over among some of the live jobs; return whether no other job had to be looked at."""
        jobs = await self._siblings.live_jobs(self._client, self._known)
        candidates = [(job_id, index) for job_id, index in jobs.items() if index not in self.waiting]
        some = random.sample(candidates, min(len(candidates), _AT_ONCE))
        states = [(job_id, index, await self._siblings.states(index)) for job_id, index in some]
        await _cancel(
            self._client, [job_id for job_id, index, each in states if self._siblings.pair_is_over(each, index)]
        )
        return len(some) == len(candidates)


@asynccontextmanager
async def _watching(key: tuple[SlurmClient, Siblings]) -> AsyncIterator[OrphanWatch]:
    watch = OrphanWatch(*key)
    async with running(repeat(watch.look, INTERVAL)):
        yield watch


_watches = LoopResources(_watching)


async def cancelled_with_run(client: SlurmClient, siblings: Siblings) -> frozenset[str] | None:
    """Cancel all jobs of a Dag run if somebody stopped it; return their ids, None if nobody did."""
    async with _watches.use((client, siblings)) as watch:
        return await watch.cancel_if_stopped()


@asynccontextmanager
async def watch_orphans(client: SlurmClient, siblings: Siblings | None, index: int | None) -> AsyncIterator[None]:
    """Watch for orphans among the siblings of a task instance, once for all of them in this event loop.

    Args:
        client: The cluster.
        siblings: None watches nothing.
        index: The map index of a task that waits for its job; None for a task that submits. If the block ends without
            an error, that job has ended.
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
