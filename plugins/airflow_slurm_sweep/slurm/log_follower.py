"""The new lines of running jobs' logs, in the logs of the tasks that wait: few questions for all of a cluster."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from airflow_slurm_sweep.slurm.batching import Batcher
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import Piece, Question, lines_of, log_words
from airflow_slurm_sweep.slurm.monitor import INTERVAL
from airflow_slurm_sweep.slurm.patience import WaitForSlot, no_wait

AT_ONCE = 100  # jobs in one question: each costs the login node up to four processes
_BURST = 20  # lines, or
_BURST_SIZE = 8 * 1024  # characters after which the next slot of the task's log is waited for

log = logging.getLogger(__name__)


class LogFollower:
    """Follows the logs of one cluster's jobs; lives in one event loop and asks only while a task follows.

    Running jobs take turns: one question an interval, for at most `AT_ONCE` of them. Ended jobs are asked for soon.

    Args:
        client: The cluster.
        interval: Seconds between two questions.
        wait_for_slot: Awaited before each burst of lines.
    """

    def __init__(
        self, client: SlurmClient, *, interval: float = INTERVAL, wait_for_slot: WaitForSlot = no_wait
    ) -> None:
        self._wait_for_slot = wait_for_slot
        self._ask_in_turn = Batcher(client.new_output, at_once=AT_ONCE, quiet=interval, longest=interval)
        self._ask_soon = Batcher(client.new_output, at_once=AT_ONCE)

    def following(self, job: SubmittedJob) -> AbstractAsyncContextManager[None]:
        """Log the job's new lines inside the block, and the rest at its end, if the job has ``stream_log``.

        This raises nothing of its own: a log that cannot be read is a warning.
        """
        return self._following(job) if job.stream_log else nullcontext()

    @asynccontextmanager
    async def _following(self, job: SubmittedJob) -> AsyncIterator[None]:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        follower = asyncio.create_task(self._follow(log_words(job), ended))
        try:
            yield
            ended.set_result(None)
            await follower
        finally:
            follower.cancel()

    async def _follow(self, words: str, ended: asyncio.Future[None]) -> None:
        inode, offset, is_read, has_warned = "", 0, False, False
        while not is_read:
            is_last = ended.done()  # a job that ends after the question may have more
            try:
                ask = self._ask_soon((words, inode, offset)) if is_last else self._unless(ended, (words, inode, offset))
                if piece := await ask:
                    if piece.inode != inode:  # the training's own log begins, or one after a requeue
                        inode, offset = piece.inode, 0
                    lines, offset = lines_of(piece.path, offset, piece.start, piece.data, ended=is_last)
                    await self._log(lines)
                    await asyncio.sleep(0)  # logs that had no room in the answer come first in the next one
                    is_read, has_warned = is_last, False
            except Exception as error:  # a log is no reason to fail a task, nor to keep it waiting
                if not has_warned:
                    await self._wait_for_slot()
                    log.warning("New lines of the jobs' logs cannot be read now, trying again: %s", error)
                has_warned, is_read = True, is_last

    async def _unless(self, ended: asyncio.Future[None], log: Question) -> Piece | None:
        """Ask for a log when it is its turn; return None at once if the job ends before."""
        question = asyncio.create_task(self._ask_in_turn(log))
        try:
            await asyncio.wait((question, ended), return_when=asyncio.FIRST_COMPLETED)
            return question.result() if question.done() else None
        finally:
            question.cancel()

    async def _log(self, lines: Sequence[str]) -> None:
        size = 0
        for number, line in enumerate(lines):
            if number % _BURST == 0 or size >= _BURST_SIZE:
                await self._wait_for_slot()
                size = 0
            size += len(line)
            log.info("%s", line)
