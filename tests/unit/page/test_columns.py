"""What a run's combinations differ in, from the plan."""

from __future__ import annotations

from shlex import join, split

from hypothesis import given
from hypothesis import strategies as st

from airflow_slurm_sweep.page.columns import number, overrides, parameters
from airflow_slurm_sweep.plan import plan
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.naming import job_name
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions
from airflow_slurm_sweep.sweep.spec import parse_sweep

LAYERS = Layers(
    profile=ClusterProfile.model_validate({"log": "/lustre/it's log"}),
    profile_name="default.yaml",
    environment={"ACCOUNT": "a"},
    job_script="#!/bin/bash\n",
)


def columns(text: str, *, said: list[str] | None = None) -> tuple[list[str], list[list[str]]]:
    sweep = parse_sweep(f"script_path: a.py\nslurm: {{container: null}}\n{text}", source="s.yaml")
    jobs = plan(sweep, LAYERS, RunOptions(overrides=tuple(said or ()))).requests
    return parameters([job.to_json() for job in jobs])


def test_each_swept_parameter_is_a_column() -> None:
    names, values = columns('optim.lr: [1e-6, 5e-6]\n++model.name: [a b, "it\'s"]\nseed: [7]\n')
    assert names == ["optim.lr", "model.name"]
    assert values == [["1e-06", "'a b'"], ["1e-06", r"'it\'s'"], ["5e-06", "'a b'"], ["5e-06", r"'it\'s'"]]


def test_the_number_of_nodes_is_one_where_it_is_swept() -> None:
    assert columns("cluster.num_nodes: [1, 2]\n") == (["cluster.num_nodes"], [["1"], ["2"]])
    assert columns("seed: [1, 2]\n")[0] == ["seed"], "else it is the same for all"


def test_names_and_paths_of_the_jobs_own_are_none() -> None:
    names, _ = columns("logger.log_dir: [/tmp/a, /tmp/b]\nseed: [1, 2]\n")
    assert names == ["logger.log_dir", "seed"], "the sweep's own values are"


def test_what_the_form_makes_constant_is_none() -> None:
    assert columns("seed: [1, 2]\noptim.lr: [1, 2]\n", said=["seed=3"]) == (["optim.lr"], [["1"], ["2"]])


def test_one_combination_differs_in_nothing() -> None:
    assert columns("seed: [1]\n") == ([], [[]])


@given(st.lists(st.text(), max_size=6))
def test_a_command_is_read_as_a_shell_reads_it(words: list[str]) -> None:
    values = {f"k{place}": word for place, word in enumerate(words)}
    command = join(["uv", "run", "it's a.py", "--config", "", *(f"{key}={value}" for key, value in values.items())])
    assert [word.partition("=")[2] for word in split(command)[5:]] == words
    assert overrides(command) == values


def test_a_combinations_number_is_its_jobs() -> None:
    assert [number(job_name("grpo_sweep", index, 9)) for index in (1, 9)] == [1, 9]
    assert number(job_name("grpo", 1, 1)) == 1
