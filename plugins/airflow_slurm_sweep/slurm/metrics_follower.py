"""The metrics of running jobs as they are written: one question a tick for all jobs of a cluster."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.monitor import Monitor

AT_ONCE = 1000  # jobs in one question
_LOAD = 5  # the pause until the next question is never shorter than this many times what the last one took

log = logging.getLogger(__name__)


class MetricsFollower:
    """Reads the metrics of one cluster's running jobs after the monitor's ticks; lives in one event loop.

    Jobs take turns where there are more than `AT_ONCE`, or more news than an answer has room for.
    """

    def __init__(self, client: SlurmClient, monitor: Monitor) -> None:
        self._client, self._monitor = client, monitor
        self._readers: dict[str, tuple[str, MetricsReader]] = {}  # by run directory, with the job's id
        self._task: asyncio.Task[None] | None = None
        self._has_warned = False

    def reader(self, job: SubmittedJob) -> MetricsReader:
        """Return the reader that follows a job's metrics, or a new one if nobody follows the job."""
        _, reader = self._readers.get(job.run_dir, ("", None))
        return reader or MetricsReader(job)

    @asynccontextmanager
    async def following(self, job: SubmittedJob) -> AsyncIterator[MetricsReader]:
        """Give the job's metrics, which grow while the job runs. This raises nothing of its own."""
        reader = MetricsReader(job)
        self._readers[job.run_dir] = job.job_id, reader
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            yield reader
        finally:
            if self._readers.get(job.run_dir, ("", None))[1] is reader:
                del self._readers[job.run_dir]
            if not self._readers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _watch(self) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(_LOAD * took)
            queue = await self._monitor.tick()
            began = time.monotonic()
            running = {
                run_dir: reader
                for run_dir, (job_id, reader) in self._readers.items()
                if job_id in queue and queue[job_id].pending is None
            }
            asked = dict(list(running.items())[:AT_ONCE])
            try:
                read = await self._client.read_metrics(list(asked.values())) if asked else []
                self._has_warned = False
            except Exception as error:  # metrics are no reason to fail a task, and are read again when the job ends
                if not self._has_warned:
                    log.warning("The metrics of running jobs cannot be read now, trying again: %s", error)
                self._has_warned = True
                continue
            finally:
                took = time.monotonic() - began
            for run_dir, is_read in zip(asked, read, strict=True):
                if is_read and run_dir in self._readers:  # those with more to read come first in the next question
                    self._readers[run_dir] = self._readers.pop(run_dir)
