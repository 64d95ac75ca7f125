"""Several runs as one, as the page compares them."""

from __future__ import annotations

from typing import Any

from airflow_slurm_sweep.page.combinations import Run, Task, view
from airflow_slurm_sweep.page.compare import compared, compared_curves
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.sweep.sweep_section import Objective


def run(run_id: str, jobs: list[dict[str, Any]], results: list[float], goal: Any = "minimize", **origin: object) -> Any:
    """Return a run as `data.run` does, all of whose combinations have a loss."""
    ends = [JobStatus(job_id="7", text="COMPLETED", source="sacct", metrics={"loss": result}) for result in results]
    plan = [
        {"index": at, "label": f"job {at}", "run_dir": "/r", "parameters": job, "done": end.to_json()}
        for at, (job, end) in enumerate(zip(jobs, ends, strict=True), start=1)
    ]
    tasks = {("combination.submit", -1): Task("skipped", None)}
    return {
        "dag_id": "s", "run_id": run_id, "state": "success", "live": False, "origin": origin,
        **view(Run(plan, tasks, {}, {}), None, Objective(metric="loss", goal=goal)),
    }  # fmt: skip


FIRST = run("r1", [{"lr": 1e-3, "kl": 1, "m": "x"}, {"lr": 1e-5, "kl": 1, "m": "x"}], [3, 2], revision="commit 1")
SECOND = run("r2", [{"lr": 1e-5, "kl": 2, "m": "x"}], [1], revision="commit 2", overrides=["kl=2"])


def test_the_run_and_what_differs_in_any_combination_are_parameters() -> None:
    found = compared([FIRST, SECOND])
    assert [each["key"] for each in found["parameters"]] == ["compared run", "kl", "lr"]
    assert [each["name"] for each in found["parameters"]] == ["run", "kl", "lr"]
    assert [each["is_number"] for each in found["parameters"]] == [False, True, True]
    rows = [(each["index"], each["number"], each["parameters"], each["rank"]) for each in found["combinations"]]
    assert rows == [
        ("0.0", "A1", ["A", "1", "0.001"], 3),
        ("0.1", "A2", ["A", "1", "1e-05"], 2),
        ("1.0", "B1", ["B", "2", "1e-05"], 1),
    ]
    assert found["best"] == {"index": "1.0", "number": "B1", "text": "loss 1 with job 1"}
    assert found["constants"] == {"m": "x"}


def test_what_differs_between_the_runs_is_named() -> None:
    found = compared([FIRST, SECOND])
    assert found["differing"] == ["commit", "overrides", "kl", "lr"]
    assert [(each["letter"], each["run_id"], each["differences"]) for each in found["runs"]] == [
        ("A", "r1", ["commit 1", "", "1", "0.001, 1e-05"]),
        ("B", "r2", ["commit 2", "kl=2", "2", "1e-05"]),
    ]
    assert compared([FIRST, FIRST])["differing"] == []


def test_a_parameter_of_the_same_name_does_not_hide_the_run_or_the_commit() -> None:
    job = {"run": 7, "commit": "x"}
    found = compared([run("r1", [job], [1], revision="a"), run("r2", [{**job, "commit": "y"}], [1], revision="b")])
    assert [each["parameters"] for each in found["combinations"]] == [["A", "x"], ["B", "y"]]
    assert found["constants"] == {"run": "7"}
    assert [each["differences"] for each in found["runs"]] == [["a", "x"], ["b", "y"]]


def test_runs_with_other_objectives_are_not_ranked() -> None:
    found = compared([FIRST, run("r3", [{"lr": 1}], [1], goal="maximize")])
    assert (found["objective"], found["best"], found["means"]) == (None, None, [])
    assert [each["rank"] for each in found["combinations"]] == [None] * 3


def test_curves_have_the_indices_of_the_combinations() -> None:
    curve, other = [[1], [2.0]], [[1], [3.0]]
    joined = compared_curves([{"loss": {0: curve}}, {"loss": {0: other}, "acc": {1: curve}}])
    assert joined == {"loss": {"0.0": curve, "1.0": other}, "acc": {"1.1": curve}}
