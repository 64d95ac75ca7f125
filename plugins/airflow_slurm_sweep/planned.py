"""The jobs of a Dag run as its tasks left them in XCom: a list, a `JobRequest` as JSON for each map index.

The list is that of ``approve`` where the Dag has this task and somebody gave consent, perhaps to fewer combinations;
else that of ``plan``.

The module is light: Airflow loads it in each of its processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def mapped_jobs(plan: object, approved: object) -> object:
    """Return the list that the task group is mapped over: what ``approve`` returned, else what ``plan`` did."""
    return plan if approved is None else approved


def planned_job(plan: object, map_index: int) -> Mapping[str, Any] | None:
    """Return the job of a map index of the task group; None where the plan has none, or is no plan.

    Args:
        plan: What `mapped_jobs` returned.
        map_index: Airflow's, from 0. It is no combination's number: ``only`` leaves combinations out.
    """
    if not isinstance(plan, list) or not 0 <= map_index < len(plan):
        return None
    job = plan[map_index]
    return job if isinstance(job, Mapping) else None


def as_submitted(jobs: object, submitted: Callable[[int], Mapping[str, Any]]) -> object:
    """Return a plan with what was proposed for a search's trials.

    Args:
        jobs: What `mapped_jobs` returned.
        submitted: What ``submit`` left at a map index, a `SubmittedJob` as JSON; empty where there is nothing.
    """
    if not isinstance(jobs, list) or "trial" not in (planned_job(jobs, 0) or ()):
        return jobs
    found = ((job, submitted(index)) for index, job in enumerate(jobs))
    return [{**job, **{name: left[name] for name in ("parameters", "label") if name in left}} for job, left in found]


def canaries(jobs: Sequence[Any]) -> list[int]:
    """Return the map indices of the jobs that end before any other is submitted: the first ones that run at all."""
    running = [index for index, job in enumerate(jobs) if isinstance(job, Mapping) and not job.get("done")]
    return running[: jobs[running[0]].get("canaries", 0)] if running else []
