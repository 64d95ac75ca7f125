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
        ("grpo_sweep_999", "/r/grpo_sweep_999", Place("/r/grpo_sweep_", "grpo_sweep_", 999)),
        ("grpo_sweep_1000", "/r/grpo_sweep_1000", Place("/r/grpo_sweep_1", "grpo_sweep_", 0, is_padded=True)),
        ("grpo_sweep_12034", "/r/grpo_sweep_12034", Place("/r/grpo_sweep_12", "grpo_sweep_", 34, is_padded=True)),
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
        {"queue_limit": 60}, {"base": "other_sweep_"}, {"run_dir": "/q/grpo_sweep_2"},
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


def test_each_thousand_is_a_group() -> None:
    jobs = [job(number) for number in (999, 1000, 1001, 2000, 1, 2999)]
    assert grouped([(each, ATTEMPT) for each in jobs]) == [[4, 0], [1, 2], [3, 5]]


def test_numbers_from_1000_on_are_padded_indices() -> None:
    script = submit_array([(job(number), ATTEMPT) for number in (2007, 2034)], "m")
    assert "--output=/r/grpo_sweep_2%3a/logs/slurm-%A_%a.out" in script
    assert '. /r/grpo_sweep_2"$(printf %03d $SLURM_ARRAY_TASK_ID)"/.slurm_sweep/environment || exit' in script
    assert "index=7 environment=" in script
    assert "index=34 environment=" in script


def test_a_limit_of_parallel_jobs_is_slurms_but_not_of_chains() -> None:
    assert '--array="$1%2" << END' in submit_array([(job(1, max_parallel_jobs=2), ATTEMPT)], "m")
    assert grouped([(job(1, max_parallel_jobs=2), ATTEMPT), (job(2), ATTEMPT)]) == [[0], [1]]
    with pytest.raises(ValueError, match=r"^array: expected false where a chain has max_parallel_jobs"):
        job(1, max_parallel_jobs=2, chain={"jobs": 2})
