"""The states of many jobs in Slurm as one small value, which the page shows while they run.

{"at": 1769860800, "ids": {"4000": "0-999"}, "states": {"PENDING": "128-999", "RUNNING": "0-127"},
 "reason": {"Priority": "128-999"}, "nodes": {"n1": "0-127"}, "started": {"1769860795": "0-127"},
 "queued": {"3": "0-127"}}

Each mapping goes from what jobs have in common to their map indices. A job's id is its key plus its map index, because
Slurm numbers jobs in the order of submission (``123_4`` is ``123_3`` plus 1).
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
_DETAILS = ("nodes", "queued", "started", "reason")  # left out in this order where the value would be too large
_HIGHEST = 1_000_000  # map index: a value that is not ours must not keep its reader busy
_JITTER = 3.0  # seconds by which squeue's answer may be late
_ELAPSED = re.compile(r"(?:([0-9]+)-)?(?:([0-9]+):)?([0-9]+):([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveJob:
    """One job that squeue shows.

    Attributes:
        state: In Slurm's own words, ``PENDING``.
        reason: Why it waits, ``Priority``; empty if Slurm gives none.
        nodes: The nodes it runs on.
        started: Its start in seconds since 1970, by the clock of the triggerer; None while it is queued.
        queued: As in `JobStatus`.
    """

    state: str
    reason: str = ""
    nodes: str = ""
    started: int | None = None
    queued: int | None = None


def live_job(status: JobStatus, at: float, before: LiveJob | None = None) -> LiveJob:
    """Return a job that squeue shows.

    Args:
        status: squeue's answer.
        at: The answer's time in seconds since 1970.
        before: The same job in the answer before: a start that differs by less than `_JITTER` stays as it was.
    """
    reason = "" if status.reason == "None" else status.reason
    if status.state.is_queued:
        return LiveJob(state=status.text, reason=reason)
    ran = seconds(status.elapsed)
    started = None if ran is None else round(at - ran)
    known = before and before.started
    if started is not None and known and abs(started - known) <= _JITTER:
        started = known
    return LiveJob(state=status.text, reason=reason, nodes=status.nodes, started=started, queued=status.queued)


def seconds(elapsed: str) -> int | None:
    """Read a run time, ``[days-][hours:]minutes:seconds``; None if it is none."""
    found = _ELAPSED.fullmatch(elapsed)
    if found is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + rest


def view(jobs: Mapping[int, tuple[str, LiveJob]], at: float) -> dict[str, Any]:
    """Return the value, at most `LARGEST` bytes of JSON; if needed without details, then without the last jobs.

    Args:
        jobs: Job id and job by map index.
        at: The time of squeue's answer in seconds since 1970.
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
        "states": _grouped((job.state, index) for index, (_, job) in jobs),
        **{name: _grouped(_detail(jobs, name)) for name in details},
    }
    return {name: group for name, group in groups.items() if group}


def _detail(jobs: Iterable[tuple[int, tuple[str, LiveJob]]], name: str) -> Iterator[tuple[str, int]]:
    values = ((getattr(job, name), index) for index, (_, job) in jobs)
    return ((str(value), index) for value, index in values if value not in ("", None))


def read(value: object) -> tuple[float, dict[int, tuple[str, LiveJob]]] | None:
    """Return the time and the jobs of a `view`; None for any other value."""
    try:
        return _read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _read(value: Any) -> tuple[float, dict[int, tuple[str, LiveJob]]]:
    details = {name: dict(_spread(value.get(name, {}))) for name in _DETAILS}
    ids = {index: _shifted(base, index) for index, base in _spread(value.get("ids", {}))}
    jobs = {}
    for index, state in _spread(value.get("states", {})):
        found: dict[str, Any] = {name: texts[index] for name, texts in details.items() if index in texts}
        found |= {name: int(found[name]) for name in ("started", "queued") if name in found}
        jobs[index] = ids[index], LiveJob(state=state, **found)
    return float(value["at"]), jobs


def _shifted(job_id: str, by: int) -> str:
    head, mark, number = job_id.rpartition("_")
    return f"{head}{mark}{int(number) + by}"


def _grouped(pairs: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return, by key, the indices that have it as ranges; the indices come in rising order."""
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
