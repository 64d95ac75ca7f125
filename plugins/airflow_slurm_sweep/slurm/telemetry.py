"""What is counted while jobs are submitted and waited for, whoever collects it."""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Takes figures about one cluster; must not wait, and must not fail."""

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter."""

    def gauge(self, name: str, value: int) -> None:
        """Set a number that goes up and down."""

    def time(self, name: str, seconds: float) -> None:
        """Tell how long something took."""


class NoMetrics:
    """Nobody collects."""

    def count(self, name: str, number: int = 1) -> None:
        """Do nothing."""

    def gauge(self, name: str, value: int) -> None:
        """Do nothing."""

    def time(self, name: str, seconds: float) -> None:
        """Do nothing."""


NO_METRICS = NoMetrics()
