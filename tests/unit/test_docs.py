"""What the documentation promises exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slurm_sweep.tasks.check import CHECKS

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
TABLE = (DOCS / "launcher.md").read_text()
SHOWN_BY = re.findall(
    r"`((?:unit|integration)/\S+::\w+)`",
    TABLE + (DOCS / "security.md").read_text() + (DOCS / "operations.md").read_text(),
)


@pytest.mark.parametrize("name", sorted(set(SHOWN_BY)))
def test_every_claim_names_a_test_that_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert f"def {function}(" in (TESTS / path).read_text()


def test_the_checks_of_a_cluster_are_all_shown() -> None:
    shown = re.findall(r"^(?:ok|FAILED) +(.+?)  ", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert shown == list(CHECKS)


def test_every_row_has_a_test() -> None:
    rows = [line for line in TABLE.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 20
    assert [row for row in rows if "::" not in row] == []
