"""Work of an event loop beside its tasks'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_behind: set[asyncio.Task[None]] = set()  # the event loop itself keeps weak references only


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something done until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


def behind(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Have something done to its end, also where nobody waits for it."""
    task = asyncio.create_task(work)
    _behind.add(task)
    task.add_done_callback(_behind.discard)
    return task
