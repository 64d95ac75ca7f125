"""The mean result of a sweep by each parameter's value, which the report and the page show. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, hypot, isfinite, sqrt

LEAST = 8  # combinations with a result: means of fewer say little


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """The results of the combinations that have one value of a parameter.

    Attributes:
        parameter: Its key.
        value: As text.
        number: How many combinations.
        mean: Of their results.
        spread: Their `deviation`.
    """

    parameter: str
    value: str
    number: int
    mean: float
    spread: float | None


def means(results: Sequence[tuple[Mapping[str, str], float]]) -> list[Mean]:
    """Return the mean result by each value of each parameter; none for fewer than `LEAST` results.

    ``results`` has each combination's parameters, as text, and its value of the objective. A parameter that has the
    same value everywhere, or whose values stand in less than two combinations on average, is left out.
    """
    found: list[Mean] = []
    if len(results) < LEAST:
        return found
    for key in dict.fromkeys(key for parameters, _ in results for key in parameters):
        groups: dict[str, list[float]] = defaultdict(list)
        for parameters, result in results:
            if key in parameters:
                groups[parameters[key]].append(result)
        if 1 < len(groups) <= sum(map(len, groups.values())) / 2:
            found += [_mean_of(key, value, groups[value]) for value in _in_order(groups)]
    return found


def _mean_of(key: str, value: str, results: Sequence[float]) -> Mean:
    return Mean(parameter=key, value=value, number=len(results), mean=mean(results), spread=deviation(results))


def _in_order(values: Mapping[str, object]) -> list[str]:
    """Return numbers from the least to the largest, other values in the sweep's order."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return [*values]


def mean(values: Sequence[float]) -> float:
    """Return the mean (the module statistics takes long to import); results that diverged do not overflow."""
    return fsum(value / len(values) for value in values)


def deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a sample; None for a single value, and where it is no finite number."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return finite(hypot(*(value - middle for value in values)) / sqrt(len(values) - 1))


def finite(number: float) -> float | None:
    """Return the number if it is finite: JSON has no other."""
    return number if isfinite(number) else None
