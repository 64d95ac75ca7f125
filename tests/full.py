"""Whether this is `scripts/test --all`, and what costs less time where it is not."""

from __future__ import annotations

import os

FULL = os.environ.get("FAULTS") == "full"


def examples(number: int) -> int:
    """Return how many examples a property is tried with: ``number`` with --all, else a fifth."""
    return number if FULL else max(20, number // 5)
