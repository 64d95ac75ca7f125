"""The jobs of a Dag run as the task ``plan`` left them in XCom: a list, a `JobRequest` as JSON for each map index.

The module is light: Airflow loads it in each of its processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def planned_job(plan: object, map_index: int) -> Mapping[str, Any] | None:
    """Return the job of a map index of the task group; None where the plan has none, or is no plan.

    Args:
        plan: What ``plan`` returned.
        map_index: Airflow's, from 0. It is no combination's number: ``only`` leaves combinations out.
    """
    if not isinstance(plan, list) or not 0 <= map_index < len(plan):
        return None
    job = plan[map_index]
    return job if isinstance(job, Mapping) else None
