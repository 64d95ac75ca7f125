"""Logging in a triggerer without hanging it.

All triggers log through one socket to Airflow's supervisor, which at times does not read it for seconds. A write to a
full socket blocks the event loop. If the supervisor then writes more to that event loop than a socket holds, such as a
plan, both wait for each other for ever (seen in Airflow 3.3.2). So code that may log at the same moment as a thousand
others, or that asks for a large answer, calls `wait_for_slot` first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import stat
from weakref import WeakKeyDictionary

# Seconds. After the one line of ours that a slot is for, Airflow writes two more, in threads.
_BETWEEN = 0.005
_PAUSE = 0.02


async def wait_for_slot() -> None:
    """Wait until the caller may log: some dozens of KiB, until it next awaits something."""
    loop = asyncio.get_running_loop()
    if loop not in _slots:
        _slots[loop] = _Slots()
    await _slots[loop].wait()


class _Slots:
    """Grants slots in the order of the calls, and only while the socket is mostly empty; lives in one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._socket = _log_socket()
        self._poll = select.poll()  # select() itself knows descriptors up to 1023 only
        if self._socket is not None:
            self._poll.register(self._socket, select.POLLOUT)

    async def wait(self) -> None:
        async with self._lock:
            await asyncio.sleep(0 if self._socket is None else _BETWEEN)  # others go on between any two lines
            # Linux calls a unix socket writable while at most a quarter of its buffer (208 KiB) is in use.
            while self._socket is not None and not self._poll.poll(0):
                await asyncio.sleep(_PAUSE)


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, _Slots] = WeakKeyDictionary()


def _log_socket() -> int | None:
    """Return the socket that the root logger writes to; elsewhere than in a triggerer it writes to files."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            try:
                descriptor = int(handler.stream.fileno())
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    return descriptor
            except (AttributeError, OSError, ValueError):
                continue
    return None
