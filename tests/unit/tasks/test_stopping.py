"""What becomes of stops that cannot be carried out; test_stopping.py of integration has the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.rungs import Climbed
from airflow_slurm_sweep.slurm.stopping import SAFE, Asha
from airflow_slurm_sweep.tasks.orphans import Siblings
from airflow_slurm_sweep.tasks.stopping import Stopper

JOB = SubmittedJob(ssh_conn_id="c", job_id="1", job_name="g", run_dir="/r", log_path="/r/l", objective="loss")
RULE = Asha(from_step=10, factor=3, maximize=False, to_step=100)


class Cluster:
    """Keeps rungs, and cancels; ``is_away``: notes cannot be written."""

    def __init__(self) -> None:
        self.answer = Climbed({}, {})
        self.is_away = False
        self.cancelled: list[str] = []
        self.run, self.client = self, self

    async def climb(self, *_: object) -> Climbed:
        return self.answer

    async def leave_stops(self, stops: Sequence[tuple[SubmittedJob, Any]]) -> set[str]:
        if self.is_away:
            raise ClusterUnavailableError("away")
        return {job.job_id for job, _ in stops}

    async def cancel_found(self, job_ids: Sequence[str]) -> None:
        self.cancelled += job_ids


def stopper_of(cluster: Cluster, folder: Path) -> tuple[Stopper, list[SubmittedJob]]:
    stopper = Stopper(cluster, Siblings("a", "d", "r", "submit", "wait", str(folder)), RULE)  # type: ignore[arg-type]
    jobs = []
    for index in range(1, 7):
        own = replace(JOB, job_id=f"10{index}", run_dir=f"{folder}/{index}", index=index)
        jobs.append(own)
        stopper.waiting[index] = jobs[-1], SimpleNamespace(rungs={0: float(index)})  # type: ignore[assignment]
    return stopper, jobs


def test_a_stop_that_could_not_be_carried_out_is_judged_again(tmp_path: Path) -> None:
    cluster = Cluster()
    stopper, jobs = stopper_of(cluster, tmp_path)

    async def look() -> None:
        await stopper._ask(list(stopper.waiting.values()))
        await stopper._stop(jobs)

    every = {index: {0: float(index)} for index in range(1, 7)}
    cluster.answer, cluster.is_away = Climbed(every, {}), True
    with pytest.raises(ClusterUnavailableError):
        asyncio.run(look())
    cluster.answer, cluster.is_away = Climbed({**every, 6: {0: 6.0, SAFE: 6.0}}, {}), False
    asyncio.run(look())
    assert cluster.cancelled == ["103", "104", "105"], "106 is safe by now"


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    stopper, _ = stopper_of(cluster, tmp_path)
    cluster.answer = Climbed({}, {}, "cannot write into /g/rungs")
    for _ in range(2):
        asyncio.run(stopper._ask(list(stopper.waiting.values())))
    assert [each.getMessage() for each in caplog.records] == [
        "No job is stopped early for now: cannot write into /g/rungs"
    ]
