"""The optional sections ``slurm:`` and ``dag:`` of a sweep file, and the cluster profiles of include/clusters.

Absent and empty differ: an absent key is looked for in the next place, ``container:`` with nothing behind it (null)
says "none" and ends the search. Hence the defaults here are not values: ask ``model_fields_set``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from croniter import croniter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from airflow_slurm_sweep.sweep.document import kind
from airflow_slurm_sweep.sweep.overrides import bare_key, is_key

# sbatch(1), --time
TIME_PATTERN = r"^(\d+(:\d+(:\d+)?)?|\d+-\d+(:\d+(:\d+)?)?|UNLIMITED|INFINITE)$"
ONLY_PATTERN = r"^\s*\d+(\s*-\s*\d+)?(\s*,\s*\d+(\s*-\s*\d+)?)*\s*$"
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.+=@-]*$"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONG_OPTION = re.compile(r"[a-z][a-z0-9-]*")

# What job and record rely on; `JobRequest` refuses the same, for whoever builds one by hand.
# `gres` stays the user's: it replaces the one made from gpus_per_node.
_OUR_OPTIONS = {
    "account": "slurm.account",
    "array": "parameters with several values",
    "chdir": "slurm.workdir",
    "clusters": "another profile",
    "error": "nothing: errors go to the job's log",
    "export": "slurm.env",
    "export-file": "slurm.env",
    "help": "sbatch --help yourself",
    "job-name": "slurm.jobname",
    "nodes": "slurm.nodes",
    "output": "nothing: the log lies in the run directory",
    "parsable": "nothing: it is always set",
    "partition": "slurm.partition",
    "test-only": "nothing: it submits no job",
    "time": "slurm.time",
    "usage": "sbatch --usage yourself",
    "version": "sbatch --version yourself",
    "wait": "nothing: the task waits for the job",
    "wrap": "script_path",
}
# Airflow's presets
_PRESETS = {
    "@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly",
}  # fmt: skip
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


def is_template(name: str) -> bool:
    """Tell whether a job name is yet to be rendered by Airflow: ``grpo_{{ ds_nodash }}``."""
    return "{{" in name or "{%" in name


def _check_name_or_template(name: str) -> str:
    return name if is_template(name) else check_name(name)


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


def _check_schedule(schedule: str) -> str:
    if schedule not in _PRESETS and not croniter.is_valid(schedule):
        raise ValueError(f"expected a cron expression or a preset such as @daily, got {schedule!r}")
    return schedule


def _check_options(options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    for name, value in options.items():
        if not _LONG_OPTION.fullmatch(name):
            raise ValueError(f"expected the long name of an sbatch option without dashes, got {name!r}")
        # sbatch understands abbreviations: `arr` is `array` to it.
        if ours := next((ours for ours in _OUR_OPTIONS if ours.startswith(name)), None):
            raise ValueError(f"{ours!r} is set by airflow-slurm-sweep; use {_OUR_OPTIONS[ours]}")
        if not str(value).isprintable():
            raise ValueError(f"expected printable text as the value of {name!r}, got {value!r}")
    return options


def _check_env(env: dict[str, str | Secret]) -> dict[str, str | Secret]:
    for name, value in env.items():
        if name in OUR_VARIABLES:
            raise ValueError(f"{name!r} is set by airflow-slurm-sweep for each job")
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"expected the name of an environment variable, got {name!r}")
        if name.startswith("SBATCH_"):
            raise ValueError(f"{name!r} is an option of sbatch's: use slurm.sbatch")
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"the value of {name!r} holds a NUL character")
    return env


def _text_or_secret(value: Any) -> Any:
    """One message in place of pydantic's one for each type; without the value, which may be a secret."""
    if isinstance(value, dict):
        with suppress(ValidationError):
            return Secret.model_validate(value)
    elif isinstance(value, (str, int, float, Secret)) and not isinstance(value, bool):
        return value
    raise ValueError(f"expected text, or a secret as {{variable: NAME}} or {{connection: ID}}, got {kind(value)}")


def _option_value(value: Any) -> Any:
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"expected text, a number, or true or false, got {kind(value)}")
    return value


def _nothing_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _check_overrides(overrides: tuple[str, ...]) -> tuple[str, ...]:
    for text in overrides:
        key, equals, _ = text.partition("=")
        sets, deletes = is_key(key) and bool(equals), key.startswith("~") and is_key(key[1:]) and key[1] != "+"
        if not sets and not deletes:
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


def _check_class(path: str) -> str:
    if "." not in path or not all(word.isidentifier() for word in path.split(".")):
        example = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
        raise ValueError(f"expected the path of a class such as {example}, got {path!r}")
    return path


def _one_or_more(values: Any) -> Any:
    return [values] if isinstance(values, (str, dict)) else values


class Secret(BaseModel):
    """The value of an environment variable that Airflow keeps: ``{variable: NAME}`` or ``{connection: ID}``."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    variable: str | None = None
    """The Airflow Variable that holds it."""
    connection: str | None = None
    """The Airflow connection whose password it is."""

    @model_validator(mode="after")
    def _check_one(self) -> Secret:
        if (self.variable is None) == (self.connection is None):
            raise ValueError("expected {variable: NAME} or {connection: ID}")
        name = self.variable or self.connection
        if not name or not name.isprintable():
            raise ValueError(f"expected a printable name, got {name!r}")
        return self


Count = Annotated[int, Field(strict=True, ge=1)]
CountOrNone = Annotated[int, Field(strict=True, ge=0)]
Name = Annotated[str, Field(min_length=1), AfterValidator(check_name)]
Path = Annotated[str, AfterValidator(_check_path)]
Only = Annotated[str, Field(pattern=ONLY_PATTERN)]
Time = Annotated[str, AfterValidator(check_time)]
EnvValue = Annotated[str | Secret, BeforeValidator(_text_or_secret)]
Env = Annotated[dict[str, EnvValue], AfterValidator(_check_env)]
OptionValue = Annotated[str | Annotated[int, Field(strict=True)] | bool, BeforeValidator(_option_value)]
Options = Annotated[dict[str, OptionValue], AfterValidator(_check_options)]


class Section(BaseModel):
    """What all sections share: no unknown keys, no changes afterwards, ``time: 240`` is taken as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, use_attribute_docstrings=True)


class JobSettings(Section):
    """How a job asks Slurm for what it needs; may stand in a sweep file and in a cluster profile."""

    nodes: Count | None = None
    """Nodes of each job; a parameter cluster.num_nodes wins. Else cluster.num_nodes in the config file, else 1."""
    gpus_per_node: CountOrNone | None = None
    """GPUs on each node; 0 asks for none. Else cluster.gpus_per_node in the config file, else 8."""
    time: Time | None = None
    """Time limit, as sbatch takes it: minutes, h:m:s, d-h or d-h:m:s. Default 4:0:0."""
    account: Name | None = None
    """The Slurm account; null: the user's default. Else ACCOUNT in the environment."""
    partition: Path | None = None
    """The partition. Else PARTITION in the environment, else batch."""
    container: Path | None = None
    """The image jobs run in, by its path on the cluster; null: none. Else $CON/nemo_rl_base.sqsh."""
    mounts: Path | None = None
    """The container's mounts, source:target, separated by commas; null: none. Default /lustre:/lustre."""
    workdir: Path | None = None
    """Where jobs run, on the cluster; script_path and config_path are relative to it."""
    batch_script: Path | None = None
    """The cluster's own batch script, relative to workdir, such as ray.sub. Default: our job.sh."""
    env: Env = Field(default_factory=dict)
    """Further environment variables; a secret that Airflow keeps as {variable: NAME} or {connection: ID}."""
    sbatch: Options = Field(default_factory=dict)
    """Further options of sbatch by their long names; true for one without value."""
    submit: Literal["each", "array"] | None = None
    """array: one sbatch --array for as many combinations as possible, where a site limits requests. Default: each."""
    max_parallel_jobs: Count | None = None
    """How many jobs of a run may be in Slurm's hands at once, queued or running. Default: all."""
    stream_log: Annotated[bool, Field(strict=True)] | None = None
    """Whether the log of `wait` shows the job's new lines while it runs. Default: false."""


class SlurmSection(JobSettings):
    """The section ``slurm:`` of a sweep file."""

    cluster: Name | None = None
    """A profile in include/clusters. Default: the one called default, if there is one."""
    jobname: Annotated[str, AfterValidator(_check_name_or_template)] | None = None
    """What job names and run directories begin with; may be a Jinja template. Default: the script's name without .py,
    and in scheduled runs the run's date."""


class ClusterProfile(JobSettings):
    """A file of include/clusters: where a cluster is and what jobs on it ask for unless the sweep says otherwise."""

    ssh_conn_id: Annotated[str, Field(min_length=1)] = "slurm"
    """The Airflow connection (type ssh) of the login node."""
    log: Annotated[str, AfterValidator(check_absolute)] | None = None
    """The log directory on the cluster: jobs write to {log}/nemo-rl/{job name}/. Else LOG in the environment."""


class RunOptions(Section):
    """What a person may say when triggering a run: the trigger form's fields. None is "as in the sweep file".

    Attributes:
        dry_run: Print what would be submitted; touch nothing.
        resume: Go on in run directories that another Dag run used, from its checkpoints.
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
    resume: Annotated[bool, Field(strict=True)] = False
    overrides: Annotated[tuple[str, ...], AfterValidator(_check_overrides)] = ()
    only: Annotated[Only | None, BeforeValidator(_nothing_if_empty)] = None


class Objective(Section):
    """What the report ranks by: ``{metric: reward, goal: maximize}``."""

    metric: Annotated[str, Field(min_length=1)]
    """A name in the metrics.json that jobs leave in their run directories."""
    goal: Literal["maximize", "minimize"]
    """Which of its values are the better ones."""


class Notification(Section):
    """Whom to tell, by which notifier: ``{on: failed, notifier: a.module.Class, arguments: {...}}``."""

    on: Literal["combination_failed", "failed", "finished"]
    """finished: when all combinations have ended; failed: then, if some failed; combination_failed: each that fails."""
    notifier: Annotated[str, AfterValidator(_check_class)]
    """The path of a notifier's class, of Airflow's or of yours."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its arguments; in those that are templates, report and summary say how the sweep ended."""


class DagSection(Section):
    """The section ``dag:`` of a sweep file; most keys are the argument of Airflow's Dag with that name."""

    schedule: Annotated[str, AfterValidator(_check_schedule)] | None = None
    """A cron expression, or a preset such as @daily; nothing: triggered by hand."""
    start_date: datetime | None = None
    """Runs begin there; needed with a schedule."""
    timezone: Annotated[str, AfterValidator(_check_timezone)] = "UTC"
    """The timezone of schedule and start_date, such as Europe/Berlin."""
    catchup: Annotated[bool, Field(strict=True)] = False
    """Whether runs that were missed since start_date are made up for."""
    tags: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    """Tags of the Dag."""
    owner: Annotated[str, Field(min_length=1)] = "airflow"
    """The Dag's owner."""
    description: str | None = None
    """What the list of Dags says."""
    retries: CountOrNone = 3
    """How often a task is tried again whose worker or triggerer died. A job that failed is not run again."""
    max_active_runs: Count = 1
    """How many runs of the sweep may be under way at once."""
    objective: Objective | None = None
    """What the report ranks the combinations by. Default: they stand in the sweep's order."""
    notify: Annotated[tuple[Notification, ...], BeforeValidator(_one_or_more)] = ()
    """Whom to tell how a run of the sweep ended."""
