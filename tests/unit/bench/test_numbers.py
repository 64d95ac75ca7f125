"""Percentiles and growth."""

from __future__ import annotations

import math

import pytest

from bench.numbers import growth, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3, 1, 2], 50, 2),
        ([4, 1, 2, 3], 50, 2),
        (range(1, 101), 95, 95),
        (range(1, 21), 95, 19),
        ([7], 95, 7),
        ([7], 0, 7),
        ([1, 2], 100, 2),
    ],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 50))


@pytest.mark.parametrize(
    ("sizes", "costs", "expected"),
    [
        ([100, 1000], [10, 100], 1),
        ([100, 1000, 3000], [10, 77, 9000], 2),
        ([1000, 100], [100, 10], 1),
        ([10, 20], [5, 5], 0),
    ],
)
def test_growth(sizes: list[int], costs: list[float], expected: float) -> None:
    assert growth(sizes, costs) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("sizes", "costs"), [([], []), ([5], [1]), ([5, 5], [1, 2]), ([1, 2], [0, 1])])
def test_growth_of_too_little(sizes: list[int], costs: list[float]) -> None:
    assert math.isnan(growth(sizes, costs))
