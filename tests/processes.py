"""A pytest plugin: a test run leaves no process behind, whether it ends by itself, on Ctrl-C or on SIGTERM.

The fixtures stop what they started. This is for what they cannot: pytest-xdist gives its workers 10 s after an
interruption, too few to stop an Airflow, and a daemon that has left its session has init as its parent. The main
process therefore adopts all orphans of its descendants (PR_SET_CHILD_SUBREAPER), and at its end stops every descendant.
What is left after a run that nobody interrupted is a bug of a test, and fails the run.
"""

from __future__ import annotations

import ctypes
import os
import signal

import pytest

from sandbox.processes import send, title, tree, wait_until

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
STOP_SECONDS = 5.0
_left: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Adopt orphans; take SIGTERM for Ctrl-C, so that fixtures are torn down."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    if _is_main(config) and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


@pytest.hookimpl(trylast=True)  # behind the fixtures' end, and the workers'
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Stop all descendants."""
    if not _is_main(session.config):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        left = _descendants()
        _left.extend(sorted(title(pid) for pid in left))
        send(signal.SIGTERM, left)
        wait_until(lambda: not _descendants(), STOP_SECONDS)
        wait_until(_kill_the_rest, STOP_SECONDS)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if _left and exitstatus != pytest.ExitCode.INTERRUPTED:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left."""
    if _left:
        terminalreporter.section("processes that the tests left, stopped now")
        for name in _left:
            terminalreporter.write_line(name[:200])


def _is_main(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")  # pytest-xdist's workers have it


def _descendants() -> set[int]:
    return tree([os.getpid()]) - {os.getpid()}


def _kill_the_rest() -> bool:
    left = _descendants()
    send(signal.SIGKILL, left)
    return not left
