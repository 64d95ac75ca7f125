"""How a check ends, and the answers of the login node on which verdicts are based."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

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


Add: TypeAlias = Callable[[str, Grade, str], None]  # takes a finding: check, grade, text
Verdict: TypeAlias = tuple[Grade, str]


class SkippedError(Exception):
    """This check cannot be made; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a login node said."""

    subject: Subject
    said: Mapping[str, tuple[int, str]]  # exit status and output, by the question; one that does not arise is not there
    airflow_times: tuple[float, float]  # when Airflow sent the script and had the answers, in seconds since 1970

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

    @property
    def job(self) -> JobRequest:
        """The job that is checked; without one, the check is skipped."""
        if self.subject.job is None:
            raise SkippedError("settings are missing")
        return self.subject.job
