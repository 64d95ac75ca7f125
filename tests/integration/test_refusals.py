"""What real Slurm says when it takes no job, and what becomes of it: waited for, or refused at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError
from tests.integration.test_jobs import attempt, request_maker, with_client

pytestmark = pytest.mark.sandbox


@pytest.fixture
def box(cluster_accounting: Sandbox, connected: Callable[[Sandbox], None]) -> Iterator[Sandbox]:
    connected(cluster_accounting)
    yield cluster_accounting
    cluster_accounting.slurm("scancel", "--me")


@pytest.mark.parametrize(
    ("limit", "reset", "said"),
    [
        (
            "user where user={user} set maxsubmitjobs=1",
            "user where user={user} set maxsubmitjobs=-1",
            "AssocMaxSubmitJobLimit",
        ),
        (
            "account where account=sandbox set grpsubmitjobs=1",
            "account where account=sandbox set grpsubmitjobs=-1",
            "AssocGrpSubmitJobsLimit",
        ),
        (
            "qos where name=normal set maxsubmitjobsperuser=1",
            "qos where name=normal set maxsubmitjobsperuser=-1",
            "QOSMaxSubmitJobPerUserLimit",
        ),
    ],
    ids=["user", "account", "QOS"],
)
def test_submit_limits_are_waited_out(box: Sandbox, tmp_path: Path, limit: str, reset: str, said: str) -> None:
    make = request_maker(box, tmp_path)
    user = str(box.connection["login"])
    box.slurm("sacctmgr", "-i", "modify", *limit.format(user=user).split())
    try:
        first, second = make("sleep 600"), make("true")
        job = with_client(lambda client: client.submit(first, attempt()))
        with pytest.raises(ClusterUnavailableError, match=rf"(?s)was not submitted: .*{said}"):
            with_client(lambda client: client.submit(second, attempt()))
        box.slurm("scancel", job.job_id)
    finally:
        box.slurm("sacctmgr", "-i", "modify", *reset.format(user=user).split())
    assert with_client(lambda client: client.submit(second, attempt())).job_id != job.job_id


def test_a_controller_that_is_down_is_waited_out(box: Sandbox, tmp_path: Path) -> None:
    request = request_maker(box, tmp_path)("true")
    box.stop("slurmctld")
    try:
        with pytest.raises(ClusterUnavailableError, match="Unable to contact slurm controller"):
            with_client(lambda client: client.submit(request, attempt()))
    finally:
        box.start("slurmctld")
    assert with_client(lambda client: client.submit(request, attempt())).job_id


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "nobody"},
        {"partition": "nowhere"},
        {"options": {"qos": "nothing"}},
        {"options": {"constraint": "cray"}},
        {"options": {"gres": "tpu:1"}},
    ],
    ids=["account", "partition", "qos", "constraint", "gres"],
)
def test_what_never_passes_is_refused_at_once(box: Sandbox, tmp_path: Path, changes: dict[str, Any]) -> None:
    request = request_maker(box, tmp_path)("true", **changes)
    with pytest.raises(ClusterRefusedError, match="was not submitted"):
        with_client(lambda client: client.submit(request, attempt()))


@pytest.mark.parametrize("changes", [{"nodes": 99}, {"partition": "debug", "time": "3:0:0"}], ids=["nodes", "time"])
def test_what_is_over_a_partitions_limits_stands_in_the_queue(
    box: Sandbox, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Unless the site refuses it: EnforcePartLimits is NO by default."""
    request = request_maker(box, tmp_path)("true", **changes)
    job = with_client(lambda client: client.submit(request, attempt()))
    assert not with_client(lambda client: client.queue())[job.job_id].state.is_final
