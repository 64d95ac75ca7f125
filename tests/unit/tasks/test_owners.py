"""Two Dag bundles and one Dag id."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.tasks.owners import FORGOTTEN, claim


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    found = []
    for bundle in ("one", "two"):
        (tmp_path / bundle).mkdir()
        found.append(tmp_path / bundle / "a.yaml")
        found[-1].touch()
    return found[0], found[1]


def test_the_second_owner_of_a_dag_is_refused_and_both_are_named(tmp_path: Path, sources: tuple[Path, Path]) -> None:
    first, second = sources
    claim("a", first, tmp_path)
    claim("b", second, tmp_path)
    with pytest.raises(SettingsError, match=f"^{second} and {first} make the same Dag 'a'; the latter has it"):
        claim("a", second, tmp_path)
    claim("a", first, tmp_path)


def test_a_dag_whose_owner_is_gone_is_free(tmp_path: Path, sources: tuple[Path, Path]) -> None:
    first, second = sources
    claim("a", first, tmp_path)
    first.unlink()
    claim("a", second, tmp_path)


def test_a_dag_whose_owner_is_no_bundle_any_more_is_free(tmp_path: Path, sources: tuple[Path, Path]) -> None:
    first, second = sources
    claim("a", first, tmp_path)
    note = tmp_path / "slurm_sweep" / "dags" / "a"
    os.utime(note, (0, note.stat().st_mtime - FORGOTTEN - 1))
    claim("a", second, tmp_path)
