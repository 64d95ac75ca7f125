"""What is counted, while a cluster answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from fake_shell import FakeShell, Submission, silent

from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.telemetry import Metrics

REQUEST = JobRequest(ssh_conn_id="c", name="a", command="true", run_dir="/r/a", script="#!/bin/sh\n")
ATTEMPT = Attempt(dag_id="d", run_id="r", task_id="t", map_index=0, try_number=1, id="1", installation="a")


def job(job_id: str) -> SubmittedJob:
    return SubmittedJob(ssh_conn_id="c", job_id=job_id, job_name="a", run_dir="/r/a", log_path="/r/a/log", label="")


@dataclass
class Figures(Metrics):
    """Keeps all that it is told."""

    counted: list[tuple[str, int]] = field(default_factory=list)
    gauges: list[tuple[str, int]] = field(default_factory=list)
    timed: list[str] = field(default_factory=list)

    def count(self, name: str, number: int = 1) -> None:
        self.counted.append((name, number))

    def gauge(self, name: str, value: int) -> None:
        self.gauges.append((name, value))

    def time(self, name: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.timed.append(name)


def in_turn(*answers: object) -> Callable[[], object]:
    left: Iterator[object] = iter(answers)
    return lambda: next(left)


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (Submission(text="7 submitted"), [("jobs_submitted", 1)]),
        (Submission(text="7 again"), []),
        (Submission(exit_status=92, text="Invalid account"), []),
    ],
)
def test_submissions(answer: object, counted: list[tuple[str, int]]) -> None:
    figures = Figures()
    client = SlurmClient(FakeShell(sbatch=answer), figures)
    try:
        asyncio.run(client.submit(REQUEST, ATTEMPT))
    except SlurmSweepError:
        assert counted == []
    assert figures.counted == counted


@pytest.mark.parametrize(("answer", "counted"), [("cancelled\n", [("jobs_cancelled", 1)]), ("", [])])
def test_cancellations(answer: object, counted: list[tuple[str, int]]) -> None:
    figures = Figures()
    asyncio.run(SlurmClient(FakeShell(scancel=answer), figures).cancel(job("7")))
    assert figures.counted == counted


def test_ticks() -> None:
    figures = Figures()
    shell = FakeShell(
        squeue=in_turn(
            "1|PENDING|0:00|N/A|N/A||a|Priority\n2|RUNNING|0:01|N/A|N/A|n1|a|None\n3|RUNNING|0:01|N/A|N/A|n1|a|None\n9|COMPLETED|0:01|N/A|N/A|n1|a|None\n",
            silent(),
            "1|RUNNING|0:00|N/A|N/A|n1|a|None\n2|COMPLETED|0:01|N/A|N/A|n1|a|None\n3|COMPLETED|0:01|N/A|N/A|n1|a|None\n",
            "1|FAILED|0:01|N/A|N/A|n1|a|NonZeroExitCode\n",
        ),
        scontrol="",
        sacct="",
    )

    async def wait() -> None:
        monitor = Monitor(SlurmClient(shell, figures), interval=0.01)
        await asyncio.wait_for(asyncio.gather(*(monitor.wait(job(job_id)) for job_id in "123")), 20)

    asyncio.run(wait())
    assert figures.counted == [
        ("ticks_unanswered", 1),
        ("jobs_ended.completed", 2),
        ("jobs_ended.failed", 1),
    ]
    assert figures.timed == ["squeue", "tick", "tick", "squeue", "tick", "squeue", "tick"]
    told = [("jobs.pending", 1), ("jobs.running", 2), ("jobs.pending", 0), ("jobs.running", 1)]
    assert figures.gauges[:4] == told
    assert set(figures.gauges[4:]) == {("jobs.pending", 0), ("jobs.running", 0)}, "when all is over, none stands"
    assert len(figures.gauges[4:]) == 4, "some figures a tick, however many jobs"
