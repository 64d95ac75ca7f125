"""Points that fill a space evenly, however many are taken: the R_d sequence, an additive recurrence.

Martin Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences". The first points
are the same however many are taken: a search with more trials begins with the trials that it had.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import count


def points(dimensions: int, seed: int) -> Iterator[tuple[float, ...]]:
    """Yield points of the unit cube, each coordinate from 0 to below 1, without end."""
    root = 2.0  # of x ** (dimensions + 1) = x + 1
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = [root ** -(number + 1) for number in range(dimensions)]
    starts = [int(sha256(f"{seed} {number}".encode()).hexdigest()[:13], 16) / 16**13 for number in range(dimensions)]
    for number in count(1):
        yield tuple((start + number * step) % 1.0 for start, step in zip(starts, steps, strict=True))
