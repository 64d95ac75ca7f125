"""The sandbox with real daemons: starts, jobs, faults, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Sandbox, SandboxError
from sandbox.processes import belonging_to, started_at, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.sandbox

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a short path; a cluster that a failed test left in it is stopped."""
    path = tmp_path_factory.mktemp("s")
    yield path
    Sandbox(path).down()


def command_line(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # A shell that runs the tests in the background has them ignore SIGINT, and what they start inherits that.
        ["env", "--default-signal=INT", sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def sandbox_command(*arguments: str | Path) -> tuple[int, str, str]:
    with command_line(*arguments) as process:
        output, errors = process.communicate()
    return process.returncode, output, errors


def ssh(box: Sandbox, command: str) -> list[str]:
    return ["ssh", "-F", f"{box.directory}/ssh/config", "-o", "BatchMode=yes", "sandbox", command]


@contextmanager
def ssh_session(box: Sandbox, command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(ssh(box, command), stderr=subprocess.DEVNULL) as session:
        try:
            yield session
        finally:
            session.kill()


def pids_with_argument(argument: str) -> set[int]:
    """Living processes with a word on their command line, found without the help of the code under test."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and argument.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def files_open_for_writing(pid: int) -> set[str]:
    paths = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if descriptor.lstat().st_mode & 0o200 and target.startswith("/"):
            paths.add(target)
    return paths


def sbatch(box: Sandbox, command: str, *options: str) -> str:
    return box.slurm("sbatch", "--parsable", *options, f"--wrap={command}").strip()


def states(box: Sandbox, *jobs: str) -> list[str]:
    return box.slurm("squeue", f"--jobs={','.join(jobs)}", "--noheader", "--states=all", "--format=%T").split()


def test_srun_sees_all_gpus_of_two_nodes(cluster: Sandbox) -> None:
    output = cluster.slurm("srun", "--nodes=2", "--gres=gpu:8", "sh", "-c", "echo $SLURM_GPUS_ON_NODE $SLURMD_NODENAME")

    gpus, nodes = zip(*map(str.split, output.splitlines()), strict=True)
    assert gpus == ("8", "8")
    assert len(set(nodes)) == 2


def test_sbatch_output_lands_in_the_profile_log(cluster: Sandbox) -> None:
    log = f"{cluster.profile['log']}/job.out"
    sbatch(cluster, "echo gpus=$SLURM_GPUS_ON_NODE", "--nodes=2", "--gres=gpu:8", "--wait", f"--output={log}")

    assert Path(log).read_text() == "gpus=8\n"


def test_four_tiny_jobs_end_within_seconds(cluster: Sandbox) -> None:
    jobs = [sbatch(cluster, "true", "--output=/dev/null") for _ in range(4)]

    assert wait_until(lambda: states(cluster, *jobs) == ["COMPLETED"] * 4)


def test_debug_partition_allows_a_minute(cluster: Sandbox) -> None:
    assert cluster.slurm("sinfo", "--noheader", "--format=%P %l").splitlines() == [
        "batch* infinite",
        "debug 1:00",
        "low infinite",
        "high infinite",
    ]


def test_connection_has_what_airflow_needs(cluster: Sandbox) -> None:
    extra: Any = cluster.connection["extra"]

    assert cluster.connection["conn_type"] == "ssh"
    assert Path(extra["key_file"]).stat().st_mode & 0o777 == 0o600
    assert extra["host_key"].startswith("ssh-ed25519 AAAA")


def test_ssh_session_reaches_the_cluster(cluster: Sandbox) -> None:
    result = subprocess.run(ssh(cluster, "sinfo --noheader --format=%D"), capture_output=True, text=True, check=True)

    assert result.stdout == "8\n"


def test_failing_slurm_command_raises_with_its_message(cluster: Sandbox) -> None:
    with pytest.raises(SandboxError, match=r"sbatch --partition=none .*invalid partition"):
        cluster.slurm("sbatch", "--partition=none", "--wrap=true")

    assert cluster.slurm("sbatch", "--partition=none", "--wrap=true", check=False) == ""


def test_unknown_daemon_lists_the_known_ones(cluster: Sandbox) -> None:
    with pytest.raises(SandboxError, match="daemon 'slurmdbd': expected one of munge, slurmctld, n1, "):
        cluster.stop("slurmdbd")


def test_accounting_keeps_a_finished_job(cluster_accounting: Sandbox) -> None:
    job = sbatch(cluster_accounting, "true", "--account=sandbox", "--wait", "--output=/dev/null")
    sacct = ("sacct", f"--jobs={job}", "--allocations", "--noheader", "--parsable2", "--format=State,Account")

    assert wait_until(lambda: cluster_accounting.slurm(*sacct) == "COMPLETED|sandbox\n")


def test_accounting_refuses_an_unknown_account(cluster_accounting: Sandbox) -> None:
    with pytest.raises(SandboxError, match="Invalid account"):
        sbatch(cluster_accounting, "true", "--account=none")


def test_accounting_makes_the_sandbox_account_the_default(cluster_accounting: Sandbox) -> None:
    job = sbatch(cluster_accounting, "true", "--output=/dev/null")

    assert "Account=sandbox" in cluster_accounting.slurm("scontrol", "show", "job", job)


def test_storage_daemons_stop_and_start(cluster_accounting: Sandbox) -> None:
    for name in ("slurmdbd", "mariadb"):
        cluster_accounting.stop(name)
    assert [cluster_accounting.status()[name] for name in ("slurmdbd", "mariadb")] == [None, None]

    for name in ("mariadb", "slurmdbd"):
        cluster_accounting.start(name)
    assert "sandbox" in cluster_accounting.slurm("sacctmgr", "--noheader", "show", "account")


def test_two_clusters_run_side_by_side_and_write_nothing_outside(
    cluster: Sandbox, folder: Path, tmp_path: Path
) -> None:
    with Sandbox(folder, nodes=1) as other:
        sbatch(other, "sleep 60", f"--output={folder}/log/%j.out")
        name = ("scontrol", "show", "node", "--oneliner")
        assert [len(box.slurm(*name).splitlines()) for box in (cluster, other)] == [8, 1]
        pids = belonging_to(folder)
        assert not pids & belonging_to(cluster.directory)
        for pid in pids:
            assert {path for path in files_open_for_writing(pid) if not path.startswith(f"{folder}/")} <= {"/dev/null"}

    assert all(cluster.status().values())
    assert not any(started_at(pid) for pid in pids)
    assert not list(tmp_path.iterdir())


def test_finished_job_vanishes_after_min_job_age(folder: Path) -> None:
    with Sandbox(folder, nodes=1, min_job_age=2) as box:
        job = sbatch(box, "true", "--wait", "--output=/dev/null")
        assert wait_until(lambda: job not in box.slurm("squeue", "--noheader", "--states=all", "--format=%i"))


def test_daemons_stop_and_start_and_jobs_survive(folder: Path) -> None:
    with Sandbox(folder, nodes=1) as box:
        job = sbatch(box, "sleep 60", "--output=/dev/null")
        assert wait_until(lambda: states(box, job) == ["RUNNING"])
        for name in box.status():
            box.stop(name)
            assert box.status()[name] is None
            box.start(name)
            assert box.status()[name]
        # slurmctld greets the node again within seconds.
        assert wait_until(lambda: box.slurm("squeue", "--noheader", "--format=%T", check=False) == "RUNNING\n")


@pytest.mark.parametrize("moment", [0, 0.05, 0.1, 1], ids="{}s".format)
def test_stopped_sshd_ends_its_sessions(cluster: Sandbox, moment: float) -> None:
    with ssh_session(cluster, "sleep 600") as session:
        time.sleep(moment)
        cluster.stop("sshd")
        try:
            assert session.wait(timeout=240) == 255
        finally:
            cluster.start("sshd")


def test_command_line_up_status_down(folder: Path) -> None:
    box = Sandbox(folder)
    code, first, errors = sandbox_command("up", folder, "--nodes", "2")
    assert (code, errors) == (0, "")
    connection, *profile = first.splitlines()
    assert json.loads(connection) == box.connection
    assert profile == [
        "ssh_conn_id: slurm_sandbox",
        f"log: {folder}/log",
        "account: sandbox",
        "partition: batch",
        "container: null",
        "mounts: null",
        f"workdir: {folder}/workspace",
    ]

    code, again, errors = sandbox_command("up", folder)
    assert (code, again) == (0, first)
    assert "already runs" in errors
    code, output, _ = sandbox_command("up", folder, "--json")
    assert json.loads(output) == {
        "connection": box.connection,
        "profile": box.profile,
        "environment": {"SLURM_CONF": f"{folder}/slurm.conf"},
    }

    code, output, _ = sandbox_command("status", folder)
    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()[:5]] == [
        [name, "up"] for name in ("munge", "slurmctld", "n1", "n2", "sshd")
    ]
    assert "0/2/0/2" in output

    assert sandbox_command("down", folder) == (0, f"{folder}: stopped\n", "")
    assert sandbox_command("down", folder) == (0, f"{folder}: the sandbox does not run\n", "")
    code, output, _ = sandbox_command("status", folder)
    assert code == 3
    assert "up" not in output.split()


def test_second_start_keeps_ports_keys_and_job_ids(folder: Path) -> None:
    with Sandbox(folder, nodes=1) as box:
        first = box.connection, sbatch(box, "true", "--wait", "--output=/dev/null")
    with Sandbox(folder, nodes=2) as box:
        assert (box.connection, sbatch(box, "true", "--output=/dev/null")) == (first[0], str(int(first[1]) + 1))


def test_up_starts_again_what_died(folder: Path) -> None:
    with Sandbox(folder, nodes=1) as box:
        before = box.status()
        os.kill(before["slurmctld"] or 0, signal.SIGKILL)
        assert wait_until(lambda: box.status()["slurmctld"] is None)
        assert sandbox_command("status", folder)[0] == 3

        assert box.up()
        after = box.status()
        assert all(after.values())
        assert [name for name in after if after[name] != before[name]] == ["slurmctld"]


@pytest.mark.all
def test_down_clears_jobs_and_sessions_of_killed_daemons(folder: Path) -> None:
    box = Sandbox(folder, nodes=2)
    box.up()
    seconds = f"{os.getpid()}00"
    # A process that left its session, one that gave away its environment, and a step on the other node. On a busy
    # machine, a job without the caller's environment has none: Slurm has waited for that of a login for long enough.
    script = f"setsid sleep {seconds} & env -i sleep {seconds} & srun --overlap /usr/bin/sleep {seconds} & wait"
    said = folder / "said"
    sbatch(box, script, "--nodes=2", "--export=NONE", f"--output={said}")
    with ssh_session(box, f"sleep {seconds}") as session:
        started = wait_until(lambda: len(pids_with_argument(seconds)) >= 5)
        assert started, f"{box.slurm('squeue')}\n{said.read_text() if said.exists() else 'no output'}"
        everything = belonging_to(folder)
        for pid in box.status().values():
            os.kill(pid or 0, signal.SIGKILL)
        assert wait_until(lambda: not any(box.status().values()))
        assert belonging_to(folder)

        assert sandbox_command("down", folder) == (0, f"{folder}: stopped\n", "")
        assert session.wait(timeout=240) == 255
    assert not pids_with_argument(seconds)
    assert not any(started_at(pid) for pid in everything)
    box.down()


def test_down_clears_an_up_killed_half_way(folder: Path) -> None:
    with command_line("up", folder, "--accounting") as process:
        assert wait_until(lambda: any(Sandbox(folder).status().values()))
        process.kill()
    assert not all(Sandbox(folder).status().values())

    assert sandbox_command("down", folder)[0] == 0
    assert not belonging_to(folder)
    assert not any(Sandbox(folder).status().values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_up_stops_cleanly(folder: Path, number: signal.Signals) -> None:
    with command_line("up", folder, "--accounting") as process:
        assert wait_until(lambda: any(Sandbox(folder).status().values()))
        process.send_signal(number)
        output, errors = process.communicate()
    assert (process.returncode, output, errors) == (130, "", "interrupted\n")
    assert not belonging_to(folder)


def test_failed_start_names_the_daemon_and_shows_its_log(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "state" / "clustername").write_text("another")

    code, output, errors = sandbox_command("up", folder, "--nodes", "1")

    assert (code, output) == (1, "")
    assert errors.startswith(f"error: slurmctld ended at its start. The end of {folder}/logs/slurmctld.log:\n")
    assert "CLUSTER NAME MISMATCH" in errors
    assert not belonging_to(folder)


def test_node_that_takes_no_jobs_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(folder, nodes=2) as box:
        box.slurm("scontrol", "update", "nodename=n2", "state=drain", "reason=broken fan")
    monkeypatch.setattr("sandbox.cluster.READY_SECONDS", 1)

    with pytest.raises(
        SandboxError, match=r"n2 takes no jobs after 1 s, sinfo says: drain broken fan\. The end of .*n2"
    ):
        box.up()
    assert not belonging_to(folder)


def test_missing_programs_are_named_with_their_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {"munged", "slurmdbd", "mariadbd"}
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name in programs else which(name, path=path))

    with pytest.raises(
        SandboxError, match=r"munged, slurmdbd, mariadbd\. .*munge slurmdbd slurm-wlm-mysql-plugin maria"
    ):
        Sandbox(folder, accounting=True).up()
    with pytest.raises(SandboxError, match=r"not installed: munged\. On Debian and Ubuntu: apt-get install munge$"):
        Sandbox(folder).up()


@pytest.mark.parametrize(
    ("directory", "options", "message"),
    [
        ("/tmp/two words", {}, "expected a path of letters, digits"),
        (f"/tmp/{'x' * 70}", {}, "expected at most 72 bytes"),
        ("/tmp/box", {"nodes": 0}, "expected at least 1 node"),
        ("/tmp/box", {"min_job_age": 1}, "min_job_age of at least 2 s"),
    ],
    ids=["blank", "long", "nodes", "age"],
)
def test_unusable_values_are_refused(directory: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(SandboxError, match=message):
        Sandbox(directory, **options)  # type: ignore[arg-type]


def test_directory_without_a_start_says_so(folder: Path) -> None:
    assert sandbox_command("status", folder) == (3, f"{folder}: no sandbox was started here\n", "")
    with pytest.raises(SandboxError, match="no sandbox was started here"):
        _ = Sandbox(folder).connection
