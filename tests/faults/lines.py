"""A pytest plugin: what the faults came to is shown at the end of the test run, whichever process ran the tests."""

from __future__ import annotations

import pytest

PROPERTY = "faults"
_lines: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember a test's lines."""
    if report.when == "teardown":
        _lines.extend(str(line) for name, line in report.user_properties if name == PROPERTY)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show all lines."""
    if _lines:
        terminalreporter.section("faults")
        for line in _lines:
            terminalreporter.write_line(line)
