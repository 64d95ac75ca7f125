"""Search on synthetic objectives: TPE and ASHA beside random search, eight trials at a time.

scripts/bench --search            # in this process: a table in Markdown
scripts/bench --search --system   # one seed, as jobs of a sandbox: in peace, and with the triggerer killed each 30 s
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import time
from contextlib import suppress
from math import exp
from statistics import mean, median

from airflow_slurm_sweep.search.tpe import propose
from airflow_slurm_sweep.search.trial import State, Trial
from airflow_slurm_sweep.slurm.stopping import Asha
from airflow_slurm_sweep.sweep.spaces import Space
from airflow_slurm_sweep.sweep.spec import parse_sweep
from bench import runs
from bench.interrupt import until_interrupted
from bench.objectives import OBJECTIVES, Objective
from bench.say import say
from bench.stage import Setup, stage
from sandbox.airflow import PROJECT

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
_DAG = "search"
_KILLED_EACH = 30.0  # seconds
# Another triggerer's triggers are taken over in seconds, in place of half a minute.
_QUICK = {"TRIGGERER__JOB_HEARTBEAT_SEC": 1, "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 8}


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


def of_the_system(*, kills: bool) -> tuple[float, float]:
    """Return the best value that a searched sweep finds through Airflow and Slurm, and the seconds that it takes."""
    program = f"cd {PROJECT} && {sys.executable} -m bench.objectives bowl {{parameters_file}} {{run_dir}}/metrics.json"
    text = SPACE.replace("train {flags}", program).replace("search: random", "search: tpe")
    text = text.replace("TRIALS", str(TRIALS)).replace("seed: SEED}", "objective: {metric: loss, goal: minimize}}")
    text += f"slurm: {{gpus_per_node: 0, jobname: {_DAG}, max_parallel_jobs: {PARALLEL}}}\n"
    with stage(Setup(), sweeps={_DAG: text}, settings=_QUICK) as place:
        (triggerer,) = place.airflow.triggerers
        place.wait_for_dag(_DAG)
        began = killed = time.monotonic()
        path = runs.trigger(place, _DAG, {})
        while True:
            time.sleep(1)
            with suppress(OSError):
                if (state := place.airflow.call("GET", path)["state"]) in ("success", "failed"):
                    break
            if kills and time.monotonic() - killed > _KILLED_EACH:
                killed = time.monotonic()
                triggerer.kill(whole=True)
                triggerer.start()
        took = time.monotonic() - began
        rows = place.airflow.call("GET", f"{path}/taskInstances/report/xcomEntries/rows?deserialize=false")["value"]
    rows = json.loads(rows) if isinstance(rows, str) else rows
    losses = [row["metrics"]["loss"] for row in rows if row["succeeded"]]
    if state != "success" or len(losses) != TRIALS or len({str(row["parameters"]) for row in rows}) != TRIALS:
        raise SystemExit(f"the run ended as {state}, with {len(losses)} results of {TRIALS}")
    return min(losses), took


def system() -> int:
    """Print what a sweep finds through the whole system, beside what the seeds find in this process."""
    values = sorted(tpe_best(OBJECTIVES["bowl"], seed) for seed in range(SEEDS))
    print(f"in this process, {SEEDS} seeds: {values[0]:.3f} to {values[-1]:.3f}, median {median(values):.3f}")
    for kills in (False, True):
        say(f"{TRIALS} trials as jobs{', the triggerer killed each 30 s' if kills else ''}")
        best, took = of_the_system(kills=kills)
        print(f"{'triggerer killed each 30 s' if kills else 'in peace'}: {best:.3f} in {took:.0f} s")
    return 0


def main() -> int:
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
    return 0


if __name__ == "__main__":
    sys.exit(until_interrupted(system if sys.argv[1:] == ["--system"] else main))
