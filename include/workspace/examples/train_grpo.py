"""Group-relative policy optimisation (GRPO) on a multi-armed bandit: real training, in seconds, without a GPU.

    train_grpo.py --config examples/configs/grpo.yaml optim.lr=1e-5 grpo.kl_penalty=0.05

Overrides are in Hydra's grammar, applied as NeMo RL applies them: a key that the config lacks needs + or ++.

What it leaves behind:
  {logger.log_dir}/config.yaml    the config as it arrived, overrides applied
  {checkpointing.checkpoint_dir}  where a run that was interrupted goes on; a finished run stays finished
  metrics.json                    numbers by name, beside the checkpoint directory
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl  # as NeMo RL does: Hydra has no public call for it
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

ARMS = 16
NOISE = 0.3  # standard deviation of an arm's reward
POLICY_SCALE, VALUE_SCALE = 4e4, 1e4  # learning rates are written as for language models; a bandit takes larger steps
DEFAULT_CONFIG = Path(__file__).parent / "configs" / "grpo.yaml"
NEEDED: dict[str, tuple[type, int]] = {  # what training takes from the config: type, and the least number
    "seed": (int, 0),
    "grpo.num_episodes": (int, 0),
    "grpo.group_size": (int, 2),
    "grpo.kl_penalty": (float, 0),
    "grpo.learning_rate": (float, 0),
    "grpo.step_seconds": (float, 0),
    "optim.lr": (float, 0),
    "model.model_name": (str, 0),
    "checkpointing.enabled": (bool, 0),
    "checkpointing.checkpoint_dir": (str, 0),
    "checkpointing.save_period": (int, 1),
    "logger.log_dir": (str, 0),
    "logger.wandb_enabled": (bool, 0),
}
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass
class State:
    """All that a checkpoint holds."""

    logits: list[float]
    value: float = 0.0
    loss: float = 0.0
    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Bandit:
    """The world of a model: each arm's mean reward, and the policy (as logits) that training starts from."""

    means: list[float]
    reference: list[float]


def main() -> int:
    """Train as the command line says; return 2 where it or the config is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="base config; default: configs/grpo.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides in Hydra's grammar")
    arguments = parser.parse_intermixed_args()
    try:
        train(load_config(arguments.config, arguments.overrides))
    except (OSError, ValueError, yaml.YAMLError, HydraException, OmegaConfBaseException) as error:
        print(f"train_grpo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def load_config(path: Path, overrides: list[str]) -> DictConfig:
    """Read the base config, apply the overrides, check what training needs."""
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise ValueError(f"{path}: expected keys with values, got a list")
    parsed = OverridesParser.create().parse_overrides(overrides)
    for override in parsed:
        if override.is_sweep_override():
            raise ValueError(f"{override.input_line}: expected one value, got several")
    OmegaConf.set_struct(config, True)
    ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
    for key, (kind, least) in NEEDED.items():
        check(key, OmegaConf.select(config, key), kind, least)
    return config


def check(key: str, value: Any, kind: type, least: int) -> None:
    """Refuse a value that is not of its kind, or a number that is too small or not finite."""
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise ValueError(f"{key}: expected {KINDS[kind]}, got {'nothing' if value is None else repr(value)}")
    if kind in (int, float) and not least <= value < math.inf:
        raise ValueError(f"{key}: expected {KINDS[kind]} from {least} up, got {value}")


def start_wandb(config: DictConfig) -> Any | None:
    """Start a Weights & Biases run, if the config asks for one and the package is there."""
    if not config.logger.wandb_enabled:
        return None
    try:
        wandb = importlib.import_module("wandb")
    except ModuleNotFoundError:
        print("wandb is not installed: metrics go to files only")
        return None
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return wandb.init(config=plain, **plain["logger"]["wandb"])


def train(config: DictConfig) -> None:
    """Train to the end, from the checkpoint if there is one."""
    write(Path(config.logger.log_dir) / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    wandb_run = start_wandb(config)
    checkpoint = Path(config.checkpointing.checkpoint_dir) / "state.json"
    bandit = make_bandit(config.model.model_name)
    state = State(logits=bandit.reference)
    if config.checkpointing.enabled and checkpoint.exists():
        try:
            state = State(**json.loads(checkpoint.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{checkpoint}: expected a checkpoint of this script: {error}") from None
    last = config.grpo.num_episodes
    print(f"{config.model.model_name}: from step {state.step} to {last}", flush=True)
    began = time.monotonic() - state.seconds
    while state.step < last:
        update(state, config, bandit)
        time.sleep(config.grpo.step_seconds)
        state.seconds = round(time.monotonic() - began, 3)
        if state.step % config.checkpointing.save_period == 0 or state.step == last:
            metrics = measure(state, bandit)
            print(" ".join(f"{name}={value:.5g}" for name, value in metrics.items()), flush=True)
            if config.checkpointing.enabled:
                write(checkpoint, json.dumps(asdict(state)))
            if wandb_run:
                wandb_run.log(metrics, step=state.step)
    write(checkpoint.parents[1] / "metrics.json", json.dumps(measure(state, bandit), indent=2))
    if wandb_run:
        wandb_run.finish()


def make_bandit(model_name: str) -> Bandit:
    """Return a model's bandit: always the same for the same name."""
    generator = random.Random(model_name)  # noqa: S311  # no secret
    means = [generator.random() for _ in range(ARMS)]
    return Bandit(means=means, reference=[generator.gauss(0, 0.5) for _ in range(ARMS)])


def update(state: State, config: DictConfig, bandit: Bandit) -> None:
    """Take one step: sample a group, compare its members, follow the policy gradient."""
    generator = random.Random(f"{config.seed}:{state.step}")  # noqa: S311  # so that a restart changes nothing
    policy, reference = softmax(state.logits), softmax(bandit.reference)
    group = generator.choices(range(ARMS), policy, k=config.grpo.group_size)
    rewards = [generator.gauss(bandit.means[arm], NOISE) for arm in group]
    mean = statistics.fmean(rewards)
    baseline = (mean + state.value) / 2  # GRPO's own is the mean; the learned half gives optim.lr something to do
    advantages = [(reward - baseline) / (statistics.pstdev(rewards) + 1e-6) for reward in rewards]
    kl = divergence(policy, reference)
    slopes = [-config.grpo.kl_penalty * p * (math.log(p / q) - kl) for p, q in zip(policy, reference, strict=True)]
    for arm, advantage in zip(group, advantages, strict=True):
        for k, p in enumerate(policy):
            slopes[k] += advantage * ((k == arm) - p) / len(group)
    surprise = statistics.fmean(a * math.log(policy[arm]) for arm, a in zip(group, advantages, strict=True))
    state.loss = config.grpo.kl_penalty * kl - surprise
    step_size = POLICY_SCALE * config.grpo.learning_rate
    state.logits = [logit + step_size * slope for logit, slope in zip(state.logits, slopes, strict=True)]
    state.value += min(1.0, VALUE_SCALE * config.optim.lr) * (mean - state.value)
    state.step += 1


def measure(state: State, bandit: Bandit) -> dict[str, float]:
    """Return the metrics of the policy as it is now; the reward is its true mean, not a sample's."""
    policy = softmax(state.logits)
    return {
        "steps": state.step,
        "reward": math.fsum(p * mean for p, mean in zip(policy, bandit.means, strict=True)),
        "best_arm_probability": policy[bandit.means.index(max(bandit.means))],
        "kl": divergence(policy, softmax(bandit.reference)),
        "loss": state.loss,
        "seconds": state.seconds,
    }


def softmax(logits: list[float]) -> list[float]:
    """Return the probability of each arm, never quite zero."""
    weights = [math.exp(max(logit - max(logits), -30.0)) for logit in logits]
    return [weight / sum(weights) for weight in weights]


def divergence(policy: list[float], reference: list[float]) -> float:
    """Return the Kullback-Leibler divergence of a policy from the reference, in nats."""
    return math.fsum(p * math.log(p / q) for p, q in zip(policy, reference, strict=True))


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
