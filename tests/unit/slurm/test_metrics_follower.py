"""Whose metrics a tick asks for, and what becomes of an error. What real files give: test_results.py."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable

import pytest
from fake_shell import FakeShell, silent
from test_monitor import in_turn, job

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.metrics_follower import MetricsFollower
from airflow_slurm_sweep.slurm.monitor import Monitor

QUEUE = "1|PENDING|0:00|N/A|N/A||j|Priority\n2|RUNNING|0:01|N/A|N/A|n1|j|None\n3|RUNNING|0:01|N/A|N/A|n1|j|None\n"


def news(number: int, loss: float) -> str:
    """Return the answer for the job with that number in the question."""
    text = f'{{"loss": {loss}}}'
    return f"= {number} 0 5 {len(text)} 9 /r/metrics.json\n{b64encode(text.encode()).decode()}\n"


def follow(shell: FakeShell, until: Callable[[list[MetricsReader]], bool]) -> list[MetricsReader]:
    """Follow the jobs 1 to 3 until their metrics are as wanted."""

    async def followed() -> list[MetricsReader]:
        monitor = Monitor(SlurmClient(shell), interval=0.01)
        follower = MetricsFollower(SlurmClient(shell), monitor)
        jobs: list[SubmittedJob] = [job(number) for number in (1, 2, 3)]
        waiting = [asyncio.create_task(monitor.wait(each)) for each in jobs]
        async with (
            follower.following(jobs[0]) as first,
            follower.following(jobs[1]) as second,
            follower.following(jobs[2]) as third,
        ):
            readers = [first, second, third]
            assert [follower.reader(each) for each in jobs] == readers
            while not until(readers):
                await asyncio.sleep(0.01)
        asked = shell.asked.count("tail")
        await asyncio.sleep(0.1)
        assert shell.asked.count("tail") == asked, "nobody follows any more"
        for task in waiting:
            task.cancel()
        return readers

    return asyncio.run(asyncio.wait_for(followed(), 20))


def test_running_jobs_are_asked_for_and_those_with_more_to_read_come_first() -> None:
    # The question is for the jobs 2 and 3. For 3 there is no room: it is the first in the next one.
    answers = in_turn(news(0, 0.5) + "! 1\n", news(0, 0.25), "")
    readers = follow(FakeShell(squeue=QUEUE, tail=answers), lambda found: bool(found[2].latest))
    assert [reader.latest for reader in readers] == [{}, {"loss": 0.5}, {"loss": 0.25}]


def test_an_error_is_one_warning_until_there_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    answers = in_turn(silent(), silent(), news(0, 1), silent(), news(0, 2), "")
    with caplog.at_level(logging.INFO, logger="airflow_slurm_sweep.slurm.metrics_follower"):
        follow(FakeShell(squeue=QUEUE, tail=answers), lambda found: {"loss": 2} in [each.latest for each in found])
    assert [message for message in caplog.messages if "metrics" in message] == [
        "The metrics of running jobs cannot be read now, trying again: connection lost"
    ] * 2
