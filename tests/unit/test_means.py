"""The mean result by each parameter's value, in the report and on the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from airflow_slurm_sweep.means import means
from airflow_slurm_sweep.page.combinations import Run, Task, view
from airflow_slurm_sweep.report import Row, ranked
from airflow_slurm_sweep.report_text import means_table, summary
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.sweep.sweep_section import Objective

LOSS = Objective(metric="loss", goal="minimize")
# lr, model and two seeds of each, the larger lr first.
JOBS = [
    {"lr": lr, "model": model, "seed": seed, "tag": "a"}
    for seed, (lr, model) in enumerate((lr, model) for lr in (1e-3, 1e-5) for model in ("b|c", "a") for _ in (1, 2))
]


def test_the_report_has_the_mean_by_value_in_the_values_order() -> None:
    rows = [
        Row(index=at, combination="", parameters=job, job=f"j{at}", state="", succeeded=True, metrics={"loss": at})
        for at, job in enumerate([*JOBS, JOBS[0]], start=1)
    ]
    rows[-1] = Row(index=9, combination="", parameters=JOBS[0], job="j9", state="FAILED", metrics={"loss": 99})
    lines = [line.split() for line in means_table(ranked(rows[::-1], LOSS), LOSS).splitlines()]
    assert lines[0] == ["parameter", "value", "n", "mean", "loss", "spread"]
    assert lines[2:] == [
        ["lr", "1e-05", "4", "6.5", "1.29099"],
        ["lr", "0.001", "4", "2.5", "1.29099"],
        ["model", "'b|c'", "4", "3.5", "2.38048"],
        ["model", "a", "4", "5.5", "2.38048"],
    ]
    assert "| model       | 'b\\|c'  |" in summary("s", rows, LOSS)
    assert means_table(rows[1:], LOSS) == ""  # seven results
    assert means_table(rows, None) == ""


def test_values_of_parameters_are_not_rounded() -> None:
    texts = [1234567, 1234567, 1234568, 1234568, 0.5, 0.5, 2, 2]
    rows = [
        Row(index=at, combination="", parameters={"a": value}, job="j", state="", succeeded=True, metrics={"loss": at})
        for at, value in enumerate(texts)
    ]
    assert [line.split()[1] for line in means_table(rows, LOSS).splitlines()[2:]] == ["0.5", "2", "1234567", "1234568"]


def shown(losses: Iterable[float]) -> dict[str, Any]:
    """Return what the page shows of the jobs with these losses."""
    plan = [
        {"index": at, "name": f"j{at}", "run_dir": "/r", "ssh_conn_id": "c", "command": "true", "parameters": job,
         "done": JobStatus(job_id="7", text="COMPLETED", source="sacct", metrics={"loss": loss}).to_json()}
        for at, (job, loss) in enumerate(zip(JOBS, losses, strict=True), start=1)
    ]  # fmt: skip
    return view(Run(plan, {("combination.submit", -1): Task("skipped", None)}, {}, {}), None, LOSS)


def test_the_page_shows_the_same() -> None:
    found = shown(range(1, 9))["means"]
    assert [(each["parameter"], each["value"], each["number"], each["mean"]) for each in found] == [
        ("lr", "1e-05", 4, 6.5),
        ("lr", "0.001", 4, 2.5),
        ("model", "'b|c'", 4, 3.5),
        ("model", "a", 4, 5.5),
    ]


def test_results_that_diverged_do_not_overflow() -> None:
    (small, large) = means([({"lr": "1" if at % 2 else "2"}, 1e308 if at % 2 else at) for at in range(8)])
    assert (small.mean, large.mean) == pytest.approx((1e308, 3.0))
    assert small.spread == 0
    found = shown([1.7e308, -1.7e308] * 4)
    assert {each["spread"] for each in found["means"]} == {None}
    json.dumps(found, allow_nan=False)  # as the page's answer
