"""One value for all who use it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from airflow_slurm_sweep.tasks.loop_resources import LoopResources


class Door:
    """Counts who comes and goes; the first to come may find it locked."""

    def __init__(self, locked: int = 0, linger: float = 0.0) -> None:
        self.opened = self.closed = 0
        self.locked = locked
        self.shared = LoopResources(self._open, linger=linger)

    @asynccontextmanager
    async def _open(self, key: str) -> AsyncIterator[str]:
        await asyncio.sleep(0.01)
        if self.locked:
            self.locked -= 1
            raise OSError("locked")
        self.opened += 1
        yield f"{key} {self.opened}"
        self.closed += 1

    async def use(self, key: str = "a") -> str:
        async with self.shared.use(key) as value:
            await asyncio.sleep(0.01)
            return value


def test_all_at_once_share_one() -> None:
    door = Door()

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(door.use() for _ in range(50)))

    assert asyncio.run(all_of_them()) == ["a 1"] * 50
    assert (door.opened, door.closed) == (1, 1)
    assert asyncio.run(door.use()) == "a 2", "the last one out closes it, also for another event loop"


def test_keys_share_nothing() -> None:
    door = Door()

    async def both() -> list[str]:
        return list(await asyncio.gather(door.use("a"), door.use("b")))

    assert sorted(asyncio.run(both())) == ["a 1", "b 2"]


def test_who_cannot_open_it_fails_alone() -> None:
    door = Door(locked=1)

    async def both() -> list[str | BaseException]:
        return list(await asyncio.gather(door.use(), door.use(), return_exceptions=True))

    first, second = asyncio.run(both())
    assert isinstance(first, OSError)
    assert second == "a 1"


def test_it_is_closed_though_the_last_one_is_cancelled() -> None:
    door = Door()

    async def cancelled() -> None:
        user = asyncio.create_task(door.use())
        while not door.opened:
            await asyncio.sleep(0.001)
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user

    asyncio.run(cancelled())
    assert (door.opened, door.closed) == (1, 1)


def test_it_stays_open_for_a_while_for_the_next() -> None:
    door = Door(linger=0.05)

    async def come_and_go() -> list[tuple[str, int]]:
        seen = [(await door.use(), door.closed) for _ in range(3)]
        await asyncio.sleep(0.1)
        return [*seen, (await door.use(), door.closed)]

    assert asyncio.run(come_and_go()) == [("a 1", 0), ("a 1", 0), ("a 1", 0), ("a 2", 1)]
    assert door.closed == 2, "the end of the event loop closes it"


def test_who_comes_at_once_and_leaves_at_once_starts_the_while_anew() -> None:
    door = Door(linger=0.05)

    async def come_and_go() -> int:
        await door.use()
        async with door.shared.use("a"):
            pass  # without a pause
        await asyncio.sleep(0.02)
        return door.closed

    assert asyncio.run(come_and_go()) == 0
    assert door.closed == 1
