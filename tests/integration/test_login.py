"""A login node that lets nobody in for a while, as one does that has just booted: tasks that wait wait on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.tasks.cluster import cluster_session
from sandbox import Sandbox
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
            while "the login node refuses the login" not in caplog.text:
                await asyncio.sleep(0.2)
            assert not waiting.done()
            keys.write_text(allowed)
            (tmp_path / "end").touch()
            return await asyncio.wait_for(waiting, 60)

    try:
        with caplog.at_level("INFO"):
            status = asyncio.run(asyncio.wait_for(wait(), 120))
        assert status.state is JobState.COMPLETED
        assert "It let us in before, so we try again" in caplog.text
        keys.write_text("")
        with pytest.raises(ClusterRefusedError):  # who was never let in is told at once
            with_client(lambda client: client.queue())
    finally:
        keys.write_text(allowed)
