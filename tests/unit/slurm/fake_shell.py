"""A login node that answers as told: for what real Slurm cannot be made to say when a test wants it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.slurm.shell import END, MARKER, Completed


class FakeShell:
    """Answers each script by the first word of it that has an answer, and keeps what it was asked.

    An answer is what the command prints, a whole `Completed`, an error to raise, or a function that returns one of
    those. Without an answer it fails like a command that is not there.
    """

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def run(self, script: str) -> Completed:
        """Answer."""
        _, _, script = script.partition(f"{MARKER}\n")
        word = (
            "scancel"
            if re.search("^cancel_ours [0-9]", script, re.MULTILINE)
            else next(
                word
                for word in ("sbatch", "squeue", "sacct", "scontrol", "tail", "head", "scancel", "record")
                if word in script
            )
        )
        self.asked.append(word)
        answer = self.answers.get(word)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Submission):
            return answer.completed(script)
        if isinstance(answer, Completed):
            return answer
        if word == "scontrol" and isinstance(answer, str) and (ids := re.search("^for job in (.*); do$", script, re.M)):
            answer += "".join(f"\nasked {job_id}\n" for job_id in ids[1].split())
        if answer is None:
            return failed(f"sh: 1: {word}: not found", 127)
        return Completed(exit_status=0, stdout=f"banner\n{MARKER}\n{answer}{END}\n", stderr="")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The answer to one submission: the script prints it behind a mark of its own, and succeeds."""

    exit_status: int = 0
    text: str

    def completed(self, script: str) -> Completed:
        """Return the end of the script."""
        (mark,) = re.findall(r"^each (m[0-9a-f]+) ", script, re.MULTILINE)
        text = f"banner\n{MARKER}\n{mark} 1 {self.exit_status}\n{self.text}\n{END}\n"
        return Completed(exit_status=0, stdout=text, stderr="")


def failed(stderr: str, exit_status: int = 1) -> Completed:
    """Return the end of a command that failed."""
    return Completed(exit_status=exit_status, stdout=f"{MARKER}\n", stderr=stderr)


def silent() -> ClusterUnavailableError:
    """Return the error of a connection that is cut."""
    return ClusterUnavailableError("connection lost")
