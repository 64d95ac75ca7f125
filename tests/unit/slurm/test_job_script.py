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
    signal.signal(signal.SIGUSR1, lambda *_: warned.append(1))
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


def test_a_signal_reaches_a_session_of_its_own_and_the_job_waits_for_it(
    job: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    job.send_signal(signal.SIGUSR1)
    assert job.wait(100) == 128 + signal.SIGUSR1
    assert (tmp_path / "saved").exists()
    assert (tmp_path / ".slurm_sweep" / "7.exit").read_text().startswith("138 USR1\n")


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


@pytest.mark.parametrize("name", ["USR1", "TERM"])
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


@pytest.mark.parametrize(("runs", "status"), [(True, 0), (False, 70)])
def test_a_container_in_which_nothing_ran_is_no_success(tmp_path: Path, runs: bool, status: int) -> None:
    """Before Slurm 23.11.4, srun ends with 0 where the node cannot launch the step."""
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nwhile [ "$1" != bash ]; do shift; done\nexec "$@"\n' if runs else "#!/bin/sh\n")
    srun.chmod(0o755)
    with start(tmp_path, "true", CONTAINER="/x.sqsh", PATH=f"{tmp_path}:{os.environ['PATH']}") as process:
        assert process.wait(100) == status
    assert {path.name for path in (tmp_path / ".slurm_sweep").iterdir()} == {"owner", "7.exit"}
