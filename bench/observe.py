"""What happens on a stage meanwhile, never by our own counters: Slurm's, sshd's, Airflow's and Linux' word for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.logs import JOB_QUERIES, SUBMISSIONS, EndedJob, count, ended_jobs, logins, remote_calls, stalls
from bench.stage import ENDED, SACCT, Stage
from bench.usage import Meter, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What happened between the beginning and the end of an observation.

    Attributes:
        connections: SSH connections that sshd let in.
        job_queries: Calls of squeue and ``scontrol show job``, as slurmctld counts them.
        sacct_calls: Calls of sacct over SSH.
        sbatch_calls: Jobs that slurmctld was asked to take.
        remote_calls: All requests that slurmctld answered, by name.
        stalls: Seconds of each stall of a triggerer's event loop.
        usage: By part.
        machine_cpu_seconds: Processor time of the whole machine, whoever used it.
        own_cpu_seconds: Processor time of this program, which is no part of the system.
    """

    connections: int
    job_queries: int
    sacct_calls: int
    sbatch_calls: int
    remote_calls: dict[str, int]
    stalls: list[float]
    usage: dict[str, Usage]
    machine_cpu_seconds: float
    own_cpu_seconds: float


class Observation:
    """Begins when it is made; it is a context manager that ends with its block at the latest."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        directory = stage.box.directory
        self._logs = {name: _Tail(directory / name) for name in ("logs/sshd.log", SACCT)}
        self._triggerers = [_Tail(triggerer.log) for triggerer in stage.airflow.triggerers]
        stage.box.slurm("sdiag", "--reset")
        self._began = time.process_time()
        self._meter = Meter(stage.roots)

    def __enter__(self) -> Observation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._meter.close()

    @property
    def submitted(self) -> int:
        """Number of jobs that slurmctld has been asked to take so far."""
        return count(remote_calls(self._stage.box.slurm("sdiag")), SUBMISSIONS)

    def end(self) -> Observed:
        """End it."""
        usage, machine = self._meter.stop(), self._meter.machine()
        calls = remote_calls(self._stage.box.slurm("sdiag"))
        return Observed(
            connections=logins(self._logs["logs/sshd.log"].text()),
            job_queries=count(calls, JOB_QUERIES),
            sacct_calls=self._logs[SACCT].text().count("\n"),
            sbatch_calls=count(calls, SUBMISSIONS),
            remote_calls=calls,
            stalls=[each for log in self._triggerers for each in stalls(log.text())],
            usage=usage,
            machine_cpu_seconds=round(machine, 2),
            own_cpu_seconds=round(time.process_time() - self._began, 2),
        )


def ended(stage: Stage) -> list[EndedJob]:
    """All jobs of the cluster that have ended: read in slurmctld's file, which disturbs nobody."""
    return ended_jobs(_Tail(stage.box.directory / ENDED, whole=True).text())


class _Tail:
    """What is written to a file from now on, or all of it; a file that is not there is empty."""

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() and not whole else 0

    def text(self) -> str:
        if not self._path.exists():
            return ""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            return file.read().decode(errors="replace")
