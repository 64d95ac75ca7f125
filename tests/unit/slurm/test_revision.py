"""The commit of the working directory, asked of a real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from airflow_slurm_sweep.slurm.revision import read_revision, revision
from airflow_slurm_sweep.slurm.shell import ARGUMENT, Completed, output


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "it's mine"
    folder.mkdir()
    (folder / "train.py").write_text("1")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


def git(folder: Path, *words: str) -> str:
    people = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **people}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def ask(folder: Path) -> str:
    script = revision(str(folder))
    done = subprocess.run(["dash", "-s", ARGUMENT], input=script, check=False, capture_output=True, text=True)
    return str(read_revision(output(Completed(exit_status=done.returncode, stdout=done.stdout, stderr=done.stderr))))


def test_a_commit_and_whether_files_have_changed_since(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")[:12]
    (repository / "new.txt").write_text("git does not know it")
    assert ask(repository) == f"commit {commit}"
    (repository / "train.py").write_text("2")
    assert ask(repository) == f"commit {commit}, with uncommitted changes"


def test_no_repository_no_commit_and_no_folder(tmp_path: Path) -> None:
    assert ask(tmp_path) == "None"
    git(tmp_path, "init", "--quiet")
    assert ask(tmp_path) == "None"
    assert ask(tmp_path / "missing") == "None"


@pytest.mark.parametrize("said", ["", "fatal: x", "changed", "a" * 39])
def test_what_is_no_answer_of_git(said: str) -> None:
    assert read_revision(said) is None
