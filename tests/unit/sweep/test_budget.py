"""What a run may cost, and whose approval it needs."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.budget import Budget, Cost, check_budget, needed_consent
from airflow_slurm_sweep.sweep.section import read_settings


def job(**more: Any) -> JobRequest:
    return JobRequest(ssh_conn_id="c", name="a", command="true", run_dir="/r/a", **{"time": "2:0:0", **more})


def budget(**keys: Any) -> Budget:
    return read_settings(Budget, keys)


@pytest.mark.parametrize(
    ("jobs", "gpu_hours", "cpu_hours", "text"),
    [
        ([], 0, 0, "at most 0 GPU-hours"),
        ([job(gpus_per_node=8, nodes=2, extra_nodes=1)], 48, 0, "at most 48 GPU-hours"),
        ([job(nodes=3)], 0, 6, "at most 6 CPU-hours"),
        ([job(nodes=2, options={"ntasks-per-node": 4, "cpus-per-task": "8"})], 0, 128, "at most 128 CPU-hours"),
        ([job(nodes=2, options={"ntasks": 5, "cpus-per-task": 2})], 0, 20, "at most 20 CPU-hours"),
        ([job(options={"tres-per-task": "cpu=16"})], 0, 32, "at most 32 CPU-hours"),
        ([job(nodes=2, options={"tres-per-task": "gres/gpu:0,cpu:4"})], 0, 16, "at most 16 CPU-hours"),
        ([job(gpus_per_node=1), job()], 2, 2, "at most 2 GPU-hours and 2 CPU-hours"),
        ([job(gpus_per_node=1, time=None)], inf, 0, "without a time limit: no bound on their GPU-hours"),
        ([job(time="0")], 0, inf, "without a time limit: no bound on their CPU-hours"),
        ([job(done={"state": "COMPLETED"}, time=None)], 0, 0, "at most 0 GPU-hours"),
    ],
)
def test_the_upper_bound_of_the_cost(jobs: list[JobRequest], gpu_hours: float, cpu_hours: float, text: str) -> None:
    cost = Cost.of(jobs)
    assert (cost.gpu_hours, cost.cpu_hours, str(cost)) == (gpu_hours, cpu_hours, text)


@pytest.mark.parametrize(
    ("time", "chain", "gpu_hours"),
    [
        ("60", {"retry": [{"on": "TIMEOUT", "times": 1, "time": "x2"}, {"on": "OUT_OF_MEMORY", "times": 2}]}, 56),
        ("60", {"jobs": 6, "retry": [{"on": "TIMEOUT", "times": 1, "time": "x4"}]}, 200),
        ("60", {"jobs": 6}, 48),
        ("60", {"retry": [{"on": "TIMEOUT", "times": 2, "time": "x2"}]}, 56),
        (
            "60",
            {"retry": [{"on": "FAILED", "times": 1, "time": "x2"}, {"on": "TIMEOUT", "times": 1, "time": "120"}]},
            56,
        ),
        ("60", {"retry": [{"on": "TIMEOUT", "times": 1, "time": "x0.5"}]}, 16),
        ("0:30", {"retry": [{"on": "TIMEOUT", "times": 1, "time": "x60"}]}, 8 + 8 / 120),
        ("60", {"retry": [{"on": "TIMEOUT", "times": 10000, "time": "x2"}]}, inf),
        (None, {"jobs": 2}, inf),
    ],
)
def test_the_upper_bound_of_jobs_that_follow_one_another(time: str | None, chain: Any, gpu_hours: float) -> None:
    assert Cost.of([job(gpus_per_node=8, time=time, chain={"jobs": 0, "on": [], **chain})]).gpu_hours == pytest.approx(
        gpu_hours
    )


@pytest.mark.parametrize(("file", "profile", "smaller"), [(10, 30, "file"), (30, 10, "profile"), (None, 10, "profile")])
def test_the_smaller_limit_counts(file: float | None, profile: float, smaller: str) -> None:
    budgets = {"file": budget(max_gpu_hours=file), "profile": budget(max_gpu_hours=profile)}
    check_budget(Cost(gpu_hours=10, cpu_hours=99), budgets)
    expected = (
        f"the run is over its budget: the jobs are at most 11 GPU-hours, but max_gpu_hours is 10 GPU-hours ({smaller}); "
        "run fewer combinations (only), or set or shorten slurm.time"
    )
    with pytest.raises(SettingsError) as error:
        check_budget(Cost(gpu_hours=11, cpu_hours=0), budgets)
    assert str(error.value) == expected


@pytest.mark.parametrize(("gpu_hours", "cpu_hours"), [(inf, 0), (0, inf)])
def test_jobs_without_a_time_limit_are_over_each_budget(gpu_hours: float, cpu_hours: float) -> None:
    limits = {"file": budget(max_gpu_hours=1e9, max_cpu_hours=1e9)}
    with pytest.raises(SettingsError, match="without a time limit"):
        check_budget(Cost(gpu_hours=gpu_hours, cpu_hours=cpu_hours), limits)


def rule(above: float, by: list[str], within: str | None = None) -> Budget:
    return budget(approve={"above_gpu_hours": above, "by": by, "within": within})


def test_approval_is_that_of_all_places_whose_limit_is_exceeded() -> None:
    rules = {"file": rule(10, ["me", "lead"], "2-0"), "profile": rule(100, ["lead", "pi"], "1:0:0")}
    assert needed_consent(Cost(gpu_hours=10, cpu_hours=0), rules) is None
    one = needed_consent(Cost(gpu_hours=11, cpu_hours=0), rules)
    assert one
    assert (one.why, one.by, one.within) == ("above_gpu_hours is 10 (file)", ["me", "lead"], "2-0")
    both = needed_consent(Cost(gpu_hours=inf, cpu_hours=0), rules)
    assert both
    assert (both.by, both.within) == (["lead"], "1:0:0")
    assert both.why == "above_gpu_hours is 10 (file) and above_gpu_hours is 100 (profile)"


def test_a_place_that_names_nobody_leaves_the_choice_to_the_other() -> None:
    found = needed_consent(Cost(gpu_hours=2, cpu_hours=0), {"file": rule(1, []), "profile": rule(1, ["lead"])})
    assert found
    assert found.by == ["lead"]


def test_places_without_a_common_user_are_an_error_before_anything_is_submitted() -> None:
    with pytest.raises(SettingsError, match=r"`by: \[me\]` and `by: \[lead\]` have no user in common"):
        needed_consent(Cost(gpu_hours=2, cpu_hours=0), {"file": rule(1, ["me"]), "profile": rule(1, ["lead"])})


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"approve": {"by": ["lead"]}}, "approve: expected above_gpu_hours or above_cpu_hours"),
        ({"approve": {"above_gpu_hours": -1}}, "approve.above_gpu_hours: expected"),
        ({"max_gpu_hours": "many"}, "max_gpu_hours: expected a number, got 'many'"),
        ({"max_gpu_hours": inf}, "max_gpu_hours: expected a finite number"),
        ({"approve": {"above_gpu_hours": 1, "within": "soon"}}, "approve.within: expected minutes"),
        ({"approve": {"above": 1}}, "approve.above: unknown key 'above'"),
    ],
)
def test_what_is_no_budget_is_an_error(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        budget(**keys)
    assert problem in str(error.value)
