"""Logging in a triggerer without hanging it.

All triggers log through one socket to Airflow's supervisor, which at times does not read it for seconds. A write to a
full socket blocks the event loop. If the supervisor then writes more to that event loop than a socket holds, such as a
plan, both wait for each other for ever (seen in Airflow 3.3.2). So code that may log at the same moment as a thousand
others, or that asks for a large answer, calls `wait_for_slot` first.

The supervisor closes a task's log as soon as it hears of the task's end, on another socket. A busy supervisor hears of
the end before it has read the task's last lines, and then they are lost. So a trigger calls `wait_until_read` before it
ends.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import os
import select
import stat
import termios
from contextlib import suppress
from weakref import WeakKeyDictionary

# Seconds. After the one line of ours that a slot is for, Airflow writes two more, in threads.
_BETWEEN = 0.005
_PAUSE = 0.02
_LONGEST = 10.0  # that a task's end waits for its lines


async def wait_for_slot() -> None:
    """Wait until the caller may log: some dozens of KiB, until it next awaits something."""
    await _slots_here().wait()


async def wait_until_read() -> None:
    """Wait until the supervisor has read what the caller has logged, at most 10 s."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST):
            await _slots_here().wait_until_read()


def _slots_here() -> _Slots:
    loop = asyncio.get_running_loop()
    if loop not in _slots:
        _slots[loop] = _Slots()
    return _slots[loop]


class _Slots:
    """Grants slots in the order of the calls, and only while the socket is mostly empty; lives in one event loop."""

    def __init__(self) -> None:
        self._lock, self._looking = asyncio.Lock(), asyncio.Lock()
        self._read_at = 0.0  # what was logged before this moment is read
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

    async def wait_until_read(self) -> None:
        loop = asyncio.get_running_loop()
        logged_at = loop.time()
        async with self._looking:  # one looks, for all who came before it began
            if self._socket is None or self._read_at > logged_at:
                return
            began, unread = loop.time(), _unread(self._socket)
            ahead = unread
            while ahead > 0 and unread > 0:  # others go on logging: the socket need not become empty
                await asyncio.sleep(_PAUSE)
                before, unread = unread, _unread(self._socket)
                ahead -= max(0, before - unread)
            self._read_at = began


def _unread(descriptor: int) -> int:
    """Return how many bytes the socket holds that its reader has not taken, as the kernel counts them."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    return count[0]


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
