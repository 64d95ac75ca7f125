"""Slurm runs a job again, or makes it wait: that is the same job, and waited for."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.processes import tree, wait_until
from slurm_sweep.slurm.client import SlurmClient
from slurm_sweep.slurm.job import JobStatus
from slurm_sweep.slurm.states import JobState
from tests.integration.test_jobs import attempt, end, request_maker, with_client

pytestmark = pytest.mark.sandbox

# The first run waits to be disturbed; the second ends well.
TWICE = 'if [ -e "$BASE_LOG_DIR/again" ]; then exit 0; fi; touch "$BASE_LOG_DIR/again"; exec sleep 300'


def state(box: Sandbox, job_id: str) -> str:
    return box.slurm("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job_id}", check=False).strip()


def disturb(
    box: Sandbox, folder: Path, act: Callable[[str], Awaitable[None]], command: str = TWICE, **changes: Any
) -> JobStatus:
    """Submit a job, wait for its end, and disturb it when it runs."""
    request = request_maker(box, folder)(command, **changes)

    async def work(client: SlurmClient) -> JobStatus:
        job = await client.submit(request, attempt())
        waiting = asyncio.create_task(end(client, job))
        started = Path(request.run_dir) / "again"
        assert await asyncio.to_thread(wait_until, lambda: started.exists() or command != TWICE, 60)
        await act(job.job_id)
        status = await waiting
        assert status.job_id == job.job_id
        return status

    return with_client(work)


@pytest.fixture(params=["cluster", "cluster_forgetful"])
def box(request: pytest.FixtureRequest, connected: Callable[[Sandbox], None]) -> Sandbox:
    box: Sandbox = request.getfixturevalue(request.param)
    connected(box)
    return box


@pytest.mark.slow
def test_a_job_that_is_requeued_is_waited_for(box: Sandbox, tmp_path: Path) -> None:
    """Slurm lets a requeued job begin again after two minutes."""

    async def requeue(job_id: str) -> None:
        box.slurm("scontrol", "requeue", job_id)
        assert await asyncio.to_thread(wait_until, lambda: state(box, job_id) == "PENDING", 60)

    assert disturb(box, tmp_path, requeue).state is JobState.COMPLETED


def test_a_requeued_job_that_is_held_is_waited_for(
    cluster: Sandbox,
    tmp_path: Path,
    connected: Callable[[Sandbox], None],
) -> None:
    connected(cluster)

    async def hold(job_id: str) -> None:
        cluster.slurm("scontrol", "requeuehold", job_id)
        assert await asyncio.to_thread(wait_until, lambda: state(cluster, job_id) == "PENDING", 60)
        await asyncio.sleep(2)
        cluster.slurm("scancel", job_id)

    assert disturb(cluster, tmp_path, hold).state is JobState.CANCELLED


@pytest.mark.slow
def test_a_job_that_is_preempted_is_waited_for(
    cluster: Sandbox,
    tmp_path: Path,
    connected: Callable[[Sandbox], None],
) -> None:
    connected(cluster)

    async def preempt(job_id: str) -> None:
        other = cluster.slurm(
            "sbatch",
            "--parsable",
            "--partition=high",
            "--nodes=8",
            "--exclusive",
            "--output=/dev/null",
            "--wrap=sleep 3",
        ).strip()
        assert await asyncio.to_thread(wait_until, lambda: state(cluster, other) in ("RUNNING", "COMPLETED"), 60)
        assert state(cluster, job_id) != "RUNNING"

    status = disturb(cluster, tmp_path, preempt, partition="low", nodes=8, options={"exclusive": True})
    assert status.state is JobState.COMPLETED


def test_a_job_that_waits_for_a_drained_node(
    cluster_forgetful: Sandbox,
    tmp_path: Path,
    connected: Callable[[Sandbox], None],
) -> None:
    box = cluster_forgetful
    connected(box)
    box.slurm("scontrol", "update", "nodename=n1", "state=drain", "reason=test")

    async def resume(job_id: str) -> None:
        assert await asyncio.to_thread(wait_until, lambda: state(box, job_id) == "PENDING", 30)
        await asyncio.sleep(2)
        box.slurm("scontrol", "update", "nodename=n1", "state=resume")

    status = disturb(box, tmp_path, resume, command="true", options={"nodelist": "n1"})
    assert status.state is JobState.COMPLETED


@pytest.mark.faults
@pytest.mark.slow
def test_a_node_that_dies(tmp_path_factory: pytest.TempPathFactory, connected: Callable[[Sandbox], None]) -> None:
    """Its job is run again on another node; one that must not be is a failure, neither lost nor a success."""
    for options, expected in (({"requeue": True}, JobState.COMPLETED), ({"no-requeue": True}, JobState.NODE_FAIL)):
        with Sandbox(tmp_path_factory.mktemp("n"), nodes=2) as box:
            connected(box)

            async def kill_node(job_id: str, box: Sandbox = box) -> None:
                node = box.slurm("squeue", "--noheader", "--format=%N", f"--jobs={job_id}").strip()
                pid = box.status()[node]
                assert pid
                for member in tree([pid]):
                    os.kill(member, signal.SIGKILL)
                box.slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=dead")

            status = disturb(box, tmp_path_factory.mktemp("r"), kill_node, options=options)
            assert status.state is expected
