"""A thread that looks at something again and again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sandbox.processes import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable


class Sampler(threading.Thread):
    """Calls a function again and again until it is stopped; what it cannot ask just now is left out."""

    def __init__(self, look: Callable[[], None], interval: float) -> None:
        super().__init__(daemon=True)
        self._look = look
        self._interval = interval
        self._ended = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        while not self._ended.wait(self._interval):
            try:
                self._look()
            except (OSError, SandboxError):
                continue

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self._ended.set()
        self.join()
