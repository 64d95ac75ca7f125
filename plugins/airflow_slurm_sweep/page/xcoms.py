"""What the tasks of a run left, read from their XComs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from airflow_slurm_sweep import names
from airflow_slurm_sweep.page.combinations import Task, XComs, mapping
from airflow_slurm_sweep.slurm import snapshot
from airflow_slurm_sweep.slurm.snapshot import CURVES, STALE, LiveJob
from airflow_slurm_sweep.sweep.sweep_section import Objective


def objective_of(xcoms: XComs) -> Objective | None:
    """Return what the sweep calls good; None if it does not say."""
    try:
        return Objective.model_validate(mapping(xcoms.get((names.PLAN, names.OBJECTIVE_KEY, -1))))
    except ValidationError:
        return None


def consent_of(tasks: Mapping[tuple[str, int], Task], xcoms: XComs) -> str:
    """Return that the run waits for approval, or who gave or refused it; an empty text where none is needed."""
    approve = tasks.get((names.APPROVE, -1))
    if approve and approve.state == "awaiting_input":
        return f"The run waits for approval: see its task {names.APPROVE}."
    text = xcoms.get((names.APPROVE, names.CONSENT_KEY, -1))
    return f"The run was {text}." if text else ""


class LiveView(NamedTuple):
    """What a triggerer wrote of jobs in Slurm: when, the jobs with their ids by map index, and their metrics."""

    at: float
    jobs: dict[int, tuple[str, LiveJob]]
    curves: Mapping[str, Any]


def live_views(xcoms: XComs, now: float) -> list[LiveView]:
    """Return what triggerers wrote last, the newest last; what is older than `STALE` is left out.

    Where one triggerer took a job over from another, both wrote of it: the newer answer holds.
    """
    views = [
        LiveView(*read, mapping(mapping(value).get(CURVES)))
        for (task, key, _), value in xcoms.items()
        if task == names.WAIT and key.startswith(names.LIVE_KEY_PREFIX)
        if (read := snapshot.read(mapping(value))) and now - read[0] < STALE
    ]
    return sorted(views, key=lambda view: view.at)
