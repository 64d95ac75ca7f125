"""From a sweep and its settings to what is submitted."""

from __future__ import annotations

from shlex import split

import pytest

from slurm_sweep.errors import SettingsError
from slurm_sweep.plan import Site, plan
from slurm_sweep.slurm.job import JobRequest
from slurm_sweep.sweep.settings import ClusterProfile
from slurm_sweep.sweep.spec import parse_sweep

SWEEP = "script_path: examples/train_grpo.py\nconfig_path: configs/grpo.yaml\noptim.lr: [1e-6, 5e-6]\n"
ENVIRONMENT = {"LOG": "/lustre/log", "ACCOUNT": "research", "CON": "/lustre/images/"}


def site(profile: dict[str, object] | None = None, environment: dict[str, str] | None = None) -> Site:
    return Site(
        profile=ClusterProfile.model_validate(profile or {}),
        profile_name="include/clusters/default.yaml",
        environment=ENVIRONMENT if environment is None else environment,
        job_script="#!/bin/bash\n",
    )


def planned(
    text: str, profile: dict[str, object] | None = None, environment: dict[str, str] | None = None
) -> list[JobRequest]:
    return plan(parse_sweep(text, source="s.yaml"), site(profile, environment))


def overrides(job: JobRequest) -> list[str]:
    words = split(job.command)
    return words[words.index("configs/grpo.yaml") + 1 :] if "--config" in words else words[3:]


def test_the_predecessors_defaults() -> None:
    first, second = planned(SWEEP)
    assert first == JobRequest(
        ssh_conn_id="slurm",
        name="train_grpo_sweep_1",
        label="lr=1e-06",
        command=(
            "uv run examples/train_grpo.py --config configs/grpo.yaml "
            "logger.log_dir=/lustre/log/nemo-rl/train_grpo_sweep_1/logs logger.wandb_enabled=True "
            "logger.wandb.name=train_grpo_sweep_1 "
            "checkpointing.checkpoint_dir=/lustre/log/nemo-rl/train_grpo_sweep_1/checkpoints cluster.num_nodes=1 "
            "optim.lr=1e-06"
        ),
        run_dir="/lustre/log/nemo-rl/train_grpo_sweep_1",
        inputs=["examples/train_grpo.py", "configs/grpo.yaml"],
        script="#!/bin/bash\n",
        nodes=1,
        gpus_per_node=8,
        time="4:0:0",
        account="research",
        partition="batch",
        container="/lustre/images/nemo_rl_base.sqsh",
        mounts="/lustre:/lustre",
    )
    assert second.name == "train_grpo_sweep_2"


def test_a_single_combination_has_no_index() -> None:
    (job,) = planned("script_path: a.py\nslurm: {jobname: mine}")
    assert (job.name, job.run_dir) == ("mine", "/lustre/log/nemo-rl/mine")


def test_first_found_wins_sweep_then_profile_then_environment_then_default() -> None:
    profile: dict[str, object] = {
        "account": "p",
        "partition": "p",
        "time": "1:0:0",
        "log": "/p",
        "env": {"A": "p", "B": "p"},
    }
    environment = {**ENVIRONMENT, "PARTITION": "e"}
    section = "slurm: {account: s, env: {A: s}, sbatch: {qos: high}}"
    (job,) = planned(f"script_path: a.py\n{section}", profile, environment)
    assert (job.account, job.partition, job.time, job.run_dir) == ("s", "p", "1:0:0", "/p/nemo-rl/a")
    assert (job.env, job.options) == ({"A": "s", "B": "p"}, {"qos": "high"})
    (job,) = planned("script_path: a.py", None, environment)
    assert (job.account, job.partition, job.time, job.run_dir) == ("research", "e", "4:0:0", "/lustre/log/nemo-rl/a")


@pytest.mark.parametrize("place", ["sweep", "profile"])
def test_null_means_none_and_ends_the_search(place: str) -> None:
    nothing: dict[str, object] = {"container": None, "mounts": None, "account": None}
    section = "slurm: {container: null, mounts: null, account: null}" if place == "sweep" else ""
    (job,) = planned(f"script_path: a.py\n{section}", nothing if place == "profile" else None)
    assert (job.container, job.mounts, job.account) == (None, None, None)


def test_what_is_missing_is_one_error_with_every_place() -> None:
    with pytest.raises(SettingsError) as caught:
        planned("script_path: a.py", None, {"ACCOUNT": ""})
    assert str(caught.value) == (
        "Missing the log directory: `log` in include/clusters/default.yaml, or LOG in the environment; "
        "the account: `slurm.account` in the sweep file, `account` in include/clusters/default.yaml, or ACCOUNT in the "
        "environment (null stands for none); "
        "the container: `slurm.container` in the sweep file, `container` in include/clusters/default.yaml, or CON in "
        "the environment (null stands for none)"
    )


def test_a_relative_log_directory_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected an absolute path on the cluster"):
        planned("script_path: a.py", None, {**ENVIRONMENT, "LOG": "logs"})


def test_a_sweeps_own_value_replaces_the_automatic_one() -> None:
    own = "logger.wandb_enabled: false\n++logger.log_dir: /mine\ncluster.num_nodes: [2, 4]\n"
    two, four = planned(SWEEP.replace("optim.lr: [1e-6, 5e-6]\n", own))
    assert overrides(four) == [
        "logger.wandb.name=train_grpo_sweep_2",
        "checkpointing.checkpoint_dir=/lustre/log/nemo-rl/train_grpo_sweep_2/checkpoints",
        "logger.wandb_enabled=False",
        "++logger.log_dir=/mine",
        "cluster.num_nodes=4",
    ]
    assert (two.nodes, four.nodes) == (2, 4), "Slurm is asked for what the script is told"


def test_a_swept_number_of_nodes_has_to_be_a_number() -> None:
    with pytest.raises(SettingsError, match=r"cluster.num_nodes: expected a whole number, got 'two'"):
        planned("script_path: a.py\ncluster.num_nodes: [two]")


def test_a_batch_script_of_the_clusters_replaces_ours() -> None:
    (job,) = planned("script_path: a.py\nslurm: {batch_script: ray.sub, workdir: /lustre/nemo-rl}")
    assert (job.batch_script, job.script, job.workdir) == ("ray.sub", "", "/lustre/nemo-rl")


def test_an_absolute_script_may_exist_in_the_container_only() -> None:
    (job,) = planned("script_path: /opt/a.py\nconfig_path: b.yaml")
    assert job.inputs == ["b.yaml"]
    (job,) = planned("script_path: /opt/a.py\nslurm: {container: null}")
    assert job.inputs == ["/opt/a.py"]


def test_a_request_survives_json() -> None:
    (job,) = planned("script_path: a.py\nslurm: {env: {A: b}, sbatch: {exclusive: true}}")
    assert JobRequest.from_json(job.to_json()) == job
