"""Questions that tasks ask at the same moment go to the cluster in few round trips."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

from airflow_slurm_sweep.errors import SlurmSweepError

Question = TypeVar("Question")
Answer = TypeVar("Answer")

GATHER = 0.05  # seconds; too short to be noticed, and Airflow starts its triggers one by one


def batches(items: Iterable[Question], at_most: int) -> Iterator[list[Question]]:
    """Yield the items in lists of at most that many."""
    rest = iter(items)
    while some := list(islice(rest, at_most)):
        yield some


class Batcher(Generic[Question, Answer]):
    """Collects questions and asks them in the order in which they came; lives in one event loop.

    Args:
        ask: Returns the answer to each question, or the error that its caller gets, in the order of the questions. An
            error that it raises reaches every caller.
        at_once: How many questions one call of ``ask`` takes.
        in_parallel: How many calls of ``ask`` run at the same time.
        quiet: Seconds without a new question before ``ask`` is called; by default it does not wait for more.
        longest: Seconds after which ``ask`` is called in any case.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer | SlurmSweepError]]],
        *,
        at_once: int,
        in_parallel: int = 1,
        quiet: float = 0.0,
        longest: float = 0.0,
    ) -> None:
        self._ask, self._at_once, self._in_parallel = ask, at_once, in_parallel
        self._quiet, self._longest = quiet, longest
        self._queue: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._callers: set[asyncio.Task[None] | None] = set()
        self._last = float("-inf")

    async def __call__(self, question: Question) -> Answer:
        """Return the answer to a question."""
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._queue.append((question, answer))
        if len(self._callers) < self._in_parallel:
            self._callers.add(asyncio.create_task(self._call()))
        try:
            return await answer
        except SlurmSweepError as error:
            # A new error: one that several tasks raise would collect all their tracebacks.
            raise type(error)(*error.args) from None

    async def _call(self) -> None:
        try:
            await asyncio.sleep(GATHER)
            while self._queue:
                await self._wait_for_more()
                await self._ask_next()
        finally:
            self._callers.discard(asyncio.current_task())  # at once, so that the next question starts another call

    async def _wait_for_more(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._longest
        while (left := min(end, self._last + self._quiet) - loop.time()) > 0:
            await asyncio.sleep(left)

    async def _ask_next(self) -> None:
        """Ask the next questions, without those whose caller was cancelled meanwhile."""
        batch: list[tuple[Question, asyncio.Future[Answer]]] = []
        while self._queue and len(batch) < self._at_once:
            question, future = self._queue.popleft()
            if not future.done():
                batch.append((question, future))
        if not batch:
            return
        futures = [future for _, future in batch]
        answered: list[tuple[asyncio.Future[Answer], Answer | Exception]]
        try:
            answered = list(zip(futures, await self._ask([question for question, _ in batch]), strict=True))
        except Exception as error:
            answered = [(future, error) for future in futures]
        for future, answer in answered:
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
