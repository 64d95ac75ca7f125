"""Which log lines of running jobs reach the tasks that wait, and when they are asked for: real files and shells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fake_shell import FakeShell, silent
from login_shell import SHELLS, Login
from test_results import LoginShell

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import NEW_BYTES, NEW_BYTES_IN_ALL, Piece, Question
from airflow_slurm_sweep.slurm.log_follower import LogFollower


def job(path: Path, *, stream_log: bool = True) -> SubmittedJob:
    return SubmittedJob(
        ssh_conn_id="c", job_id="7", job_name="a", run_dir="/r/a", log_path=str(path), stream_log=stream_log
    )


def test_jobs_take_turns_and_the_rest_comes_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    many = NEW_BYTES_IN_ALL // NEW_BYTES + 4
    paths = [tmp_path / f"{number}.out" for number in range(many)]
    for number, path in enumerate(paths):
        path.write_text(f"{'x' * 99}\n" * 1000 + f"job {number}\n")
    caplog.set_level(logging.INFO)
    client = SlurmClient(LoginShell(Login(argv=SHELLS["dash"], folder=tmp_path / "login")))
    follower = LogFollower(client, interval=0.1)

    def told(text: str) -> set[int]:
        return {number for number in range(many) if f"| {text} {number}" in caplog.messages}

    async def follow(path: Path, ended: asyncio.Event) -> None:
        async with follower.following(job(path)):
            await ended.wait()

    async def run() -> None:
        ended = asyncio.Event()
        tasks = [asyncio.create_task(follow(path, ended)) for path in paths]
        async with asyncio.timeout(20):
            while len(told("job")) < many:
                await asyncio.sleep(0.1)
            for number, path in enumerate(paths):
                with path.open("a") as file:
                    file.write(f"{'y' * 99}\n" * 1000 + f"last {number}")
            ended.set()
            await asyncio.gather(*tasks)

    asyncio.run(run())
    assert told("last") == set(range(many))


def test_a_log_that_had_no_room_in_an_answer_comes_first_in_the_next_one() -> None:
    class Crowded(SlurmClient):
        """Each log always has news, and an answer has room for two."""

        answered: list[str]

        async def new_output(self, logs: Sequence[Question]) -> list[Piece | None]:
            self.answered += [words for words, _, _ in logs[:2]]
            return [Piece(known, b"x\n") if number < 2 else None for number, (_, _, known) in enumerate(logs)]

    async def follow() -> list[str]:
        client = Crowded(FakeShell())
        client.answered = []
        follower = LogFollower(client, interval=0.1)
        async with asyncio.timeout(20), AsyncExitStack() as stack:
            for number in range(6):
                await stack.enter_async_context(follower.following(job(Path(f"/{number}"))))
            while len(client.answered) < 12:
                await asyncio.sleep(0.01)
            return client.answered[:12]

    answered = asyncio.run(follow())
    assert sorted(answered[:6]) == sorted(answered[6:]) == [f"/{number}" for number in range(6)]


def test_a_job_that_ends_while_it_is_asked_for_loses_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = tmp_path / "log"
    log.write_text("first\n")

    class Slow(SlurmClient):
        """Its first answer takes until the job has ended."""

        asked, ended = asyncio.Event(), asyncio.Event()

        async def new_output(self, logs: Sequence[Question]) -> list[Piece | None]:
            answer = await super().new_output(logs)
            self.asked.set()
            await self.ended.wait()
            return answer

    async def follow() -> None:
        client = Slow(LoginShell(Login(argv=SHELLS["dash"], folder=tmp_path / "login")))
        async with LogFollower(client, interval=0.1).following(job(log)):
            await client.asked.wait()
            log.write_text("first\nlast")
            asyncio.get_running_loop().call_later(0.1, client.ended.set)

    asyncio.run(asyncio.wait_for(follow(), 20))
    assert caplog.messages == ["| first", "| last"]


def test_the_log_file_is_followed_from_its_beginning_as_soon_as_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it is longer than Slurm's log, and after a requeue, which makes a new one."""
    caplog.set_level(logging.INFO)
    (tmp_path / "own").write_text("starting\n")
    request = replace(job(tmp_path / "own"), run_dir=str(tmp_path), log_file=["{job_id}-logs*/driver.log"])

    async def follow() -> None:
        client = SlurmClient(LoginShell(Login(argv=SHELLS["dash"], folder=tmp_path / "login")))
        async with LogFollower(client, interval=0.1).following(request):
            for count, (folder, line) in enumerate([("7-logs", "the first run"), ("7-logs-1", "again")], start=1):
                while len(caplog.messages) < count:
                    await asyncio.sleep(0.05)
                (tmp_path / folder).mkdir()
                (tmp_path / folder / "driver.log").write_text(f"{line}\n")

    asyncio.run(asyncio.wait_for(follow(), 20))
    assert caplog.messages == ["| starting", "| the first run", "| again"]


def test_an_unreadable_log_is_one_warning_and_fails_no_task(caplog: pytest.LogCaptureFixture) -> None:
    follower = LogFollower(SlurmClient(FakeShell(tail=silent)), interval=0.1)

    async def run() -> None:
        async with asyncio.timeout(10), follower.following(job(Path("/l"))):
            await asyncio.sleep(1)

    asyncio.run(run())
    assert caplog.messages == ["New lines of the jobs' logs cannot be read now, trying again: connection lost"]


def test_a_job_without_stream_log_is_not_asked_for() -> None:
    shell = FakeShell()

    async def run() -> None:
        async with LogFollower(SlurmClient(shell), interval=0.1).following(job(Path("/l"), stream_log=False)):
            await asyncio.sleep(0.5)

    asyncio.run(run())
    assert shell.asked == []
