"""What is read of ended jobs' run directories, beside their results: real files, through a real shell."""

import asyncio
import os
from pathlib import Path

import pytest
from login_shell import SHELLS, Login
from test_results import LoginShell

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.traces import Question, Trace


def trace(tmp_path: Path, login: Login, progress: str | None = "") -> Trace:
    asked = Question(str(tmp_path / "run"), "7", progress, "")
    (found,) = asyncio.run(SlurmClient(LoginShell(login)).traces([asked]))
    return found


@pytest.fixture(params=SHELLS)
def login(request: pytest.FixtureRequest, tmp_path: Path) -> Login:
    return Login(argv=SHELLS[request.param], folder=tmp_path / "login")


def began(tmp_path: Path) -> Path:
    """Make a run directory in which job 7 began then."""
    run = tmp_path / "run"
    (run / ".slurm_sweep").mkdir(parents=True)
    (run / ".slurm_sweep" / "7.start").touch()
    os.utime(run / ".slurm_sweep" / "7.start", (1e9, 1e9))
    return run


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0 -\n5\n", ("0", "")),
        ("143 TERM\n5\n", ("143", "TERM")),
        ("1 odd\n", ("1", "")),
        ("", ("", "")),
        (None, ("", "")),
    ],
)
def test_the_exit_file(text: str | None, found: tuple[str, str], tmp_path: Path, login: Login) -> None:
    run = began(tmp_path)
    if text is not None:
        (run / ".slurm_sweep" / "7.exit").write_text(text)
    left = trace(tmp_path, login, None)
    assert (left.exit_status, left.signal) == found


def test_a_folder_behind_a_link_is_progress_where_something_came_into_it(tmp_path: Path, login: Login) -> None:
    run = began(tmp_path)
    (tmp_path / "scratch").mkdir()
    os.utime(tmp_path / "scratch", (9e8, 9e8))
    (run / "checkpoints").symlink_to("../scratch")
    assert not trace(tmp_path, login).has_new_files
    (tmp_path / "scratch" / "last.pt").touch()
    assert trace(tmp_path, login).has_new_files


def test_a_look_that_fails_counts_as_progress(tmp_path: Path, login: Login) -> None:
    began(tmp_path)
    assert not trace(tmp_path, login).has_new_files
    find = login.folder / "bin" / "find"
    find.write_text("#!/bin/sh\nexit 1\n")
    assert trace(tmp_path, login).has_new_files
