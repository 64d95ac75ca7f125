"""Which files of a folder are sweeps or cluster profiles, and what they are called.

``include/sweeps/a.yaml`` (or ``.yml``) is ``a``, ``include/sweeps/team/a.yaml`` is ``team.a``. What editors and macOS
leave beside them (``.#a.yaml``, ``a.yaml~``, ``._a.yaml``, ``#a.yaml#``) is passed over, and so are hidden folders.
Links to folders are followed, each folder once; one within the folder itself is read by its own name only.
"""

from __future__ import annotations

import os
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
    return path.suffix.lower() in (".yaml", ".yml") and not _is_hidden(path, folder) and not path.is_dir()


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "#")) for part in path.relative_to(folder).parts)


def yaml_files(folder: Path) -> dict[str, list[Path]]:
    """Return a folder's files by name, those of its subfolders too; of several of one name the first counts."""
    found: dict[str, list[Path]] = {}
    for path in sorted(_files_below(folder)):
        if is_read(path, folder):
            found.setdefault(name_of(path, folder), []).append(path)
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    root, seen = folder.resolve(), set[Path]()
    for parent, names, files in os.walk(folder, followlinks=True):
        names.sort()  # of several links to one folder the first counts
        names[:] = [name for name in names if _is_to_read(Path(parent, name), root, seen)]
        yield from (Path(parent, name) for name in files)


def _is_to_read(folder: Path, root: Path, seen: set[Path]) -> bool:
    """Tell whether a folder below another one, ``root``, has not been read by another name; remember it as read."""
    real = folder.resolve()
    has_own_name = folder.is_symlink() and real.is_relative_to(root) and not _is_hidden(real, root)
    if has_own_name or root.is_relative_to(real) or real in seen or folder.name.startswith((".", "#")):
        return False
    seen.add(real)
    return True


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
