"""Which values and texts are numbers that count."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

_LARGEST_STEP = 1e15


def is_finite(value: object) -> bool:
    """Return whether a value is a number, neither NaN nor infinite, nor true or false."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def is_step(value: object) -> bool:
    """Return whether a value can be a step."""
    return is_finite(value) and abs(value) < _LARGEST_STEP  # type: ignore[arg-type]


def numbers(columns: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the cells that are numbers; Lightning leaves those empty that a row does not have."""
    for name, cell in zip(columns, cells, strict=True):
        with suppress(ValueError):
            yield name, float(cell) if not cell.strip().isdecimal() else int(cell)


def is_number(text: str) -> bool:
    """Return whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
