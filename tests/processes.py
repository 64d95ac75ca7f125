"""A pytest plugin: a test run leaves no process behind, whether it ends by itself, on Ctrl-C or on SIGTERM.

The fixtures stop what they started. This is for what they cannot stop: pytest-xdist gives its workers 10 s after an
interruption, too few to stop an Airflow, and a daemon that has left its session has init as its parent. pytest therefore
forks before it starts anything: the child runs the tests; the parent adopts and buries all orphans of its descendants
(PR_SET_CHILD_SUBREAPER), hands signals on, and at the end stops what is left. What is left after a run that nobody
interrupted is a bug of a test, and fails the run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import pytest

from sandbox.processes import send, title, tree, wait_until

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
STOP_SECONDS = 5.0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Go on in a child; in it, and in pytest-xdist's workers, tear fixtures down on SIGTERM as on Ctrl-C."""
    is_worker = hasattr(config, "workerinput")  # one of pytest-xdist's
    if not is_worker and not config.option.usepdb:  # the debugger wants the terminal for itself
        if child := os.fork():
            _supervise(child, config)
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the parent alone, which hands it on
        _prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it


def _supervise(child: int, config: pytest.Config) -> NoReturn:
    """Wait for the child's end, stop what it left, and exit as it did."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    with suppress(OSError):
        os.setpgid(child, child)  # as the child does: whoever comes first

    def interrupt(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    pid = status = 0
    while pid != child:
        pid, status = os.wait()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(status)
    left = sorted(map(title, _descendants()))
    send(signal.SIGTERM, _descendants())
    wait_until(lambda: not _descendants(), STOP_SECONDS)
    wait_until(_kill_the_rest, STOP_SECONDS)
    if left and code != pytest.ExitCode.INTERRUPTED:
        config.pluginmanager.getplugin("capturemanager").suspend_global_capture(in_=True)
        print("The tests left processes, stopped now:", *left, sep="\n  ", file=sys.stderr, flush=True)
        code = code or int(pytest.ExitCode.TESTS_FAILED)
    os._exit(code if code >= 0 else 128 - code)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _descendants() -> set[int]:
    """All living descendants; the dead ones are buried."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return set()
    return tree([os.getpid()]) - {os.getpid()}


def _kill_the_rest() -> bool:
    left = _descendants()
    send(signal.SIGKILL, left)
    return not left
