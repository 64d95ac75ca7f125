"""Early stopping by successive halving without waiting: ASHA.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020. A trial is looked at when it reaches a rung:
``from_step``, and that times each power of ``factor``. It goes on if its value is among the best 1/``factor`` of all
that have stood there. The rule keeps no state: all that it needs are the values at the rungs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite

Rungs = Mapping[int, float]  # a trial's value at each rung that it has reached, by the rung's number from 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a trial is stopped: of ``number`` values at ``step`` its own, ``value``, is the one at ``place``."""

    step: float
    value: float
    place: int
    number: int

    def __str__(self) -> str:
        return f"{self.value:.6g} at step {self.step:g}: {self.place} of {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asha:
    """The rule: ``{rule: asha, from_step: 100, factor: 3}``."""

    from_step: float
    factor: int = 3
    maximize: bool = False

    def step(self, rung: int) -> float:
        """Return the step of a rung."""
        return self.from_step * float(self.factor**rung)

    def rungs(self, steps: Sequence[float], values: Sequence[float]) -> dict[int, float]:
        """Return a history's value at each rung that it has reached: the last one before a later step came."""
        found: dict[int, float] = {}
        for step, value in zip(steps, values, strict=True):
            while step >= self.step(len(found)):
                found[len(found)] = value
        return found

    def stop(self, own: Rungs, all_trials: Sequence[Rungs]) -> Stop | None:
        """Return why a trial is stopped now, None for one that goes on; ``all_trials`` has its own values too."""
        if not own:
            return None
        rung = max(own)
        values = [self._loss(trial[rung]) for trial in all_trials if rung in trial]
        better = sum(value < self._loss(own[rung]) for value in values)
        if len(values) < self.factor or better < max(1, len(values) // self.factor):
            return None
        return Stop(step=self.step(rung), value=own[rung], place=better + 1, number=len(values))

    def _loss(self, value: float) -> float:
        return inf if not isfinite(value) else -value if self.maximize else value
