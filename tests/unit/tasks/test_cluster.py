"""Who submits how, in the session of one cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from array_jobs import ATTEMPT, job
from fake_shell import FakeShell

from airflow_slurm_sweep.errors import AloneError, SlurmSweepError
from airflow_slurm_sweep.slurm import patience
from airflow_slurm_sweep.slurm.batching import Batcher
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.slurm.submit.script import Submission
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
