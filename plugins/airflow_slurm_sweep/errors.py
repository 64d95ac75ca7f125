"""Everything that can go wrong, as one tree.

    SlurmSweepError
    ├── SweepFileError        a sweep file or cluster profile has faults; lists all of them
    ├── SettingsError         settings that a run needs are missing or contradict each other
    ├── TaskTimeoutError      a task's time is over; its job is cancelled
    ├── ClusterRefusedError        the cluster said no, and will say no again: fails at once
    │   └── LoginRefusedError      the login node does not let us in; tasks that wait for a job keep waiting
    └── ClusterUnavailableError    not now (network, sshd, controller, submit limits): worth another try
        ├── NotYetError            the run's own limit of parallel jobs is reached
        ├── AloneError             not in an array with others: worth another try without them
        ├── StaleError             a search's proposal does not know all before it: worth another proposal
        └── CrowdedError           more than the site takes at once: worth another try with fewer

Messages name the subject, the value and what was expected, so that the reader knows what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SlurmSweepError(Exception):
    """Root of all errors that this package raises on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in a file: ``optim.lr: expected a list of values, got a mapping``."""

    key: str = ""
    problem: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" if self.key else self.problem


class SweepFileError(SlurmSweepError):
    """A sweep file or a cluster profile, ``source`` for the user, cannot be used; the message lists all faults."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))


class SettingsError(SlurmSweepError):
    """A run cannot be planned with the settings at hand."""


class TaskTimeoutError(SlurmSweepError):
    """A task took longer than its ``timeout`` or ``execution_timeout``."""


class ClusterRefusedError(SlurmSweepError):
    """The cluster refused, for a reason that time does not mend (bad account, wrong key, missing script)."""


class LoginRefusedError(ClusterRefusedError):
    """The login node does not let us in, or cannot be trusted; a task that waits for a job waits for that to change."""


class ClusterUnavailableError(SlurmSweepError):
    """The cluster gave no answer, or one that time will change; to send the request again does no harm."""


class NotYetError(ClusterUnavailableError):
    """The run's limit of parallel jobs is reached."""


class AloneError(ClusterUnavailableError):
    """This job cannot go in one array with the others that came."""


class StaleError(ClusterUnavailableError):
    """A search has proposed more since this proposal was made."""


class CrowdedError(ClusterUnavailableError):
    """A limit of the site's on the number of jobs was met."""
