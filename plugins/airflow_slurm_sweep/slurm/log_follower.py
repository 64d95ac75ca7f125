"""The new lines of running jobs' logs, in the logs of the tasks that wait: one question a tick for all of a cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import lines_of
from airflow_slurm_sweep.slurm.monitor import INTERVAL
from airflow_slurm_sweep.slurm.patience import WaitForSlot, no_wait

AT_ONCE = 100  # jobs in one question: each costs the login node up to four processes
_GATHER = 0.2  # seconds: logs of jobs that end together are read together
_BURST = 20  # lines, or
_BURST_SIZE = 8 * 1024  # characters after which the next slot of the task's log is waited for

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Reader:
    job: SubmittedJob
    context: Context  # of the task that waits: Airflow sorts log lines into the tasks' logs by it
    offset: int = 0
    has_ended: bool = False
    is_read: asyncio.Event = field(default_factory=asyncio.Event)  # the job has ended, and all of its log is read


class LogFollower:
    """Follows the logs of one cluster's jobs; lives in one event loop and asks only while a task follows.

    Jobs take turns: at most `AT_ONCE` of them in a question, first those that were not answered.

    Args:
        client: The cluster.
        interval: Seconds between two questions.
        wait_for_slot: Awaited before each burst of lines.
    """

    def __init__(
        self, client: SlurmClient, *, interval: float = INTERVAL, wait_for_slot: WaitForSlot = no_wait
    ) -> None:
        self._client = client
        self._interval = interval
        self._wait_for_slot = wait_for_slot
        self._readers: dict[_Reader, None] = {}  # ordered: the log that was read last comes last
        self._task: asyncio.Task[None] | None = None
        self._one_ended = asyncio.Event()
        self._has_warned = False

    @asynccontextmanager
    async def following(self, job: SubmittedJob) -> AsyncIterator[None]:
        """Log the job's new lines inside the block, and the rest at its end, if the job has ``stream_log``.

        This raises nothing of its own: a log that cannot be read is a warning.
        """
        if not job.stream_log:
            yield
            return
        reader = _Reader(job=job, context=copy_context())
        self._readers[reader] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow())
        try:
            yield
            reader.has_ended = True
            self._one_ended.set()
            await reader.is_read.wait()
        finally:
            del self._readers[reader]
            if not self._readers:
                self._task.cancel()
                self._task = None

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_GATHER)
            await self._read([reader for reader in self._readers if not reader.has_ended])
            end = loop.time() + self._interval
            while (left := end - loop.time()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._one_ended.wait(), left)
                    await asyncio.sleep(_GATHER)
                self._one_ended.clear()
                while ended := [reader for reader in self._readers if reader.has_ended and not reader.is_read.is_set()]:
                    await self._read(ended)

    async def _read(self, readers: Sequence[_Reader]) -> None:
        readers = readers[:AT_ONCE]
        try:
            if readers:
                await self._ask(readers)
                self._has_warned = False
        except Exception as error:  # a log is no reason to fail a task, nor to keep it waiting
            if not self._has_warned:
                log.warning("The jobs' logs are not shown for now: %s", error)
            self._has_warned = True
            for reader in readers:
                if reader.has_ended:
                    reader.is_read.set()

    async def _ask(self, readers: Sequence[_Reader]) -> None:
        had_ended = [reader.has_ended for reader in readers]  # a job that ends after the question may have more
        answers = await self._client.new_output([(reader.job.log_path, reader.offset) for reader in readers])
        for number, (reader, is_last) in enumerate(zip(readers, had_ended, strict=True)):
            if number in answers.crowded_out:
                continue
            if reader in self._readers:
                self._readers[reader] = self._readers.pop(reader)
            if number in answers.found:
                start, data = answers.found[number]
                lines, reader.offset = lines_of(reader.job.log_path, reader.offset, start, data, ended=is_last)
                await self._log(reader, lines)
            if is_last:
                reader.is_read.set()

    async def _log(self, reader: _Reader, lines: Sequence[str]) -> None:
        size = 0
        for number, line in enumerate(lines):
            if number % _BURST == 0 or size >= _BURST_SIZE:
                await self._wait_for_slot()
                size = 0
            size += len(line)
            reader.context.run(log.info, "%s", line)
