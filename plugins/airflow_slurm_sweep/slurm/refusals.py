"""What Slurm's commands say when they fail, classified once: mended by the site itself, or final; clear, or not.

Sources: slurm_errno.c and sbatch.c of Slurm 22.05 to 25.05, and tests/integration/test_refusals.py, which has a real
slurmctld say them.

sbatch tries again by itself, after 1, 2, ... 15 s, 120 s in all, when the controller has no room (MaxJobCount) or says
"try again"; it says "sleeping and retrying" once, and "Resource temporarily unavailable" at the end. Ended by a signal
meanwhile it leaves no job: each try is refused before the next sleep begins. No controller (connect failure) is told
after 9 s, a silent one after slurm.conf's MessageTimeout, 10 s.

The words are plain substrings, so that a POSIX shell's ``case`` finds the same ones.
"""

from __future__ import annotations

# The controller may have taken the request: it was sent, or may have been, and no answer came that could be read.
UNCLEAR: tuple[str, ...] = (
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Header lengths are longer than data received",
    "Insane message length",
    "Received zero length message",
    "Received message length < 0",
    "Unexpected message received",
    "Unexpected missing socket error",
    "Message send failure",
    "Message receive failure",
    "Failed to send entire message",
    "Communication shutdown failure",
    "(send failure)",
    "(receive failure)",
    "(shutdown failure)",
    "Connection reset by peer",
    "Broken pipe",
    "Transport endpoint is not connected",
    "Connection timed out",
    "Connection forced closed by quiesce timeout",
    "Kernel reported delayed socket error",
    # Said by the controller about our request, and by us about its answer.
    "Protocol authentication error",
    "Munge decode failed",
)

# An answer of the controller, or none could be asked for one: no job, and the site mends it by itself. Not here is
# "Job violates accounting/QOS policy", which Slurm says of jobs that are too large, too: the line before it names the
# limit.
_REFUSED_FOR_NOW: tuple[str, ...] = (
    "Unable to contact slurm controller",
    "Communication connection failure",
    "Connection refused",
    "Network is unreachable",
    "No route to host",
    "Temporary failure in name resolution",
    "Slurm backup controller in standby mode",
    "Controller is in standby mode",
    "Process is shutting down and closing all communications",
    "Munge encode failed",
    # Submit limits, of the user, the account, the QOS and the cluster.
    "AssocMaxSubmitJobLimit",
    "AssocGrpSubmitJobsLimit",
    "QOSMaxSubmitJobPerUserLimit",
    "QOSGrpSubmitJobsLimit",
    "MaxSubmitJobsPerAccount",
    "Slurm temporarily unable to accept job",
    "Slurm job queue full",
    "Resource temporarily unavailable",
    "MaxJobCount limit reached",
    "Unable to create job record, try again",
    "Rate limit exceeded",
    # The controller starts, is being maintained, or its disk is full.
    "Job creation temporarily disabled",
    "Currently unable to load job state information",
    "System submissions disabled",
    "Required partition not available (inactive or drain)",
    "I/O error writing script/environment to file",
)

# What a smaller array may not meet; the last is said of more elements than SchedulerParameters=max_array_tasks, too.
_LIMITS: tuple[str, ...] = (
    "SubmitJob",
    "Slurm temporarily unable to accept job",
    "Slurm job queue full",
    "Resource temporarily unavailable",
    "MaxJobCount limit reached",
    "Invalid job array specification",
)

PASSING: tuple[str, ...] = (*_REFUSED_FOR_NOW, *UNCLEAR)


def is_passing(said: str) -> bool:
    """Whether the site mends by itself what a command said on standard error; what is not known it does not."""
    return any(words in said for words in PASSING)


def is_too_many(said: str) -> bool:
    """Whether an array was refused that was too large for the site, or for the room that is left now."""
    return any(words in said for words in _LIMITS)


def is_unclear(said: str) -> bool:
    """Whether the controller may have done what it was asked for, although the command failed."""
    return any(words in said for words in UNCLEAR)
