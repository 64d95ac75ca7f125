"""Parameters whose values a search draws: named as Optuna and NumPy name them, both ends included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, floor, inf, log, log10

WHOLE = ("int", "logint")
LOGARITHMIC = ("loguniform", "logint")
_DIGITS = 6  # of a drawn number: enough to tell values apart, and the same on each machine
_DIGITS_OF_STEPS = 12
_OF_WIDTH = 4  # so that those of a range as narrow as 1000000 to 1000001 differ, too
_MOST_DIGITS = 17  # which tell all floats apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A range of numbers: ``{loguniform: [1e-7, 1e-4]}``; only ``uniform`` and ``int`` may have a ``step``."""

    word: str
    low: float
    high: float
    step: float | None = None

    @property
    def count(self) -> float:
        """How many values there are."""
        if self.word in WHOLE or self.step:
            return round((self.high - self.low) / (self.step or 1)) + 1
        return inf

    def at(self, share: float) -> float:
        """Return the value at a share of the range (of its logarithm for logarithmic ones), from 0 to below 1."""
        if self.word == "logint":
            low, high = log(self.low - 0.5), log(self.high + 0.5)
            return min(max(round(exp(low + share * (high - low))), self.low), self.high)
        if self.count != inf:
            return self.nth(min(int(share * self.count), int(self.count) - 1))
        if self.word == "loguniform":
            value = exp(log(self.low) + share * (log(self.high) - log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return self.nearest(value)

    def nearest(self, value: float) -> float:
        """Return the value of the range that is nearest to a number within it."""
        if self.word == "logint":
            return round(value)
        if self.count != inf:
            return self.nth(self.place(value))
        rounded = _rounded(value, _DIGITS, self.high - self.low)
        return min(max(rounded, float(self.low)), float(self.high))

    def __iter__(self) -> Iterator[float]:
        """Yield all values of a finite range."""
        return map(self.nth, range(int(self.count)))

    def __str__(self) -> str:
        step = f", step: {self.step:.12g}" if self.step else ""
        return f"{{{self.word}: [{self.low:.12g}, {self.high:.12g}]{step}}}"

    def place(self, value: float) -> int:
        """Return which value of a finite range is nearest to a number, from 0."""
        return round((value - self.low) / (self.step or 1))

    def nth(self, number: int) -> float:
        """Return the value at a place of a finite range."""
        value = self.low + number * (self.step or 1)
        return value if self.word in WHOLE else _rounded(value, _DIGITS_OF_STEPS, self.step or 1)


def _rounded(value: float, digits: int, width: float) -> float:
    """Return a number with that many digits, or with more where `_OF_WIDTH` digits of the width need them."""
    if value:
        digits = max(digits, _OF_WIDTH + floor(log10(abs(value))) - floor(log10(width)))
    return float(f"{value:.{min(digits, _MOST_DIGITS)}g}")
