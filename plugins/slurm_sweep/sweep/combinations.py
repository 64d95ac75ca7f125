"""The combinations of a sweep: the product of its parameters' values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from slurm_sweep.sweep.overrides import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One value for each parameter; ``index`` counts from 1."""

    index: int
    parameters: Mapping[str, Value]


def expand(parameters: Mapping[str, Sequence[Value]]) -> Iterator[Combination]:
    """Yield all combinations in the file's order, the last parameter changing fastest."""
    for index, values in enumerate(product(*parameters.values()), start=1):
        yield Combination(index=index, parameters=dict(zip(parameters, values, strict=True)))
