"""The stage of a combination: Airflow's states of its two tasks and Slurm's state of its job as one word."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from airflow_slurm_sweep.slurm.states import JobState

_FAILED = ("failed", "upstream_failed")
_SKIPPED = ("skipped", "removed")


class Stage(StrEnum):
    """The stages of a combination, in the order in which the page lists them."""

    SUCCEEDED = "succeeded"
    STOPPED = "stopped early"
    FAILED = "failed"
    SKIPPED = "skipped"
    RUNNING = "running"
    PENDING = "pending"
    IN_SLURM = "in Slurm"  # submitted and not ended; Slurm's state is not known
    SUBMITTING = "submitting"
    WAITING = "waiting"

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (Stage.SUCCEEDED, Stage.STOPPED, Stage.FAILED, Stage.SKIPPED)

    @property
    def action(self) -> str | None:
        """What a person can do about a combination: "clear" it, or "fail" it, which cancels its job."""
        if self in (Stage.SUCCEEDED, Stage.STOPPED, Stage.FAILED):
            return "clear"
        return "fail" if self in (Stage.RUNNING, Stage.PENDING, Stage.IN_SLURM, Stage.SUBMITTING) else None


def stage_of(submit: str | None, wait: str | None, live: JobState | None = None) -> Stage:
    """Return the stage of a combination.

    Args:
        submit: Airflow's state of its task submit; None before Airflow has made or scheduled the task.
        wait: Likewise of its task wait.
        live: Slurm's state of its job while the job is in Slurm; None if it is not known.
    """
    if wait == "success":
        return Stage.SUCCEEDED
    if submit in _FAILED or wait in _FAILED:
        return Stage.FAILED
    if submit in _SKIPPED or wait in _SKIPPED:
        return Stage.SKIPPED
    if submit != "success":
        return Stage.SUBMITTING if submit in ("running", "deferred") else Stage.WAITING
    if live is None:
        return Stage.IN_SLURM
    return Stage.PENDING if live.is_queued else Stage.RUNNING


def counts(numbers: Mapping[Stage, int]) -> dict[str, Any]:
    """Return the numbers of combinations in each stage, of those that have ended, and of all, as JSON."""
    return {
        "counts": {stage: numbers[stage] for stage in Stage if numbers.get(stage)},
        "ended": sum(number for stage, number in numbers.items() if stage.is_ended),
        "all": sum(numbers.values()),
    }
