"""Who submits how, in the session of one cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from array_jobs import ATTEMPT, job
from fake_shell import FakeShell

from airflow_slurm_sweep.errors import AloneError, ClusterUnavailableError, NotYetError, SlurmSweepError
from airflow_slurm_sweep.slurm import patience
from airflow_slurm_sweep.slurm.batching import Batcher
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.slurm.submit.script import Submission
from airflow_slurm_sweep.slurm.traces import NO_TRACE
from airflow_slurm_sweep.tasks.chained import Chained, next_job
from airflow_slurm_sweep.tasks.cluster import ClusterSession

Answers = list[SubmittedJob | SlurmSweepError]


@pytest.mark.parametrize(("array", "expected"), [(True, ["arrays", "submissions"]), (False, ["submissions"])])
def test_who_cannot_be_in_an_array_goes_alone(
    monkeypatch: pytest.MonkeyPatch, array: bool, expected: list[str]
) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.0)
    asked = []

    async def arrays(submissions: Sequence[Submission]) -> Answers:
        asked.append("arrays")
        return [AloneError("its lock is held") for _ in submissions]

    async def alone(submissions: Sequence[Submission]) -> Answers:
        asked.append("submissions")
        return [submitted_job(submissions[0][0], "7")]

    async def submit() -> SubmittedJob:
        session = ClusterSession(SlurmClient(FakeShell()), interval=1.0, patience=60.0)
        session.arrays = Batcher(arrays, at_once=10)
        session.submissions = Batcher(alone, at_once=10)
        return await session.submit(job(1, array=array), ATTEMPT)

    assert asyncio.run(submit()).job_id == "7"
    assert asked == expected


def test_few_ask_again_and_again_where_many_wait_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE", 0.01)
    places, asked, looked = 0, 0, []

    async def submissions(several: Sequence[Submission]) -> Answers:
        nonlocal places, asked
        answers: Answers = []
        for request, _ in several:
            asked += 1
            places -= 1
            answers.append(submitted_job(request, "7") if places >= 0 else NotYetError("no place"))
        places = max(0, places)
        return answers

    async def resolve(request: JobRequest) -> JobRequest:
        looked.append(request.name)
        return request

    async def run() -> int:
        nonlocal places, asked
        session = ClusterSession(SlurmClient(FakeShell()), interval=1.0, patience=60.0)
        session.submissions = Batcher(submissions, at_once=100)
        waiting = [
            asyncio.create_task(session.submit(job(n, array=False), ATTEMPT, resolve=resolve)) for n in range(1, 201)
        ]
        await asyncio.sleep(0.3)
        of_all, asked = {*looked}, 0
        looked.clear()
        await asyncio.sleep(0.3)
        assert len(of_all) == 200
        assert len({*looked}) == 25
        places = 1000
        await asyncio.gather(*waiting)
        return asked

    assert asyncio.run(asyncio.wait_for(run(), 20)) > 200


def test_the_next_job_of_a_chain_waits_for_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.0)
    asked: list[str] = []
    followed: list[SubmittedJob] = []

    async def resolve(request: JobRequest) -> JobRequest:
        asked.append(request.after)
        if len(asked) == 1:
            raise ClusterUnavailableError("Airflow did not answer")
        return request

    async def alone(submissions: Sequence[Submission]) -> Answers:
        return [submitted_job(submissions[0][0], "8")]

    async def follow() -> object:
        session = ClusterSession(SlurmClient(FakeShell()), interval=1.0, patience=60.0)
        session.submissions = Batcher(alone, at_once=10)
        request = replace(job(1), chain={"jobs": 2})
        chained = Chained(request=request, attempt=ATTEMPT, resolve=resolve, on_next=followed.append)
        status = JobStatus(job_id="7", text="TIMEOUT", source="sacct")
        return await next_job(session, submitted_job(request, "7"), status, NO_TRACE, chained)

    assert [asyncio.run(follow())] == followed
    assert (followed[0].job_id, asked) == ("8", ["7", "7"])
