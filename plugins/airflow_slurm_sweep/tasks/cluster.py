"""One session per cluster and event loop: a connection, a monitor, and batched questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from airflow_slurm_sweep.errors import AloneError
from airflow_slurm_sweep.slurm.arrays.submitter import ArraySubmitter
from airflow_slurm_sweep.slurm.batching import Batcher
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.log_follower import LogFollower
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.slurm.results import Results
from airflow_slurm_sweep.slurm.submit.record import Record
from airflow_slurm_sweep.slurm.submit.script import Submission
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.loop_resources import LoopResources
from airflow_slurm_sweep.tasks.ssh import SshShell

Result = TypeVar("Result")

LULL = 3.0  # seconds; a triggerer takes up a hundred tasks each second or two
LULL_AT_MOST = 60.0
LINGER = 20.0  # seconds for which an unused connection stays open: a run's next tasks are about to come

# In one script: a submission takes some 20 ms there, and one in trouble delays the next ones.
_SUBMISSIONS = 25
_SUBMITTING = 2  # scripts at the same time: the other channels are for squeue and scancel
_RECORDS = 500
_RESULTS = 100  # two programs start for each there, and an answer may be two MiB
# Airflow starts a thousand triggers in some twenty seconds: an array waits for those still to come.
_IN_ARRAYS = 5000
_LONGEST = 60.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterSession:
    """One cluster, for all tasks of an event loop.

    Attributes:
        client: Single questions.
        monitor: Waits for jobs.
        follower: Shows the logs of jobs that run.
        submissions: Batches of `SlurmClient.submit_all`.
        arrays: Likewise for elements of arrays; waits for more of them to come.
        records: Batches of `SlurmClient.recorded_jobs`.
        results: Batches of `SlurmClient.results`.
        patience: Seconds for which `retry_until_answered` asks.
    """

    client: SlurmClient
    monitor: Monitor
    follower: LogFollower
    submissions: Batcher[Submission, SubmittedJob]
    arrays: Batcher[Submission, SubmittedJob]
    records: Batcher[str, Record | None]
    results: Batcher[SubmittedJob, Results]
    patience: float

    async def submit(self, job: JobRequest, attempt: Attempt) -> SubmittedJob:
        """Submit a job, in a batch with others, as soon as the cluster takes it; see `SlurmClient.submit`."""
        batcher = self.arrays if job.array else self.submissions

        async def ask() -> SubmittedJob:
            nonlocal batcher
            try:
                return await batcher((job, attempt))
            except AloneError:
                batcher = self.submissions
                raise

        return await self.retry_until_answered(ask)

    async def wait_for_lull(self) -> None:
        """Wait until no other submission is about to come, for `LULL_AT_MOST` seconds at most.

        Each end of a task keeps Airflow busy for longer than a submission takes; submissions come first.
        """
        await self.submissions.lull(LULL, LULL_AT_MOST)
        await self.arrays.lull(LULL, LULL_AT_MOST)

    async def retry_until_answered(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Return the answer of ``ask``; see `patiently`."""
        return await patiently(ask, self.patience, wait_for_slot)


@asynccontextmanager
async def _open(ssh_conn_id: str) -> AsyncIterator[ClusterSession]:
    async with SshShell(ssh_conn_id) as shell:
        client = SlurmClient(shell, shell.metrics)
        # In a thread: the first time, Airflow reads all its files of settings.
        interval, patience = await asyncio.to_thread(lambda: (configuration.interval(), configuration.patience()))
        yield ClusterSession(
            client=client,
            monitor=Monitor(client, interval=interval, patience=patience, wait_for_slot=wait_for_slot),
            follower=LogFollower(client, interval=interval, wait_for_slot=wait_for_slot),
            submissions=Batcher(client.submit_all, at_once=_SUBMISSIONS, in_parallel=_SUBMITTING),
            arrays=Batcher(ArraySubmitter(client).submit_all, at_once=_IN_ARRAYS, quiet=LULL, longest=_LONGEST),
            patience=patience,
            records=Batcher(client.recorded_jobs, at_once=_RECORDS),
            results=Batcher(client.results, at_once=_RESULTS),
        )


cluster_session = LoopResources(_open, linger=LINGER).use
