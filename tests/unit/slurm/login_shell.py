"""Login nodes for hostile values: real shells, and in place of Slurm's commands small recorders."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.shell import ARGUMENT, END, PRELUDE
from airflow_slurm_sweep.slurm.submit.answer import read_answers
from airflow_slurm_sweep.slurm.submit.script import submit_all

SHELLS = {
    "dash": ["/usr/bin/dash", "-s", ARGUMENT],
    "bash": ["/usr/bin/bash", "--posix", "-s", ARGUMENT],
}  # as `sh` is the one or the other
TOOLS = (
    "base64", "cat", "find", "head", "id", "ln", "mkdir", "mv", "readlink", "rm", "sed", "sort", "sh", "sleep", "stat", "sync", "tail",
    "test", "timeout", "touch", "tr", "uname", "wc",
)  # fmt: skip
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


class Shell:
    """A shell that stays, in a directory of its own: thousands of scripts, each in a subshell of it."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.folder = folder
        self.errors = folder.with_name(f"{folder.name}.errors")
        folder.mkdir()
        self._end = f"\0{uuid4()}\0".encode()
        with self.errors.open("w") as errors:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=folder,
                env={**ENVIRONMENT, "HOME": str(folder)},
            )  # fmt: skip

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, script: str, functions: str = "") -> str:
        """Return what the script prints; nothing may come of it but that.

        The script's prelude would undo the functions.
        """
        script = script.replace(PRELUDE, "")
        assert self._process.stdin
        assert self._process.stdout
        end = self._end.decode().strip("\0")
        text = f"(\n{functions}\n{script}\n)\nprintf '\\0%s\\0%s\\0' {end} \"$PWD\"\n"
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()
        said = b""
        expected = self._end + f"{self.folder}\0".encode()
        while not said.endswith(expected):
            ready, _, _ = select.select([self._process.stdout], [], [], 20)
            piece = os.read(self._process.stdout.fileno(), 1 << 20) if ready else b""
            assert piece, f"the shell hangs or is dead, or is in another directory: {said!r}"
            said += piece
        assert os.listdir(self.folder) == [], "something else was executed"  # noqa: PTH208  # ten thousand times
        assert self.errors.stat().st_size == 0, self.errors.read_text()
        return said.removesuffix(expected).decode("utf-8", "replace").removesuffix(f"{END}\n")


@dataclass(kw_only=True)
class Login:
    """A login node whose commands are recorders: those of Slurm answer as the files in ``answers`` say."""

    argv: list[str]
    folder: Path

    def __post_init__(self) -> None:
        for name in ("bin", "home", "answers"):
            (self.folder / name).mkdir(parents=True)
        note = f"printf '%s\\0' \"$#\" {{name}} \"$@\" >> '{self.folder}/calls'\n"
        for name in ("sbatch", "squeue", "scancel", "scontrol"):
            keep = f"env -0 > '{self.folder}/env'\ncat > '{self.folder}/stdin'\n" if name == "sbatch" else ""
            answer = f"/usr/bin/cat '{self.folder}/answers/{name}' 2> /dev/null\nexit 0\n"
            self._write(name, note.format(name=name) + keep + answer)
        for name in (*TOOLS, "env"):
            real = shutil.which(name, path="/usr/bin:/bin")
            does = "exit 0" if name in ("sleep", "sync") else f'exec {real} "$@"'
            self._write(name, note.format(name=name) + does)
        self.answer("sbatch", "7\n")

    def _write(self, name: str, text: str) -> None:
        file = self.folder / "bin" / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def answer(self, command: str, text: str) -> None:
        (self.folder / "answers" / command).write_text(text)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.folder}/bin", "LC_ALL": "C.UTF-8", "HOME": f"{self.folder}/home"}
        done = subprocess.run(
            self.argv,
            input=script.encode(),
            capture_output=True,
            cwd=self.folder / "home",
            env=environment,
            check=False,
        )
        assert os.listdir(self.folder / "home") == [], "something else was executed"  # noqa: PTH208
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace")
        )

    def submit(self, job: JobRequest, attempt: Attempt) -> tuple[int, str]:
        """Submit one job; return the submission's exit status and all that it printed."""
        mark = f"m{uuid4().hex}"
        done = self.run(submit_all([(job, attempt)], mark))
        assert (done.returncode, done.stderr) == (0, "")
        return read_answers(done.stdout.removesuffix(f"{END}\n"), mark)[1]

    def calls(self, command: str | None = None) -> list[list[str]]:
        """Return the command lines of all that ran, or of one command, the first word left out."""
        words = (self.folder / "calls").read_bytes().decode().split("\0")
        calls = []
        while len(words) > 1:
            width = int(words[0]) + 2
            calls.append(words[1:width])
            words = words[width:]
        return calls if command is None else [call[1:] for call in calls if call[0] == command]

    @property
    def environment(self) -> Mapping[str, str]:
        """What sbatch found in its environment."""
        entries = (self.folder / "env").read_bytes().decode().split("\0")
        return dict(entry.partition("=")[::2] for entry in entries if entry)
