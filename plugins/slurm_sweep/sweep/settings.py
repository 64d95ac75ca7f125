"""The optional sections ``slurm:`` and ``dag:`` of a sweep file, and the cluster profiles of include/clusters.

Absent and empty differ: an absent key is looked for in the next place, ``container:`` with nothing behind it (null)
says "none" and ends the search. Hence the defaults here are not values: ask ``model_fields_set``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from slurm_sweep.sweep.overrides import bare_key, is_key

# sbatch(1), --time
TIME_PATTERN = r"^(\d+(:\d+(:\d+)?)?|\d+-\d+(:\d+(:\d+)?)?|UNLIMITED|INFINITE)$"
ONLY_PATTERN = r"^\s*\d+(\s*-\s*\d+)?(\s*,\s*\d+(\s*-\s*\d+)?)*\s*$"
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.+=@-]*$"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONG_OPTION = re.compile(r"[a-z][a-z0-9-]*")

# What job and record rely on. `gres` stays the user's: it replaces the one made from gpus_per_node.
_OUR_OPTIONS = {
    "account": "slurm.account",
    "array": "parameters with several values",
    "chdir": "slurm.workdir",
    "error": "nothing: errors go to the job's log",
    "export": "slurm.env",
    "job-name": "slurm.jobname",
    "nodes": "slurm.nodes",
    "output": "nothing: the log lies in the run directory",
    "parsable": "nothing: it is always set",
    "partition": "slurm.partition",
    "test-only": "nothing: it submits no job",
    "time": "slurm.time",
    "wait": "nothing: the task waits for the job",
    "wrap": "script_path",
}
OUR_VARIABLES = frozenset(
    {"BASE_LOG_DIR", "COMMAND", "CONTAINER", "GPUS_PER_NODE", "MOUNTS", "NUM_ACTOR_NODES", "WANDB_DIR"}
)


def check_name(name: str) -> str:
    """Check a job name: it becomes a directory's name too."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 200:
        raise ValueError(
            f"expected a name of letters, digits and _ . + = @ - (it names a directory too; 200 at most), got {name!r}"
        )
    return name


def check_time(time: str) -> str:
    """Check a time limit against the formats of sbatch."""
    if not re.fullmatch(TIME_PATTERN, time):
        raise ValueError(f"expected minutes, h:m:s, d-h or d-h:m:s (as sbatch --time takes it), got {time!r}")
    return time


def hours(time: str) -> float:
    """Return a time limit in hours; infinity for none."""
    if time.isalpha():
        return float("inf")
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    # d-h:m:s and h:m:s begin with hours, m and m:s with minutes
    begin_with_hours = bool(dash) or len(parts) == 3
    seconds = [3600, 60, 1] if begin_with_hours else [60, 1]
    return int(days or 0) * 24 + sum(part * factor for part, factor in zip(parts, seconds, strict=False)) / 3600


def _check_path(path: str) -> str:
    if not path.strip() or not path.isprintable():
        raise ValueError(f"expected a path, got {path!r}")
    return path


def check_absolute(path: str) -> str:
    r"""Check a directory on the cluster that no working directory should change; ``%`` and ``\\`` confuse sbatch."""
    if not path.startswith("/") or not path.isprintable() or "\\" in path:
        raise ValueError(f"expected an absolute path on the cluster, without backslashes, got {path!r}")
    return path.rstrip("/") or "/"


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # bad text, a folder's name, no such zone
        raise ValueError(f"expected a timezone such as Europe/Berlin, got {name!r}") from None
    return name


def _check_options(options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    for name in options:
        if ours := _OUR_OPTIONS.get(name):
            raise ValueError(f"{name!r} is set by slurm_sweep; use {ours}")
        if not _LONG_OPTION.fullmatch(name):
            raise ValueError(f"expected the long name of an sbatch option without dashes, got {name!r}")
    return options


def _check_env(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if name in OUR_VARIABLES:
            raise ValueError(f"{name!r} is set by slurm_sweep for each job")
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"expected the name of an environment variable, got {name!r}")
        if "\0" in value:
            raise ValueError(f"the value of {name!r} holds a NUL character")
    return env


def _nothing_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _check_overrides(overrides: tuple[str, ...]) -> tuple[str, ...]:
    for text in overrides:
        key, equals, _ = text.partition("=")
        if not (is_key(key) and equals) and not is_key(key.removeprefix("~")):
            raise ValueError(f"expected key=value in Hydra's grammar, got {text!r}")
        if "\0" in text:
            raise ValueError(f"a NUL character in {text!r}")
    keys = [override_key(text) for text in overrides]
    if doubles := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"given twice: {', '.join(doubles)}")
    return overrides


def override_key(text: str) -> str:
    """Return what an override speaks of: ``optim.lr`` for ``++optim.lr=1`` and ``~optim.lr``."""
    return bare_key(text.partition("=")[0].removeprefix("~"))


def _one_or_more(tags: Any) -> Any:
    return [tags] if isinstance(tags, str) else tags


Count = Annotated[int, Field(strict=True, ge=1)]
CountOrNone = Annotated[int, Field(strict=True, ge=0)]
Name = Annotated[str, Field(min_length=1), AfterValidator(check_name)]
Path = Annotated[str, AfterValidator(_check_path)]
Only = Annotated[str, Field(pattern=ONLY_PATTERN)]
Time = Annotated[str, AfterValidator(check_time)]
Env = Annotated[dict[str, str], AfterValidator(_check_env)]
Options = Annotated[dict[str, str | Annotated[int, Field(strict=True)] | bool], AfterValidator(_check_options)]


class Section(BaseModel):
    """What all sections share: no unknown keys, no changes afterwards, ``time: 240`` is taken as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class JobSettings(Section):
    """How a job asks Slurm for what it needs; may stand in a sweep file and in a cluster profile."""

    nodes: Count | None = None
    gpus_per_node: CountOrNone | None = None
    time: Time | None = None
    account: Name | None = None
    partition: Path | None = None
    container: Path | None = None
    mounts: Path | None = None
    workdir: Path | None = None
    batch_script: Path | None = None
    env: Env = Field(default_factory=dict)
    sbatch: Options = Field(default_factory=dict)


class SlurmSection(JobSettings):
    """The section ``slurm:`` of a sweep file."""

    cluster: Name | None = None
    jobname: Name | None = None


class ClusterProfile(JobSettings):
    """A file of include/clusters: where a cluster is and what jobs on it ask for unless the sweep says otherwise."""

    ssh_conn_id: Annotated[str, Field(min_length=1)] = "slurm"
    log: Annotated[str, AfterValidator(check_absolute)] | None = None


class RunOptions(Section):
    """What a person may say when triggering a run: the trigger form's fields. None is "as in the sweep file".

    Attributes:
        dry_run: Print what would be submitted; touch nothing.
        overrides: ``key=value`` in Hydra's grammar, for any key; they win over the sweep's parameters.
        only: Indices of the combinations to run, such as ``1-4,9``.
    """

    nodes: Annotated[Count | None, BeforeValidator(_nothing_if_empty)] = None
    gpus_per_node: Annotated[CountOrNone | None, BeforeValidator(_nothing_if_empty)] = None
    time: Annotated[Time | None, BeforeValidator(_nothing_if_empty)] = None
    account: Annotated[Name | None, BeforeValidator(_nothing_if_empty)] = None
    partition: Annotated[Path | None, BeforeValidator(_nothing_if_empty)] = None
    container: Annotated[Path | None, BeforeValidator(_nothing_if_empty)] = None
    mounts: Annotated[Path | None, BeforeValidator(_nothing_if_empty)] = None
    jobname: Annotated[Name | None, BeforeValidator(_nothing_if_empty)] = None
    dry_run: Annotated[bool, Field(strict=True)] = False
    overrides: Annotated[tuple[str, ...], AfterValidator(_check_overrides)] = ()
    only: Annotated[Only | None, BeforeValidator(_nothing_if_empty)] = None


class DagSection(Section):
    """The section ``dag:`` of a sweep file; every key is the argument of Airflow's Dag with that name."""

    schedule: str | None = None
    start_date: datetime | None = None
    timezone: Annotated[str, AfterValidator(_check_timezone)] = "UTC"
    catchup: Annotated[bool, Field(strict=True)] = False
    tags: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    owner: Annotated[str, Field(min_length=1)] = "airflow"
    description: str | None = None
    retries: CountOrNone = 0
    max_active_runs: Count = 1
