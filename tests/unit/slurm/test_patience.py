"""Waiting while the cluster says "not now"."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError, NotYetError
from airflow_slurm_sweep.slurm import patience
from airflow_slurm_sweep.slurm.patience import patiently


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE", 0.01)


def answers(*given: object) -> Callable[[], Awaitable[object]]:
    """Return what gives the answers in turn, the last one again and again."""
    rest: Iterator[object] = iter(given)

    async def ask() -> object:
        answer = next(rest, given[-1])
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_each_new_reason_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    down, limit = ClusterUnavailableError("down"), ClusterUnavailableError("limit")
    with caplog.at_level(logging.INFO):
        assert asyncio.run(patiently(answers(down, down, limit, down, limit, limit, "job"), 60)) == "job"
    assert [record.message for record in caplog.records] == ["Waiting: down", "Waiting: limit"]


def test_patience_ends() -> None:
    with pytest.raises(ClusterUnavailableError, match=r"^waited 0 s for the cluster; down$"):
        asyncio.run(patiently(answers(ClusterUnavailableError("down")), 0.05))


def test_a_jobs_turn_is_waited_for_without_end() -> None:
    waits = [NotYetError("2 jobs are live")] * 20
    assert asyncio.run(patiently(answers(*waits, "job"), 0.01)) == "job"


def test_a_refusal_is_not_waited_out() -> None:
    with pytest.raises(ClusterRefusedError):
        asyncio.run(patiently(answers(ClusterRefusedError("no such account"), "job"), 60))
