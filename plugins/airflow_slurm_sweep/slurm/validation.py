"""What a value must be for a shell, a file name, Slurm and the record to carry it unharmed."""

from __future__ import annotations

import re

# Options of sbatch that are fields of `JobRequest`, or with which record.sh could not keep its promises.
OUR_OPTIONS = frozenset(
    {
        "account", "array", "chdir", "clusters", "error", "export", "export-file", "help", "job-name", "nodes",
        "output", "parsable", "partition", "test-only", "time", "usage", "version", "wait", "wrap",
    }
)  # fmt: skip


def our_option(name: str) -> str | None:
    """Return which of `OUR_OPTIONS` sbatch understands ``name`` as; it takes abbreviations too. None if it is none."""
    return next((ours for ours in sorted(OUR_OPTIONS) if ours.startswith(name)), None)


def expect(is_met: object, subject: str, value: object, expectation: str) -> None:
    """Raise ValueError with subject, value and expectation, unless ``is_met``."""
    if not is_met:
        shown = repr(value)
        raise ValueError(f"{subject}: expected {expectation}, got {shown if len(shown) < 200 else shown[:200] + '…'}")


def is_line(value: object) -> bool:
    """Whether the value is printable text on one line."""
    return isinstance(value, str) and value != "" and value.isprintable()


def is_text(value: object) -> bool:
    """Whether the value is text that a shell can carry: UTF-8 without NUL."""
    try:
        return isinstance(value, str) and "\0" not in value and value.encode() is not None
    except UnicodeEncodeError:
        return False


def is_count(value: object, least: int) -> bool:
    """Whether the value is a whole number, ``least`` or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_directory(subject: str, path: object) -> None:
    """Raise ValueError unless the value is the path of a directory as record.sh takes it."""
    fits = is_line(path) and re.fullmatch(r"/[^\\]*[^\\/]", str(path))
    expect(fits, subject, path, "an absolute path, printable, without backslashes and without a slash at its end")
