"""What ends a task from outside, and what becomes of its job. What a person does to tasks: test_contract.py."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError, TaskTimeoutError
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks.one_job import await_job, submit_job
from sandbox import Sandbox
from sandbox.processes import wait_until

pytestmark = pytest.mark.sandbox

LIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")
ATTEMPT = Attempt(dag_id="d", run_id="r", task_id="submit", map_index=0, try_number=1, id="01-1", installation="a")
IN_TIME = 240  # seconds, on a machine with other work


def test_dags_test_that_is_interrupted_leaves_no_job(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path
) -> None:
    (sweeps / "interrupted.yaml").write_text(
        "script_path: examples/train_grpo.py\nseed: [1, 2, 3]\ngrpo.num_episodes: 1000\ngrpo.step_seconds: 1\n"
        "slurm: {jobname: interrupted, nodes: 1, gpus_per_node: 0}\n"
    )

    def live() -> list[str]:
        lines = cluster.slurm("squeue", "--me", "--noheader", "--states=all", "--format=%j %T").splitlines()
        return [line for line in lines if line.startswith("interrupted_") and line.split()[1] in LIVE]

    with subprocess.Popen(
        ["airflow", "dags", "test", "interrupted", "--conf", '{"dry_run": false}'],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A shell makes its children in the background deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        assert wait_until(lambda: len(live()) == 3)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        log, _ = process.communicate(timeout=IN_TIME)
    assert wait_until(lambda: not live()), log
    assert process.returncode != 0


# One task alone: its time limit


@pytest.fixture
def request_(connected: Callable[[Sandbox], None], cluster: Sandbox, tmp_path: Path) -> JobRequest:
    connected(cluster)
    return JobRequest(
        ssh_conn_id="slurm_sandbox",
        name="limited",
        command="exec sleep 600",
        run_dir=str(tmp_path / "run"),
        script='#!/bin/bash\neval "$COMMAND"\n',
    )


def state(cluster: Sandbox, job_id: str) -> str:
    return cluster.slurm("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job_id}").strip()


def test_a_wait_that_is_out_of_time_cancels_its_job(cluster: Sandbox, request_: JobRequest) -> None:
    job = asyncio.run(submit_job(request_, ATTEMPT))
    with pytest.raises(TaskTimeoutError, match=f"^Job {job.job_id} did not end in time; it is cancelled$"):
        asyncio.run(await_job(job, seconds=2))
    assert wait_until(lambda: state(cluster, job.job_id) == "CANCELLED")


def test_a_wait_is_out_of_time_while_it_reads_what_its_job_left(
    cluster: Sandbox, request_: JobRequest, tmp_path: Path
) -> None:
    """The login node's file server hangs: `stat` does not return."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "stat").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "bin" / "stat").chmod(0o755)
    request = replace(request_, command="true", login_setup=[f"PATH={tmp_path}/bin:$PATH"])
    job = asyncio.run(submit_job(request, ATTEMPT))
    assert wait_until(lambda: state(cluster, job.job_id) == "COMPLETED")
    with pytest.raises(TaskTimeoutError) as error:
        asyncio.run(await_job(job, seconds=10))
    assert str(error.value) == f"Job {job.job_id} ended as COMPLETED, but what it left could not be read in time"


def test_a_submission_that_is_out_of_time_is_withdrawn(cluster: Sandbox, request_: JobRequest, tmp_path: Path) -> None:
    """The limit of parallel jobs keeps it waiting."""
    first = replace(request_, name="first", run_dir=str(tmp_path / "first"), max_parallel_jobs=1)
    second = replace(request_, max_parallel_jobs=1)
    job = asyncio.run(submit_job(first, ATTEMPT))
    with pytest.raises(TaskTimeoutError, match=r"^limited was not submitted in time; the submission is withdrawn$"):
        asyncio.run(submit_job(second, replace(ATTEMPT, map_index=1, id="01-2"), seconds=3))
    cluster.slurm("scancel", job.job_id)
    assert wait_until(lambda: state(cluster, job.job_id) == "CANCELLED")
    with pytest.raises(ClusterRefusedError, match="this attempt was withdrawn"):
        asyncio.run(submit_job(second, replace(ATTEMPT, map_index=1, id="01-2")))
