"""The stage of a combination."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.page.stages import Stage, counts, stage_of
from airflow_slurm_sweep.slurm.states import JobState


@pytest.mark.parametrize(
    ("submit", "wait", "stage"),
    [
        (None, None, Stage.WAITING),
        ("queued", None, Stage.WAITING),
        ("running", None, Stage.SUBMITTING),
        ("deferred", "scheduled", Stage.SUBMITTING),
        ("success", None, Stage.IN_SLURM),
        ("success", "deferred", Stage.IN_SLURM),
        ("success", "success", Stage.SUCCEEDED),
        ("success", "failed", Stage.FAILED),
        ("failed", "upstream_failed", Stage.FAILED),
        ("upstream_failed", "upstream_failed", Stage.FAILED),
        ("skipped", "skipped", Stage.SKIPPED),
        ("removed", "removed", Stage.SKIPPED),
    ],
)
def test_stage_of_two_task_states(submit: str | None, wait: str | None, stage: Stage) -> None:
    assert stage_of(submit, wait) is stage
    if stage is not Stage.IN_SLURM:
        assert stage_of(submit, wait, JobState.RUNNING) is stage, "Slurm's word is older than Airflow's"


@pytest.mark.parametrize("state", JobState)
def test_a_job_in_slurm_is_pending_or_running(state: JobState) -> None:
    expected = Stage.PENDING if state.is_queued else Stage.RUNNING
    assert stage_of("success", "deferred", state) is expected


def test_only_jobs_that_live_can_be_failed_and_only_ended_combinations_cleared() -> None:
    assert {stage for stage in Stage if stage.action == "clear"} == {Stage.SUCCEEDED, Stage.STOPPED, Stage.FAILED}
    assert {stage for stage in Stage if stage.action == "fail"} == {
        Stage.RUNNING,
        Stage.PENDING,
        Stage.IN_SLURM,
        Stage.SUBMITTING,
    }


def test_counts_come_in_the_order_of_the_stages() -> None:
    found = counts({Stage.WAITING: 3, Stage.FAILED: 1, Stage.SUCCEEDED: 2, Stage.SKIPPED: 0})
    assert list(found["counts"].items()) == [("succeeded", 2), ("failed", 1), ("waiting", 3)]
    assert (found["ended"], found["all"]) == (3, 6)
