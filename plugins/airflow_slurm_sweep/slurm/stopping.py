"""Early stopping by successive halving without waiting: ASHA. Pure, and without a state of its own.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020. A job is looked at from the first rung on:
``from_step``, and that times each power of ``factor``. It goes on while its value is among the best 1/``factor`` of all
jobs that have stood on its highest rung.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, TypeAlias

Rungs: TypeAlias = Mapping[int, float]  # a job's value on each rung that it has reached, by the rung's number from 0
SAFE = -1  # in place of a rung's number: the job has reached ``to_step``


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a job is stopped: of ``number`` values at ``step`` its own, ``value``, is the one at ``place``."""

    step: float
    value: float
    place: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asha:
    """The rule: ``{rule: asha, from_step: 100, factor: 3}``; from ``to_step`` on no job is stopped."""

    from_step: float
    factor: int
    maximize: bool
    to_step: float | None = None

    def step(self, rung: int) -> float:
        """Return the step of a rung."""
        return self.from_step * float(self.factor**rung)

    def climb(self, rungs: dict[int, float], step: float, value: float, *, unseen: float = -inf) -> None:
        """Add to a job's rungs those that it has reached at a step: on each the first value that comes counts.

        It reached those up to the step ``unseen`` while nobody looked: they have no value.
        """
        rung = max(rungs, default=-1) + 1
        while self.step(rung) <= step and (self.to_step is None or self.step(rung) < self.to_step):
            if self.step(rung) > unseen:
                rungs[rung] = value
            rung += 1
        if self.to_step is not None and step >= self.to_step:
            rungs[SAFE] = value

    def stops(self, every: Mapping[int, Rungs], asked: Iterable[int]) -> dict[int, Stop]:
        """Return why jobs are stopped now, by their numbers, of those ``asked`` for; ``every`` job has a number."""
        losses: dict[int, list[float]] = {}
        for rungs in every.values():
            for rung, value in rungs.items():  # `SAFE` too: nobody looks it up
                losses.setdefault(rung, []).append(self._loss(value))
        for values in losses.values():
            values.sort()
        found = {}
        for number in asked:
            own = every.get(number, {})
            if own and SAFE not in own:
                rung = max(own)
                better, count = bisect_left(losses[rung], self._loss(own[rung])), len(losses[rung])
                if count >= self.factor and better >= max(1, count // self.factor):
                    found[number] = Stop(step=self.step(rung), value=own[rung], place=better + 1, number=count)
        return found

    def _loss(self, value: float) -> float:
        return inf if not isfinite(value) else -value if self.maximize else value


def asha(setting: Mapping[str, Any]) -> Asha | None:
    """Return the rule of a job's ``stop``; None for a job that is never stopped."""
    return Asha(**setting) if setting else None
