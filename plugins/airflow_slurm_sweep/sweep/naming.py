"""What jobs and combinations are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from airflow_slurm_sweep.sweep.overrides import Value, bare_key, quote
from airflow_slurm_sweep.sweep.settings import check_name

LABEL_LENGTH = 120


def base_name(jobname: str | None, script_path: str) -> str:
    """Return the name that all jobs of a sweep begin with: ``jobname``, or the script's base name without ``.py``.

    Raises:
        ValueError: The script's name cannot name a job.
    """
    if jobname:
        return jobname
    name = PurePosixPath(script_path).name
    try:
        return check_name(name.removesuffix(".py"))
    except ValueError:
        raise ValueError(f"missing, and the script's name {name!r} cannot serve as a job's name") from None


def job_name(base: str, index: int, total: int) -> str:
    """Return ``{base}_sweep_{index}``, index from 1; of a single job the base alone."""
    return f"{base}_sweep_{index}" if total > 1 else base


def short_names(keys: Sequence[str]) -> list[str]:
    """Return what parameters are called in short: the end of the dotted name, or all of it where two ends are equal."""
    ends = [bare_key(key).rpartition(".")[2] for key in keys]
    return [end if ends.count(end) == 1 else bare_key(key) for end, key in zip(ends, keys, strict=True)]


def label(parameters: Mapping[str, Value]) -> str:
    """Return a combination as people read it: ``lr=1e-06 kl_penalty=0.01``.

    At most `LABEL_LENGTH` characters: Airflow's map index names have 250 on Postgres.
    """
    names = zip(short_names(list(parameters)), parameters.values(), strict=True)
    parts = (f"{name}={value if isinstance(value, str) else quote(value)}" for name, value in names)
    text = " ".join(" ".join(parts).split())
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"
