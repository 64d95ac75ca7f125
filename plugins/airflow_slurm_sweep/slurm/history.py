"""A job's metrics over its steps, in bounded room: what is dropped are points between the extremes, so the shape stays.

{"loss": [[0, 10, 20], [2.3, 0.71, 0.64]]}        # steps and values
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

METRICS = 8  # of one job
POINTS = 200  # of one metric, where a job has at most four metrics
_POINTS_IN_ALL = 800  # of one job: some 10 KiB as JSON
_POINT_BYTES = 16  # as JSON, about
_LARGEST_COUNT = 1e12  # whole numbers up to here have all their digits

Curve: TypeAlias = tuple[Sequence[float], Sequence[float]]  # steps in rising order, and values


class History:
    """The first `METRICS` metrics of a job; ``first`` is the name of one that is always among them."""

    def __init__(self, first: str = "") -> None:
        self._first = first
        self._curves: dict[str, tuple[array[float], array[float]]] = {}

    def add(self, name: str, step: float, value: float) -> None:
        """Take a finite value; one of the same step is replaced."""
        if name not in self._curves:
            if len(self._curves) == METRICS:
                if name != self._first:
                    return
                self._curves.popitem()
            self._curves[name] = array("d"), array("d")
        steps, values = self._curves[name]
        place = bisect_left(steps, step)
        if place < len(steps) and steps[place] == step:
            values[place] = value
            return
        steps.insert(place, step)
        values.insert(place, value)
        if len(steps) > 2 * POINTS:
            thinner = thinned((steps, values), POINTS)
            self._curves[name] = array("d", thinner[0]), array("d", thinner[1])

    @property
    def names(self) -> list[str]:
        """The metrics, ``first`` before the others."""
        return sorted(self._curves, key=lambda name: name != self._first)

    def curve(self, name: str, points: int) -> list[list[float]]:
        """Return steps and values of a metric as plain data, at most that many."""
        steps, values = thinned(self._curves[name], points)
        return [[int(step) if step.is_integer() else step for step in steps], [_short(value) for value in values]]

    def empty(self) -> History:
        """Return a history without points."""
        return History(self._first)

    def to_json(self) -> dict[str, Any]:
        """Return all curves as plain data."""
        points = min(POINTS, _POINTS_IN_ALL // max(1, len(self._curves)))
        return {name: self.curve(name, points) for name in self.names}


def thinned(curve: Curve, points: int) -> Curve:
    """Return at most ``points`` of a curve's points: of each of equally wide ranges of steps the least and the largest.

    The first and the last stay. A curve that grows, and is thinned again and again, stays equally dense everywhere.
    """
    steps, values = curve
    if len(steps) <= points:
        return curve
    if points < 4:
        return steps[-1:], values[-1:]
    buckets = (points - 2) // 2
    width = (steps[-1] - steps[0]) / buckets
    extremes: dict[int, tuple[int, int]] = {}
    for place, (step, value) in enumerate(zip(steps, values, strict=True)):
        bucket = min(buckets - 1, int((step - steps[0]) / width))
        least, most = extremes.get(bucket, (place, place))
        extremes[bucket] = (place if value < values[least] else least, place if value > values[most] else most)
    kept = sorted({place for pair in extremes.values() for place in pair} | {0, len(steps) - 1})
    return [steps[place] for place in kept], [values[place] for place in kept]


def fitted(jobs: Mapping[int, tuple[History, Mapping[str, float]]], room: int) -> dict[str, dict[str, Any]]:
    """Return the curves of many jobs in ``room`` bytes of JSON, by metric and map index; nothing if they do not fit.

    Where room is short, there are fewer points, then fewer metrics. ``jobs`` has the history and the latest values by
    map index. A metric without steps has its latest value, and no step. Where the latest value is not the last of the
    curve, it is a third list, which is empty where the metric has none.
    """
    for most in (METRICS, 4, 2, 1):
        names = {index: [*dict.fromkeys((*each.names, *latest))][:most] for index, (each, latest) in jobs.items()}
        count = sum(map(len, names.values()))
        points = room // (_POINT_BYTES * max(1, count)) - 1  # the room of one is for the names
        if points > 0:
            break
    else:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for index, (each, latest) in jobs.items():
        for name in names[index]:
            last = [_short(latest[name])] if name in latest else []
            found.setdefault(name, {})[str(index)] = _with_last(each, name, last, points)
    return found


def _with_last(history: History, name: str, last: list[float], points: int) -> list[list[float]]:
    """Return a metric's curve and its latest value in the room of ``points``: a job may diverge, or go back a step."""
    if name in history.names:
        curve = history.curve(name, points)
        if curve[1][-1:] == last:
            return curve
        if points > 1:
            return [*history.curve(name, points - 1), last]
    return [[], last]


def is_curve(value: object) -> bool:
    """Whether a value from elsewhere is a curve as `fitted` and `History.to_json` write it."""
    match value:
        case [list(steps), list(values)] | [list(steps), list(values), [] | [_]]:
            numbers = [number for each in value for number in each]
            return len(values) > 0 and len(steps) in (0, len(values)) and all(map(_is_number, numbers))
    return False


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _short(value: float) -> float:
    is_count = abs(value) < _LARGEST_COUNT and float(value).is_integer()
    return value if is_count else float(f"{value:.6g}")
