"""What jobs and combinations are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from airflow_slurm_sweep.sweep.overrides import Value, bare_key, shown

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.+=@-]*$"
LABEL_LENGTH = 120


def check_name(name: str) -> str:
    """Return a job's name as it came; it becomes a directory's name too.

    Raises:
        ValueError: It has other characters, or more than 200.
    """
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 200:
        raise ValueError(
            f"expected a name of letters, digits and _ . + = @ - (it names a directory too; 200 at most), got {name!r}"
        )
    return name


def is_template(name: str) -> bool:
    """Tell whether Airflow has yet to render a job name: ``grpo_{{ ds_nodash }}``."""
    return "{{" in name or "{%" in name


def base_name(*candidates: str | None) -> str:
    """Return the name that all jobs of a sweep begin with: the first one that is given, a path without its folder.

    Raises:
        ValueError: It cannot name a job.
    """
    name = next((candidate for candidate in candidates if candidate), "sweep")
    if is_template(name):
        raise ValueError(f"slurm.jobname: {name!r} is a template, which Airflow renders in a run; give a job name")
    name = PurePosixPath(name).name
    try:
        return check_name(name.removesuffix(".py"))
    except ValueError:
        raise ValueError(f"slurm.jobname: missing; the name {name!r} is not a valid job name") from None


def job_name(base: str, index: int, total: int) -> str:
    """Return ``{base}_sweep_{index}``, index from 1; of a single job the base alone."""
    return f"{base}_sweep_{index}" if total > 1 else base


def date_of_run(moment: datetime, timezone: str) -> str:
    """Return a moment for a name, in local time: ``20261025T000000``.

    Where clocks are set back, an hour comes twice: then with the offset from UTC, ``20261025T023000+0200``.
    """
    local = datetime.fromtimestamp(moment.timestamp(), ZoneInfo(timezone))
    comes_twice = local.replace(fold=1 - local.fold).utcoffset() != local.utcoffset()
    return local.strftime("%Y%m%dT%H%M%S%z" if comes_twice else "%Y%m%dT%H%M%S")


def short_names(keys: Sequence[str]) -> list[str]:
    """Return what parameters are called in short: the end of the dotted name, or all of it where two ends are equal."""
    ends = [bare_key(key).rpartition(".")[2] for key in keys]
    return [end if ends.count(end) == 1 else bare_key(key) for end, key in zip(ends, keys, strict=True)]


def label(parameters: Mapping[str, Value]) -> str:
    """Return a combination as people read it: ``lr=1e-06 kl_penalty=0.01``.

    At most `LABEL_LENGTH` characters: Airflow's map index names have 250 on Postgres.
    """
    names = zip(short_names(list(parameters)), parameters.values(), strict=True)
    parts = (f"{name}={value if isinstance(value, str) else shown(value)}" for name, value in names)
    text = " ".join(" ".join(parts).split())
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"


def refuse_shared(run_dirs: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError if two jobs, given as name and run directory, have one directory."""
    names: dict[str, str] = {}
    for name, run_dir in run_dirs:
        if (other := names.setdefault(run_dir, name)) != name:
            raise ValueError(
                f"{other} and {name} have the run directory {run_dir}; put {{job_name}} or {{index}} into the preset's "
                "run_dir"
            )
