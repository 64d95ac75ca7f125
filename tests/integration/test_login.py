"""A login node that lets nobody in for a while, as one does that has just booted: tasks that wait wait on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.tasks.cluster import cluster_session
from airflow_slurm_sweep.tasks.one_job import JobEnd, await_job, submit_job
from sandbox import Sandbox
from tests.integration.sshd import another_host_key
from tests.integration.test_jobs import attempt, request_maker, with_client

pytestmark = pytest.mark.sandbox


def test_a_login_that_is_refused_for_a_while(
    cluster: Sandbox,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connected(cluster)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "0.5")
    request = request_maker(cluster, tmp_path)("until [ -e end ]; do sleep 0.2; done")
    keys = cluster.directory / "ssh" / "authorized_keys"
    allowed = keys.read_text()

    async def wait() -> JobStatus:
        async with cluster_session(Site(ssh_conn_id="slurm_sandbox")) as here:
            job = await here.submit(request, attempt())
            waiting = asyncio.create_task(here.monitor.wait(job))
            await asyncio.sleep(1.5)
            cluster.stop("sshd")
            keys.write_text("")
            cluster.start("sshd")
            while "refuses the login: it does not know the user, or does not accept the key" not in caplog.text:
                await asyncio.sleep(0.2)
            assert not waiting.done()
            keys.write_text(allowed)
            (tmp_path / "end").touch()
            return await asyncio.wait_for(waiting, 240)

    try:
        with caplog.at_level("INFO"):
            status = asyncio.run(asyncio.wait_for(wait(), 240))
        assert status.state is JobState.COMPLETED
        assert "It let us in before, so we try again" in caplog.text
        keys.write_text("")
        with pytest.raises(ClusterRefusedError):  # who was never let in is told at once
            with_client(lambda client: client.queue())
    finally:
        keys.write_text(allowed)


def test_jobs_are_waited_for_while_the_host_key_is_another_one(
    cluster: Sandbox,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also in a process that was never let in, as a triggerer that has just started."""
    connected(cluster)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "0.5")
    make = request_maker(cluster, tmp_path)
    requests = [make(f"until [ -e {tmp_path}/end ]; do sleep 0.2; done", name=f"job{number}") for number in range(10)]

    async def submit() -> list[SubmittedJob]:
        attempts = [replace(attempt(), map_index=number) for number in range(10)]
        return await asyncio.gather(*(submit_job(*pair) for pair in zip(requests, attempts, strict=True)))

    async def wait(jobs: list[SubmittedJob], mended: asyncio.Event) -> list[JobEnd]:
        waiting = [asyncio.create_task(await_job(job)) for job in jobs]
        while "is not the one that we know" not in caplog.text:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)  # some more ticks
        assert not any(task.done() for task in waiting)
        (tmp_path / "end").touch()
        mended.set()
        return await asyncio.gather(*waiting)

    async def wait_until_mended(jobs: list[SubmittedJob]) -> list[JobEnd]:
        mended = asyncio.Event()
        with another_host_key(cluster):
            waiting = asyncio.create_task(wait(jobs, mended))
            await asyncio.wait([waiting, asyncio.create_task(mended.wait())], return_when=asyncio.FIRST_COMPLETED)
        return await waiting

    jobs = asyncio.run(submit())
    with caplog.at_level("INFO"):
        ends = asyncio.run(asyncio.wait_for(wait_until_mended(jobs), 240))
    assert {end.status.state for end in ends} == {JobState.COMPLETED}
