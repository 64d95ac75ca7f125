"""Which GPUs Slurm is asked for, and how many of them each node has."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.slurm.gpus import gres, requested_gpus
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.submit.sbatch import environment, sbatch_argv


@pytest.mark.parametrize(
    ("options", "asked_by_gres", "on_each_of_two_nodes"),
    [
        ({}, "gpu:8", None),
        ({"qos": "high", "gpu-bind": "closest", "cpus-per-gpu": 4}, "gpu:8", None),
        ({"gres": "nvme:1"}, "gpu:8,nvme:1", None),
        ({"gres": "nvme:1,gpumem:3"}, "gpu:8,nvme:1,gpumem:3", None),
        ({"gres": "gpu:a100:4"}, "gpu:a100:4", 4),
        ({"gres": "gpu"}, "gpu", 1),
        ({"gres": "gpu:a100"}, "gpu:a100", 1),
        ({"gres": "nvme:1,gpu:a100:2,gpu:v100:2"}, "nvme:1,gpu:a100:2,gpu:v100:2", 4),
        ({"gres": "none"}, "none", None),
        ({"gres": False}, "gpu:8", None),
        ({"gpus-per-node": 4}, None, 4),
        ({"gpus-per-node": 0}, None, 0),
        ({"gpus": 0}, None, 0),
        ({"gres": "gpu:0"}, "gpu:0", 0),
        ({"gres": "gpu:4(S:0)"}, "gpu:4(S:0)", 4),
        ({"gres": "gpu:a100:2(S:0-1),nvme:1"}, "gpu:a100:2(S:0-1),nvme:1", 2),
        ({"gpus-per-node": "4 "}, None, 4),
        ({"gpus-per-node": "a100:4"}, None, 4),
        ({"gpus": 4}, None, 2),
        ({"gpus": "a100:16", "gres": "nvme:1"}, "nvme:1", 8),
        ({"gpus": 3}, None, None),
        ({"gpus-per-task": 1}, None, 1),
        ({"gpus-per-task": 1, "ntasks-per-node": 8}, None, 8),
        ({"gpus-per-task": 2, "ntasks": 8}, None, 8),
        ({"gpus-per-socket": 2}, None, None),
        ({"tres-per-task": "cpu=8,gres/gpu=2"}, None, 2),
        ({"tres-per-task": "gres:gpu:a100:2"}, None, 2),
        ({"tres-per-task": "cpu:8"}, "gpu:8", None),
    ],
)
def test_the_users_own_options_replace_the_automatic_one(
    options: dict[str, str | int | bool], asked_by_gres: str | None, on_each_of_two_nodes: int | None
) -> None:
    assert gres(options, 8) == asked_by_gres
    assert requested_gpus(options, 2) == on_each_of_two_nodes


def job(**changes: object) -> JobRequest:
    return JobRequest(**{"ssh_conn_id": "c", "name": "n", "command": "true", "run_dir": "/r", **changes})  # type: ignore[arg-type]


def test_options_that_contradict_each_other_or_the_script_are_refused() -> None:
    with pytest.raises(ValueError, match="on each node gres for 2 and gpus-per-node for 4 GPUs; keep one of them"):
        job(gpus_per_node=2, options={"gres": "gpu:2", "gpus-per-node": 4})
    with pytest.raises(ValueError, match="gpus_per_node: expected 4, as the options of sbatch ask for, got 8"):
        job(gpus_per_node=8, options={"gpus-per-node": 4})


def test_the_script_is_told_of_gpus_and_nodes_that_slurm_is_asked_for_in_another_way() -> None:
    ray = job(nodes=2, extra_nodes=1, gpus_per_node=8, gpu_request="none", options={"gres": "nvme:1"})
    assert {"--nodes=3", "--gres=nvme:1"} <= set(sbatch_argv(ray))
    assert {"GPUS_PER_NODE": "8", "NUM_ACTOR_NODES": "2"}.items() <= environment(ray).items()
    bare = job(gpus_per_node=8, gpu_request="none")
    assert not [option for option in sbatch_argv(bare) if "gpu" in option]
