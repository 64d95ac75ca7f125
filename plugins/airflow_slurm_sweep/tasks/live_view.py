"""Slurm's states of a Dag run's jobs for the page "Sweeps": one XCom for each triggerer that waits for jobs of the run.

Each request to Airflow waits for the triggerer's supervisor, which takes up to seconds under load. So one request
writes all jobs, and only when something has changed, or to show that the jobs are still watched.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any, NamedTuple

from airflow.sdk.bases.xcom import BaseXCom
from asgiref.sync import sync_to_async

from airflow_slurm_sweep.names import LIVE_KEY_PREFIX
from airflow_slurm_sweep.slurm.history import fitted
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.snapshot import CURVES, LARGEST, LiveJob, live_job, view
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.loop_resources import LoopResources, run_to_end, running
from airflow_slurm_sweep.tasks.orphans import Siblings
from airflow_slurm_sweep.tasks.stuck import Notifications, notify_stuck

_REWRITE = 30.0  # seconds until unchanged states are written again: the page calls states older than a minute old
_LOAD = 20  # the pause until the next request, in durations of the last request
_LONGEST_PAUSE = 120.0  # seconds

log = logging.getLogger(__name__)


class LivePart(NamedTuple):
    """What one task waits for: a job, whose metrics grow."""

    job_id: str
    metrics: MetricsReader


class LiveWriter:
    """Writes Slurm's states of the jobs that tasks of this event loop wait for, and their metrics."""

    def __init__(self, monitor: Monitor, siblings: Siblings) -> None:
        self.waiting: dict[int, LivePart] = {}  # by map index
        self.on_stuck: Notifications = ()  # notifications about jobs that will not start
        self._monitor, self._siblings = monitor, siblings
        self._stuck: set[str] = set()  # reasons that were notified of
        self._jobs: dict[int, tuple[str, LiveJob]] = {}
        # Where the XCom is; the first write adds a map index. No other triggerer has or had the same key.
        self._place: dict[str, Any] = {"dag_id": siblings.dag_id, "run_id": siblings.run_id, "task_id": siblings.wait}
        self._place["key"] = f"{LIVE_KEY_PREFIX}{token_hex(4)}"
        self._warned = False

    async def watch(self) -> None:
        """Write after the monitor's ticks, until cancelled."""
        written: Any = None
        next_write = next_rewrite = 0.0
        while True:
            queue = await self._monitor.tick()
            self._note(queue, time.time())
            self._notify()
            began = time.monotonic()
            if not self._jobs or began < next_write:
                continue
            news = dict(self._jobs), {index: dict(self.waiting[index].metrics.latest) for index in self._jobs}
            if news == written and began < next_rewrite:
                continue
            await wait_for_slot()
            if await self._write(news[0], time.time()):
                written = news
            now = time.monotonic()
            next_write = now + min(_LOAD * (now - began), _LONGEST_PAUSE)
            next_rewrite = now + _REWRITE

    def _note(self, queue: Mapping[str, JobStatus], at: float) -> None:
        before, self._jobs = self._jobs, {}
        for index, (job_id, _) in self.waiting.items():
            status = queue.get(job_id)
            if status is not None and not status.state.is_final:
                old_id, old = before.get(index, ("", None))
                self._jobs[index] = (job_id, live_job(status, at, old if old_id == job_id else None))

    def _notify(self) -> None:
        """Begin to notify of each new reason for which Slurm will not start jobs."""
        stuck = {job.reason: job_id for job_id, job in reversed(self._jobs.values()) if job.stuck}
        for reason in (stuck.keys() - self._stuck) if self.on_stuck else ():
            self._stuck.add(reason)
            run_to_end(notify_stuck(self._siblings, self.on_stuck, reason, stuck[reason]))

    async def _write(self, jobs: Mapping[int, tuple[str, LiveJob]], at: float) -> bool:
        self._place.setdefault("map_index", min(jobs))
        try:
            # Airflow's own backend: another one would keep an object each time, and the page reads the database.
            await sync_to_async(BaseXCom.set)(value=self._view(jobs, at), **self._place)
        except Exception as error:
            if not self._warned:
                log.warning('The page "Sweeps" does not get Slurm\'s states (%s); the jobs are not affected', error)
            self._warned = True
            return False
        return True

    def _view(self, jobs: Mapping[int, tuple[str, LiveJob]], at: float) -> dict[str, Any]:
        """Return the states, and the metrics for which there is room beside them."""
        states = view(jobs, at)
        live = {index: part.metrics for index, part in self.waiting.items() if index in jobs}
        histories = {index: (metrics.history, metrics.latest) for index, metrics in live.items()}
        return {**states, CURVES: fitted(histories, LARGEST - len(json.dumps(states)))}

    async def forget(self) -> None:
        """Delete the XCom, since no task waits here any more."""
        if "map_index" in self._place:
            try:
                await wait_for_slot()
                await sync_to_async(BaseXCom.delete)(**self._place)
            except Exception:  # its readers ignore it after a while
                log.debug("The XCom %s could not be deleted", self._place["key"], exc_info=True)


@asynccontextmanager
async def _writing(key: tuple[Monitor, Siblings]) -> AsyncIterator[LiveWriter]:
    writer = LiveWriter(*key)
    try:
        async with running(writer.watch()):
            yield writer
    finally:
        run_to_end(writer.forget())  # the task whose job has ended does not wait for it


_lives = LoopResources(_writing)


@asynccontextmanager
async def on_page(
    monitor: Monitor, siblings: Siblings | None, index: int | None, part: LivePart, on_stuck: Notifications
) -> AsyncIterator[None]:
    """Show the job of a map index on the page while its task waits for it; without siblings show nothing.

    ``on_stuck`` are the notifications to send if Slurm will not start the job.
    """
    if siblings is None or index is None:
        yield
        return
    async with _lives.use((monitor, siblings)) as writer:
        writer.waiting[index], writer.on_stuck = part, on_stuck
        try:
            yield
        finally:
            if writer.waiting.get(index) is part:
                del writer.waiting[index]
