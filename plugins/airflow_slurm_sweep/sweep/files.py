"""Which files of a folder are sweeps or cluster profiles, and what they are called.

``include/sweeps/a.yaml`` (or ``.yml``) is ``a``, ``include/sweeps/team/a.yaml`` is ``team.a``. What editors and macOS
leave beside them (``.#a.yaml``, ``a.yaml~``, ``._a.yaml``, ``#a.yaml#``) is passed over, and so are hidden folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from airflow_slurm_sweep.errors import Fault, SweepFileError
from airflow_slurm_sweep.names import CHECK, LAUNCH

_DAG_ID = re.compile(r"[\w.-]{1,250}", re.ASCII)


def is_read(path: Path, folder: Path) -> bool:
    """Tell whether a file of a folder is one that people mean to be read."""
    if not path.is_relative_to(folder):
        return False
    is_hidden = any(part.startswith((".", "#")) for part in path.relative_to(folder).parts)
    return path.suffix.lower() in (".yaml", ".yml") and not is_hidden and not path.is_dir()


def yaml_files(folder: Path) -> dict[str, list[Path]]:
    """Return a folder's files by name, those of its subfolders too; of several of one name the first counts."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if is_read(path, folder):
            found.setdefault(name_of(path, folder), []).append(path)
    return found


def name_of(path: Path, folder: Path) -> str:
    """Return what a file of a folder is called."""
    return ".".join(path.relative_to(folder).with_suffix("").parts)


def root_of(path: Path, name: str) -> Path:
    """Return the nearest folder of that name that a file is in, or else the file's own folder."""
    return next((parent for parent in path.parents if parent.name == name), path.parent)


def check_dag_id(path: Path, folder: Path, source: str, prefix: str = "") -> str:
    """Return the id of a sweep file's Dag.

    Raises:
        SweepFileError: The file's name cannot be one, or another file has it.
    """
    name = name_of(path, folder)
    if not _DAG_ID.fullmatch(prefix + name):
        problem = f"expected a file name of letters, digits and _ . -, since it names the Dag, got {name!r}"
        raise SweepFileError(source, [Fault(problem=problem)])
    if name in (LAUNCH, CHECK):
        raise SweepFileError(source, [Fault(problem=f"the name {name!r} is reserved; rename the file")])
    return prefix + name


def doubles(files: dict[str, list[Path]], folder: Path) -> Iterator[tuple[Path, Fault]]:
    """Yield each file that has the name of another, with what is wrong."""
    for name, (first, *others) in files.items():
        for path in others:
            problem = f"{first.relative_to(folder)} has the name {name!r} too, and is read instead; rename one of them"
            yield path, Fault(problem=problem)
