"""What the tasks of an event loop share, and what runs beside them."""

from __future__ import annotations

import asyncio
import atexit
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Result = TypeVar("Result")

_LOAD = 20
log = logging.getLogger(__name__)
_kept: set[asyncio.Task[None]] = set()  # the event loop itself keeps weak references only


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine until the block ends."""
    task = asyncio.create_task(work)
    task.add_done_callback(_log_error)
    try:
        yield
    finally:
        task.cancel()


def _log_error(task: asyncio.Task[None]) -> None:
    """Log why a task failed that nothing awaits."""
    if not task.cancelled() and (error := task.exception()):
        log.error("Unexpected error in what runs beside the tasks", exc_info=error)


async def repeat(act: Callable[[], Awaitable[object]], interval: float) -> None:
    """Act until cancelled, with pauses of ``interval`` seconds, or `_LOAD` times what the last act took if longer."""
    while True:
        began = time.monotonic()
        await act()
        await asyncio.sleep(max(interval, _LOAD * (time.monotonic() - began)))


def run_to_end(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a coroutine to its end, even if nothing awaits it."""
    task = asyncio.create_task(work)
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return task


@cache
def one_loop() -> asyncio.Runner:
    """Return the event loop that `run_in_one_loop` uses, until this process ends."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


def run_in_one_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine as `asyncio.run` does, but all of a process in one event loop, so that they share a login."""
    return one_loop().run(work)


class LoopResources(Generic[Key, Value]):
    """Reference-counted values by event loop and key: the first user opens a value, the last one closes it.

    Args:
        opened: Returns the context manager of a key's value. Concurrent users wait until the first one has opened it;
            if that fails, the next one tries.
        linger: Seconds for which an unused value is kept for the next user.
    """

    def __init__(self, opened: Callable[[Key], AbstractAsyncContextManager[Value]], *, linger: float = 0.0) -> None:
        self._opened = opened
        self._linger = linger
        self._entries: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, _Entry[Value]]] = WeakKeyDictionary()

    def use(self, key: Key) -> AbstractAsyncContextManager[Value]:
        """Return a block's use of the key's value."""
        return _Use(self, key)

    async def _enter(self, key: Key) -> Value:
        entry = self._entries.setdefault(asyncio.get_running_loop(), {}).setdefault(key, _Entry())
        entry.users += 1
        if entry.leaving is not None:
            entry.leaving.cancel()
            entry.leaving = None
        try:
            async with entry.opening:
                if not entry.values:
                    entry.values.append(await entry.stack.enter_async_context(self._opened(key)))
        except BaseException:
            await self._exit(key)
            raise
        return entry.values[0]

    async def _exit(self, key: Key) -> None:
        entries = self._entries[asyncio.get_running_loop()]
        entry = entries[key]
        entry.users -= 1
        if entry.users == 0 and (self._linger == 0 or not entry.values):
            del entries[key]
            await entry.stack.aclose()
        elif entry.users == 0:
            entry.leaving = asyncio.create_task(self._leave(entries, key))

    async def _leave(self, entries: dict[Key, _Entry[Value]], key: Key) -> None:
        entry = entries[key]
        try:
            await asyncio.sleep(self._linger)
        except asyncio.CancelledError:
            if entry.leaving is not asyncio.current_task():
                return  # a new user came; otherwise the event loop ends
        del entries[key]
        await entry.stack.aclose()


class _Use(AbstractAsyncContextManager[Value], Generic[Key, Value]):
    """Small: each of thousands of tasks that wait holds some."""

    __slots__ = ("_key", "_resources")

    def __init__(self, resources: LoopResources[Key, Value], key: Key) -> None:
        self._resources, self._key = resources, key

    async def __aenter__(self) -> Value:
        return await self._resources._enter(self._key)

    async def __aexit__(self, *_: object) -> None:
        await self._resources._exit(self._key)


class _Entry(Generic[Value]):
    def __init__(self) -> None:
        self.users = 0
        self.values: list[Value] = []  # at most one
        self.opening = asyncio.Lock()
        self.stack = AsyncExitStack()
        self.leaving: asyncio.Task[None] | None = None  # closes the value when nobody has used it for a while
