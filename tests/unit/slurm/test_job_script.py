"""job.sh without Slurm: whom its signals reach."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import join

import pytest

from airflow_slurm_sweep.slurm.job import JOB_SCRIPT

# As torchrun does: a worker in a session of its own, which saves for a while after the launcher has died of the signal.
TRAIN = """\
import os, pathlib, signal, subprocess, sys, time
folder = pathlib.Path(os.environ["BASE_LOG_DIR"])
if sys.argv[1] == "launcher":
    subprocess.Popen([sys.executable, __file__, "worker"], start_new_session=True)
else:
    warned = []
    for each in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, lambda *_: warned.append(1))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / "worker").write_text(str(os.getpid()))
    while not warned:
        time.sleep(0.05)
    time.sleep(1)
    (folder / "saved").touch()
    sys.exit()
time.sleep(600)
"""


def start(folder: Path, command: str, **more: str) -> subprocess.Popen[bytes]:
    (folder / ".slurm_sweep").mkdir(exist_ok=True)
    script = folder / "job.sh"
    script.write_text(JOB_SCRIPT)
    variables = {"SLURM_JOB_ID": "7", "BASE_LOG_DIR": str(folder), "PATH": os.environ["PATH"], "COMMAND": command}
    return subprocess.Popen(["bash", str(script)], env=variables | more, start_new_session=True)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "train.py").write_text(TRAIN)
    with start(tmp_path, join([sys.executable, str(tmp_path / "train.py"), "launcher"])) as process:
        wait_until((tmp_path / "worker").exists)
        try:
            yield process
        finally:
            process.kill()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["USR1", "USR2", "INT", "HUP"])
def test_a_signal_reaches_a_session_of_its_own_and_the_job_waits_for_it(
    job: subprocess.Popen[bytes], tmp_path: Path, name: str
) -> None:
    number = signal.Signals[f"SIG{name}"]
    job.send_signal(number)
    assert job.wait(100) == 128 + number
    assert (tmp_path / "saved").exists()
    assert (tmp_path / ".slurm_sweep" / "7.exit").read_text().startswith(f"{128 + number} {name}\n")


@pytest.mark.parametrize("command", ["rm -r $BASE_LOG_DIR/.slurm_sweep", "rm -r $BASE_LOG_DIR"])
def test_a_command_that_empties_its_directory_leaves_an_exit_file(tmp_path: Path, command: str) -> None:
    (folder := tmp_path / "run").mkdir()
    with start(folder, command) as process:
        assert process.wait(100) == 0
    assert (folder / ".slurm_sweep" / "7.exit").read_text().startswith("0 -\n")


def test_a_command_that_kills_every_sleep_goes_on(tmp_path: Path) -> None:
    """Between two looks at who has the run directory, job.sh sleeps."""
    (tmp_path / "sleep").write_text("#!/bin/sh\nexit 143\n")
    (tmp_path / "sleep").chmod(0o755)
    with start(tmp_path, "/bin/sleep 1", PATH=f"{tmp_path}:{os.environ['PATH']}") as process:
        assert process.wait(100) == 0


@pytest.mark.all
def test_a_job_that_has_lost_its_directory_ends_a_session_of_its_own(
    job: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    worker = int((tmp_path / "worker").read_text())
    (tmp_path / ".slurm_sweep" / "owner").write_text("8 0\n")
    job.wait(100)

    def has_ended() -> bool:
        stat = Path(f"/proc/{worker}/stat")
        return not stat.exists() or ") Z " in stat.read_text()

    wait_until(has_ended)


@pytest.mark.parametrize("name", ["USR1", "USR2", "INT", "TERM"])
def test_a_signal_before_the_command_keeps_it_from_beginning(tmp_path: Path, name: str) -> None:
    (tmp_path / "rm").write_text(
        f'#!/bin/sh\ntouch {tmp_path}/here\nwhile ! [ -e {tmp_path}/go ]; do sleep 0.1; done\nexec /bin/rm "$@"\n'
    )
    (tmp_path / "rm").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    with start(tmp_path, f"touch {tmp_path}/began", PATH=path) as process:
        wait_until((tmp_path / "here").exists)
        process.send_signal(getattr(signal, f"SIG{name}"))
        (tmp_path / "go").touch()
        assert process.wait(100) == 143
    assert (tmp_path / ".slurm_sweep" / "7.exit").read_text().startswith(f"143 {name}\n")
    assert not (tmp_path / "began").exists()


@pytest.mark.parametrize(
    ("runs", "version", "status"), [(True, "22.05.8", 0), (False, "23.11.3", 70), (False, "23.11.10", 0)]
)
def test_a_container_in_which_nothing_ran_is_no_success(tmp_path: Path, runs: bool, version: str, status: int) -> None:
    """Before Slurm 23.11.4, srun ends with 0 where the node cannot launch the step; later, the mounts may lack a place."""
    srun = tmp_path / "srun"
    run = '[ "$1" != --version ] || exec echo slurm-wlm ' + version
    srun.write_text(f"#!/bin/sh\n{run}\n" + ('while [ "$1" != bash ]; do shift; done\nexec "$@"\n' if runs else ""))
    srun.chmod(0o755)
    (tmp_path / ".slurm_sweep").mkdir(exist_ok=True)
    (tmp_path / ".slurm_sweep" / "7.inside").touch()  # from before a requeue
    with start(tmp_path, "true", CONTAINER="/x.sqsh", PATH=f"{tmp_path}:{os.environ['PATH']}") as process:
        assert process.wait(100) == status
    assert {path.name for path in (tmp_path / ".slurm_sweep").iterdir()} == {"owner", "7.exit"}
