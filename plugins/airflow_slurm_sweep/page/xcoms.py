"""What the tasks of a run left, read from their XComs."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from airflow_slurm_sweep import names
from airflow_slurm_sweep.page.combinations import Task, XComs, mapping
from airflow_slurm_sweep.slurm import snapshot
from airflow_slurm_sweep.slurm.snapshot import STALE, LiveJob
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


def live_of(xcoms: XComs, now: float) -> tuple[float | None, dict[tuple[int, str], LiveJob]]:
    """Return what triggerers wrote last of jobs in Slurm, and when; what is older than `STALE` is left out.

    Where one triggerer took a job over from another, both wrote of it: the newer answer holds.
    """
    views = [
        read
        for (task, key, _), value in xcoms.items()
        if task == names.WAIT and key.startswith(names.LIVE_KEY_PREFIX)
        if (read := snapshot.read(mapping(value))) and now - read[0] < STALE
    ]
    views.sort(key=lambda view: view[0])
    found = {(index, job_id): job for _, jobs in views for index, (job_id, job) in jobs.items()}
    return (views[-1][0] if views else None), found
