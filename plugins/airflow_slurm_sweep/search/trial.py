"""A trial: a combination that a search has proposed, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class State(Enum):
    """What a search makes of a trial."""

    RUNNING = "running"  # also one whose job waits
    ENDED = "ended"  # with a value; without one it counts as the worst
    STOPPED = "stopped early"  # with the value that it had then
    LEFT_OUT = "left out"  # cancelled, or lost with its node: it says nothing of its parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A trial; ``value`` is of the objective, None where the job left no finite one.

    ``step`` is where it was stopped.
    """

    parameters: Mapping[str, Any]
    state: State
    value: float | None = None
    step: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether it says something of its parameters."""
        return self.state in (State.ENDED, State.STOPPED)
