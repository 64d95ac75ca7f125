"""Turns to log: they come while the socket to Airflow's supervisor is mostly empty."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from airflow_slurm_sweep.tasks import log_slots
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot, wait_until_read

LINE = b"x" * 400


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, logging.Handler]]:
    """A socket to read from, and the root logger's handler that writes to it, as in a triggerer."""
    monkeypatch.setattr(log_slots, "_threads", [])
    monkeypatch.setattr(log_slots, "_MOST_UNREAD", 1 << 16)
    here, there = socket.socketpair()
    stream = there.makefile("wb", buffering=0)
    handler = logging.StreamHandler(stream)  # type: ignore[type-var]
    logging.getLogger().addHandler(handler)
    log_slots.take_lines()
    yield here, handler
    logging.getLogger().removeHandler(handler)
    stream.close()
    there.close()
    here.close()


def test_a_storm_of_lines_waits_for_a_supervisor_that_does_not_read(
    supervisor: tuple[socket.socket, logging.Handler],
) -> None:
    here, handler = supervisor
    written = 0

    async def log() -> None:
        nonlocal written
        await wait_for_slot()
        handler.stream.write(LINE)  # type: ignore[attr-defined]
        written += 1

    async def storm() -> tuple[int, int]:
        lines = asyncio.gather(*(log() for _ in range(1000)))
        unread = 0
        while not 10 < written == unread:  # until they wait
            unread = written
            await asyncio.sleep(0.5)
        here.setblocking(False)
        received = 0
        while received < 1000 * len(LINE):
            await asyncio.sleep(0.01)
            with suppress(BlockingIOError):
                received += len(here.recv(1 << 20))
        await lines
        return unread, written

    unread, all_of_them = asyncio.run(asyncio.wait_for(storm(), 60))
    assert unread < 400, "some, but not so many that the thread would have had to keep much"
    assert all_of_them == 1000


def test_a_task_ends_after_its_lines_are_read_though_others_go_on_logging(
    supervisor: tuple[socket.socket, logging.Handler],
) -> None:
    here, handler = supervisor
    received = b""

    async def end(name: bytes) -> bool:
        handler.stream.write(LINE + name)  # type: ignore[attr-defined]
        await wait_until_read()
        return name in received

    async def storm() -> list[bool]:
        nonlocal received
        ends = asyncio.gather(*(end(b"<%d>" % number) for number in range(100)))
        while not ends.done():
            await asyncio.sleep(0.01)
            handler.stream.write(LINE)  # type: ignore[attr-defined]
            received += here.recv(1 << 12)
        return await ends

    assert all(asyncio.run(asyncio.wait_for(storm(), 5)))


def test_no_line_waits_for_a_supervisor_that_does_not_read(supervisor: tuple[socket.socket, logging.Handler]) -> None:
    """As while it sends a plan: two thousand triggers of anybody's begin, each with a line of Airflow's own."""
    here, handler = supervisor
    lines = [b"%d %s\n" % (number, LINE) for number in range(2000)]

    async def storm() -> tuple[bytes, bool]:
        for line in lines:
            handler.stream.write(line)  # type: ignore[attr-defined]  # blocks for ever where the socket is full
        is_early = asyncio.create_task(wait_until_read())
        await asyncio.sleep(0.3)
        was_early, received = is_early.done(), b""
        here.setblocking(False)
        while not is_early.done():
            with suppress(BlockingIOError):
                received += here.recv(1 << 16)
            await asyncio.sleep(0.001)
        return received, was_early

    received, was_early = asyncio.run(asyncio.wait_for(storm(), 20))
    assert received == b"".join(lines)
    assert not was_early


def test_elsewhere_nobody_waits() -> None:
    async def many() -> None:
        await asyncio.gather(*(wait_for_slot() for _ in range(3000)), *(wait_until_read() for _ in range(3000)))

    asyncio.run(asyncio.wait_for(many(), 5))
