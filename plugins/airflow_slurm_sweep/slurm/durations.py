"""Durations as Slurm writes them: ``90``, ``1:30:00``, ``2-0``, ``UNLIMITED``; see --time in sbatch(1)."""

from __future__ import annotations

from math import ceil


def hours(time: str) -> float:
    """Return a time limit in hours; infinity for none, which Slurm also writes as 0."""
    if time.isalpha():
        return float("inf")
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    # d-h:m:s and h:m:s begin with hours, m and m:s with minutes
    begin_with_hours = bool(dash) or len(parts) == 3
    factors = [3600, 60, 1] if begin_with_hours else [60, 1]
    seconds = sum(part * factor for part, factor in zip(parts, factors, strict=False))
    return int(days or 0) * 24 + seconds / 3600 or float("inf")


def minutes(time: str | None) -> int | None:
    """Return a time limit in whole minutes, as Slurm rounds it up; None for none."""
    limit = hours(time or "INFINITE")
    return None if limit == float("inf") else ceil(round(limit * 60, 6))
