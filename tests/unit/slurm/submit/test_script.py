"""What is said to the login node, to the letter."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from shlex import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_slurm_sweep import __version__
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.shell import ARGUMENT, END, MARKER, PRELUDE, script
from airflow_slurm_sweep.slurm.submit import sbatch
from airflow_slurm_sweep.slurm.submit.script import SHELL_FUNCTIONS, submit_all
from tests import full

GOLDEN = Path(__file__).parent / "golden"
ATTEMPT = Attempt(
    dag_id="grpo",
    run_id="manual__1",
    task_id="combination.submit",
    map_index=3,
    try_number=1,
    id="01-1",
    installation="a",
)
FULL = JobRequest(
    ssh_conn_id="c",
    name="grpo_sweep_4",
    label="lr=1e-06",
    index=4,
    parameters={"optim.lr": 1e-6, "note": "it's"},
    overrides=["++seed=1"],
    command="uv run train.py 'a=it'\"'\"'s'",
    run_dir="/lustre/me/100%/nemo-rl/grpo_sweep_4",
    folders=["checkpoints", "wandb"],
    workdir="/lustre/me/nemo rl",
    inputs=["train.py", "conf/grpo.yaml"],
    batch_script="ray.sub",
    nodes=4,
    gpus_per_node=8,
    time="8:0:0",
    account="research",
    partition="batch",
    container="/lustre/images/nemo_rl_base.sqsh",
    mounts="/lustre:/lustre,/home:/home",
    env={"HF_HOME": "/lustre/hf home"},
    options={"exclusive": True, "qos": "high prio", "nice": 100, "requeue": False},
)
SMALL = JobRequest(ssh_conn_id="c", name="one", command="true", run_dir="/r/one", script='#!/bin/sh\neval "$COMMAND"\n')


def test_a_preview_finds_sbatch_before_the_jobs_own_path(tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text('#!/bin/sh\necho "$PATH $*"\n')
    (tmp_path / "sbatch").chmod(0o755)
    job = replace(SMALL, env={"PATH": "/mine"}, run_dir=f"{tmp_path}/run")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", sbatch.preview(job)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("/mine --parsable --job-name=one ")


def test_sbatch_options() -> None:
    assert sbatch.sbatch_argv(FULL) == [
        "sbatch",
        "--parsable",
        "--job-name=grpo_sweep_4",
        "--nodes=4",
        "--account=research",
        "--partition=batch",
        "--time=8:0:0",
        "--gres=gpu:8",
        "--output=/lustre/me/100%%/nemo-rl/grpo_sweep_4/logs/slurm-%j.out",
        "--export=ALL",
        "--exclusive",
        "--qos=high prio",
        "--nice=100",
        "ray.sub",
    ]


def test_options_without_a_value_are_left_out() -> None:
    assert sbatch.sbatch_argv(SMALL) == [
        "sbatch",
        "--parsable",
        "--job-name=one",
        "--nodes=1",
        "--output=/r/one/logs/slurm-%j.out",
        "--export=ALL",
    ]


def test_a_gres_of_the_users_replaces_ours() -> None:
    job = JobRequest(
        ssh_conn_id="c", name="a", command="b", run_dir="/c", gpus_per_node=8, options={"gres": "gpu:a100:8"}
    )
    assert "--gres=gpu:a100:8" in sbatch.sbatch_argv(job)
    assert "--gres=gpu:8" not in sbatch.sbatch_argv(job)


def test_environment() -> None:
    assert sbatch.environment(FULL) == {
        "SWEEP_OPTIM_LR": "1e-06",
        "SWEEP_NOTE": "it's",
        "HF_HOME": "/lustre/hf home",
        "BASE_LOG_DIR": "/lustre/me/100%/nemo-rl/grpo_sweep_4",
        "COMMAND": "uv run train.py 'a=it'\"'\"'s'",
        "CONTAINER": "/lustre/images/nemo_rl_base.sqsh",
        "GPUS_PER_NODE": "8",
        "MOUNTS": "/lustre:/lustre,/home:/home",
        "NUM_ACTOR_NODES": "4",
        "SETUP_COMMAND": "",
        "WANDB_DIR": "/lustre/me/100%/nemo-rl/grpo_sweep_4",
    }


@pytest.mark.parametrize(("name", "job"), [("full", FULL), ("small", SMALL)])
def test_the_submit_script(name: str, job: JobRequest) -> None:
    script = submit_all([(job, ATTEMPT)], "m").replace(f'"{__version__}"', '"VERSION"')
    assert script.count(SHELL_FUNCTIONS) == 1
    script = script.replace(PRELUDE, "(prelude.sh)\n")
    assert script.replace(SHELL_FUNCTIONS, "(record.sh)\n") == (GOLDEN / f"submit_{name}.sh").read_text()


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_half_a_script_runs_nothing(shell: str, tmp_path: Path) -> None:
    text = script(f"touch {tmp_path}/ran", "true")
    for end in range(0, len(text) - 1, 1 if full.FULL else 7):
        subprocess.run(
            [shell, "-s", ARGUMENT], input=text[:end], text=True, cwd=tmp_path, capture_output=True, check=False
        )
        assert list(tmp_path.iterdir()) == [], text[:end]
    subprocess.run([shell, "-s", ARGUMENT], input=text, text=True, cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "ran").exists()


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(max_examples=50, deadline=None)
@given(value=TEXT | st.sampled_from(["$(touch x)", "`touch x`", "'; touch x; '", "\\", "\n touch x\n"]))
def test_a_real_shell_hands_on_what_it_was_given(value: str) -> None:
    job = JobRequest(ssh_conn_id="c", name="a", command=value, run_dir="/r", env={"MINE": value})
    exports = "\n".join(f"export {name}={quote(text)}" for name, text in sbatch.environment(job).items())
    text = script(exports, 'printf \'%s\\0\' "$COMMAND" "$MINE"')
    done = subprocess.run(["dash", "-s", ARGUMENT], input=text.encode(), capture_output=True, check=True, env={})
    assert done.stdout.decode() == f"{MARKER}\n{value}\0{value}\0{END}\n"
