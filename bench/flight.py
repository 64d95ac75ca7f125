"""Jobs in flight, thousands at once: what their waiting costs, and how soon all are gone when their run is failed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.observe import Observation, Observed
from bench.runs import FIXED_SECONDS, SECONDS_EACH, trigger, wait, wait_until_all_wait
from bench.say import say
from bench.stage import INTERVAL, Stage
from sandbox import SandboxError

HELD_SECONDS = 60.0
_MARKING = 600.0  # seconds that Airflow may take to mark all tasks of a run


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What jobs in flight took.

    Attributes:
        size: Number of jobs, all pending or running at once.
        submitted: Seconds from the trigger until slurmctld had taken all.
        held: Seconds for which nothing else happened.
        starting: What happened until all were submitted.
        waiting: What happened while they were held.
        marking: Seconds that Airflow took to mark the Dag run and its tasks failed.
        cancelled: Seconds from that order until no job was left.
        left: Jobs that still lived when the patience was over.
        cancelling: What happened meanwhile.
    """

    size: int
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
    def went_well(self) -> bool:
        """Whether all jobs went."""
        return self.left == 0


def measure(stage: Stage, dag_id: str, size: int) -> Flight:
    """Trigger a Dag of so many jobs that do not end, hold them, and have them cancelled.

    Raises:
        SandboxError: Not all were submitted in time.
    """
    stage.wait_for_dag(dag_id)
    limit = FIXED_SECONDS + SECONDS_EACH * size
    with Observation(stage) as start:
        began = time.monotonic()
        run = trigger(stage, dag_id, {})
        if not wait(lambda: start.submitted >= size, lambda: f"{start.submitted} of {size} submitted", limit):
            raise SandboxError(f"{start.submitted} of {size} jobs were submitted in {limit:.0f} s")
        submitted = time.monotonic() - began
        wait_until_all_wait(stage, size)
        starting = start.end()
    say(f"holding {size} jobs for {HELD_SECONDS:.0f} s")
    with Observation(stage) as hold:
        held_since = time.monotonic()
        time.sleep(HELD_SECONDS)
        held = time.monotonic() - held_since
        waiting = hold.end()
    if (live := _live(stage)) != size:
        raise SandboxError(f"{live} jobs are in flight, expected {size}")
    say("marking the Dag run failed")
    with Observation(stage) as end:
        began = time.monotonic()
        stage.airflow.patience = _MARKING
        stage.airflow.mark_run(run, "failed")
        marking = time.monotonic() - began
        wait(lambda: not _live(stage), lambda: f"{_live(stage)} of {size} jobs are left", limit)
        cancelled = time.monotonic() - began
        cancelling = end.end()
    return Flight(
        size=size,
        submitted=submitted,
        held=held,
        starting=starting,
        waiting=waiting,
        marking=marking,
        cancelled=cancelled,
        left=_live(stage),
        cancelling=cancelling,
    )


def _live(stage: Stage) -> int:
    """Jobs that are pending, running or ending."""
    return len(stage.box.slurm("squeue", "--me", "--noheader", "--format=%i").split())
