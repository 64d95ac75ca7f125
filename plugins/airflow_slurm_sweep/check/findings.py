"""How a check ends, and the answers of the login node on which verdicts are based."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from airflow_slurm_sweep.check.questions import Subject
from airflow_slurm_sweep.slurm.job import JobRequest


class Grade(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The end of one check; as text, one line: ``FAILED   log         /lustre/me/logs cannot be written ...``."""

    check: str
    grade: Grade
    text: str

    def __str__(self) -> str:
        return f"{self.grade.value:8} {self.check:11} {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a login node said.

    Attributes:
        subject: What was asked about.
        said: Exit status and output, by the question's name; questions that do not arise are not there.
        sent: Airflow's time when it sent the script, in seconds since 1970.
        received: Airflow's time when it had the answers.
    """

    subject: Subject
    said: Mapping[str, tuple[int, str]]
    sent: float
    received: float

    def works(self, question: str) -> bool:
        """Whether the command ended well."""
        return self.said.get(question, (1, ""))[0] == 0

    def text(self, question: str) -> str:
        """Return what the command printed."""
        return self.said.get(question, (1, ""))[1]

    def words(self, question: str) -> str:
        """Return what a command that lists names printed, as a list for a sentence."""
        names = sorted(set(self.text(question).split())) if self.works(question) else []
        return ", ".join(names) or "none that we can see"


class SkippedError(Exception):
    """This check cannot be made; the message says why."""


Verdict = tuple[Grade, str]


def job_of(answers: Answers) -> JobRequest:
    """Return the job that is checked; without one, the check is skipped."""
    if answers.subject.job is None:
        raise SkippedError("settings are missing")
    return answers.subject.job


def need_controller(answers: Answers) -> None:
    """Skip the check where the controller does not answer."""
    if " is UP" not in answers.text("controller"):
        raise SkippedError("the controller does not answer")
