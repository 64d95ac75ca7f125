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

# sbatch(1), --time
_TIME = re.compile(r"\d+|\d+:\d+|\d+:\d+:\d+|\d+-\d+|\d+-\d+:\d+|\d+-\d+:\d+:\d+|UNLIMITED|INFINITE", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]*")
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
    if not _NAME.fullmatch(name) or len(name) > 200:
        raise ValueError(
            f"expected a name of letters, digits and _ . + = @ - (it names a directory too; 200 at most), got {name!r}"
        )
    return name


def check_time(time: str) -> str:
    """Check a time limit against the formats of sbatch."""
    if not _TIME.fullmatch(time):
        raise ValueError(f"expected minutes, h:m:s, d-h or d-h:m:s (as sbatch --time takes it), got {time!r}")
    return time


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


def _one_or_more(tags: Any) -> Any:
    return [tags] if isinstance(tags, str) else tags


Count = Annotated[int, Field(strict=True, ge=1)]
CountOrNone = Annotated[int, Field(strict=True, ge=0)]
Name = Annotated[str, Field(min_length=1), AfterValidator(check_name)]
Path = Annotated[str, AfterValidator(_check_path)]
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
