"""A run's metrics over steps: of ended jobs from their own XComs, of others from those of triggerers. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from airflow_slurm_sweep.names import HISTORY_KEY, LIVE_KEY_PREFIX, WAIT
from airflow_slurm_sweep.page.combinations import Task, XComs, mapping
from airflow_slurm_sweep.slurm import snapshot
from airflow_slurm_sweep.slurm.history import is_curve
from airflow_slurm_sweep.slurm.snapshot import CURVES, STALE

# Steps and values by metric and a combination's index; from `live_curves`, also the latest value as `fitted` has it.
Curves: TypeAlias = dict[str, dict[Any, list[Any]]]


def all_curves(tasks: Mapping[tuple[str, int], Task], xcoms: XComs) -> Curves:
    """Return the curves of a run's jobs; a job without steps has none."""
    found = {
        name: {index: curve[:2] for index, curve in jobs.items() if curve[0]}
        for name, jobs in live_curves(xcoms).items()
    }
    for (task_id, key, index), value in xcoms.items():
        task = tasks.get((task_id, index))
        # A cleared task still has what its earlier try left.
        if (task_id, key) == (WAIT, HISTORY_KEY) and task is not None and task.state in ("success", "failed"):
            for name, curve in mapping(value).items():
                if is_curve(curve):
                    found.setdefault(name, {})[index] = curve
    return {name: dict(sorted(jobs.items())) for name, jobs in found.items() if jobs}


def live_curves(xcoms: XComs) -> Curves:
    """Return what triggerers wrote last of running jobs; the newer one holds where two did."""
    found: Curves = {}
    for _, curves in sorted(_live(xcoms), key=lambda each: each[0]):
        for name, jobs in curves.items():
            known = {int(index): curve for index, curve in mapping(jobs).items() if index.isdecimal()}
            found.setdefault(name, {}).update({index: curve for index, curve in known.items() if is_curve(curve)})
    return found


def _live(xcoms: XComs) -> Iterator[tuple[float, Mapping[str, Any]]]:
    for (task_id, key, _), value in xcoms.items():
        if task_id == WAIT and key.startswith(LIVE_KEY_PREFIX):
            view = snapshot.read(mapping(value))
            if view and time.time() - view[0] < STALE:
                yield view[0], mapping(mapping(value).get(CURVES))


def latest(curves: Curves) -> dict[int, dict[str, float]]:
    """Return the latest value of each metric that has one, by map index."""
    found: dict[int, dict[str, float]] = {}
    for name, jobs in curves.items():
        for index, (_, values, *last) in jobs.items():
            for value in last[0] if last else values[-1:]:
                found.setdefault(index, {})[name] = value
    return found
