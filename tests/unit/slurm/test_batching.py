"""Questions of the same moment, asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.slurm.batching import Batcher


class Cluster:
    """Doubles numbers, a few at a time; notes what it was asked together."""

    def __init__(self, *errors: Exception, seconds: float = 0.02) -> None:
        self.asked: list[list[int]] = []
        self.busy = self.busiest = 0
        self._errors = list(errors)
        self._seconds = seconds

    async def double(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(list(numbers))
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        await asyncio.sleep(self._seconds)
        self.busy -= 1
        if self._errors:
            raise self._errors.pop(0)
        return [2 * number for number in numbers]


def ask(cluster: Cluster, count: int, *, in_parallel: int = 1) -> list[int | BaseException]:
    async def all_of_them() -> list[int | BaseException]:
        batcher = Batcher(cluster.double, at_once=4, in_parallel=in_parallel)
        return list(await asyncio.gather(*map(batcher, range(count)), return_exceptions=True))

    return asyncio.run(asyncio.wait_for(all_of_them(), 5))


def test_in_order_and_few_calls() -> None:
    cluster = Cluster()
    assert ask(cluster, 10) == [2 * number for number in range(10)]
    assert cluster.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert cluster.busiest == 1


def test_some_calls_at_the_same_time() -> None:
    cluster = Cluster()
    ask(cluster, 20, in_parallel=2)
    assert cluster.busiest == 2


def test_an_error_is_of_those_who_asked_together_each_its_own() -> None:
    cluster = Cluster(ClusterUnavailableError("connection lost"))
    answers = ask(cluster, 6)
    lost, rest = answers[:4], answers[4:]
    assert [str(error) for error in lost] == ["connection lost"] * 4
    assert len(set(map(id, lost))) == 4
    assert rest == [8, 10]


@pytest.mark.parametrize(
    ("longest", "expected"), [(60.0, [[0, 1, 2, 3, 4]]), (0.02, [[0], [1], [2], [3], [4]])], ids=["quiet", "bounded"]
)
def test_a_call_waits_until_no_new_question_comes(longest: float, expected: list[list[int]]) -> None:
    cluster = Cluster(seconds=0.0)

    async def one_by_one() -> None:
        batcher = Batcher(cluster.double, at_once=100, quiet=1.0 if longest > 1 else 0.02, longest=longest)
        asked = []
        for number in range(5):
            asked.append(asyncio.create_task(batcher(number)))
            await asyncio.sleep(0.1 if longest > 1 else 0.2)
        await asyncio.gather(*asked)

    asyncio.run(asyncio.wait_for(one_by_one(), 5))
    assert cluster.asked == expected


def test_a_cancelled_caller_is_left_out() -> None:
    cluster = Cluster()

    async def leave() -> int:
        batcher = Batcher(cluster.double, at_once=4)
        gone = asyncio.create_task(batcher(1))
        await asyncio.sleep(0)
        gone.cancel()
        answer = await batcher(2)
        with pytest.raises(asyncio.CancelledError):
            await gone
        return answer

    assert asyncio.run(leave()) == 4
    assert cluster.asked == [[2]]


def test_a_question_that_comes_as_the_last_call_ends_is_answered() -> None:
    cluster = Cluster(seconds=0.0)

    async def one_after_the_other() -> list[int]:
        batcher = Batcher(cluster.double, at_once=1)
        return [await batcher(number) for number in range(5)]

    assert asyncio.run(asyncio.wait_for(one_after_the_other(), 5)) == [0, 2, 4, 6, 8]
