"""The names of runs, BASE, BASE_run2, BASE_run3 ...: each Dag run reserves one on the cluster; see runs.sh."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from airflow_slurm_sweep.names import COMBINATION, RECORD, RESERVATIONS, STATE_DIR, STOP
from airflow_slurm_sweep.slurm.shell import script

BASE, NUMBER = "\0", "\1"
"""In `RunNames.run_dirs`: the name of a run, and any number."""

_SHELL = "\n".join(
    file.read_text(encoding="utf-8")
    for file in (Path(__file__).parents[1] / "submit" / "record.sh", Path(__file__).with_name("runs.sh"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNames:
    """What the runs of a sweep may be called, and where their run directories are: patterns of absolute paths."""

    base: str
    run_dirs: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise ValueError where all runs would have the same directories."""
        if not all(BASE in path for path in self.run_dirs):
            raise ValueError("the preset's run_dir: expected {job_name} or {base} in it, so that each run has its own")

    @property
    def root(self) -> str:
        """The folder that has the run directories of all runs."""
        return re.split(f"[{BASE}{NUMBER}]", self.run_dirs[0])[0].rpartition("/")[0]


def reserve(names: RunNames, run: str, *, only_base: bool = False) -> str:
    """Return the script that prints the name of a Dag run, `Attempt.run`, and reserves it; a cleared plan asks again.

    ``only_base``: the script fails if another Dag run has the base.
    """
    return _script(names, "reserve", {"run": run, "only_base": "yes" if only_base else ""})


def list_runs(names: RunNames, dag: str) -> str:
    """Return the script that lists the run directories of a Dag's runs; `dag` is how `Attempt.run` begins."""
    return _script(names, "list_runs", {"run": dag})


def _script(names: RunNames, function: str, values: Mapping[str, str]) -> str:
    files = {"state_name": STATE_DIR, "record_name": RECORD, "combination_name": COMBINATION, "stop_name": STOP}
    values = {**files, "folder": f"{names.root}/{RESERVATIONS}", "base": names.base, **values}
    run_dirs = " ".join(map(_word, names.run_dirs))
    return script(
        _SHELL,
        " ".join(f"{name}={quote(value)}" for name, value in values.items()),
        f'at_run_dirs() {{ "$1" "$2" {run_dirs}; }}',
        function,
    )


def _word(pattern: str) -> str:
    """Return a pattern of a path as a word of the shell."""
    bases = pattern.split(BASE)
    return '"$2"'.join("[0-9]*".join(map(quote, part.split(NUMBER))) for part in bases)
