"""A run directory whose record is damaged or gone: no job is lost by it, and none runs beside the next.

The shells are real; Slurm's commands are recorders (`login_shell`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from login_shell import SHELLS, Login

from airflow_slurm_sweep.names import RECORD
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.shell import Completed
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.tasks.chained import Chained
from airflow_slurm_sweep.tasks.one_job import cancel_awaited

SUBMITTING = Attempt(
    dag_id="d", run_id="r", task_id="combination.submit", map_index=3, try_number=1, id="01-1", installation="a"
)
WAITING = replace(SUBMITTING, task_id="combination.wait", id="02-1")


@dataclass(kw_only=True)
class Node(Login):
    """A login node with one run directory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("date",):
            (self.folder / "bin" / name).symlink_to(f"/usr/bin/{name}")

    @property
    def record(self) -> Path:
        return self.run_dir / RECORD

    @property
    def run_dir(self) -> Path:
        return self.folder / "runs" / "s_1"

    def request(self, **changes: Any) -> JobRequest:
        values = {"ssh_conn_id": "c", "name": "s_1", "command": "true", "run_dir": str(self.run_dir)}
        values |= {"script": "#!/bin/sh\n", "index": 1, "parameters": {"lr": 1}, "chain": {"jobs": 6}}
        return JobRequest(**{**values, **changes})

    def show(self, *jobs: str) -> None:
        """Let Slurm show those jobs as live, in the run directory."""
        log = f"{self.run_dir}/logs/slurm-%s.out"
        self.answer("squeue", "".join(f"{job} RUNNING {log % job}\n" for job in jobs))
        shown = "JobId={} JobName=s_1\n   UserId=me({}) GroupId=x\n   JobState=RUNNING Reason=None\n   StdOut={}\n"
        self.answer("scontrol", "".join(shown.format(job, os.getuid(), log % job) for job in jobs) or "JobId=0\n")

    @property
    def client(self) -> SlurmClient:
        return SlurmClient(_Answers(self))

    def cancelled(self) -> list[str]:
        return [words[-1] for words in self.calls("scancel")]


class _Answers:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def run(self, script: str) -> Completed:
        done = await asyncio.to_thread(self._node.run, script)
        return Completed(exit_status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(params=["dash", "bash"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    return Node(argv=SHELLS[request.param], folder=tmp_path / "login")


def half(node: Node) -> None:
    node.record.write_text("run a d r\ntask comb")


def empty(node: Node) -> None:
    node.record.write_text("")


def gone(node: Node) -> None:
    shutil.rmtree(node.run_dir)


DAMAGES = pytest.mark.parametrize("damage", [half, empty, gone])


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for a script that goes on in the background."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


# A task that is killed


@DAMAGES
def test_the_job_of_a_killed_task_that_waits_for_a_chain_is_cancelled(
    node: Node, damage: Callable[[Node], None]
) -> None:
    assert node.submit(node.request(), SUBMITTING) == (0, "7 submitted")
    node.show("7")
    damage(node)
    chained = Chained(request=node.request(), attempt=WAITING, resolve=None, on_next=None)  # type: ignore[arg-type]
    asyncio.run(cancel_awaited(node.client, submitted_job(node.request(), "7"), chained))
    assert "7" in node.cancelled()


@pytest.mark.parametrize("damage", [half, empty])
def test_the_job_of_a_killed_task_that_submits_is_cancelled(node: Node, damage: Callable[[Node], None]) -> None:
    assert node.submit(node.request(), SUBMITTING) == (0, "7 submitted")
    node.show("7")
    damage(node)
    asyncio.run(node.client.withdraw(node.request(), SUBMITTING))
    eventually(lambda: node.cancelled() == ["7"])
