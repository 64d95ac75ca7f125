"""The dimensions of a space: what one parameter, or several that change together, may be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TypeVar

from airflow_slurm_sweep.sweep.conditions import Condition, ValueTest
from airflow_slurm_sweep.sweep.drawn import Drawn
from airflow_slurm_sweep.sweep.overrides import Value, bare_key, shown

_LOOKED_THROUGH = 100_000  # values of a drawn range, for one that a condition names
_SHOWN = 100  # values in a text
_Each = TypeVar("_Each")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A dimension of a space: one parameter, or several that change together."""

    keys: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]] = ()  # the values to choose from, one for each key
    drawn: Drawn | None = None  # or where a search draws them
    had_doubles: bool = False  # whether the sweep file repeats rows; here each stands once
    warning: str = ""  # what is odd in the values, but may be meant

    @classmethod
    def of(cls, keys: tuple[str, ...], rows: Sequence[tuple[Value, ...]]) -> Axis:
        """Return the axis of a list, each of its rows once."""
        found = distinct(rows)
        return cls(keys=keys, rows=found, had_doubles=len(found) < len(rows))

    @property
    def runs_twice(self) -> bool:
        """Whether rows stand twice, as a product has them."""
        return len(distinct(self.rows)) < len(self.rows)

    def once(self) -> Axis:
        """Return the axis with each of its rows once."""
        return Axis.of(self.keys, self.rows) if self.runs_twice else self

    @property
    def count(self) -> float:
        """The number of choices; infinity of numbers between two ends."""
        return self.drawn.count if self.drawn else len(self.rows)

    def at(self, share: float) -> tuple[Value, ...]:
        """Return the choice at a share of the axis, from 0 to below 1."""
        return (
            (self.drawn.at(share),) if self.drawn else self.rows[min(int(share * len(self.rows)), len(self.rows) - 1)]
        )

    def all(self) -> Iterable[tuple[Value, ...]]:
        """Return all choices of a finite axis."""
        return ((value,) for value in self.drawn) if self.drawn else self.rows

    def __str__(self) -> str:
        if self.drawn:
            return str(self.drawn)
        return ", ".join(shown(row[0] if len(row) == 1 else [*row]) for row in islice(self.rows, _SHOWN))

    def without(self, keys: Collection[str]) -> Axis | None:
        """Return the axis of the other keys; None if there are none."""
        kept = [place for place, key in enumerate(self.keys) if bare_key(key) not in keys]
        if len(kept) == len(self.keys):
            return self
        rows = distinct(tuple(row[place] for place in kept) for row in self.rows)
        return Axis(keys=tuple(self.keys[place] for place in kept), rows=rows) if kept else None

    def may_match(self, condition: Condition) -> bool:
        """Tell whether a choice may fulfil a condition's part for this axis."""
        tests = [(place, condition[key]) for place, key in enumerate(self.keys) if key in condition]
        if self.drawn:
            return all(_may_hold(test, self.drawn) for _, test in tests)
        return not tests or any(all(test.holds(row[place]) for place, test in tests) for row in self.rows)


def _may_hold(test: ValueTest, drawn: Drawn) -> bool:
    if test.among is not None:
        return drawn.count != inf and any(test.holds(value) for value in islice(drawn, _LOOKED_THROUGH))
    return (test.above is None or drawn.high > test.above) and (test.below is None or drawn.low < test.below)


def distinct(values: Iterable[_Each]) -> tuple[_Each, ...]:
    """Return each value once, in order; 1, 1.0 and true are three."""
    found: dict[str, _Each] = {}
    for value in values:
        found.setdefault(repr(value), value)
    return tuple(found.values())
