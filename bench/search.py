"""Search on synthetic objectives, in this process: TPE and ASHA beside random search, eight trials at a time.

scripts/bench --search            # a table in Markdown
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from math import cos, exp, log10, pi, sin
from statistics import mean, median
from typing import Any

from airflow_slurm_sweep.search.tpe import propose
from airflow_slurm_sweep.search.trial import State, Trial
from airflow_slurm_sweep.slurm.stopping import Asha
from airflow_slurm_sweep.sweep.spaces import Space
from airflow_slurm_sweep.sweep.spec import parse_sweep

SEEDS = 20
PARALLEL = 8
TRIALS, MOST = 64, 512
STEPS = 900
SPACE = """\
command: train {flags}
lr: {loguniform: [1e-6, 1]}
decay: {loguniform: [1e-6, 1]}
dropout: {uniform: [0, 0.8]}
momentum: {uniform: [0, 1]}
warmup: {uniform: [0, 1], step: 0.05}
layers: {int: [1, 12]}
width: {logint: [8, 1024]}
optimizer: [adam, sgd, lion, rmsprop]
activation: [relu, gelu, tanh]
norm: [true, false]
sweep: {search: random, trials: TRIALS, seed: SEED}
"""
Objective = Callable[[Mapping[str, Any]], float]


def unit(p: Mapping[str, Any]) -> list[float]:
    """Return the numbers among the parameters, from 0 to 1."""
    return [
        log10(p["lr"]) / 6 + 1,
        log10(p["decay"]) / 6 + 1,
        p["dropout"] / 0.8,
        p["momentum"],
        p["warmup"],
        (p["layers"] - 1) / 11,
        (log10(p["width"]) - log10(8)) / (log10(1024) - log10(8)),
    ]


def named(p: Mapping[str, Any]) -> float:
    """Return what the choices cost."""
    cost = {"adam": 0.0, "lion": 0.05, "sgd": 0.2, "rmsprop": 0.3}[p["optimizer"]]
    return cost + {"gelu": 0.0, "relu": 0.04, "tanh": 0.15}[p["activation"]] + (0.0 if p["norm"] else 0.1)


def bowl(p: Mapping[str, Any]) -> float:
    """One optimum, of which two parameters tell most."""
    weights, best = (2.0, 0.3, 1.0, 0.2, 0.1, 0.5, 0.5), (0.5, 0.4, 0.2, 0.9, 0.1, 0.6, 0.7)
    return named(p) + sum(w * (x - b) ** 2 for w, x, b in zip(weights, unit(p), best, strict=True))


def ridge(p: Mapping[str, Any]) -> float:
    """Two parameters that must change together, the others as in `bowl`."""
    x = unit(p)
    return (
        named(p)
        + 3 * (x[0] + 0.5 * x[6] - 0.8) ** 2
        + 0.4 * (x[0] - 0.5) ** 2
        + (x[2] - 0.25) ** 2
        + 0.3 * (x[5] - 0.7) ** 2
    )


def waves(p: Mapping[str, Any]) -> float:
    """Many small optima on the way to the large one."""
    x = unit(p)
    return (
        bowl(p)
        + 0.05 * (1 - cos(6 * pi * (x[0] - 0.5)))
        + 0.03 * (1 - cos(6 * pi * (x[2] - 0.2)))
        + 0.02 * (1 - sin(pi * x[3]))
    )


OBJECTIVES: dict[str, Objective] = {"bowl": bowl, "ridge": ridge, "waves": waves}


def space(trials: int, seed: int) -> Space:
    """Return the space of ten parameters."""
    return parse_sweep(SPACE.replace("TRIALS", str(trials)).replace("SEED", str(seed)), source="bench").space


def random_bests(objective: Objective, seed: int) -> list[float]:
    """Return the best value of a random search after each trial."""
    return running_best([objective(each) for each in space(MOST, seed).chosen])


def running_best(values: list[float]) -> list[float]:
    """Return the least value so far at each place."""
    found: list[float] = []
    for value in values:
        found.append(min(value, found[-1]) if found else value)
    return found


def tpe_best(objective: Objective, seed: int) -> float:
    """Return the best value that TPE finds, `PARALLEL` trials at a time, which take different times."""
    own, chance = space(TRIALS, seed), random.Random(seed)  # no secret
    trials: list[Trial] = []
    live: list[tuple[float, int]] = []
    now = 0.0
    for slot in range(TRIALS):
        if len(live) == PARALLEL:
            now, ended = heapq.heappop(live)
            value = objective(trials[ended].parameters)
            trials[ended] = Trial(parameters=trials[ended].parameters, state=State.ENDED, value=value)
        parameters = propose(own, trials, slot, maximize=False)
        trials.append(Trial(parameters=parameters, state=State.RUNNING))
        heapq.heappush(live, (now + chance.uniform(0.5, 1.5), slot))
    return min(objective(trial.parameters) for trial in trials)


def halving(objective: Objective, seed: int) -> tuple[float, float]:
    """Return the share of the steps that ASHA spends on a random search of `TRIALS`, and its regret."""
    rule, chance = Asha(from_step=100, factor=3, maximize=False, to_step=STEPS), random.Random(seed)  # no secret
    ends = [objective(each) for each in space(TRIALS, seed).chosen]
    rates = [chance.uniform(4, 9) for _ in ends]
    rungs: dict[int, dict[int, float]] = {trial: {} for trial in range(TRIALS)}
    live = dict.fromkeys(range(PARALLEL), 0)  # the steps of each trial
    spent, begun = 0, PARALLEL
    done: list[float] = []
    while live:
        for trial in live:
            live[trial] += 1
            value = ends[trial] + exp(-rates[trial] * live[trial] / STEPS) + chance.gauss(0, 0.005)
            rule.climb(rungs[trial], live[trial], value)
        spent += len(live)
        over = [trial for trial, step in live.items() if step == STEPS]
        done += [ends[trial] for trial in over]
        for trial in {*over, *rule.stops(rungs, live)}:
            del live[trial]
            if begun < TRIALS:
                live[begun] = 0
                begun += 1
    return spent / (TRIALS * STEPS), min(done) - min(ends)


def main() -> None:
    """Print the table."""
    heads = ["objective", "best of 64, TPE", "random", "trials that random needs for it"]
    heads += ["ASHA: share of the steps", "mean regret", "largest"]
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|")
    for name, objective in OBJECTIVES.items():
        bests = [random_bests(objective, seed) for seed in range(SEEDS)]
        found = median(tpe_best(objective, seed) for seed in range(SEEDS))
        at = [median(each[trial] for each in bests) for trial in range(MOST)]
        needed = next((trial + 1 for trial, value in enumerate(at) if value <= found), None)
        trials = f"over {MOST}" if needed is None else str(needed)
        shares, regrets = zip(*(halving(objective, seed) for seed in range(SEEDS)), strict=True)
        asha = f"{mean(shares):.0%} | {mean(regrets):.3f} | {max(regrets):.3f}"
        print(f"| {name} | {found:.3f} | {at[TRIALS - 1]:.3f} | {trials} | {asha} |")


if __name__ == "__main__":
    main()
