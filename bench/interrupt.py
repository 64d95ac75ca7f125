"""A clean end on Ctrl-C and SIGTERM."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from bench.say import say


def until_interrupted(work: Callable[[], int]) -> int:
    """Do the work and return its exit code; Ctrl-C and SIGTERM stop everything that it started, and return 130."""
    signal.signal(signal.SIGINT, _stop_once)
    signal.signal(signal.SIGTERM, _stop_once)
    try:
        return work()
    except KeyboardInterrupt:
        say("interrupted; everything is stopped")
        return 130


def _stop_once(*_: int | FrameType | None) -> NoReturn:
    """End everything; an impatient second signal must not disturb that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
