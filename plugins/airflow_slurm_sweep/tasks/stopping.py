"""Stops jobs early by the sweep's rule, `slurm.stopping`: the waiting tasks of a Dag run in this event loop together.

All that the rule goes by lies on the cluster, also what another triggerer saw: see slurm/rungs.py. A note is
written before a job is cancelled. It tells the job's end from a person's scancel, and if the triggerer dies in between,
the next one reads it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.slurm.attempt import run_name
from airflow_slurm_sweep.slurm.batching import Batcher
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.queue import has_name
from airflow_slurm_sweep.slurm.stopping import Asha, Rungs, Stop, asha
from airflow_slurm_sweep.slurm.submit.script import gate_folder
from airflow_slurm_sweep.tasks.cluster import ClusterSession
from airflow_slurm_sweep.tasks.loop_resources import LoopResources, running
from airflow_slurm_sweep.tasks.orphans import Siblings

_AT_ONCE = 500  # jobs whose new rungs one script takes
_OTHERS = 60.0  # seconds after which the rungs of all jobs are read again, though none here has climbed

log = logging.getLogger(__name__)


class Stopper:
    """Watches the jobs of one Dag run."""

    def __init__(self, cluster: ClusterSession, siblings: Siblings, rule: Asha) -> None:
        self.waiting: dict[int, tuple[SubmittedJob, MetricsReader]] = {}  # by the combination's number
        self._cluster, self._rule = cluster, rule
        self._gate = gate_folder(siblings.folder, run_name(siblings.installation, siblings.dag_id, siblings.run_id))
        self._climb = Batcher(self._ask, at_once=_AT_ONCE)
        self._rungs: Mapping[int, Rungs] = {}
        self._looked_at = 0.0
        self._fault = ""
        self._asked: set[str] = set()  # jobs whose notes were read
        self._due: dict[str, Stop | None] = {}  # jobs to stop, by their ids; None where the note is written already
        self._stopped: set[str] = set()

    async def watch(self) -> None:
        """Look after the monitor's ticks, until cancelled."""
        has_warned = False
        while True:
            queue = await self._cluster.monitor.tick()
            waiting = list(self.waiting.values())
            news = [each for each in waiting if self._has_news(*each)]
            if not news and self._looked_at < time.monotonic() - _OTHERS:  # what do other triggerers see?
                news = waiting[:1]
            try:
                await asyncio.gather(*map(self._climb, news))
                await self._stop([job for job, _ in waiting if _lives(job, queue.get(job.job_id))])
                has_warned = False
            except SlurmSweepError as error:
                if not has_warned:
                    log.warning("No job is stopped early for now: %s", error)
                has_warned = True

    async def leave(self, job: SubmittedJob, reader: MetricsReader) -> None:
        """Tell the run what a job that has ended had reached, if that is new."""
        if self._has_news(job, reader):
            await self._cluster.retry_until_answered(lambda: self._climb((job, reader)), even_if_refused=True)

    def _has_news(self, job: SubmittedJob, reader: MetricsReader) -> bool:
        known = self._rungs.get(job.index or 0, {})
        return bool(reader.rungs) and (job.job_id not in self._asked or not reader.rungs.keys() <= known.keys())

    async def _ask(self, jobs: Sequence[tuple[SubmittedJob, MetricsReader]]) -> list[None]:
        """Write new rungs, read those of all jobs, and judge the jobs that are waited for."""
        answer = await self._cluster.run.climb(self._gate, [(job, dict(reader.rungs)) for job, reader in jobs])
        self._rungs, self._looked_at = answer.rungs, time.monotonic()
        if answer.fault and answer.fault != self._fault:
            log.warning("No job is stopped early for now: %s", answer.fault)
        self._fault = answer.fault
        # What could not be carried out is judged again: the job may be better by now, or safe.
        self._due = {job_id: stop for job_id, stop in self._due.items() if stop is None}
        for job, _ in jobs:
            self._asked.add(job.job_id)
            note = answer.stops.get(job.index or 0)
            if note and note.job_id == job.job_id:
                self._due.setdefault(job.job_id, None)
        # Of a job that has written nothing yet, the rungs may be an earlier attempt's.
        own = [index for index, (job, reader) in self.waiting.items() if reader.rungs and job.job_id in self._asked]
        for index, stop in self._rule.stops(self._rungs, own).items():
            self._due.setdefault(self.waiting[index][0].job_id, stop)
        return [None] * len(jobs)

    async def _stop(self, live: Sequence[SubmittedJob]) -> None:
        jobs = [job for job in live if job.job_id in self._due and job.job_id not in self._stopped]
        if not jobs:
            return
        noted = {job.job_id for job in jobs if self._due[job.job_id] is None}
        if new := [(job, stop) for job in jobs if (stop := self._due[job.job_id])]:
            noted |= await self._cluster.run.leave_stops(new)
        await self._cluster.client.cancel_found([job.job_id for job in jobs if job.job_id in noted])
        self._stopped |= noted


def _lives(job: SubmittedJob, status: JobStatus | None) -> bool:
    return status is not None and not status.state.is_final and has_name(job, status)


@asynccontextmanager
async def _watching(key: tuple[ClusterSession, Siblings, Asha]) -> AsyncIterator[Stopper]:
    stopper = Stopper(*key)
    async with running(stopper.watch()):
        yield stopper


_stoppers = LoopResources(_watching)


def stopping(
    cluster: ClusterSession, siblings: Siblings | None, job: SubmittedJob, reader: MetricsReader
) -> AbstractAsyncContextManager[Stopper | None]:
    """Let the rule stop a job while it runs; give None where no rule holds, or the task has no siblings."""
    rule = asha(job.stop)
    if rule is None or siblings is None or job.index is None:
        return nullcontext()
    return _stopping((cluster, siblings, rule), job.index, job, reader)


@asynccontextmanager
async def _stopping(
    key: tuple[ClusterSession, Siblings, Asha], index: int, job: SubmittedJob, reader: MetricsReader
) -> AsyncIterator[Stopper]:
    async with _stoppers.use(key) as stopper:
        stopper.waiting[index] = job, reader
        try:
            yield stopper
        finally:
            if stopper.waiting.get(index, (job, None))[1] is reader:  # not of a cleared task that is back
                del stopper.waiting[index]
