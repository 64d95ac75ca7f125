"""Which of a sweep's combinations a run has."""

from __future__ import annotations


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
