"""How many jobs stand in Slurm just now, as one small value: what is shown while they run.

{"at": 1769860800, "ids": {"4000": "0-999"}, "states": {"PENDING (Priority)": "128-999", "RUNNING": "0-127"},
 "nodes": {"n1": "0-127"}, "started": {"1769860795": "0-127"}, "queued": {"3": "0-127"}}

Each mapping goes from what jobs have in common to the indices of their combinations. A job's id is its index more than
its key there: Slurm counts on as they are submitted (``123_4`` is ``123_3`` and 1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_slurm_sweep.slurm.job import JobStatus

LARGEST = 48 * 1024  # bytes, as JSON
STALE = 300.0  # seconds after which a reader ignores one
_DETAILS = ("nodes", "queued", "started")  # in the order in which they are left out of one that is larger
_HIGHEST = 1_000_000  # index: what another wrote in its place shall not keep its reader busy
_JITTER = 3.0  # seconds: squeue's answer takes its time
_ELAPSED = re.compile(r"(?:([0-9]+)-)?(?:([0-9]+):)?([0-9]+):([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveJob:
    """One job.

    Attributes:
        text: State and reason, ``PENDING (Priority)``.
        nodes: Those it runs on.
        started: When, in seconds since 1970 by the clock of the one who asked; None while it is queued.
        queued: As in `JobStatus`.
    """

    text: str
    nodes: str = ""
    started: int | None = None
    queued: int | None = None


def live_job(status: JobStatus, at: float, before: LiveJob | None = None) -> LiveJob:
    """Return how a job stands that squeue shows.

    Args:
        status: What squeue said.
        at: When, in seconds since 1970.
        before: The same job as it stood before: a start that is almost the same is the same.
    """
    if status.state.is_queued:
        return LiveJob(text=str(status))
    ran = seconds(status.elapsed)
    started = None if ran is None else round(at - ran)
    known = before and before.started
    if started is not None and known and abs(started - known) <= _JITTER:
        started = known
    return LiveJob(text=str(status), nodes=status.nodes, started=started, queued=status.queued)


def seconds(elapsed: str) -> int | None:
    """Read a run time, ``[days-][hours:]minutes:seconds``; None if it is none."""
    found = _ELAPSED.fullmatch(elapsed)
    if found is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + rest


def view(jobs: Mapping[int, tuple[str, LiveJob]], at: float) -> dict[str, Any]:
    """Return the value, at most `LARGEST` bytes of JSON: without details, then without the last jobs, if it has to be.

    Args:
        jobs: A job's id and how it stands, by index.
        at: When they stood so, in seconds since 1970.
    """
    kept = sorted(jobs.items())
    found = _groups(kept, _DETAILS)
    for number in range(1, len(_DETAILS) + 1):
        if _size(found) > LARGEST:
            found = _groups(kept, _DETAILS[number:])
    while _size(found) > LARGEST:
        kept = kept[: len(kept) // 2]
        found = _groups(kept, ())
    return {"at": round(at), **found}


def _groups(jobs: Sequence[tuple[int, tuple[str, LiveJob]]], details: Iterable[str]) -> dict[str, dict[str, str]]:
    groups = {
        "ids": _grouped((_shifted(job_id, -index), index) for index, (job_id, _) in jobs),
        "states": _grouped((job.text, index) for index, (_, job) in jobs),
        **{name: _grouped(_detail(jobs, name)) for name in details},
    }
    return {name: group for name, group in groups.items() if group}


def _detail(jobs: Iterable[tuple[int, tuple[str, LiveJob]]], name: str) -> Iterator[tuple[str, int]]:
    values = ((getattr(job, name), index) for index, (_, job) in jobs)
    return ((str(value), index) for value, index in values if value not in ("", None))


def read(value: object) -> tuple[float, dict[int, tuple[str, LiveJob]]] | None:
    """Return when a `view` was made, and its jobs; None for anything else."""
    try:
        return _read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _read(value: Any) -> tuple[float, dict[int, tuple[str, LiveJob]]]:
    nodes, started, queued = (dict(_spread(value.get(name, {}))) for name in ("nodes", "started", "queued"))
    ids = {index: _shifted(base, index) for index, base in _spread(value.get("ids", {}))}
    jobs = {}
    for index, text in _spread(value.get("states", {})):
        numbers = [int(found[index]) if index in found else None for found in (started, queued)]
        job = LiveJob(text=text, nodes=nodes.get(index, ""), started=numbers[0], queued=numbers[1])
        jobs[index] = (ids[index], job)
    return float(value["at"]), jobs


def _shifted(job_id: str, by: int) -> str:
    head, mark, number = job_id.rpartition("_")
    return f"{head}{mark}{int(number) + by}"


def _grouped(pairs: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return ranges of indices, which come rising, by what stands before them."""
    groups: dict[str, list[int]] = {}
    for key, index in pairs:
        groups.setdefault(key, []).append(index)
    return {key: _ranges(indices) for key, indices in groups.items()}


def _ranges(indices: Iterable[int]) -> str:
    """Return rising numbers as text: ``0-127,130``."""
    found: list[list[int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _spread(groups: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for key, ranges in groups.items():
        for each in ranges.split(","):
            first, _, last = each.partition("-")
            if int(last or first) > _HIGHEST:
                raise ValueError(ranges)
            for index in range(int(first), int(last or first) + 1):
                yield index, key


def _size(value: object) -> int:
    return len(json.dumps(value))
