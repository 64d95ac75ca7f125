"""One session per cluster and event loop: a connection, a monitor, and batched questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeAlias, TypeVar

from airflow_slurm_sweep.errors import AloneError, NotYetError
from airflow_slurm_sweep.slurm.arrays.submitter import ArraySubmitter
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.batching import Batcher
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.log_follower import LogFollower
from airflow_slurm_sweep.slurm.metrics_follower import MetricsFollower
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.slurm.results import Results
from airflow_slurm_sweep.slurm.run_client import RunClient
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.loop_resources import LoopResources
from airflow_slurm_sweep.tasks.ssh.shell import SshShell

Result = TypeVar("Result")
Resolve: TypeAlias = Callable[[JobRequest], Awaitable[JobRequest]]

LINGER = 20.0  # seconds for which an unused connection stays open: a run's next tasks are about to come

# In one script: a submission takes some 20 ms there, and one in trouble delays the next ones.
_SUBMISSIONS = 25
_SUBMITTING = 2  # scripts at the same time: the other channels are for squeue and scancel
_POLLING = 25  # tasks of a run: one of them asks about every second
_RECORDS = 500
_RESULTS = 100  # up to six programs start for each there
# Airflow starts a hundred triggers each second or two: an array waits for those still to come.
_IN_ARRAYS = 5000
_QUIET = 3.0
_LONGEST = 60.0


async def as_it_is(job: JobRequest) -> JobRequest:
    """Return the job: it has no secrets, or their values already."""
    return job


class ClusterSession:
    """One cluster, for all tasks of an event loop.

    Args:
        client: Asks single questions.
        interval: Seconds between two questions of the same kind.
        patience: Seconds for which a cluster that does not answer is asked again.
    """

    def __init__(self, client: SlurmClient, *, interval: float, patience: float) -> None:
        self.client, self.run = client, RunClient(client)
        self.monitor = Monitor(client, interval=interval, patience=patience, wait_for_slot=wait_for_slot)
        self.follower = LogFollower(client, interval=interval, wait_for_slot=wait_for_slot)
        self.submissions = Batcher(client.submit_all, at_once=_SUBMISSIONS, in_parallel=_SUBMITTING)
        arrays = ArraySubmitter(client)
        self.arrays = Batcher(arrays.submit_all, at_once=_IN_ARRAYS, quiet=_QUIET, longest=_LONGEST)
        self.records = Batcher(client.recorded_jobs, at_once=_RECORDS)
        self.metrics = MetricsFollower(client, self.monitor)
        self._results = Batcher(client.results, at_once=_RESULTS)
        self.traces = Batcher(client.traces, at_once=_RESULTS)
        self.hours = Batcher(client.hours, at_once=_RECORDS)
        self._patience = patience

    async def submit(
        self, job: JobRequest, attempt: Attempt, *, resolve: Resolve = as_it_is, even_if_refused: bool = False
    ) -> SubmittedJob:
        """Submit a job, in a batch with others, as soon as the cluster takes it; see `SlurmClient.submit`.

        Of the jobs of a Dag run that wait for a place under ``max_parallel_jobs``, `_POLLING` ask again and again, and
        the others wait for those. ``resolve`` gives the job its secrets each time; ``even_if_refused`` as in
        `patiently`.
        """
        batcher = self.arrays if job.array else self.submissions
        is_full = is_polling = False
        async with AsyncExitStack() as stack:

            async def ask() -> SubmittedJob:
                nonlocal batcher, is_full, is_polling
                if is_full and not is_polling:
                    await stack.enter_async_context(await stack.enter_async_context(_polling.use(attempt.run)))
                    is_polling = True
                try:
                    return await batcher((await resolve(job), attempt))
                except AloneError:
                    batcher = self.submissions
                    raise
                except NotYetError:
                    is_full = True
                    raise

            return await self.retry_until_answered(ask, even_if_refused=even_if_refused)

    async def results(self, job: SubmittedJob) -> Results:
        """Return what a job that has ended left: the last value of each metric, and their history."""
        return await self._results(self.metrics.reader(job))

    async def retry_until_answered(
        self, ask: Callable[[], Awaitable[Result]], *, even_if_refused: bool = False
    ) -> Result:
        """Return the answer of ``ask``; see `patiently`."""
        return await patiently(ask, self._patience, wait_for_slot, even_if_refused=even_if_refused)


@asynccontextmanager
async def _open(site: Site) -> AsyncIterator[ClusterSession]:
    async with _shells.use(site.ssh_conn_id) as shell:
        client = SlurmClient(shell, shell.metrics, site)
        # In a thread: the first time, Airflow reads all its files of settings.
        interval, patience = await asyncio.to_thread(lambda: (configuration.interval(), configuration.patience()))
        yield ClusterSession(client, interval=interval, patience=patience)


@asynccontextmanager
async def _poll(run: str) -> AsyncIterator[asyncio.Semaphore]:
    del run
    yield asyncio.Semaphore(_POLLING)


_polling = LoopResources(_poll)
_shells = LoopResources(SshShell)  # one connection for all clusters behind it
cluster_session = LoopResources(_open, linger=LINGER).use
