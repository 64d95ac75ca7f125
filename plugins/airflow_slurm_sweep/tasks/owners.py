"""Which Dag bundle makes a Dag: Airflow lets the bundle that it read last have the id, without a word.

The dag-processor notes each Dag's source in Airflow's home. The first source keeps the Dag; a second one is an error,
unless the first is gone, or no bundle's any more.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.tasks.internals import is_dag_processor

FORGOTTEN = 600.0  # seconds; Airflow reads each Dag file more often

log = logging.getLogger(__name__)


def claim(dag_id: str, source: Path, home: Path | None = None) -> None:
    """Note that ``source``, a sweep file or an include folder, makes a Dag. Only the dag-processor does.

    Raises:
        SettingsError: Another bundle's source makes a Dag of that id.
    """
    if home is None and not is_dag_processor():
        return
    home = home or Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    note, source = home / "slurm_sweep" / "dags" / dag_id, source.resolve()
    try:
        owner = _owner(note)
        if owner in (None, source):
            note.parent.mkdir(parents=True, exist_ok=True)
            new = note.with_name(f"{note.name}~{os.getpid()}")
            new.write_text(str(source))
            new.replace(note)
            return
    except OSError as error:
        log.warning("Cannot note which Dag bundle makes the Dag %s: %s", dag_id, error)
        return
    raise SettingsError(
        f"{source} and {owner} make the same Dag {dag_id!r}; the latter has it. Rename one, or give the Dags of one "
        "bundle a prefix: sweep_dags(..., prefix='team_') in each of its Dag files"
    )


def _owner(note: Path) -> Path | None:
    try:
        owner, age = Path(note.read_text()), time.time() - note.stat().st_mtime
    except FileNotFoundError:
        return None
    return owner if owner.exists() and age < FORGOTTEN else None
