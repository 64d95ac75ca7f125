"""Group-relative policy optimisation (GRPO) on a multi-armed bandit: a real training run of seconds, without a GPU.

    python examples/train_grpo.py --config examples/configs/grpo.yaml optim.lr=1e-5 grpo.kl_penalty=0.05

Overrides are in Hydra's grammar, applied as NeMo RL applies them: a key that the config lacks needs `+` or `++`.
It goes on where its checkpoint ends, and writes the config as it arrived (config.yaml, beside the logs) and
metrics.json (in the run directory, the checkpoint directory's parent).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl  # as NeMo RL does: Hydra has no public call for it
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

ARMS = 8
STEP_SCALE = 1e5  # learning rates are written as for language models; a bandit takes larger steps
DEFAULT_CONFIG = Path(__file__).parent / "configs" / "grpo.yaml"


@dataclass
class State:
    """All that a checkpoint holds."""

    step: int = 0
    logits: list[float] = field(default_factory=lambda: [0.0] * ARMS)
    baseline: float = 0.0
    loss: float = 0.0


def main() -> int:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="base config (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides in Hydra's grammar")
    arguments = parser.parse_args()
    try:
        train(load_config(arguments.config, arguments.overrides))
    except (OSError, HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
        print(f"train_grpo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def load_config(path: Path, overrides: list[str]) -> DictConfig:
    """Read the base config and apply the overrides."""
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise TypeError(f"{path}: expected keys with values")
    OmegaConf.set_struct(config, True)
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(overrides), config)
    return config


def train(config: DictConfig) -> None:
    """Train to the end, from the checkpoint if there is one."""
    checkpoint = Path(config.checkpointing.checkpoint_dir) / "state.json"
    log_dir = Path(config.logger.log_dir)
    log_dir.mkdir(parents=True, exist_ok=True)
    write(log_dir / "config.yaml", OmegaConf.to_yaml(config))
    if config.logger.wandb_enabled and importlib.util.find_spec("wandb") is None:
        print("wandb is not installed: metrics go to metrics.json only")
    means = arm_means(config.model.model_name)
    state = State(**json.loads(checkpoint.read_text())) if checkpoint.exists() else State()
    print(f"training from step {state.step} to {config.grpo.num_episodes}", flush=True)
    began = time.monotonic()
    while state.step < config.grpo.num_episodes:
        update(state, config, means)
        time.sleep(config.grpo.step_seconds)
        last = state.step == config.grpo.num_episodes
        if state.step % config.checkpointing.save_period == 0 or last:
            print(f"step {state.step} reward {expected_reward(state, means):.4f} loss {state.loss:.4f}", flush=True)
            if config.checkpointing.enabled:
                write(checkpoint, json.dumps(vars(state)))
    write(
        checkpoint.parents[1] / "metrics.json",
        json.dumps(
            {
                "reward": expected_reward(state, means),
                "best_arm_probability": softmax(state.logits)[means.index(max(means))],
                "kl": divergence(state),
                "loss": state.loss,
                "steps": state.step,
                "seconds": round(time.monotonic() - began, 3),
            }
        ),
    )


def arm_means(model_name: str) -> list[float]:
    """Return how good each arm is on average, in 0..1: always the same for a model."""
    generator = random.Random(model_name)  # noqa: S311  # no secret
    return [generator.random() for _ in range(ARMS)]


def update(state: State, config: DictConfig, means: list[float]) -> None:
    """Take one step: sample a group, compare its members, follow the policy gradient."""
    generator = random.Random(f"{config.seed}:{state.step}")  # noqa: S311  # so that a restart changes nothing
    policy = softmax(state.logits)
    group = generator.choices(range(ARMS), policy, k=config.grpo.group_size)
    rewards = [means[arm] + generator.gauss(0, 0.1) for arm in group]
    mean = sum(rewards) / len(rewards)
    spread = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / len(rewards)) + 1e-6
    advantages = [(reward - (mean + state.baseline) / 2) / spread for reward in rewards]
    kl = divergence(state)
    gradient = [
        sum(advantage * ((arm == k) - policy[k]) for arm, advantage in zip(group, advantages, strict=True)) / len(group)
        - config.grpo.kl_penalty * policy[k] * (math.log(policy[k] * ARMS) - kl)
        for k in range(ARMS)
    ]
    scores = [advantage * math.log(policy[arm]) for arm, advantage in zip(group, advantages, strict=True)]
    state.loss = config.grpo.kl_penalty * kl - sum(scores) / len(scores)
    state.logits = [
        logit + STEP_SCALE * config.optim.lr * slope for logit, slope in zip(state.logits, gradient, strict=True)
    ]
    state.baseline += min(1.0, STEP_SCALE * config.grpo.learning_rate) * (mean - state.baseline)
    state.step += 1


def softmax(logits: list[float]) -> list[float]:
    """Return the policy: the probability of each arm, never quite zero."""
    top = max(logits)
    weights = [math.exp(max(logit - top, -30.0)) for logit in logits]
    return [weight / sum(weights) for weight in weights]


def expected_reward(state: State, means: list[float]) -> float:
    """Return the mean reward of the policy."""
    return sum(probability * mean for probability, mean in zip(softmax(state.logits), means, strict=True))


def divergence(state: State) -> float:
    """Return the Kullback-Leibler divergence of the policy from the uniform one it began with, in nats."""
    return sum(probability * math.log(probability * ARMS) for probability in softmax(state.logits))


def write(path: Path, text: Any) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
