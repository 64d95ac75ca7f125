"""``python -m sandbox run``: the cluster of docker-compose.yaml's service `slurm`, without the container."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, SandboxError, config, layout
from sandbox.layout import free_ports
from sandbox.processes import belonging_to

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.sandbox

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.2"  # not the sandbox's own choice, and no other machine's


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a short path; a cluster that a failed test left in it is stopped."""
    path = tmp_path_factory.mktemp("r")
    yield path
    Sandbox(path).down()


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    """Run a cluster of one node; returns once it is up."""
    options = ["--nodes", "1", "--listen", ADDRESS, "--ssh-port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "run", str(folder), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{folder}: the cluster is up\n"
    return process


def test_it_runs_until_it_is_asked_to_end_and_starts_again_with_its_jobs_and_keys(folder: Path) -> None:
    (port,) = free_ports(1)
    box = Sandbox(folder)
    with start(folder, port) as process:
        with socket.create_connection((ADDRESS, port)) as greeting:
            assert greeting.recv(7) == b"SSH-2.0"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((config.LOOPBACK, port))
        connection = box.connection
        assert (connection["host"], connection["port"]) == (ADDRESS, port)
        waiting = box.slurm("sbatch", "--parsable", "--begin=now+1day", "--wrap=true").strip()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate()
    assert (process.returncode, output, errors) == (0, f"{folder}: stopped\n", "")
    assert not belonging_to(folder)

    with start(folder, port) as process:
        assert box.connection == connection
        assert box.slurm("squeue", "--noheader", "--format=%i").strip() == waiting
        process.send_signal(signal.SIGTERM)


def test_it_ends_when_a_daemon_does(folder: Path) -> None:
    (port,) = free_ports(1)
    with start(folder, port) as process:
        Sandbox(folder).stop("slurmctld")
        output, errors = process.communicate()
    assert process.returncode == 1
    assert errors == f"error: slurmctld ended; see {folder}/logs\n"
    assert output == f"{folder}: stopped\n"
    assert not belonging_to(folder)


def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.create_server((config.LOOPBACK, 0)) as server:
        box = Sandbox(folder)
        box.ssh_address = (config.LOOPBACK, port := server.getsockname()[1])
        with pytest.raises(SandboxError, match=f"port {port}: expected a free one for sshd"):
            box.up()


@pytest.mark.parametrize(("address", "alone"), [("127.0.0.1", True), ("127.0.1.1", False), ("172.18.0.2", False)])
def test_where_slurm_listens_follows_what_the_hosts_name_is(
    address: str, alone: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the option, the daemons listen on the name's address only, and are looked for at 127.0.0.1.
    monkeypatch.setattr(socket, "gethostbyname", lambda _: address)
    settings = layout.new_settings(folder, nodes=1, accounting=False, min_job_age=300)
    assert ("CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" in config.slurm_conf(settings)) is alone
