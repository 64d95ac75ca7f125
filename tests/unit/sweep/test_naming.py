"""What jobs and combinations are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_slurm_sweep.sweep.naming import LABEL_LENGTH, base_name, date_of_run, job_name, label


@pytest.mark.parametrize(
    ("jobname", "script", "name"),
    [
        (None, "examples/train_grpo.py", "train_grpo"),
        (None, "/opt/run.sh", "run.sh"),
        (None, "train", "train"),
        ("mine", "examples/train_grpo.py", "mine"),
    ],
)
def test_base_name(jobname: str | None, script: str, name: str) -> None:
    assert base_name(jobname, script) == name


def test_the_index_stands_in_the_name_only_if_there_are_several() -> None:
    assert [job_name("a", 1, 1), job_name("a", 1, 2), job_name("a", 2, 2)] == ["a", "a_sweep_1", "a_sweep_2"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, ""),
        ({"optim.lr": 1e-6, "grpo.kl_penalty": 0.01}, "lr=1e-06 kl_penalty=0.01"),
        ({"actor.lr": 1, "critic.lr": 2, "+x": None}, "actor.lr=1 critic.lr=2 x=null"),
        ({"m": "a  b\nc", "l": [1, "x"]}, "m=a b c l=[1,x]"),
    ],
)
def test_label(parameters: dict[str, Any], text: str) -> None:
    assert label(parameters) == text


def test_a_long_label_is_cut() -> None:
    assert len(label({"m": "x" * 1000})) == LABEL_LENGTH


def test_dates_of_hourly_runs_are_unique_where_clocks_are_set_back() -> None:
    start = datetime(2026, 10, 24, 23, tzinfo=UTC)
    names = [date_of_run(start + timedelta(hours=hour), "Europe/Berlin") for hour in range(4)]
    assert names == ["20261025T010000", "20261025T020000+0200", "20261025T020000+0100", "20261025T030000"]


def test_a_date_of_a_run_is_plain_where_clocks_are_set_forward() -> None:
    start = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    names = [date_of_run(start + timedelta(hours=hour), "Europe/Berlin") for hour in range(2)]
    assert names == ["20260329T013000", "20260329T033000"]
