"""Slurm's job states, classified once.

Source: sacct(1) and squeue(1), "JOB STATE CODES", and job_state_codes.html, up to Slurm 25.11. squeue and sacct print
one word a job: a flag (COMPLETING, REQUEUED, LAUNCH_FAILED) in place of the base state it is set on.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Self


class Kind(Enum):
    """What a state means for a task that waits."""

    QUEUED = "the job waits for its start"
    ACTIVE = "the job is starting, running or ending"
    SUCCEEDED = "the job ended well"
    FAILED = "the job ended otherwise"
    REQUEUEABLE = "Slurm may run the job again: an end only if the state lasts"
    ELSEWHERE = "another cluster may run the job: an end only once squeue no longer shows the job"


class JobState(Enum):
    """The state of a job. `UNKNOWN` is any state of a newer Slurm: not final, so the job is waited for."""

    kind: Kind

    def __new__(cls, name: str, kind: Kind) -> Self:
        """Make the member's value its name alone."""
        member = object.__new__(cls)
        member._value_, member.kind = name, kind
        return member

    BOOT_FAIL = "BOOT_FAIL", Kind.FAILED
    CANCELLED = "CANCELLED", Kind.FAILED
    COMPLETED = "COMPLETED", Kind.SUCCEEDED
    COMPLETING = "COMPLETING", Kind.ACTIVE
    CONFIGURING = "CONFIGURING", Kind.ACTIVE
    DEADLINE = "DEADLINE", Kind.FAILED
    EXPEDITING = "EXPEDITING", Kind.ACTIVE
    FAILED = "FAILED", Kind.FAILED
    LAUNCH_FAILED = "LAUNCH_FAILED", Kind.REQUEUEABLE  # requeued and held, unless the job forbids it
    NODE_FAIL = "NODE_FAIL", Kind.REQUEUEABLE
    OUT_OF_MEMORY = "OUT_OF_MEMORY", Kind.FAILED
    PENDING = "PENDING", Kind.QUEUED
    POWER_UP_NODE = "POWER_UP_NODE", Kind.ACTIVE
    PREEMPTED = "PREEMPTED", Kind.REQUEUEABLE
    RECONFIG_FAIL = "RECONFIG_FAIL", Kind.REQUEUEABLE
    REQUEUED = "REQUEUED", Kind.QUEUED
    REQUEUE_FED = "REQUEUE_FED", Kind.QUEUED
    REQUEUE_HOLD = "REQUEUE_HOLD", Kind.QUEUED
    RESIZING = "RESIZING", Kind.ACTIVE
    RESV_DEL_HOLD = "RESV_DEL_HOLD", Kind.QUEUED
    REVOKED = "REVOKED", Kind.ELSEWHERE  # of a federation
    RUNNING = "RUNNING", Kind.ACTIVE
    SIGNALING = "SIGNALING", Kind.ACTIVE
    SPECIAL_EXIT = "SPECIAL_EXIT", Kind.QUEUED
    STAGE_OUT = "STAGE_OUT", Kind.ACTIVE
    STOPPED = "STOPPED", Kind.ACTIVE
    SUSPENDED = "SUSPENDED", Kind.ACTIVE
    TIMEOUT = "TIMEOUT", Kind.FAILED
    UPDATE_DB = "UPDATE_DB", Kind.ACTIVE
    INCOMPLETE = "INCOMPLETE", Kind.FAILED  # our own: COMPLETED, and what the chain was for is not done
    STOPPED_EARLY = "STOPPED_EARLY", Kind.SUCCEEDED  # our own: CANCELLED by the rule of `sweep.stop`
    LOST = "LOST", Kind.FAILED  # our own: no source on the cluster knows the job
    UNKNOWN = "UNKNOWN", Kind.ACTIVE

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what Slurm prints: ``RUNNING``, ``CANCELLED by 1001``, ``COMPLETED+``."""
        return cls.__members__.get((text.split() or [""])[0].rstrip("+"), cls.UNKNOWN)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, also while squeue still shows it."""
        return self.kind in (Kind.SUCCEEDED, Kind.FAILED)

    @property
    def is_final_if_it_lasts(self) -> bool:
        """Whether the job has ended if squeue shows it in this state for a while."""
        return self.is_final or self.kind is Kind.REQUEUEABLE

    @property
    def is_final_once_gone(self) -> bool:
        """Whether the job has ended, now that squeue no longer shows it."""
        return self.is_final or self.kind in (Kind.REQUEUEABLE, Kind.ELSEWHERE)

    @property
    def is_queued(self) -> bool:
        """Whether the job waits for its start: its start time is then an estimate of Slurm's."""
        return self.kind is Kind.QUEUED

    @property
    def is_success(self) -> bool:
        """Whether the job ended well."""
        return self.kind is Kind.SUCCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What squeue says of a job that waits for its start, by the cluster's clock; None where it is not known."""

    seconds: int | None = None  # since the job's submission, or its last requeueing
    starts_in: int | None = None  # seconds until Slurm expects the job to start
    is_stuck: bool = False  # whether time alone will not start it
