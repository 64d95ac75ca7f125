"""What others write about the same events: Slurm, sshd and Airflow. Pure functions from their texts to values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

_CALL = re.compile(r"^\s+([A-Z][A-Z_]+)\s*\(\s*\d+\)\s+count:(\d+)", re.MULTILINE)
_ENDED = re.compile(
    r"^JobId=(?P<job_id>\d+) .* Name=(?P<name>.*) JobState=(?P<state>\w+) .* EndTime=(?P<ended>\S+)"
    r" .* SubmitTime=(?P<submitted>\S+) ",
    re.MULTILINE,
)
_STALL = re.compile(r"async thread was blocked for ([\d.]+) seconds")
_NUMBER = re.compile(r"_(\d+)$")

# Questions about jobs that slurmctld answers: squeue; `squeue --user`; `squeue --jobs` of one, and `scontrol show job`.
JOB_QUERIES = ("REQUEST_JOB_INFO", "REQUEST_JOB_USER_INFO", "REQUEST_JOB_INFO_SINGLE")
SUBMISSIONS = ("REQUEST_SUBMIT_BATCH_JOB",)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """A job that has ended, as slurmctld wrote it down.

    Attributes:
        job_id: Slurm's.
        name: The job's name.
        state: COMPLETED, CANCELLED, ...
        submitted: Slurm's SubmitTime in seconds since the epoch, whole ones.
        ended: Slurm's EndTime, likewise.
    """

    job_id: str
    name: str
    state: str
    submitted: float
    ended: float

    @property
    def map_index(self) -> int:
        """The combination's index: job names end with its number, from 1."""
        number = _NUMBER.search(self.name)
        return int(number[1]) - 1 if number else -1


def ended_jobs(text: str) -> list[EndedJob]:
    """The jobs in a file of Slurm's plugin ``jobcomp/filetxt``, one line each, in the order of their end."""
    return [
        EndedJob(
            job_id=match["job_id"],
            name=match["name"],
            state=match["state"],
            submitted=_seconds(match["submitted"]),
            ended=_seconds(match["ended"]),
        )
        for match in _ENDED.finditer(text)
    ]


def _seconds(local_time: str) -> float:
    return datetime.fromisoformat(local_time).timestamp()


def remote_calls(sdiag: str) -> dict[str, int]:
    """How often slurmctld was asked for what since ``sdiag --reset``, by the names of Slurm's requests."""
    by_type, _, _ = sdiag.partition("statistics by user")
    return {name: int(count) for name, count in _CALL.findall(by_type)}


def count(calls: Mapping[str, int], names: Iterable[str]) -> int:
    """How often one of these requests was made, by the answer of `remote_calls`."""
    return sum(calls.get(name, 0) for name in names)


def logins(sshd_log: str) -> int:
    """Number of SSH connections in a log of sshd (VERBOSE) that got past its check of the key."""
    return sshd_log.count("Accepted publickey for ")


def stalls(triggerer_log: str) -> list[float]:
    """Seconds of each stall of the event loop that Airflow's triggerer complains of."""
    return [float(seconds) for seconds in _STALL.findall(triggerer_log)]
