"""The states of many jobs in Slurm as one small value, which the page shows while they run.

{"at": 1769860800, "ids": {"4000": "0-999"}, "states": {"PENDING": "128-999", "RUNNING": "0-127"},
 "reason": {"Priority": "128-999"}, "nodes": {"n1": "0-127"}, "started": {"1769860795": "0-127"},
 "queued": {"3": "0-127"}}

Each mapping goes from what jobs have in common to their map indices. A job's id is its key plus its map index, because
Slurm numbers jobs in the order of submission (``123_4`` is ``123_3`` plus 1).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_slurm_sweep.slurm.job import JobStatus

LARGEST = 48 * 1024  # bytes, as JSON
CURVES = "curves"  # the key of the jobs' metrics, which are written beside the states; see `history.fitted`
STALE = 300.0  # seconds after which a reader ignores one
# Left out in this order where the value would be too large.
_DETAILS = ("starts", "nodes", "queued", "started", "reason", "stuck")
_HIGHEST = 1_000_000  # map index: a value that is not ours must not keep its reader busy
_JITTER = 3.0  # seconds by which squeue's answer may be late
_ESTIMATE = 60  # seconds by which an expected start has to move to be news
_ELAPSED = re.compile(r"(?:([0-9]+)-)?(?:([0-9]+):)?([0-9]+):([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveJob:
    """One job that squeue shows; see `JobStatus`."""

    state: str
    reason: str = ""
    nodes: str = ""
    started: int | None = None  # in seconds since 1970, by the clock of the triggerer; None while it is queued
    queued: int | None = None
    starts: int | None = None  # when Slurm expects a queued job to start, by the same clock
    stuck: bool = False  # whether time alone will not start it


def live_job(status: JobStatus, at: float, before: LiveJob | None = None) -> LiveJob:
    """Return a job that squeue showed ``at`` that time in seconds since 1970.

    Where the job's start differs by less than `_JITTER` from that in the answer ``before``, the latter stays.
    """
    reason = "" if status.reason == "None" else status.reason
    if status.pending:
        starts_in, stuck = status.pending.starts_in, status.pending.is_stuck
        starts = None if starts_in is None else round(at + starts_in)
        if starts and before and before.starts and abs(starts - before.starts) < _ESTIMATE:
            starts = before.starts
        return LiveJob(state=status.text, reason=reason, starts=starts, stuck=stuck)
    ran = seconds(status.elapsed)
    started = None if ran is None else round(at - ran)
    if started and before and before.started and abs(started - before.started) <= _JITTER:
        started = before.started
    return LiveJob(state=status.text, reason=reason, nodes=status.nodes, started=started, queued=status.queued)


def seconds(elapsed: str) -> int | None:
    """Read a run time, ``[days-][hours:]minutes:seconds``; None if it is none."""
    found = _ELAPSED.fullmatch(elapsed)
    if found is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + rest


def view(jobs: Mapping[int, tuple[str, LiveJob]], at: float) -> dict[str, Any]:
    """Return job ids and jobs by map index as one value, at most `LARGEST` bytes of JSON.

    If needed it goes without details, then without the last jobs.
    """
    kept, details = sorted(jobs.items()), list(_DETAILS)
    groups = _groups(kept, _DETAILS)
    while len(json.dumps(groups)) > LARGEST:
        if details:
            groups.pop(details.pop(0), None)
        else:
            kept = kept[: len(kept) // 2]
            groups = _groups(kept, ())
    return {"at": round(at), **groups}


def _groups(jobs: Sequence[tuple[int, tuple[str, LiveJob]]], details: Iterable[str]) -> dict[str, dict[str, str]]:
    groups = {
        "ids": _grouped((_shifted(job_id, -index), index) for index, (job_id, _) in jobs),
        "states": _grouped((job.state, index) for index, (_, job) in jobs),
    }
    for name in details:
        values = ((getattr(job, name), index) for index, (_, job) in jobs)
        groups[name] = _grouped(
            (str(value), index) for value, index in values if value not in ("", None) and value is not False
        )
    return {name: group for name, group in groups.items() if group}


def read(value: Any) -> tuple[float, dict[int, tuple[str, LiveJob]]] | None:
    """Return the time and the jobs of a `view`; None for any other value."""
    try:
        details = {name: dict(_spread(value.get(name, {}))) for name in _DETAILS}
        ids = {index: _shifted(base, index) for index, base in _spread(value.get("ids", {}))}
        jobs = {}
        for index, state in _spread(value.get("states", {})):
            found: dict[str, Any] = {name: texts[index] for name, texts in details.items() if index in texts}
            found |= {name: int(found[name]) for name in ("started", "queued", "starts") if name in found}
            found["stuck"] = "stuck" in found
            jobs[index] = ids[index], LiveJob(state=state, **found)
        return float(value["at"]), jobs
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _shifted(job_id: str, by: int) -> str:
    head, mark, number = job_id.rpartition("_")
    return f"{head}{mark}{int(number) + by}"


def _grouped(pairs: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return, by key, the indices that have it as ranges, ``0-127,130``; the indices come in rising order."""
    groups: dict[str, list[list[int]]] = {}
    for key, index in pairs:
        ranges = groups.setdefault(key, [])
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return {
        key: ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
        for key, ranges in groups.items()
    }


def _spread(groups: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for key, ranges in groups.items():
        for each in ranges.split(","):
            first, _, last = each.partition("-")
            if int(last or first) > _HIGHEST:
                raise ValueError(ranges)
            for index in range(int(first), int(last or first) + 1):
                yield index, key
