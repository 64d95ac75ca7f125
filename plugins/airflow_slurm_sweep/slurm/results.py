"""What a job leaves to be compared by: ``metrics.json`` in its run directory, numbers by name.

{"reward": 0.93, "steps": 2000}
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob

FILE = "metrics.json"
LARGEST = 16 * 1024  # bytes: Airflow's database keeps it, and report reads those of thousands of jobs
_LONGEST = 100  # characters of a name
_NAMED = 3  # entries that a warning names

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What was in the file.

    Attributes:
        metrics: Finite numbers by name.
        fault: What was wrong with the rest of it; empty if nothing.
        wandb: Where Weights & Biases shows the run, if the job's log says so.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    fault: str = ""
    wandb: str = ""


NO_FILE = Results()
NOT_READABLE = Results(fault="expected a regular file that we may read, got another; it is not read")


def read(data: bytes) -> Results:
    """Read the file's first `LARGEST` bytes and one more, if there are that many."""
    if len(data) > LARGEST:
        return Results(fault=f"expected at most {LARGEST // 1024} KiB, got more; none of it is taken")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        return Results(fault=f'expected JSON such as {{"reward": 0.9}} ({error}); none of it is taken')
    if not isinstance(found, dict):
        kind = type(found).__name__
        return Results(fault=f'expected numbers by name such as {{"reward": 0.9}}, got a {kind}; none of it is taken')
    faults = {name: fault for name, value in found.items() if (fault := _fault(name, value))}
    more = f", and {len(faults) - _NAMED} more such" if len(faults) > _NAMED else ""
    return Results(
        metrics={name: value for name, value in found.items() if name not in faults},
        fault=f"{'; '.join(list(faults.values())[:_NAMED])}{more}; left out" if faults else "",
    )


def add(job: SubmittedJob, status: JobStatus, results: Results) -> JobStatus:
    """Return how a job ended, with what it left; a fault of the file is logged."""
    if results.fault:
        log.warning("%s/%s: %s", job.run_dir, FILE, results.fault)
    return replace(status, metrics=results.metrics, wandb=results.wandb)


def _fault(name: str, value: object) -> str:
    if not name.isprintable() or not 0 < len(name) <= _LONGEST:  # no database takes NUL and half characters
        return f"expected a printable name of at most {_LONGEST} characters, got {name!r:.120}"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not -sys.float_info.max <= value <= sys.float_info.max:  # type: ignore[operator]
        return f"{name}: expected a finite number, got {value!r:.60}"
    return ""
