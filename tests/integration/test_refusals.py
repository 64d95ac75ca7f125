"""What a real Slurm says when it fails, and that the table of refusals takes it as it is meant."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError
from airflow_slurm_sweep.slurm.refusals import is_passing, is_unclear
from sandbox import Sandbox
from sandbox.config import ACCOUNT
from sandbox.daemons import environment
from sandbox.processes import wait_until
from tests.integration.test_jobs import attempt, request_maker, with_client

pytestmark = pytest.mark.sandbox

LIMITED = "PartitionName=limited Nodes=n1 MaxNodes=1 MaxTime=5"
DRAINED = "PartitionName=drained Nodes=ALL State=DRAIN"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One node with accounting, whose partitions refuse what they will never run."""
    lines = ("EnforcePartLimits=ALL", LIMITED, DRAINED)
    with Sandbox(tmp_path_factory.mktemp("r"), nodes=1, accounting=True, slurm_conf=lines) as box:
        yield box


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One node of a cluster that has room for one job, and whose commands wait 2 s for an answer."""
    lines = ("MaxJobCount=2", "MessageTimeout=2")
    with Sandbox(tmp_path_factory.mktemp("m"), nodes=1, slurm_conf=lines) as box:
        yield box


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One node of a cluster whose daemons the tests stop; its commands wait 2 s for an answer."""
    with Sandbox(tmp_path_factory.mktemp("d"), nodes=1, slurm_conf=("MessageTimeout=2",)) as box:
        yield box


def start(box: Sandbox, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=box.directory / "workspace",
        env=environment(box.directory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_by(box: Sandbox, *command: str) -> str:
    """Run a command that has to fail; return what it says."""
    with start(box, *command) as process:
        output, said = process.communicate(timeout=240)
    assert process.returncode != 0, output
    return said


def refusal(box: Sandbox, *options: str) -> str:
    return said_by(box, "sbatch", *options, "--wrap=true")


def jobs(box: Sandbox) -> list[str]:
    return box.slurm("squeue", "--noheader", "--format=%i").split()


def cancel_all(box: Sandbox) -> None:
    box.slurm("scancel", "--me")
    while jobs(box):
        time.sleep(0.1)


@contextmanager
def limit(box: Sandbox, *entity: str, **limits: int) -> Iterator[None]:
    """Set limits of an association or a QOS, with one job of it in the queue."""

    def set_to(values: dict[str, int]) -> None:
        words = [f"{name}={value}" for name, value in values.items()]
        box.slurm("sacctmgr", "-i", "modify", *entity, "set", *words)
        time.sleep(0.5)  # slurmdbd tells slurmctld

    box.slurm("sbatch", "--hold", *([f"--qos={entity[1]}"] if entity[0] == "qos" else []), "--wrap=true")
    set_to(limits)
    try:
        yield
    finally:
        set_to(dict.fromkeys(limits, -1))
        cancel_all(box)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--account=nobody"], "Invalid account or account/partition combination specified"),
        (["--partition=nowhere"], "Invalid partition name specified"),
        (["--qos=none"], "Invalid qos specification"),
        (["--constraint=none"], "Invalid feature specification"),
        (["--time=soon"], "Invalid --time specification"),
        (["--partition=limited", "--time=10"], "Requested time limit is invalid"),
        (["--nodes=9"], "Node count specification invalid"),
        (["--partition=limited", "--nodes=2"], "Node count specification invalid"),
        (["--cpus-per-task=99"], "More processors requested than permitted"),
        (["--mem=99G"], "Memory specification can not be satisfied"),
        (["--gres=gpu:99"], "Requested node configuration is not available"),
        (["--gres=none:1"], "Invalid generic resource (gres) specification"),
        (["--nodelist=n9"], "Invalid node name specified"),
        (["--reservation=none"], "Requested reservation is invalid"),
        (["--licenses=none"], "Invalid license specification"),
        (["--no-such=1"], "unrecognized option '--no-such=1'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_that_the_site_does_not_mend(strict: Sandbox, options: list[str], said: str) -> None:
    answer = refusal(strict, *options)
    assert said in answer
    assert (is_passing(answer), is_unclear(answer)) == (False, False), answer


def test_a_drained_partition_passes(strict: Sandbox) -> None:
    answer = refusal(strict, "--partition=drained")
    assert "Required partition not available (inactive or drain)" in answer
    assert (is_passing(answer), is_unclear(answer)) == (True, False)


def test_submit_limits_pass(strict: Sandbox) -> None:
    user = str(strict.connection["login"])
    strict.slurm("sacctmgr", "-i", "add", "qos", "tight")
    strict.slurm("sacctmgr", "-i", "modify", "user", user, "set", "qos+=tight")
    for entity, name, said in [
        (["user", user], "maxsubmitjobs", "AssocMaxSubmitJobLimit"),
        (["account", ACCOUNT], "grpsubmitjobs", "AssocGrpSubmitJobsLimit"),
        (["qos", "tight"], "maxsubmitjobsperuser", "QOSMaxSubmitJobPerUserLimit"),
        (["qos", "tight"], "maxsubmitjobsperaccount", "MaxSubmitJobsPerAccount"),
        (["qos", "tight"], "grpsubmitjobs", "QOSGrpSubmitJobsLimit"),
    ]:
        with limit(strict, *entity, **{name: 1}):
            answer = refusal(strict, *(["--qos=tight"] if entity[0] == "qos" else []))
        assert said in answer
        assert (is_passing(answer), is_unclear(answer)) == (True, False), answer


def test_a_job_beyond_its_qos_does_not_pass_though_slurm_ends_with_the_same_words(strict: Sandbox) -> None:
    user = str(strict.connection["login"])
    strict.slurm("sacctmgr", "-i", "add", "qos", "small", "flags=DenyOnLimit", "maxwall=5")
    strict.slurm("sacctmgr", "-i", "modify", "user", user, "set", "qos+=small")
    time.sleep(0.5)
    answer = refusal(strict, "--qos=small", "--time=10")
    assert "QOSMaxWallDurationPerJobLimit" in answer
    assert "Job violates accounting/QOS policy (job submit limit" in answer
    assert (is_passing(answer), is_unclear(answer)) == (False, False)


def test_a_full_cluster_has_sbatch_try_again_and_leaves_nothing_if_it_is_ended_meanwhile(full: Sandbox) -> None:
    full.slurm("sbatch", "--hold", "--wrap=true")
    kept = jobs(full)
    with start(full, "sbatch", "--job-name=late", "--wrap=true") as process:
        assert process.stderr is not None
        answer = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert answer == "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
    assert (is_passing(answer), is_unclear(answer)) == (True, False)
    cancel_all(full)
    time.sleep(2)  # longer than its first sleeps
    assert "late" not in full.slurm("squeue", "--states=all", "--noheader", "--format=%j")
    assert len(kept) == 1


# No job has the id 99999: one that did could be cancelled as soon as the controller made it.
COMMANDS = [
    ["sbatch", "--hold", "--wrap=true"],
    ["squeue", "--me"],
    ["scontrol", "show", "job", "99999"],
    ["scancel", "99999"],
]


def test_no_controller(fragile: Sandbox) -> None:
    fragile.stop("slurmctld")
    try:
        answers = said_together(fragile)
    finally:
        fragile.start("slurmctld")
    assert all("Unable to contact slurm controller (connect failure)" in answer for answer in answers)
    assert [(is_passing(answer), is_unclear(answer)) for answer in answers] == [(True, False)] * len(answers)


def test_a_controller_that_hangs_and_takes_the_job_afterwards(fragile: Sandbox) -> None:
    before = jobs(fragile)
    pid = fragile.status()["slurmctld"]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        answers = said_together(fragile)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert all("Socket timed out on send/recv operation" in answer for answer in answers)
    assert [(is_passing(answer), is_unclear(answer)) for answer in answers] == [(True, True)] * len(answers)
    assert wait_until(lambda: jobs(fragile) != before)
    cancel_all(fragile)


def test_no_munge(fragile: Sandbox) -> None:
    fragile.stop("munge")
    try:
        answers = said_together(fragile)
    finally:
        fragile.start("munge")
    assert all("Munge encode failed" in answer for answer in answers)
    assert all(map(is_passing, answers)), answers


def said_together(box: Sandbox) -> list[str]:
    """Run commands that have to fail at once: each of them waits for some seconds."""
    running = [start(box, *command) for command in COMMANDS]
    answers = [process.communicate(timeout=240)[1] for process in running]
    assert all(process.returncode for process in running), answers
    return answers


# And what becomes of a submission


def test_a_submit_limit_is_waited_out(
    cluster_accounting: Sandbox, tmp_path: Path, connected: Callable[[Sandbox], None]
) -> None:
    box = cluster_accounting
    connected(box)
    request = request_maker(box, tmp_path)("true")
    with (
        limit(box, "user", str(box.connection["login"]), maxsubmitjobs=1),
        pytest.raises(ClusterUnavailableError, match=r"(?s)was not submitted: .*AssocMaxSubmitJobLimit"),
    ):
        with_client(lambda client: client.submit(request, attempt()))
    assert with_client(lambda client: client.submit(request, attempt())).job_id


def test_a_controller_that_is_down_is_waited_out(
    fragile: Sandbox, tmp_path: Path, connected: Callable[[Sandbox], None]
) -> None:
    connected(fragile)
    request = request_maker(fragile, tmp_path)("true")
    fragile.stop("slurmctld")
    try:
        with pytest.raises(ClusterUnavailableError, match="Unable to contact slurm controller"):
            with_client(lambda client: client.submit(request, attempt()))
    finally:
        fragile.start("slurmctld")
    assert with_client(lambda client: client.submit(request, attempt())).job_id


def test_a_final_refusal_fails_at_once(
    cluster_accounting: Sandbox, tmp_path: Path, connected: Callable[[Sandbox], None]
) -> None:
    connected(cluster_accounting)
    request = request_maker(cluster_accounting, tmp_path)("true", account="nobody")
    with pytest.raises(ClusterRefusedError, match=r"was not submitted: .*Invalid account"):
        with_client(lambda client: client.submit(request, attempt()))


@pytest.mark.parametrize("changes", [{"nodes": 99}, {"partition": "debug", "time": "3:0:0"}], ids=["nodes", "time"])
def test_a_job_over_a_partitions_limits_waits_in_the_queue(
    cluster: Sandbox, tmp_path: Path, connected: Callable[[Sandbox], None], changes: dict[str, Any]
) -> None:
    """Unless the site refuses it: EnforcePartLimits is NO by default. Slurm 24.11 refuses what no node set can give."""
    connected(cluster)
    request = request_maker(cluster, tmp_path)("true", **changes)
    try:
        job = with_client(lambda client: client.submit(request, attempt()))
    except ClusterRefusedError as error:
        if "nodes" in changes and "Requested node configuration is not available" in str(error):
            return
        raise
    try:
        assert not with_client(lambda client: client.queue())[job.job_id].state.is_final
    finally:
        cluster.slurm("scancel", job.job_id)
