"""What sbatch says when it submits nothing, as data.

Two questions: does the site mend it by itself (then it is waited for), and may slurmctld have taken the job all the
same (then the next submission looks for it first)? Anything that is not in the tables is a final and clear no.
Sources: slurm_errno.c, slurm_protocol_defs.c (reasons of limits), Slurm 20.11 to 25.05.

sbatch itself tries again where the controller has no room (``sleeping and retrying``), for two minutes in all;
record.sh cuts it off after one.
"""

from __future__ import annotations

# The request may have reached slurmctld, and its answer did not reach us.
UNCLEAR = (
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Header lengths are longer than data received",
    "Insane message length",
    "Unexpected message received",
    "Message receive failure",
    "Message send failure",
    "Communication shutdown failure",
    "Connection reset by peer",
    "Broken pipe",
    "Connection timed out",
    "sleeping and retrying",
)

# No, for now.
_NOT_NOW = (
    # submit limits; sbatch names the limit in a line of its own. Other limits, of size or time, never pass.
    "AssocMaxSubmitJobLimit",
    "AssocGrpSubmitJobsLimit",
    "MaxSubmitJobsPerAccount",
    "QOSMaxSubmitJobPerUserLimit",
    "QOSGrpSubmitJobsLimit",
    # the controller is full, down, or about to be another
    "Slurm temporarily unable to accept job",
    "Resource temporarily unavailable",
    "Unable to contact slurm controller",
    "Communication connection failure",
    "Connection refused",
    "No route to host",
    "Controller is in standby mode",
    "Slurm backup controller in standby mode",
    "Transport endpoint is not connected",
    # munge is down, or the hosts' clocks are apart for now
    "Protocol authentication error",
    "Munge encode failed",
    "Munge decode failed",
)
PASSING = (*UNCLEAR, *_NOT_NOW)


def is_passing(said: str) -> bool:
    """Tell whether the site mends by itself what sbatch said on standard error."""
    return any(words in said for words in PASSING)


def is_unclear(said: str) -> bool:
    """Tell whether the job may have been submitted, whatever sbatch said on standard error."""
    return any(words in said for words in UNCLEAR)
