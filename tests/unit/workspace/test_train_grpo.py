"""The training script of the examples, run as a job runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_slurm_sweep.sweep.values import OWN_KEYS

PROJECT = Path(__file__).parents[3]
WORKSPACE = PROJECT / "include" / "workspace"


def train(run: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "examples/train_grpo.py",
            "--config",
            "examples/configs/grpo.yaml",
            f"logger.log_dir={run}/logs",
            f"checkpointing.checkpoint_dir={run}/checkpoints",
            *overrides,
        ],
        cwd=WORKSPACE,
        capture_output=True,
        text=True,
        check=False,
    )


def metrics(run: Path, *overrides: str) -> dict[str, Any]:
    done = train(run, *overrides)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return values


def test_it_learns_and_writes_what_arrived(tmp_path: Path) -> None:
    learned = metrics(tmp_path, "optim.lr=1e-05", "+tags=['a b',1]", "logger.wandb_enabled=True")
    untrained = metrics(tmp_path / "none", "grpo.num_episodes=0")
    assert learned["reward"] > untrained["reward"] + 0.1
    assert learned["steps"] == 200
    config = yaml.safe_load((tmp_path / "logs" / "config.yaml").read_text())
    assert (float(config["optim"]["lr"]), config["tags"], config["logger"]["wandb_enabled"]) == (1e-5, ["a b", 1], True)


def test_it_goes_on_where_its_checkpoint_ends(tmp_path: Path) -> None:
    whole = metrics(tmp_path / "whole", "grpo.num_episodes=100")
    metrics(tmp_path / "halves", "grpo.num_episodes=40")
    second = train(tmp_path / "halves", "grpo.num_episodes=100")
    assert "from step 40 to 100" in second.stdout
    halves = json.loads((tmp_path / "halves" / "metrics.json").read_text())
    assert halves | {"seconds": 0} == whole | {"seconds": 0}


@pytest.mark.parametrize(
    "override",
    ["optim.lr=1e-06", "grpo.learning_rate=1e-06", "grpo.kl_penalty=0.5", "model.model_name=other", "seed=1"],
)
def test_every_swept_parameter_matters(tmp_path: Path, override: str) -> None:
    assert metrics(tmp_path / "a")["reward"] != metrics(tmp_path / "b", override)["reward"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.leraning_rate=1", "Could not override 'optim.leraning_rate'"),
        ("optim.lr=[1", "no viable alternative|missing|mismatched"),
        ("grpo.num_episodes=many", "expected a whole number, got 'many'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, override: str, said: str) -> None:
    done = train(tmp_path, override)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("train_grpo: ")
    assert any(words in line for words in said.split("|")), line


def test_the_example_sweeps_use_parameters_that_the_config_has() -> None:
    config = yaml.safe_load((WORKSPACE / "examples" / "configs" / "grpo.yaml").read_text())
    for path in (PROJECT / "include" / "sweeps").glob("*.yaml"):
        for key in yaml.safe_load(path.read_text()).keys() - set(OWN_KEYS):
            section, name = key.split(".")
            assert name in config[section], f"{path.name}: {key}"
