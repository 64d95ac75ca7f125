"""A map index and the job of the plan."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.planned import mapped_jobs, planned_job

PLAN = [{"name": "a_sweep_2"}, {"name": "a_sweep_5"}]


def test_a_map_index_counts_the_jobs_that_run() -> None:
    assert [planned_job(PLAN, index) for index in (0, 1)] == PLAN


@pytest.mark.parametrize(
    ("plan", "map_index"), [(PLAN, 2), (PLAN, -1), (None, 0), ("s3://bucket/xcom", 0), (["no job"], 0)]
)
def test_there_is_no_job_outside_the_plan(plan: object, map_index: int) -> None:
    assert planned_job(plan, map_index) is None


def test_the_group_is_mapped_over_what_was_approved() -> None:
    assert mapped_jobs(PLAN, None) == PLAN
    assert mapped_jobs(PLAN, PLAN[1:]) == PLAN[1:]
    assert mapped_jobs(PLAN, []) == []
