"""The hours of GPUs and CPUs that jobs used, as the accounting database has them: ask and read.

Where a site does not account for GPUs (``AccountingStorageTRES=gres/gpu``), their hours are not known.
"""

import re
from collections.abc import Iterable
from math import fsum
from shlex import quote
from typing import NamedTuple

from airflow_slurm_sweep.slurm.ended import SACCT
from airflow_slurm_sweep.slurm.shell import script

_BOUND = "timeout -k 5 20"  # a job's end waits for the answer
# ``7|3600|billing=4,cpu=4,gres/gpu=2,gres/gpu:a100=2``; the parts of a heterogeneous job are ``7+0`` and ``7+1``.
_LINE = re.compile(r"^([0-9_]+)(?:\+[0-9]+)?\|([0-9]+)\|(.*)$", re.MULTILINE)


class Hours(NamedTuple):
    """GPU-hours and CPU-hours; None for those that are not known."""

    gpu: float | None
    cpu: float | None


UNKNOWN = Hours(None, None)


def usage(job_ids: Iterable[str]) -> str:
    """Return the script that asks for jobs' times and resources; where there is no accounting, sacct says so."""
    ask = f"{SACCT} -X -n -P -o JobID,ElapsedRaw,AllocTRES -j {quote(','.join(job_ids))}"
    return script(f"{_BOUND} {ask} 2>&1 < /dev/null", "true")


def read_usage(output: str) -> dict[str, Hours]:
    """Read the answer to `usage`, by job id."""
    found: dict[str, list[Hours]] = {}
    for job_id, seconds, resources in _LINE.findall(output):
        counts = dict(each.partition("=")[::2] for each in resources.split(","))
        hours = (_hours(seconds, counts.get(name, "")) for name in ("gres/gpu", "cpu"))
        found.setdefault(job_id, []).append(Hours(*hours))
    return {job_id: total(parts) for job_id, parts in found.items()}


def total(jobs: Iterable[Hours]) -> Hours:
    """Return the sums; not known where those of one job are not."""
    gpu, cpu = ([*each] for each in zip(*jobs, strict=True))
    return Hours(*(None if None in each else round(fsum(filter(None, each)), 6) for each in (gpu, cpu)))


def _hours(seconds: str, count: str) -> float | None:
    if seconds == "0":  # it never began, and has no resources
        return 0.0
    return int(seconds) * int(count) / 3600 if count.isdecimal() else None
