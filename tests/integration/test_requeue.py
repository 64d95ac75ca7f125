"""What Slurm does to a job after its start: requeued, preempted, its node lost. The one who waits sees one job."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.log_follower import LogFollower
from airflow_slurm_sweep.slurm.states import JobState
from sandbox import Sandbox
from sandbox.processes import send, tree, wait_until, writing_to
from tests.integration.test_jobs import attempt, end, request_maker, with_client

pytestmark = pytest.mark.sandbox

ENDS_THE_SECOND_TIME = '[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || exec sleep 300'
Scenario = Callable[[SubmittedJob], Awaitable[None]]


@pytest.fixture(scope="module", params=["no accounting", pytest.param("accounting", marks=pytest.mark.all)])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Two nodes that count as lost after 9 s without an answer, and forget ended jobs after 5 s."""
    folder = tmp_path_factory.mktemp("q")
    # A requeued job waits until its first credential has expired: two minutes, if nobody says otherwise.
    lines = ("SlurmdTimeout=9", f"AuthInfo=socket={folder}/munge/s,cred_expire=5")
    accounting = request.param == "accounting"
    with Sandbox(folder, nodes=2, accounting=accounting, min_job_age=5, slurm_conf=lines) as box:
        yield box


@pytest.fixture
def make(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobRequest]:
    monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(box.connection))
    return request_maker(box, tmp_path)


def run(request: JobRequest, scenario: Scenario) -> tuple[SubmittedJob, JobStatus]:
    """Submit a job, and wait for its end while the scenario happens to it."""

    async def work(client: SlurmClient) -> tuple[SubmittedJob, JobStatus]:
        job = await client.submit(request, attempt())
        waiting = asyncio.create_task(end(client, job))
        await scenario(job)
        return job, await waiting

    return with_client(work)


async def until(box: Sandbox, job_id: str, *states: str) -> str:
    """Wait until squeue shows the job in one of the states; return ``state reason node``."""
    for _ in range(600):
        shown = box.slurm("squeue", "--states=all", "--noheader", "--format=%i %T %r %N").splitlines()
        for job, _, rest in (line.partition(" ") for line in shown):
            if job == job_id and rest.split()[0] in states:
                return rest
        await asyncio.sleep(0.1)
    raise AssertionError(f"job {job_id} is never {states}: {shown}")


def lose(box: Sandbox, node: str) -> None:
    """A power cut: the node's slurmd and all of its jobs end at once."""
    log = box.directory / "logs" / f"{node}.log"
    while pids := tree(writing_to([log])):
        send(signal.SIGKILL, pids)


def restore(box: Sandbox, node: str) -> None:
    box.start(node)
    assert wait_until(
        lambda: box.slurm("sinfo", f"--nodes={node}", "--noheader", "--format=%t").split()[0] == "idle", 30
    )


def rows(box: Sandbox, job_id: str, *options: str) -> list[str]:
    return box.slurm("sacct", "-X", "-n", "-P", "-o", "State", "-j", job_id, *options).splitlines()


def test_requeued_by_hand(
    box: Sandbox, make: Callable[..., JobRequest], caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level(logging.INFO, logger="airflow_slurm_sweep")

    async def requeue(job: SubmittedJob) -> None:
        await until(box, job.job_id, "RUNNING")
        box.slurm("scontrol", "requeue", job.job_id)

    job, status = run(make(ENDS_THE_SECOND_TIME), requeue)
    assert (status.job_id, status.state) == (job.job_id, JobState.COMPLETED)
    assert any(f"Job {job.job_id} is PENDING (BeginTime)" in message for message in caplog.messages)
    if "no accounting" not in request.node.name:
        assert len(rows(box, job.job_id)) == 1
        assert len(rows(box, job.job_id, "--duplicates")) == 2


def test_the_log_file_of_the_latest_run_is_shown(
    box: Sandbox, make: Callable[..., JobRequest], caplog: pytest.LogCaptureFixture
) -> None:
    """As ray.sub writes it: late, and after a requeue into another folder."""
    caplog.set_level(logging.INFO, logger="airflow_slurm_sweep")
    command = (
        'echo starting; sleep 2; cd "$BASE_LOG_DIR" && mkdir "$SLURM_JOB_ID${SLURM_RESTART_COUNT:+-$SLURM_RESTART_COUNT}-logs" '
        '&& exec > "$_/ray-driver.log"; echo "run ${SLURM_RESTART_COUNT:-0} of the training"; '
        f"{ENDS_THE_SECOND_TIME}; exit 3"
    )
    patterns = ["{job_id}-logs/ray-driver.log", "{job_id}-*-logs/ray-driver.log"]

    async def work(client: SlurmClient) -> str:
        job = await client.submit(make(command, log_file=patterns, stream_log=True), attempt())
        async with LogFollower(client, interval=0.3).following(job):
            waiting = asyncio.create_task(end(client, job))
            async with asyncio.timeout(240):
                while "| run 0 of the training" not in caplog.messages:
                    await asyncio.sleep(0.2)
            box.slurm("scontrol", "requeue", job.job_id)
            status = await waiting
        assert (job.job_id, status.state) == (status.job_id, JobState.FAILED)
        log = await client.log_tail(job, status)
        return log.replace(f"{job.run_dir}/{job.job_id}-1-", "")

    assert with_client(work) == "logs/ray-driver.log:\nrun 1 of the training"
    shown = [message for message in caplog.messages if message.startswith("| ")]
    assert shown == ["| starting", "| run 0 of the training", "| run 1 of the training"]


def test_held_after_its_requeue(box: Sandbox, make: Callable[..., JobRequest]) -> None:
    async def hold(job: SubmittedJob) -> None:
        await until(box, job.job_id, "RUNNING")
        box.slurm("scontrol", "requeuehold", job.job_id)
        await until(box, job.job_id, "PENDING", "REQUEUE_HOLD")
        await asyncio.sleep(3)
        box.slurm("scontrol", "release", job.job_id)

    _, status = run(make(ENDS_THE_SECOND_TIME), hold)
    assert status.state is JobState.COMPLETED


def test_preempted(box: Sandbox, make: Callable[..., JobRequest], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airflow_slurm_sweep")

    async def preempt(job: SubmittedJob) -> None:
        await until(box, job.job_id, "RUNNING")
        box.slurm("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")

    request = make(ENDS_THE_SECOND_TIME, partition="low", nodes=2, options={"exclusive": True})
    job, status = run(request, preempt)
    assert (status.job_id, status.state) == (job.job_id, JobState.COMPLETED)
    assert any(f"Job {job.job_id} is PENDING" in message for message in caplog.messages)


def test_drained_nodes(box: Sandbox, make: Callable[..., JobRequest]) -> None:
    async def resume(job: SubmittedJob) -> None:
        await asyncio.sleep(2)
        shown = await until(box, job.job_id, "PENDING")
        assert "DOWN, DRAINED or reserved" in shown or "Resources" in shown
        box.slurm("scontrol", "update", "nodename=n[1-2]", "state=resume")

    box.slurm("scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=test")
    _, status = run(make("true"), resume)
    assert status.state is JobState.COMPLETED


@pytest.mark.slow("Slurm takes 9 s for it, and asks a lost node for as long")
def test_their_node_is_lost(box: Sandbox, make: Callable[..., JobRequest]) -> None:
    """One job may run again on the other node, one may not: a clear of its task brings a new one, and at once."""

    async def work(client: SlurmClient) -> tuple[JobStatus, JobStatus, JobStatus]:
        requests = [make(ENDS_THE_SECOND_TIME), make(ENDS_THE_SECOND_TIME, options={"no-requeue": True})]
        jobs = [await client.submit(request, attempt()) for request in requests]
        waiting = [asyncio.create_task(end(client, job)) for job in jobs]
        nodes = {(await until(box, job.job_id, "RUNNING")).split()[-1] for job in jobs}
        assert nodes == {"n1"}
        lose(box, "n1")
        try:
            again, ended = await asyncio.gather(*waiting)
            new = await client.submit(requests[1], attempt(2))
            assert new.job_id not in [job.job_id for job in jobs]
            box.slurm("scancel", new.job_id)
            return again, ended, await end(client, new)
        finally:
            restore(box, "n1")

    again, ended, new = with_client(work)
    assert (again.state, again.nodes) == (JobState.COMPLETED, "n2")
    assert (ended.state, new.state) == (JobState.NODE_FAIL, JobState.CANCELLED)
