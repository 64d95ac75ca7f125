"""Slurm's job states, classified once. Source: sacct(1) and squeue(1), "JOB STATE CODES", up to Slurm 25.05."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What a state means for somebody who waits."""

    ACTIVE = "the job is queued, running or ending"
    SUCCEEDED = "the job ended well"
    FAILED = "the job ended otherwise"
    REQUEUEABLE = "Slurm may run the job again: an end only once squeue no longer shows the job"


class JobState(Enum):
    """The state of a job. `UNKNOWN` is whatever a newer Slurm invents: not final, hence waited for."""

    kind: Kind

    def __new__(cls, name: str, kind: Kind) -> JobState:
        """Make the member's value its name alone."""
        member = object.__new__(cls)
        member._value_ = name
        member.kind = kind
        return member

    BOOT_FAIL = "BOOT_FAIL", Kind.FAILED
    CANCELLED = "CANCELLED", Kind.FAILED
    COMPLETED = "COMPLETED", Kind.SUCCEEDED
    COMPLETING = "COMPLETING", Kind.ACTIVE
    CONFIGURING = "CONFIGURING", Kind.ACTIVE
    DEADLINE = "DEADLINE", Kind.FAILED
    EXPEDITING = "EXPEDITING", Kind.ACTIVE
    FAILED = "FAILED", Kind.FAILED
    LAUNCH_FAILED = "LAUNCH_FAILED", Kind.FAILED
    NODE_FAIL = "NODE_FAIL", Kind.REQUEUEABLE
    OUT_OF_MEMORY = "OUT_OF_MEMORY", Kind.FAILED
    PENDING = "PENDING", Kind.ACTIVE
    POWER_UP_NODE = "POWER_UP_NODE", Kind.ACTIVE
    PREEMPTED = "PREEMPTED", Kind.REQUEUEABLE
    RECONFIG_FAIL = "RECONFIG_FAIL", Kind.FAILED
    REQUEUED = "REQUEUED", Kind.ACTIVE
    REQUEUE_FED = "REQUEUE_FED", Kind.ACTIVE
    REQUEUE_HOLD = "REQUEUE_HOLD", Kind.ACTIVE
    RESIZING = "RESIZING", Kind.ACTIVE
    RESV_DEL_HOLD = "RESV_DEL_HOLD", Kind.ACTIVE
    REVOKED = "REVOKED", Kind.FAILED
    RUNNING = "RUNNING", Kind.ACTIVE
    SIGNALING = "SIGNALING", Kind.ACTIVE
    SPECIAL_EXIT = "SPECIAL_EXIT", Kind.ACTIVE
    STAGE_OUT = "STAGE_OUT", Kind.ACTIVE
    STOPPED = "STOPPED", Kind.ACTIVE
    SUSPENDED = "SUSPENDED", Kind.ACTIVE
    TIMEOUT = "TIMEOUT", Kind.FAILED
    UPDATE_DB = "UPDATE_DB", Kind.ACTIVE
    LOST = "LOST", Kind.FAILED  # ours: nobody on the cluster knows the job
    UNKNOWN = "UNKNOWN", Kind.ACTIVE

    @classmethod
    def parse(cls, text: str) -> JobState:
        """Read what Slurm prints: ``RUNNING``, ``R``, ``CANCELLED by 1001``, ``COMPLETED+``."""
        words = text.split()
        name = words[0].rstrip("+") if words else ""
        return cls.__members__.get(_SHORT.get(name, name), cls.UNKNOWN)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, also while squeue still shows it."""
        return self.kind in (Kind.SUCCEEDED, Kind.FAILED)

    @property
    def is_final_once_gone(self) -> bool:
        """Whether the job has ended, now that squeue no longer shows it."""
        return self.is_final or self.kind is Kind.REQUEUEABLE

    @property
    def is_success(self) -> bool:
        """Whether the job ended well."""
        return self.kind is Kind.SUCCEEDED


_SHORT = {
    "BF": "BOOT_FAIL",
    "CA": "CANCELLED",
    "CD": "COMPLETED",
    "CF": "CONFIGURING",
    "CG": "COMPLETING",
    "DL": "DEADLINE",
    "EX": "EXPEDITING",
    "F": "FAILED",
    "LF": "LAUNCH_FAILED",
    "NF": "NODE_FAIL",
    "OOM": "OUT_OF_MEMORY",
    "PD": "PENDING",
    "PR": "PREEMPTED",
    "PU": "POWER_UP_NODE",
    "R": "RUNNING",
    "RD": "RESV_DEL_HOLD",
    "RF": "REQUEUE_FED",
    "RH": "REQUEUE_HOLD",
    "RQ": "REQUEUED",
    "RS": "RESIZING",
    "RV": "REVOKED",
    "S": "SUSPENDED",
    "SE": "SPECIAL_EXIT",
    "SI": "SIGNALING",
    "SO": "STAGE_OUT",
    "ST": "STOPPED",
    "TO": "TIMEOUT",
    "UD": "UPDATE_DB",
}
