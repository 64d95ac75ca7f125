"""The new lines of running jobs' logs, in the logs of the tasks that wait: one question a tick for all of a cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import lines_of
from airflow_slurm_sweep.slurm.monitor import INTERVAL

AT_ONCE = 100  # jobs in one question: each costs the login node up to four processes
_GATHER = 0.2  # seconds: logs of jobs that end together are read together
_BURST = 20  # lines, or
_BURST_SIZE = 8 * 1024  # characters for one turn

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Reader:
    job: SubmittedJob
    context: Context  # of the task that waits: Airflow sorts log lines into the tasks' logs by it
    offset: int = 0
    last: asyncio.Future[None] | None = None  # set when the job has ended; done once the rest of the log is read


class Follower:
    """Follows the logs of one cluster's jobs; lives in one event loop and asks only while a task follows.

    Jobs take turns: at most `AT_ONCE` of them in a question, first those that were not answered.

    Args:
        client: The cluster.
        interval: Seconds between two questions.
        turn: Awaited before each burst of lines, of some KiB.
    """

    def __init__(
        self,
        client: SlurmClient,
        *,
        interval: float = INTERVAL,
        turn: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._interval = interval
        self._turn = turn
        self._readers: dict[_Reader, None] = {}  # ordered: the log that was read last comes last
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._trouble = False

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
            reader.last = asyncio.get_running_loop().create_future()
            self._ended.set()
            await reader.last
        finally:
            del self._readers[reader]
            if not self._readers:
                self._task.cancel()
                self._task = None

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_GATHER)
            await self._read([reader for reader in self._readers if reader.last is None][:AT_ONCE])
            end = loop.time() + self._interval
            while (left := end - loop.time()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), left)
                    await asyncio.sleep(_GATHER)
                self._ended.clear()
                await self._read_last()

    async def _read_last(self) -> None:
        """Read the rest of the logs of jobs that have ended."""
        while ended := [reader for reader in self._readers if reader.last and not reader.last.done()]:
            await self._read(ended[:AT_ONCE])

    async def _read(self, readers: Sequence[_Reader]) -> None:
        try:
            if readers:
                await self._ask(readers)
                self._trouble = False
        except Exception as error:  # a log is no reason to fail a task, nor to keep it waiting
            if not self._trouble:
                log.warning("The jobs' logs are not shown for now: %s", error)
            self._trouble = True
            for reader in readers:
                _finish(reader)

    async def _ask(self, readers: Sequence[_Reader]) -> None:
        complete = [reader.last is not None for reader in readers]  # a job that ends after the question may have more
        answers = await self._client.new_output([(reader.job.log_path, reader.offset) for reader in readers])
        for number, reader in enumerate(readers):
            if number not in answers.crowded_out:
                if reader in self._readers:
                    del self._readers[reader]
                    self._readers[reader] = None
                if number in answers.found:
                    start, data = answers.found[number]
                    path, ended = reader.job.log_path, complete[number]
                    lines, reader.offset = lines_of(path, reader.offset, start, data, ended=ended)
                    await self._log(reader, lines)
                if complete[number]:
                    _finish(reader)

    async def _log(self, reader: _Reader, lines: Sequence[str]) -> None:
        for burst in _bursts(lines):
            if self._turn is not None:
                await self._turn()
            for line in burst:
                reader.context.run(log.info, "%s", line)


def _finish(reader: _Reader) -> None:
    if reader.last and not reader.last.done():
        reader.last.set_result(None)


def _bursts(lines: Sequence[str]) -> Iterator[list[str]]:
    burst: list[str] = []
    size = 0
    for line in lines:
        burst.append(line)
        size += len(line)
        if len(burst) == _BURST or size >= _BURST_SIZE:
            yield burst
            burst, size = [], 0
    if burst:
        yield burst
