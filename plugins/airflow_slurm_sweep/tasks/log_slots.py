"""Logging in a triggerer without hanging it.

All that triggers log goes through one socket to Airflow's supervisor, which for seconds at a time does not read it. Who
writes to it when it is full stops the event loop; and if the supervisor is just then writing more to that event loop
than a socket holds, such as a plan that it was asked for, both wait for each other for ever (seen in Airflow 3.3.2). So
whoever may log at the same moment as a thousand others, or asks for much, waits for `turn`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import stat
from weakref import WeakKeyDictionary

# Behind the one line of ours that a turn is for, Airflow writes two more, in threads: seconds.
_BETWEEN = 0.005
_PAUSE = 0.02


async def turn() -> None:
    """Return when it is the caller's turn: until it next awaits something, it may log some dozens of KiB."""
    loop = asyncio.get_running_loop()
    if loop not in _turns:
        _turns[loop] = _Turns()
    await _turns[loop].turn()


class _Turns:
    """Gives turns in the order of the calls, and only while the socket is mostly empty; lives in one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._socket = _log_socket()
        self._poll = select.poll()  # select() itself knows descriptors up to 1023 only
        if self._socket is not None:
            self._poll.register(self._socket, select.POLLOUT)

    async def turn(self) -> None:
        async with self._lock:
            await asyncio.sleep(0 if self._socket is None else _BETWEEN)  # others go on between any two lines
            while not self._has_room():
                await asyncio.sleep(_PAUSE)

    def _has_room(self) -> bool:
        # Linux calls a unix socket writable while at most a quarter of its buffer (208 KiB) is in use.
        return self._socket is None or bool(self._poll.poll(0))


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


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
