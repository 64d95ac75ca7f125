"""Logging in a triggerer without hanging it.

All triggers log through one socket to Airflow's supervisor, which at times does not read it for seconds. A write to a
full socket blocks the event loop. If the supervisor then writes more to that event loop than a socket holds, such as a
plan, both wait for each other for ever (seen in Airflow 3.3.2, with 3,000 combinations on a busy machine: Airflow's own
line for each trigger fills the socket). So our first trigger calls `take_lines`: from then on a thread takes each line
at once, and hands it on when the supervisor reads. Code that may log at the same moment as a thousand others calls
`wait_for_slot` first, which bounds what the thread keeps.

The supervisor closes a task's log as soon as it hears of the task's end, on another socket. A busy supervisor hears of
the end before it has read the task's last lines, and then they are lost. So a trigger calls `wait_until_read` before it
ends.
"""

from __future__ import annotations

import array
import asyncio
import atexit
import fcntl
import logging
import os
import select
import socket
import stat
import termios
import threading
import time
from contextlib import suppress
from weakref import WeakKeyDictionary

# Seconds. Without a pause between slots, thousands of tasks act at once, and Airflow's API server does not answer.
_BETWEEN = 0.005
_PAUSE = 0.02
_LONGEST = 10.0  # that a task's end waits for its lines
_MOST_UNREAD = 1 << 20  # bytes, of which one line more is kept only if its writer does not wait
_AT_ONCE = 1 << 16  # bytes


def take_lines() -> None:
    """Have a thread take this process's log lines, if they go to a supervisor."""
    if not _threads and (descriptor := _log_socket()) is not None:
        _threads.append(_LogThread(descriptor))


class _LogThread:
    """Reads what is written to a descriptor from now on, and writes it to where that led before.

    Reading and writing need no turns: whoever writes to the descriptor waits for this thread at most, never for the
    reader at the other end.
    """

    def __init__(self, descriptor: int) -> None:
        self._there = os.dup(descriptor)
        os.set_blocking(self._there, False)
        self._here, there = socket.socketpair()
        os.dup2(there.fileno(), descriptor)
        there.close()
        self._descriptor, self._kept, self._lock = descriptor, bytearray(), threading.Lock()
        threading.Thread(target=self._forward, name="slurm_sweep log", daemon=True).start()
        atexit.register(self._finish)

    def unread(self) -> int:
        """Return how many bytes the supervisor has not taken."""
        with self._lock:
            return _unread(self._descriptor) + len(self._kept) + _unread(self._there)

    def _forward(self) -> None:
        with self._here, suppress(OSError):  # the supervisor is gone: from then on writers get an error, too
            poll = select.poll()
            poll.register(self._here, select.POLLIN)
            while True:
                poll.register(self._there, select.POLLOUT if self._kept else 0)
                if dict(poll.poll()).get(self._there, 0) & ~select.POLLOUT:
                    return
                with self._lock, suppress(BlockingIOError):
                    if not (lines := self._here.recv(_AT_ONCE, socket.MSG_DONTWAIT)):
                        return  # nobody writes any more
                    self._kept += lines
                with self._lock, suppress(BlockingIOError):
                    del self._kept[: os.write(self._there, self._kept[:_AT_ONCE])]

    def _finish(self) -> None:
        """Wait at the process's end until all is handed on, at most 2 s."""
        deadline = time.monotonic() + 2
        with suppress(OSError):
            while self.unread() and time.monotonic() < deadline:
                time.sleep(_PAUSE)


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
    """Grants slots in the order of the calls, and only while the thread keeps little; lives in one event loop."""

    def __init__(self) -> None:
        self._lock, self._looking = asyncio.Lock(), asyncio.Lock()
        self._read_at = 0.0  # what was logged before this moment is read

    async def wait(self) -> None:
        async with self._lock:
            await asyncio.sleep(_BETWEEN if _threads else 0)
            while _unread_lines() > _MOST_UNREAD:
                await asyncio.sleep(_PAUSE)

    async def wait_until_read(self) -> None:
        loop = asyncio.get_running_loop()
        logged_at = loop.time()
        async with self._looking:  # one looks, for all who came before it began
            if self._read_at > logged_at:
                return
            began, unread = loop.time(), _unread_lines()
            ahead = unread
            while ahead > 0 and unread > 0:  # others go on logging: the socket need not become empty
                await asyncio.sleep(_PAUSE)
                before, unread = unread, _unread_lines()
                ahead -= max(0, before - unread)
            self._read_at = began


def _unread_lines() -> int:
    """Return how many bytes the supervisor has not taken; elsewhere than in a triggerer, none."""
    return _threads[0].unread() if _threads else 0


def _unread(descriptor: int) -> int:
    """Return how many bytes the socket holds that its reader has not taken, as the kernel counts them."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    return count[0]


_threads: list[_LogThread] = []  # at most one
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
