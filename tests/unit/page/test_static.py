"""The page's own files; npm checks the JavaScript besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_slurm_sweep import page

FILES = sorted((Path(page.__file__).parent / "static").iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_lines_and_files_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []
    assert len(lines) <= 300
