"""How real Slurm is asked for nodes, GPUs and partitions, and what is said of jobs that wait in its queue."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.states import JobState
from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.integration.test_jobs import attempt, request_maker, with_client

pytestmark = pytest.mark.sandbox

HELD = {"hold": True}


@pytest.fixture
def submitted(cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Submit a job, and return it; each is cancelled at the end."""
    connected(cluster)
    make = request_maker(cluster, tmp_path)
    jobs: list[SubmittedJob] = []

    def submit(**changes: Any) -> SubmittedJob:
        jobs.append(with_client(lambda client: client.submit(make("sleep 300", **changes), attempt())))
        return jobs[-1]

    yield submit
    cluster.slurm("scancel", *(job.job_id for job in jobs))


@contextmanager
def full(cluster: Sandbox) -> Iterator[None]:
    """Keep all nodes busy, for at most ten minutes: Slurm plans by time limits."""
    blocker = cluster.slurm(
        "sbatch", "--parsable", "--account=sandbox", "--nodes=8", "--exclusive", "--time=10", "--output=/dev/null",
        "--wrap=sleep 600",
    ).strip()  # fmt: skip
    try:
        # The jobs of earlier tests may still be completing: until then others start before it.
        assert wait_until(lambda: "JobState=RUNNING" in cluster.slurm("scontrol", "show", "job", blocker))
        yield
    finally:
        cluster.slurm("scancel", blocker)


def shown(cluster: Sandbox, job: SubmittedJob) -> dict[str, str]:
    text = cluster.slurm("scontrol", "show", "job", job.job_id)
    return dict(word.partition("=")[::2] for word in text.split() if "=" in word)


@pytest.mark.parametrize(
    ("asked", "in_slurm"),
    [
        ({"gpus_per_node": 4, "options": {"gpus-per-node": 4}}, {"TresPerNode": "gres:gpu:4"}),
        ({"gpus_per_node": 8, "gpu_request": "none"}, {}),
        pytest.param({"gpus_per_node": 8, "options": {"gres": "none"}}, {}, marks=pytest.mark.all),
        pytest.param(
            {"gpus_per_node": 2, "options": {"gres": "gpu:2"}}, {"TresPerNode": "gres:gpu:2"}, marks=pytest.mark.all
        ),
        pytest.param(
            {"gpus_per_node": 4, "nodes": 2, "options": {"gpus": 8}},
            {"TresPerJob": "gres:gpu:8"},
            marks=pytest.mark.all,
        ),
        pytest.param(
            {"gpus_per_node": 2, "options": {"gpus-per-task": 2}}, {"TresPerTask": "gres:gpu:2"}, marks=pytest.mark.all
        ),
    ],
    ids=lambda value: str(value.get("options", value.get("gpu_request"))) if "gpus_per_node" in value else "",
)
def test_gpus_are_asked_for_once(
    cluster: Sandbox, submitted: Callable[..., SubmittedJob], asked: dict[str, Any], in_slurm: dict[str, str]
) -> None:
    job = submitted(**{**asked, "options": {**HELD, **asked.get("options", {})}})
    found = {name: value for name, value in shown(cluster, job).items() if name.startswith("TresPer")}
    assert {
        name: value.replace("gres/", "gres:") for name, value in found.items()
    } == in_slurm  # as Slurm 24.11 says it


def test_extra_nodes_and_partitions(cluster: Sandbox, submitted: Callable[..., SubmittedJob]) -> None:
    found = shown(cluster, submitted(nodes=2, extra_nodes=1, partition="debug,batch", options=HELD))
    assert (found["NumNodes"], found["Partition"]) == ("3-3", "debug,batch")


async def watch(client: SlurmClient, *jobs: SubmittedJob, seconds: float) -> list[JobStatus | None]:
    """Wait for jobs, at most so long."""
    monitor = Monitor(client, interval=0.3)

    async def wait(job: SubmittedJob) -> JobStatus | None:
        try:
            return await asyncio.wait_for(monitor.wait(job), seconds)
        except TimeoutError:
            return None

    return await asyncio.gather(*map(wait, jobs))


def test_why_jobs_wait_is_said_in_words_and_a_job_that_never_starts_is_warned_of(
    cluster: Sandbox, submitted: Callable[..., SubmittedJob], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="airflow_slurm_sweep")
    with full(cluster):
        never = submitted(partition="debug", time="10")
        waits = submitted(partition="batch,debug", time="10", options={"exclusive": True})
        with_client(lambda client: watch(client, never, waits, seconds=6))
    lines = [(record.levelname, record.message) for record in caplog.records]
    why = "(PartitionTimeLimit): its time limit is longer than the partition allows"
    advice = "Time alone will not start it; to cancel it, mark this task failed"
    assert lines.count(("WARNING", f"Job {never.job_id} is PENDING {why}. {advice}")) == 1, lines
    of_other = [message for level, message in lines if waits.job_id in message]
    assert not [level for level, message in lines if level == "WARNING" and waits.job_id in message], lines
    starts = [
        message
        for message in of_other
        if re.search(r"Slurm expects it to start at 20\d\d-\d\d-\d\d \d\d:\d\d UTC$", message)
    ]
    assert len(starts) == 1, of_other


def test_a_job_that_waits_for_too_long_is_cancelled_whoever_watches(
    cluster: Sandbox, submitted: Callable[..., SubmittedJob]
) -> None:
    held = submitted(options=HELD, queue_limit=6)
    runs = replace(submitted(), queue_limit=1)

    async def two_triggerers(client: SlurmClient) -> JobStatus | None:
        assert await watch(client, held, runs, seconds=3) == [None, None]
        (status, _) = await watch(client, held, runs, seconds=5)  # Slurm's time counts, not that of the second one
        return status

    status = with_client(two_triggerers)
    assert status is not None
    assert status.state is JobState.CANCELLED
    assert status.reason == (
        "queue_limit: PENDING for more than 0:00:06; JobHeldUser: its user holds it until `scontrol release`"
    )
    assert shown(cluster, runs)["JobState"] == "RUNNING", "it had started"
