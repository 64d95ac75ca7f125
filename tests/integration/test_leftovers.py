"""A test run that is ended leaves no process behind, and what it starts is out of other machines' reach."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, layout
from sandbox.airflow import PROJECT
from sandbox.postgres import Postgres
from sandbox.processes import belonging_to, reachable_from_outside, send, tree, wait_until
from tests.fixtures import Airflow

pytestmark = pytest.mark.sandbox

# A test that is busy for ever, with a cluster and a process that neither its session nor SIGTERM reach.
BUSY = """
import subprocess, time
from pathlib import Path

def test_busy({fixtures}):
    subprocess.run(["bash", "-c", "trap '' TERM; setsid env -i sleep {number} > /dev/null 2>&1 & disown"], check=True)
    Path("{ready}").touch()
    time.sleep(600)
"""


def processes_of(folder: Path, number: int) -> set[int]:
    """Living processes that a run in a folder started, found without the help of the code under test."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or " Z " in (entry / "stat").read_text():
                continue
            words = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words or f"sleep\0{number}".encode() in words:
            found.add(int(entry.name))
    return found - {os.getpid()}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short name, for unix sockets; Postgres, which is another user where we are root, cannot enter pytest's own."""
    with tempfile.TemporaryDirectory(prefix="e-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def killed_at_the_end() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are killed with all their descendants if a test fails."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        send(signal.SIGKILL, tree([process.pid]))
        process.wait()


@pytest.mark.slow("pytest-xdist waits 10 s for its workers before it kills them")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.all, id="alone"), pytest.param(2, id="xdist")])
@pytest.mark.parametrize("fixtures", ["cluster", pytest.param("cluster, airflow", marks=pytest.mark.all)])
def test_a_run_that_is_ended_leaves_no_process(
    folder: Path,
    killed_at_the_end: list[subprocess.Popen[str]],
    fixtures: str,
    workers: int,
    number: signal.Signals,
) -> None:
    ready = folder / "ready"
    seconds = os.getpid() * 10 + workers + number
    (folder / "test_busy.py").write_text(BUSY.format(fixtures=fixtures, number=seconds, ready=ready))
    plugins = ("tests.processes", "tests.groups", "tests.fixtures")
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={folder}", f"--basetemp={folder}/t", "test_busy.py"]
    process = subprocess.Popen(
        [*command, f"-n{workers}", *(f"-p{plugin}" for plugin in plugins)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT}/plugins", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    killed_at_the_end.append(process)
    assert wait_until(ready.exists)
    assert len(processes_of(folder, seconds)) > 10, "a cluster"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does, to the workers too
    else:
        process.send_signal(number)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, said
    assert processes_of(folder, seconds) == set(), said


def test_a_dead_orphan_is_buried() -> None:
    """Who asks whether it lives, as record.sh does of a lock's holder, would be told that it does."""
    started = subprocess.run(["sh", "-c", "sleep 0.1 > /dev/null & echo $!"], stdout=subprocess.PIPE, check=True)
    orphan = Path("/proc") / started.stdout.decode().strip()
    assert wait_until(lambda: not orphan.exists())


def test_no_other_machine_reaches_airflow_and_its_cluster(
    airflow: Airflow, cluster: Sandbox, postgres: Postgres
) -> None:
    pids = tree([*airflow.pids, postgres.pid]) | belonging_to(cluster.directory)
    outside = reachable_from_outside(pids)
    settings = layout.load(cluster.directory)
    assert settings
    if not settings.loopback_only:  # Slurm's daemons ask munge who comes; see sandbox.layout
        outside = {place for place in outside if not place.startswith("slurm")}
    assert outside == set()


def test_a_socket_on_all_addresses_is_seen() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, socket.create_server(("127.0.0.1", 0)):
        (found,) = reachable_from_outside([os.getpid()])
        assert found.endswith(f" 0.0.0.0:{server.getsockname()[1]}")
