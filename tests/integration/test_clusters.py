"""Two real clusters behind one login node: they share the munge key and the accounting database."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from airflow_slurm_sweep.slurm.shell import Site
from sandbox import Sandbox
from sandbox.config import ACCOUNT
from sandbox.processes import wait_until
from tests.integration.login import Login
from tests.integration.test_sites import end_of, job_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.sandbox, pytest.mark.all]


@contextmanager
def second_cluster(box: Sandbox, folder: Path, name: str, *lines: str) -> Iterator[Sandbox]:
    """Run another cluster that is known to the accounting database of the first one."""
    shared = ("AccountingStorage", "AuthInfo")
    conf = [line for line in (box.directory / "slurm.conf").read_text().splitlines() if line.startswith(shared)]
    box.slurm("sacctmgr", "-i", "add", "cluster", name)
    box.slurm("sacctmgr", "-i", "add", "account", ACCOUNT, f"cluster={name}")
    box.slurm("sacctmgr", "-i", "add", "user", str(box.connection["login"]), f"account={ACCOUNT}", f"cluster={name}")
    with Sandbox(folder, nodes=1, min_job_age=2, slurm_conf=[f"ClusterName={name}", *conf, *lines]) as second:
        yield second


def wait_until_forgotten(box: Sandbox, job: str) -> None:
    """Wait until the controller of a cluster does not know a job any more."""
    assert wait_until(lambda: job not in box.slurm("squeue", "--states=all", "--noheader", "--format=%i").split())


def test_jobs_with_equal_numbers_and_names_are_never_mixed(
    cluster_accounting: Sandbox, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path / "second").mkdir()
    here = Login(box=cluster_accounting, folder=tmp_path)
    there = Login(box=cluster_accounting, folder=tmp_path / "second", site=Site(ssh_conn_id="x", clusters="second"))
    number = here.submit(here.request(account=ACCOUNT))
    first_id = f"FirstJobId={number}"
    with second_cluster(cluster_accounting, tmp_path_factory.mktemp("b"), "second", first_id) as second:
        assert there.submit(there.request(account=ACCOUNT)) == number
        here.wait_for(number, "RUNNING")
        assert wait_until(lambda: asyncio.run(there.client.queue())[number].text == "RUNNING")

        asyncio.run(there.client.cancel(job_of(there, number)))
        wait_until_forgotten(second, number)
        cancelled = end_of(there, number)
        assert (cancelled.split()[0], cancelled.split()[-1]) == ("CANCELLED", "sacct")
        assert here.live() == [number], "the first cluster's job of that number goes on"

        done = there.submit(there.request('test -z "${SLURM_CLUSTERS+x}" && srun true', account=ACCOUNT, name="next"))
        failed = here.submit(here.request("exit 3", account=ACCOUNT, name="next"))
        assert done == failed
        wait_until_forgotten(second, done)
        wait_until_forgotten(cluster_accounting, failed)
        for login, job, end in ((there, done, "COMPLETED 0:0 sacct"), (here, failed, "FAILED 3:0 sacct")):
            found, trouble = asyncio.run(login.client.look_up([job_of(login, job, "next")]))
            assert (f"{found[job].text} {found[job].exit_code} {found[job].source}", trouble) == (end, "")

        asyncio.run(here.client.cancel(job_of(here, number)))
        here.wait_for(number, "CANCELLED")
