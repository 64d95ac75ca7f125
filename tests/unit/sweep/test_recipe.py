"""What a searched run's plan leaves, and jobs that are made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import SettingsError, SweepFileError
from airflow_slurm_sweep.plan import RunPlan, layers_of, plan_run
from airflow_slurm_sweep.planned import as_submitted
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.recipe import Search
from airflow_slurm_sweep.sweep.spec import parse_sweep
from tests.layers import make_layers

TEXT = """\
command: python t.py {flags} --seed {k} --out {run_dir} --at {index}
lr: {loguniform: [1e-5, 1]}
c: [1, true, "it's", null, .nan, 1e16]
"a, b": [[1, x], [2, y]]
k: 7
slurm: {max_parallel_jobs: 4}
sweep: {search: tpe, trials: 20, objective: {metric: loss, goal: maximize}, exclude: [{lr: {above: 0.5}, c: [1, 2]}]}
"""


def planned(text: str = TEXT) -> RunPlan:
    sweep = parse_sweep(text, source="s.yaml")
    return plan_run(sweep, make_layers({"log": "/log"}, preset="plain", command=sweep.command))


def test_a_search_travels_as_text_and_makes_the_jobs_that_the_plan_makes() -> None:
    plan = planned()
    assert plan.search
    again = Search.from_text(plan.search.to_text())
    assert again.maximize
    assert repr(again.space.chosen) == repr(plan.search.space.chosen)
    assert again.to_text() == plan.search.to_text()
    assert [each for each in plan.notes if each.startswith("search:")] == again.notes(4)
    assert (len(again.notes(4)), len(again.notes(6))) == (1, 2)
    for job in plan.jobs:
        assert job.trial == (job.index or 0) - 1
        made = again.arguments(plan.search.space.chosen[job.trial], job)
        assert (made["command"], made["label"]) == (job.command, job.label)
        assert repr(made["parameters"]) == repr(job.parameters)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slurm: {max_parallel_jobs: 4}", "", "max_parallel_jobs is missing"),
        ("max_parallel_jobs: 4", "max_parallel_jobs: 4, submit: array", "submit is array"),
        ("max_parallel_jobs: 4", "max_parallel_jobs: 4, existing: resume", "existing is resume"),
    ],
)
def test_what_does_not_go_with_a_search_is_said_by_check_and_plan(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=f"search is tpe, and {message}"):
        planned(TEXT.replace(old, new))
    folders = Folders(include=tmp_path, sweeps=tmp_path, clusters=tmp_path)
    with pytest.raises(SweepFileError, match=f"s.yaml: search is tpe, and {message}"):  # without a log directory
        layers_of(replace(parse_sweep(TEXT.replace(old, new), source="s.yaml"), name="s"), folders, {})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", objective: {metric: loss, goal: maximize}", "", "search is tpe, and objective is missing"),
        ("trials: 20", "trials: 20, canary: 1", "canary does not go with search: tpe"),
        ("trials: 20", "trials: 20, repeat: {seed: [1, 2]}", "repeat does not go with search: tpe"),
    ],
)
def test_what_a_search_needs_is_an_error_of_the_file(old: str, new: str, message: str) -> None:
    with pytest.raises(SweepFileError, match=message):
        parse_sweep(TEXT.replace(old, new), source="s.yaml")


def test_without_optuna_the_file_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_slurm_sweep.sweep.sweep_section.find_spec", lambda _: None)
    with pytest.raises(SweepFileError, match=r"pip install 'airflow-slurm-sweep\[search\]'"):
        parse_sweep(TEXT, source="s.yaml")


def test_what_was_proposed_takes_the_place_of_what_was_planned() -> None:
    jobs = [{"name": "a", "label": "trial 1", "trial": 0}, {"name": "b", "label": "trial 2", "trial": 1}]
    left = {0: {"parameters": '{"x":1}', "label": "x=1", "job_id": "7"}}
    found = as_submitted(jobs, lambda index: left.get(index, {}))
    assert found == [{"name": "a", "label": "x=1", "trial": 0, "parameters": '{"x":1}'}, jobs[1]]
