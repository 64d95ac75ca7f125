"""Jobs in flight, thousands at once: what their waiting costs, and how soon all are gone when their run is failed.

Empty triggers that wait are measured in the same way: what Airflow itself costs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.observe import Observation, Observed
from bench.runs import EMPTY, FIXED_SECONDS, SECONDS_EACH, Subject, trigger, wait, wait_until_all_wait, waiting_tasks
from bench.say import say
from bench.stage import INTERVAL, TRIGGERERS, Stage
from bench.usage import holdings
from sandbox import SandboxError

HELD_SECONDS = 60.0
_MARKING = 600.0  # seconds that Airflow may take to mark all tasks of a run


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What jobs in flight took.

    Attributes:
        what: Whose Dag.
        size: Number of jobs, all pending or running at once, or of triggers.
        first_bytes: Memory of the triggerers after a first job.
        submitted: Seconds from the trigger until slurmctld had taken all, or all triggers waited.
        held: Seconds for which nothing else happened.
        starting: What happened until all were submitted.
        waiting: What happened while they were held.
        marking: Seconds that Airflow took to mark the Dag run and its tasks failed.
        cancelled: Seconds from that order until no job was left.
        left: Jobs that still lived when the patience was over.
        cancelling: What happened meanwhile.
    """

    what: str
    size: int
    first_bytes: int
    submitted: float
    held: float
    starting: Observed
    waiting: Observed
    marking: float
    cancelled: float
    left: int
    cancelling: Observed

    @property
    def queries_per_tick(self) -> float:
        """Calls of squeue in the interval between two looks."""
        return self.waiting.job_queries / (self.held / INTERVAL)

    @property
    def bytes_each(self) -> float:
        """Memory of the triggerers for a job, beyond what the first one took."""
        peaks = sum(each.peak_bytes for part, each in self.waiting.usage.items() if part in TRIGGERERS)
        return (peaks - self.first_bytes) / self.size

    @property
    def went_well(self) -> bool:
        """Whether all jobs went."""
        return self.left == 0


def measure(stage: Stage, subject: Subject, size: int) -> Flight:
    """Trigger a Dag of so many jobs, or empty triggers, that do not end, hold them, and have them cancelled.

    Raises:
        SandboxError: Not all were submitted in time.
    """
    stage.wait_for_dag(subject.dag_id)
    has_jobs = subject.what != EMPTY
    live = _jobs if has_jobs else waiting_tasks
    limit = FIXED_SECONDS + SECONDS_EACH * size
    first_bytes = sum(held.bytes for part, held in holdings(stage.roots).items() if part in TRIGGERERS)
    with Observation(stage) as start:
        began = time.monotonic()
        run = trigger(stage, subject.dag_id, subject.conf)

        def count() -> int:
            return start.submitted if has_jobs else waiting_tasks(stage)

        if not wait(lambda: count() >= size, lambda: f"{count()} of {size} submitted", limit):
            raise SandboxError(f"{count()} of {size} were submitted in {limit:.0f} s")
        submitted = time.monotonic() - began
        wait_until_all_wait(stage, size)
        starting = start.end()
    say(f"holding {size} for {HELD_SECONDS:.0f} s")
    with Observation(stage) as hold:
        held_since = time.monotonic()
        time.sleep(HELD_SECONDS)
        held = time.monotonic() - held_since
        waiting = hold.end()
    if (found := live(stage)) != size:
        raise SandboxError(f"{found} are in flight, expected {size}")
    say("marking the Dag run failed")
    with Observation(stage) as end:
        began = time.monotonic()
        stage.airflow.patience = _MARKING
        stage.airflow.mark_run(run, "failed")
        marking = time.monotonic() - began
        wait(lambda: not live(stage), lambda: f"{live(stage)} of {size} are left", limit)
        cancelled = time.monotonic() - began
        cancelling = end.end()
    return Flight(
        what=subject.what,
        size=size,
        first_bytes=first_bytes,
        submitted=submitted,
        held=held,
        starting=starting,
        waiting=waiting,
        marking=marking,
        cancelled=cancelled,
        left=live(stage),
        cancelling=cancelling,
    )


def _jobs(stage: Stage) -> int:
    """Jobs that are pending, running or ending."""
    return len(stage.box.slurm("squeue", "--me", "--noheader", "--format=%i").split())
