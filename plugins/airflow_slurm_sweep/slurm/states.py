"""Slurm's job states, classified once.

Source: sacct(1) and squeue(1), "JOB STATE CODES", and job_state_codes.html, up to Slurm 25.11. squeue and sacct print
one word a job: a flag (COMPLETING, REQUEUED, LAUNCH_FAILED) in place of the base state it is set on.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What a state means for a task that waits."""

    ACTIVE = "the job is queued, running or ending"
    SUCCEEDED = "the job ended well"
    FAILED = "the job ended otherwise"
    REQUEUEABLE = "Slurm may run the job again: an end only if the state lasts"
    ELSEWHERE = "another cluster may run the job: an end only once squeue no longer shows the job"


class JobState(Enum):
    """The state of a job. `UNKNOWN` is any state of a newer Slurm: not final, so the job is waited for."""

    kind: Kind
    code: str

    def __new__(cls, name: str, kind: Kind, code: str = "") -> JobState:
        """Make the member's value its name alone; ``code`` is Slurm's short form of it."""
        member = object.__new__(cls)
        member._value_, member.kind, member.code = name, kind, code
        return member

    BOOT_FAIL = "BOOT_FAIL", Kind.FAILED, "BF"
    CANCELLED = "CANCELLED", Kind.FAILED, "CA"
    COMPLETED = "COMPLETED", Kind.SUCCEEDED, "CD"
    COMPLETING = "COMPLETING", Kind.ACTIVE, "CG"
    CONFIGURING = "CONFIGURING", Kind.ACTIVE, "CF"
    DEADLINE = "DEADLINE", Kind.FAILED, "DL"
    EXPEDITING = "EXPEDITING", Kind.ACTIVE
    FAILED = "FAILED", Kind.FAILED, "F"
    LAUNCH_FAILED = "LAUNCH_FAILED", Kind.REQUEUEABLE  # requeued and held, unless the job forbids it
    NODE_FAIL = "NODE_FAIL", Kind.REQUEUEABLE, "NF"
    OUT_OF_MEMORY = "OUT_OF_MEMORY", Kind.FAILED, "OOM"
    PENDING = "PENDING", Kind.ACTIVE, "PD"
    POWER_UP_NODE = "POWER_UP_NODE", Kind.ACTIVE
    PREEMPTED = "PREEMPTED", Kind.REQUEUEABLE, "PR"
    RECONFIG_FAIL = "RECONFIG_FAIL", Kind.REQUEUEABLE
    REQUEUED = "REQUEUED", Kind.ACTIVE, "RQ"
    REQUEUE_FED = "REQUEUE_FED", Kind.ACTIVE, "RF"
    REQUEUE_HOLD = "REQUEUE_HOLD", Kind.ACTIVE, "RH"
    RESIZING = "RESIZING", Kind.ACTIVE, "RS"
    RESV_DEL_HOLD = "RESV_DEL_HOLD", Kind.ACTIVE, "RD"
    REVOKED = "REVOKED", Kind.ELSEWHERE, "RV"  # of a federation
    RUNNING = "RUNNING", Kind.ACTIVE, "R"
    SIGNALING = "SIGNALING", Kind.ACTIVE, "SI"
    SPECIAL_EXIT = "SPECIAL_EXIT", Kind.ACTIVE, "SE"
    STAGE_OUT = "STAGE_OUT", Kind.ACTIVE, "SO"
    STOPPED = "STOPPED", Kind.ACTIVE, "ST"
    SUSPENDED = "SUSPENDED", Kind.ACTIVE, "S"
    TIMEOUT = "TIMEOUT", Kind.FAILED, "TO"
    UPDATE_DB = "UPDATE_DB", Kind.ACTIVE
    LOST = "LOST", Kind.FAILED  # our own: no source on the cluster knows the job
    UNKNOWN = "UNKNOWN", Kind.ACTIVE

    @classmethod
    def parse(cls, text: str) -> JobState:
        """Read what Slurm prints: ``RUNNING``, ``R``, ``CANCELLED by 1001``, ``COMPLETED+``."""
        word = (text.split() or [""])[0].rstrip("+")
        return cls.__members__.get(word) or _BY_CODE.get(word, cls.UNKNOWN)

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
        return self.name in _QUEUED

    @property
    def is_success(self) -> bool:
        """Whether the job ended well."""
        return self.kind is Kind.SUCCEEDED


_QUEUED = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
_BY_CODE = {state.code: state for state in JobState if state.code}
