"""The new lines of running jobs' logs, in the logs of the tasks that wait: one question a tick for all of a cluster.

A log may hold anything, and any amount of it: what is shown is bounded, and what is left out is said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass

from airflow_slurm_sweep.slurm.client import SlurmClient, printable
from airflow_slurm_sweep.slurm.commands import FOLLOWED
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.monitor import INTERVAL

AT_ONCE = 100  # jobs in one question: each costs the login node a process or four
LINES = 200  # of a job in one answer
LONGEST = 1000  # characters of a line
PREFIX = "| "
_GATHER = 0.2  # seconds: jobs that end together are read together
_BURST = 20  # lines, or
_BURST_SIZE = 8 * 1024  # characters for one turn

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Reader:
    job: SubmittedJob
    context: Context  # as in `Monitor`
    offset: int = 0
    last: asyncio.Future[None] | None = None  # the job has ended: done once the rest is read


class Follower:
    """Follows the logs of one cluster's jobs; lives in one event loop and asks only while somebody follows.

    Jobs take turns: at most `AT_ONCE` of them in a question, those that were not answered first.

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
        self._readers: dict[_Reader, None] = {}  # the one that was read last is the last
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._trouble = False

    @asynccontextmanager
    async def following(self, job: SubmittedJob) -> AsyncIterator[None]:
        """Log the job's new lines meanwhile, and at the end those still missing, if it says ``stream_log``.

        It raises nothing of its own: a log that cannot be read is a warning.
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
        except Exception as error:  # whatever it is, it is no reason to fail a task, nor to keep one waiting
            if not self._trouble:
                log.warning("The jobs' logs are not shown for now: %s", error)
            self._trouble = True
            for reader in readers:
                _finish(reader)

    async def _ask(self, readers: Sequence[_Reader]) -> None:
        complete = [reader.last is not None for reader in readers]  # what ends after the question may have more to say
        answers = await self._client.new_output([(reader.job.log_path, reader.offset) for reader in readers])
        for number, reader in enumerate(readers):
            if number not in answers.crowded_out:
                if reader in self._readers:
                    del self._readers[reader]
                    self._readers[reader] = None
                if number in answers.found:
                    start, data = answers.found[number]
                    lines, reader.offset = read(reader.job.log_path, reader.offset, start, data, ended=complete[number])
                    await self._tell(reader, lines)
                if complete[number]:
                    _finish(reader)

    async def _tell(self, reader: _Reader, lines: Sequence[str]) -> None:
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


def read(path: str, offset: int, start: int, data: bytes, *, ended: bool) -> tuple[list[str], int]:
    r"""Return what to show of a piece of a log, and the offset from which to read on.

    A line that is not complete yet is left for the next time. Of what ``\r`` overwrites, the last is shown.

    Args:
        path: The log.
        offset: Up to where it was shown.
        start: Where the piece begins: behind ``offset`` if there was more than fits, at 0 if the log was cut.
        data: The piece, at most `FOLLOWED` bytes.
        ended: Nothing follows.
    """
    shown = []
    if start < offset:
        shown.append("… the log was cut meanwhile; from its beginning:")
        offset = 0
    whole = data if ended else data[: max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1]
    if not whole and len(data) >= FOLLOWED:  # an endless line
        whole = data
    end = start + len(whole)
    if start > offset:  # begins inside a line
        whole = whole[whole.find(b"\n") + 1 :]
    pieces = whole.removesuffix(b"\n").split(b"\n") if whole else []
    pieces = pieces[-LINES:]
    taken = sum(len(piece) + 1 for piece in pieces)
    if (left_out := end - offset - taken) > 0:
        shown.append(f"… {_size(left_out)} left out; all of it, on the cluster: {path}")
    return shown + [PREFIX + _line(piece) for piece in pieces], end


def _line(piece: bytes) -> str:
    overwritten = [part for part in piece.split(b"\r") if part]
    text = printable((overwritten or [b""])[-1].decode("utf-8", "replace"))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _size(number: int) -> str:
    return f"{number} bytes" if number < 1024 else f"{number // 1024} KiB"
