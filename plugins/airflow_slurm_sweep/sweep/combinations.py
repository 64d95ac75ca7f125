"""The combinations of a sweep: the product of its parameters' values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from airflow_slurm_sweep.sweep.overrides import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One value for each parameter; ``index`` counts from 1."""

    index: int
    parameters: Mapping[str, Value]


def expand(parameters: Mapping[str, Sequence[Value]]) -> Iterator[Combination]:
    """Yield all combinations in the file's order, the last parameter changing fastest."""
    for index, values in enumerate(product(*parameters.values()), start=1):
        yield Combination(index=index, parameters=dict(zip(parameters, values, strict=True)))


def select(only: str, total: int) -> set[int]:
    """Return the indices that a text of the type `Only`, such as ``1-4,9``, names.

    Raises:
        ValueError: It names one that is not among 1 to ``total``.
    """
    chosen: set[int] = set()
    for part in only.split(","):
        first, _, last = part.partition("-")
        begin, end = int(first), int(last or first)
        if not 1 <= begin <= end <= total:
            raise ValueError(f"only: expected indices from 1 to {total} such as 1-4,9, got {part.strip()!r}")
        chosen.update(range(begin, end + 1))
    return chosen
