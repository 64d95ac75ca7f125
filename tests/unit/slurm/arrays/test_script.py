"""Which submissions go together as one array, and what is said for them, to the letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from array_jobs import ATTEMPT, job

from airflow_slurm_sweep.slurm.arrays.script import ARRAY_FUNCTIONS, Place, grouped, place, submit_array
from airflow_slurm_sweep.slurm.shell import PRELUDE
from airflow_slurm_sweep.slurm.submit.script import SHELL_FUNCTIONS

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("name", "run_dir", "expected"),
    [
        ("grpo_sweep_4", "/r/grpo_sweep_4", Place("/r/grpo_sweep_", "grpo_sweep_", 4)),
        ("grpo2_sweep_10", "/r/grpo2_sweep_10", Place("/r/grpo2_sweep_", "grpo2_sweep_", 10)),
        ("a0", "/r/a0", Place("/r/a", "a", 0)),
        ("grpo", "/r/grpo", None),
        ("grpo_sweep_04", "/r/grpo_sweep_04", None),  # Slurm would say 4
        ("other", "/r/grpo_sweep_4", None),
        ("14", "/r/14", None),  # an array without a name
        ("a\u0664", "/r/a\u0664", None),
        ("a1234567890", "/r/a1234567890", None),
    ],
)
def test_the_number_at_the_end_is_the_index(name: str, run_dir: str, expected: Place | None) -> None:
    assert place(job(name=name, run_dir=run_dir)) == expected


def test_jobs_with_the_same_sbatch_command_are_grouped_in_the_order_of_their_indices() -> None:
    jobs = [job(10), job(2, command="x", env={"A": "b"}, label="l"), job(1), job(3, nodes=2), job("a"), job(2)]
    assert grouped([(each, ATTEMPT) for each in jobs]) == [[2, 1, 0], [3], [4], [5]]


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": 2}, {"gpus_per_node": 1}, {"time": "1"}, {"account": "a"}, {"partition": "p"}, {"workdir": "/w"},
        {"inputs": ["i"]}, {"script": "s"}, {"batch_script": "s"}, {"options": {"qos": "q"}}, {"ssh_conn_id": "d"},
        {"base": "other_sweep_"}, {"run_dir": "/q/grpo_sweep_2"},
    ],
)  # fmt: skip
def test_a_job_with_another_sbatch_command_is_in_another_group(changes: dict[str, Any]) -> None:
    assert grouped([(job(1), ATTEMPT), (job(2, **changes), ATTEMPT)]) == [[0], [1]]


def test_another_dag_run_is_in_another_group() -> None:
    assert grouped([(job(1), ATTEMPT), (job(2), replace(ATTEMPT, run_id="other"))]) == [[0], [1]]


def test_a_group_has_a_largest_size() -> None:
    assert grouped([(job(number), ATTEMPT) for number in range(1, 6)], at_most=2) == [[0, 1], [2, 3], [4]]


def test_the_script_of_an_array() -> None:
    jobs = [
        job(
            number,
            run_dir=f"/lustre/me/100% mine/grpo_sweep_{number}",
            command=command,
            workdir="/lustre/me/nemo rl",
            inputs=["train.py"],
            batch_script="ray.sub",
            nodes=4,
            gpus_per_node=8,
            account="research",
            env={"KEY": "it's"},
            options={"qos": "high prio"},
        )
        for number, command in ((4, "true"), (10, "false"))
    ]
    script = submit_array([(each, replace(ATTEMPT, map_index=int(each.name[11:]) - 1)) for each in jobs], "m")
    for name, text in (("prelude.sh", PRELUDE), ("record.sh", SHELL_FUNCTIONS), ("array.sh", ARRAY_FUNCTIONS)):
        assert script.count(text) == 1
        script = script.replace(text, f"({name})\n")
    assert script == (GOLDEN / "submit_array.sh").read_text()


def test_a_job_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="run_dir: expected 'grpo' and '/r/grpo' to end with one number, for an array"):
        submit_array([(job(name="grpo", run_dir="/r/grpo"), ATTEMPT)], "m")


def test_a_limit_of_parallel_jobs_does_not_go_with_it() -> None:
    with pytest.raises(ValueError, match=r"^array: expected false where max_parallel_jobs is set"):
        job(1, max_parallel_jobs=2)
