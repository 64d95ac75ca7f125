"""Errors of Slurm's commands, classified once: passing or final; and whether the controller may have acted.

Sources: slurm_errno.c and sbatch.c of Slurm 22.05 to 25.05, and tests/integration/test_refusals.py with a real
slurmctld. The words are plain substrings, so that a POSIX shell's ``case`` finds the same ones.

sbatch retries by itself for 120 s when the controller has no room (MaxJobCount) or answers "try again"; it prints
"sleeping and retrying" once, and "Resource temporarily unavailable" at the end. If a signal ends it meanwhile, there is
no job. It reports a controller that is down (connect failure) after 9 s, a silent one after MessageTimeout, 10 s.
"""

# The controller may have taken the request: it was sent, or may have been, and no readable answer came.
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
    # The controller prints these about our request, and sbatch about its answer.
    "Protocol authentication error",
    "Munge decode failed",
)

# The controller refused, or could not be reached: there is no job, and the site mends the cause by itself. Missing on
# purpose is "Job violates accounting/QOS policy": Slurm prints it also about jobs that are too large, and the line
# before it names the limit.
_REFUSED_FOR_NOW: tuple[str, ...] = (
    "Unable to contact slurm controller",
    "Could not establish a configuration source",  # of a login node without slurm.conf
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

# Limits that a smaller array may not meet; the last one is also printed about SchedulerParameters=max_array_tasks.
_LIMITS: tuple[str, ...] = (
    "SubmitJob",
    "Slurm temporarily unable to accept job",
    "Slurm job queue full",
    "Resource temporarily unavailable",
    "MaxJobCount limit reached",
    "Invalid job array specification",
)

PASSING: tuple[str, ...] = (*_REFUSED_FOR_NOW, *UNCLEAR)


def is_passing(error: str) -> bool:
    """Whether the site mends the cause of this error by itself; it does not mend unknown errors."""
    return any(words in error for words in PASSING)


def is_too_many(error: str) -> bool:
    """Whether an array was refused because it is too large for the site, or for the room that is left now."""
    return any(words in error for words in _LIMITS)


def is_unclear(error: str) -> bool:
    """Whether the controller may have done what was asked, although the command failed."""
    return any(words in error for words in UNCLEAR)
