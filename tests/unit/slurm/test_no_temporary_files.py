"""A login node whose shell writes here-documents to files, as bash before 5.1 does, and has no room for them."""

from __future__ import annotations

import subprocess

import pytest

from airflow_slurm_sweep.slurm.shell import ARGUMENT, COMMAND, MARKER, script
from airflow_slurm_sweep.slurm.submit.script import functions

assert COMMAND.endswith(ARGUMENT)
NO_ROOM = ["trap '' XFSZ", "BASH_COMPAT=50", "ulimit -f 0"]
SAID = "the login's shell cannot make temporary files: is /tmp full there?"


def bash(text: str, *before: str) -> subprocess.CompletedProcess[str]:
    begin = "; ".join(["unset TMPDIR", *before, f"exec bash -s {ARGUMENT}"])
    return subprocess.run(["bash", "-c", begin], input=text, capture_output=True, text=True, check=False)


def test_nothing_runs() -> None:
    assert MARKER in bash(script("echo reached")).stdout
    done = bash(script("echo reached"), *NO_ROOM, "export BASH_COMPAT")
    assert (done.returncode, done.stdout) == (75, "")
    assert SAID in done.stderr


@pytest.mark.parametrize("call", ["find_live", "search", "controller_shows 7"])
def test_no_list_of_jobs_counts_as_empty(call: str) -> None:
    """The room may go away while a script runs, and a long list needs it when a short one does not."""
    lines = [
        *functions(),
        'run_dir=/r escaped_dir=/r queue="7 RUNNING /other"',
        "find_index",
        "search_logs() { :; }",
        "scontrol() { printf 'JobId=7 JobName=x\\n   UserId=x(%s) \\n   JobState=RUNNING\\n   StdOut=/x\\n' \"$(id -u)\"; }",
        'timeout() { shift 3; "$@"; }',
    ]
    done = bash(script(*lines, call, "echo reached"))
    assert "reached" in done.stdout, done.stderr
    done = bash(script(*lines, *NO_ROOM, call, "echo reached"))
    assert done.returncode == 93
    assert "reached" not in done.stdout
    assert SAID in done.stderr
