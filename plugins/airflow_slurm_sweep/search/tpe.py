"""The Tree-structured Parzen Estimator of Optuna, on a study that is rebuilt from its trials for each question.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011. Running trials count as bad ones ("constant
liar"), so that trials beside each other differ. A sampler is fresh and has a seed of its own for each question: one
with a fixed seed would repeat its first values on a rebuilt study.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Any

from airflow_slurm_sweep.search.trial import State, Trial
from airflow_slurm_sweep.slurm.parameters import json_values
from airflow_slurm_sweep.sweep.axes import Axis
from airflow_slurm_sweep.sweep.overrides import Value
from airflow_slurm_sweep.sweep.spaces import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

START = 10  # trials that have ended before TPE proposes: until then those of a random search run
_ASKED = 10  # times for a proposal that is neither known nor excluded


def propose(space: Space, trials: Sequence[Trial], slot: int, *, maximize: bool) -> Mapping[str, Value]:
    """Return the parameters of a trial.

    Args:
        space: What the sweep searches; ``space.chosen`` are the trials of a random search.
        trials: All that were proposed, in the order of their proposals, on which the algorithm depends.
        slot: Which of ``space.chosen`` the trial is, from 0.
        maximize: Whether larger values are better.
    """
    known = {_text(trial.parameters) for trial in trials}
    # Its own of the random search, or where another trial has run that, the first that none has.
    own = next((each for each in (space.chosen[slot], *space.chosen) if _text(each) not in known), space.chosen[slot])
    if sum(trial.has_ended for trial in trials) < START or slot < len(space.include):
        return own
    excluded = [space.meets(condition) for condition in space.exclude]
    for found in _asked(space, trials, slot, maximize=maximize):
        if _text(found) not in known and not any(holds(found) for holds in excluded):
            return found
    return own


def _asked(space: Space, trials: Sequence[Trial], slot: int, *, maximize: bool) -> list[dict[str, Value]]:
    seed = int(sha256(f"{space.seed} {slot} {len(trials)}".encode()).hexdigest()[:8], 16)
    axes, distributions, study = _study(space, trials, seed, maximize=maximize)
    only = {key: value for axis in space.axes if axis.count == 1 for key, value in _values(axis, axis.at(0.0)).items()}
    found = []
    for _ in range(_ASKED):
        asked = study.ask(distributions).params
        own = {key: value for name, axis in axes.items() for key, value in _choice(axis, asked[name]).items()}
        found.append({key: {**own, **only}[key] for key in space.keys})
    return found


def importances(space: Space, trials: Sequence[Trial], *, maximize: bool) -> dict[str, float]:
    """Return how much each parameter told of the results, in all 1, the one that told most first.

    Watanabe et al., "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces", 2023. The
    figures are rough: a search looks mostly where it is good.
    """
    axes, _, study = _study(space, trials, 0, maximize=maximize)
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # noqa: PLC0415

    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {", ".join(axes[name].keys): share for name, share in found.items()}


def _study(
    space: Space, trials: Sequence[Trial], seed: int, *, maximize: bool
) -> tuple[dict[str, Axis], dict[str, BaseDistribution], Study]:
    import optuna  # noqa: PLC0415  # 0.2 s and 40 MB, for those who search

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axes = {str(place): axis for place, axis in enumerate(space.axes) if axis.count > 1}
    distributions = {name: _distribution(axis) for name, axis in axes.items()}
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=START, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")
    study.add_trials(_rebuilt(axes, distributions, trials))
    return axes, distributions, study


def _rebuilt(
    axes: Mapping[str, Axis], distributions: Mapping[str, BaseDistribution], trials: Sequence[Trial]
) -> list[FrozenTrial]:
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415

    found = []
    for trial in trials:
        places = {name: _place(axis, trial.parameters) for name, axis in axes.items()}
        if None in places.values() or trial.state is State.LEFT_OUT:
            continue
        more: dict[str, Any] = {"state": TrialState.RUNNING}
        if trial.has_ended:
            more = {"state": TrialState.PRUNED}  # without a value: worse than all others
            if trial.value is not None and isfinite(trial.value):
                is_stopped = trial.state is State.STOPPED
                is_whole = {"state": TrialState.COMPLETE, "value": trial.value}
                more = more | {"intermediate_values": {int(trial.step): trial.value}} if is_stopped else is_whole
        found.append(create_trial(params=places, distributions=dict(distributions), **more))
    return found


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna.distributions import (  # noqa: PLC0415
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    drawn = axis.drawn
    if drawn is None:
        return CategoricalDistribution(range(len(axis.rows)))  # by place: of 1 and True it would make one
    if drawn.step:
        return IntDistribution(0, int(drawn.count) - 1)  # by place: Optuna shrinks ranges that no step divides
    if drawn.word in ("int", "logint"):
        return IntDistribution(int(drawn.low), int(drawn.high), log=drawn.word == "logint")
    return FloatDistribution(drawn.low, drawn.high, log=drawn.word == "loguniform")


def _choice(axis: Axis, asked: Any) -> dict[str, Value]:
    if axis.drawn is None:
        return _values(axis, axis.rows[asked])
    return _values(axis, (axis.drawn.nth(asked) if axis.drawn.step else axis.drawn.nearest(asked),))


def _values(axis: Axis, row: Sequence[Value]) -> dict[str, Value]:
    return dict(zip(axis.keys, row, strict=True))


def _place(axis: Axis, parameters: Mapping[str, Any]) -> int | float | None:
    """Return what Optuna knows a choice by; None if the axis has no such choice any more."""
    if axis.keys[0] not in parameters:
        return None
    if axis.drawn:
        value = parameters[axis.keys[0]]
        if not isinstance(value, int | float):
            return None
        if axis.drawn.step:
            place = axis.drawn.place(value)
            return place if 0 <= place < axis.drawn.count else None
        return axis.drawn.nearest(value) if axis.drawn.low <= value <= axis.drawn.high else None
    own = _text([parameters.get(key) for key in axis.keys])
    return next((place for place, row in enumerate(axis.rows) if _text([*row]) == own), None)


def _text(value: Any) -> str:
    return json.dumps(json_values(value), sort_keys=True)
