"""Which file makes a Dag: two Dag bundles and one Dag id."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.tasks import owners


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two sweep files, in a process that is a dag-processor's."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    found = tmp_path / "one" / "a.yaml", tmp_path / "two" / "a.yaml"
    for file in found:
        file.parent.mkdir()
        file.write_text(f"script_path: {file.parent.name}.py\n")
    return found


def test_the_second_owner_of_a_dag_is_refused_and_both_are_named(sources: tuple[Path, Path]) -> None:
    first, second = sources
    owners.claim("a", first)
    owners.claim("b", second)
    with pytest.raises(SettingsError, match=f"^{second} and {first} make the same Dag 'a'; the latter has it"):
        owners.claim("a", second)
    owners.claim("a", first)


def test_a_dag_whose_owner_is_gone_is_free(sources: tuple[Path, Path]) -> None:
    first, second = sources
    owners.claim("a", first)
    first.unlink()
    owners.claim("a", second)
    assert owners.notes(first.parent) == {}


def test_a_dag_whose_owner_is_no_bundle_any_more_is_free(tmp_path: Path, sources: tuple[Path, Path]) -> None:
    first, second = sources
    owners.claim("a", first)
    note = tmp_path / "slurm_sweep" / "dags" / "a"
    os.utime(note, (0, note.stat().st_mtime - owners.FORGOTTEN - 1))
    owners.claim("a", second)


def test_a_note_keeps_the_text_of_a_file_that_is_gone(sources: tuple[Path, Path]) -> None:
    first, _ = sources
    owners.claim("a", first)
    first.unlink()
    assert owners.notes(first.parent) == {"a": owners.Note(first, "script_path: one.py\n")}
    owners.forget("a")
    assert owners.notes(first.parent) == {}


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe"])
def test_a_damaged_note_is_none(damage: bytes, tmp_path: Path, sources: tuple[Path, Path]) -> None:
    first, second = sources
    owners.claim("a", first)
    (tmp_path / "slurm_sweep" / "dags" / "a").write_bytes(damage)
    assert owners.notes(first.parent) == {}
    owners.claim("a", second)


def test_the_notes_of_a_folder_are_those_of_its_subfolders_too(sources: tuple[Path, Path]) -> None:
    first, second = sources
    owners.claim("one.a", first)
    assert owners.notes(first.parents[1]) == {"one.a": owners.Note(first, "script_path: one.py\n")}
    assert owners.notes(second.parent) == {}


def test_workers_note_nothing(sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sources
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "a")
    owners.claim("a", first)
    owners.claim("a", second)
    assert owners.notes(first.parent) == {}


def test_a_run_in_an_old_version_of_its_bundle_takes_no_dag(
    tmp_path: Path, sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dag-processor reads the run's version for its callbacks, beside the version that it tracks."""
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "store"))
    old = tmp_path / "store" / "git" / "versions" / "1f0c" / "include" / "a.yaml"
    old.parent.mkdir(parents=True)
    old.touch()
    owners.claim("a", sources[0])
    owners.claim("a", old)
    owners.claim("a", sources[0])
