"""Arithmetic on measured values."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed (nearest rank); nan if there is none."""
    if not values:
        return math.nan
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def growth(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """The exponent of the cost's growth with the size, from the smallest to the largest size: 1 is linear, 2 quadratic.

    Nan unless there are two different sizes, with costs above 0.
    """
    points = sorted(zip(sizes, costs, strict=True))
    if len(points) < 2 or points[0][0] == points[-1][0] or min(points[0][1], points[-1][1]) <= 0:
        return math.nan
    (small, cost), (large, more) = points[0], points[-1]
    return math.log(more / cost) / math.log(large / small)
