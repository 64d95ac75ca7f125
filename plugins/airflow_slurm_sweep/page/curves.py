"""A run's metrics over steps: of ended jobs from their own XComs, of others from those of triggerers. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from airflow_slurm_sweep.names import HISTORY_KEY, WAIT
from airflow_slurm_sweep.page.combinations import Task, XComs, mapping
from airflow_slurm_sweep.page.xcoms import LiveView, live_views
from airflow_slurm_sweep.slurm.history import is_curve

# Steps and values by metric and a combination's index; from `live_curves`, also the latest value as `fitted` has it.
Curves: TypeAlias = dict[str, dict[Any, list[Any]]]


def all_curves(tasks: Mapping[tuple[str, int], Task], xcoms: XComs) -> Curves:
    """Return the curves of a run's jobs; a job without steps has none."""
    found = {
        name: {index: curve[:2] for index, curve in jobs.items() if curve[0]}
        for name, jobs in live_curves(live_views(xcoms, time.time())).items()
    }
    for (task_id, key, index), value in xcoms.items():
        task = tasks.get((task_id, index))
        # A cleared task still has what its earlier try left.
        if (task_id, key) == (WAIT, HISTORY_KEY) and task is not None and task.state in ("success", "failed"):
            for name, curve in mapping(value).items():
                if is_curve(curve):
                    found.setdefault(name, {})[index] = curve
    return {name: dict(sorted(jobs.items())) for name, jobs in found.items() if jobs}


def live_curves(views: Iterable[LiveView]) -> Curves:
    """Return the metrics of running jobs from `live_views`."""
    found: Curves = {}
    for view in views:
        for name, jobs in view.curves.items():
            known = {int(index): curve for index, curve in mapping(jobs).items() if index.isdecimal()}
            found.setdefault(name, {}).update({index: curve for index, curve in known.items() if is_curve(curve)})
    return found


def latest(curves: Curves) -> dict[int, dict[str, float]]:
    """Return the latest value of each metric that has one, by map index."""
    found: dict[int, dict[str, float]] = {}
    for name, jobs in curves.items():
        for index, (_, values, *last) in jobs.items():
            for value in last[0] if last else values[-1:]:
                found.setdefault(index, {})[name] = value
    return found
