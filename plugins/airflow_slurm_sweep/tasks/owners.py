"""Which file of which Dag bundle makes a Dag, as the dag-processor notes it in Airflow's home.

Airflow lets the bundle that it read last have a Dag id, without a word. Here the first source keeps it, and a second is
an error, unless the first file is gone, or belongs to no bundle any more. A note also keeps the sweep file's text: if
the file is missing or broken, an unfinished run needs its Dag, or Airflow schedules nothing of the run.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from airflow.dag_processing.bundles.base import get_bundle_storage_root_path

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import APPROVE, REPORT
from airflow_slurm_sweep.sweep.files import is_read
from airflow_slurm_sweep.tasks.internals import is_dag_processor

FORGOTTEN = 600.0  # seconds; Airflow reads each Dag file more often
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")

log = logging.getLogger(__name__)


class Note(NamedTuple):
    """What makes a Dag: a sweep file and the text that it had when it last loaded; or an include folder."""

    source: Path
    text: str


def claim(dag_id: str, source: Path) -> None:
    """Note that ``source``, a sweep file or an include folder, makes a Dag. Only the dag-processor does.

    Raises:
        SettingsError: Another bundle's source makes a Dag of that id.
    """
    path, source = _folder() / dag_id, source.resolve()
    if not is_dag_processor() or _is_old_version(source):
        return
    try:
        owner = _owner(path)
        if owner in (None, source):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f"{path.name}~{os.getpid()}")
            new.write_bytes(f"{source}\n".encode() + (source.read_bytes() if source.is_file() else b""))
            new.replace(path)
            return
    except OSError as error:
        log.warning("Cannot note which Dag bundle makes the Dag %s: %s", dag_id, error)
        return
    raise SettingsError(
        f"{source} and {owner} make the same Dag {dag_id!r}; the latter has it. Rename one, or give the Dags of one "
        "bundle a prefix: sweep_dags(..., prefix='team_') in each of its Dag files"
    )


def notes(folder: Path) -> dict[str, Note]:
    """Return the notes of the Dags that sweep files of a folder make, or made, by Dag id."""
    found = {path.name: _read(path) for path in _folder().glob("*") if "~" not in path.name}
    return {dag_id: note for dag_id, note in found.items() if note and is_read(note.source, folder.resolve())}


def forget(dag_id: str) -> None:
    """Delete the note of a Dag."""
    (_folder() / dag_id).unlink(missing_ok=True)


def unfinished_runs(dag_id: str) -> list[Collection[str]]:
    """Return which of report and approve each run of the Dag has that has not come to its report.

    The dag-processor may ask for no more than that.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415  # no Dag file needs it

    runs = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[REPORT, APPROVE])
    return [list(tasks) for tasks in runs.values() if REPORT in tasks and tasks[REPORT] not in _ENDED]


def _is_old_version(source: Path) -> bool:
    """Tell whether the source is the version of a bundle that a run began with: read for the run's callbacks."""
    root = get_bundle_storage_root_path().resolve()
    return source.is_relative_to(root) and source.relative_to(root).parts[1:2] == ("versions",)


def _folder() -> Path:
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "slurm_sweep" / "dags"


def _read(path: Path) -> Note | None:
    try:
        source, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return Note(Path(source), text) if source else None  # empty: after a power cut


def _owner(path: Path) -> Path | None:
    note = _read(path)
    is_current = note and note.source.exists() and time.time() - path.stat().st_mtime < FORGOTTEN
    return note.source if note and is_current else None
