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


@pytest.fixture
def job(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / ".slurm_sweep").mkdir()
    (tmp_path / "train.py").write_text(TRAIN)
    script = tmp_path / "job.sh"
    script.write_text(JOB_SCRIPT)
    variables = {"SLURM_JOB_ID": "7", "BASE_LOG_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    variables["COMMAND"] = join([sys.executable, str(tmp_path / "train.py"), "launcher"])
    with subprocess.Popen(["bash", str(script)], env=variables, start_new_session=True) as process:
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
