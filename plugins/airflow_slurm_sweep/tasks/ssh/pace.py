"""How often a process logs in at a host: sites lock out whoever comes too often."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

PER_MINUTE = 6
APART = 1.0  # seconds


class LoginPace:
    """Lets a process begin a login at most every ``apart`` seconds, and ``per_minute`` in any minute, at each host."""

    def __init__(
        self, per_minute: int = PER_MINUTE, apart: float = APART, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._apart, self._clock = apart, clock
        self._begun: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=per_minute))
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()  # a process may have several event loops

    def reserve(self, host: str) -> float:
        """Return in how many seconds the next login at ``host`` may begin; it counts as begun then."""
        with self._lock:
            now, begun = self._clock(), self._begun[host]
            start = max(now, self._last.get(host, -self._apart) + self._apart)
            if len(begun) == begun.maxlen:
                start = max(start, begun[0] + 60)
            begun.append(start)
            self._last[host] = start
            return start - now

    def give_back(self, host: str) -> None:
        """Take the last login out of those of the minute: no SSH server was reached."""
        with self._lock:
            self._begun[host].pop()


PACE = LoginPace()
