"""What the documentation promises exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "launcher.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:unit|integration)/\S+::\w+)`", TABLE))))
def test_every_row_of_the_launchers_table_names_a_test_that_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert f"def {function}(" in (TESTS / path).read_text()


def test_every_row_has_a_test() -> None:
    rows = [line for line in TABLE.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 20
    assert [row for row in rows if "::" not in row] == []
