"""Questions that come at the same moment go to the cluster together, in few round trips."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from airflow_slurm_sweep.errors import SlurmSweepError

Question = TypeVar("Question")
Answer = TypeVar("Answer")

GATHER = 0.05  # seconds; nobody notices, and Airflow starts its triggers one by one


class Together(Generic[Question, Answer]):
    """Asks in the order of the calls; lives in one event loop.

    Args:
        ask: Returns the answer to each question, in their order. What it raises, all who asked then raise.
        at_once: How many questions it takes.
        in_parallel: How many calls of it are under way at the same time.
        quiet: Seconds without a new question before it is called; by default it is not waited for those.
        longest: Seconds after which it is called all the same.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        at_once: int,
        in_parallel: int = 1,
        quiet: float = 0.0,
        longest: float = 0.0,
    ) -> None:
        self._ask = ask
        self._at_once = at_once
        self._in_parallel = in_parallel
        self._quiet = quiet
        self._longest = longest
        self._queue: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._callers: set[asyncio.Task[None] | None] = set()
        self._last = float("-inf")

    async def lull(self, seconds: float, at_most: float) -> None:
        """Return once all have been asked for, and nobody else came for some seconds; after ``at_most`` in any case."""
        loop = asyncio.get_running_loop()
        end = loop.time() + at_most
        while (now := loop.time()) < end and (self._queue or now < self._last + seconds):
            await asyncio.sleep(min(seconds, end - now))

    async def _wait_for_more(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._longest
        while (left := min(end, self._last + self._quiet) - loop.time()) > 0:
            await asyncio.sleep(left)

    async def __call__(self, question: Question) -> Answer:
        """Return the answer."""
        self._last = asyncio.get_running_loop().time()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((question, answer))
        if len(self._callers) < self._in_parallel:
            self._callers.add(asyncio.create_task(self._call()))
        try:
            return await answer
        except SlurmSweepError as error:
            # Anew: one error that several tasks raise would gather all their tracebacks.
            raise type(error)(*error.args) from None

    async def _call(self) -> None:
        try:
            await asyncio.sleep(GATHER)
            await self._wait_for_more()
            while batch := self._next():
                await self._ask_for(batch)
                if self._queue:
                    await self._wait_for_more()
        finally:
            self._callers.discard(asyncio.current_task())  # at once: who comes now starts another

    def _next(self) -> list[tuple[Question, asyncio.Future[Answer]]]:
        """Return the next ones, without those whose caller was cancelled meanwhile."""
        batch: list[tuple[Question, asyncio.Future[Answer]]] = []
        while self._queue and len(batch) < self._at_once:
            question, answer = self._queue.popleft()
            if not answer.done():
                batch.append((question, answer))
        return batch

    async def _ask_for(self, batch: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            told = await self._ask([question for question, _ in batch])
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), its in zip(batch, told, strict=True):
            if not answer.done():
                answer.set_result(its)
