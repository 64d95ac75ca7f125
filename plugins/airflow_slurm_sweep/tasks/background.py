"""Coroutines that run beside the tasks of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_kept: set[asyncio.Task[None]] = set()  # the event loop itself keeps weak references only


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


def run_to_end(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a coroutine to its end, even if nothing awaits it."""
    task = asyncio.create_task(work)
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return task
