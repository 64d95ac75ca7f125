"""The values that travel: what is asked for, what was submitted, how it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from typing_extensions import Self

from slurm_sweep.slurm.states import JobState

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPTION = re.compile(r"[a-z][a-z0-9-]+")
_RUN_DIR = re.compile(r"/[^\n\0]*[^/\n\0]")
_OUR_OPTIONS = frozenset({"array", "job-name", "output", "parsable", "test-only", "wrap"})


class _Value:
    """Travels through XCom and trigger arguments as JSON."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain data."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # all children are dataclasses

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the value from what `to_json` returned."""
        return cls(**data)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest(_Value):
    """All that one submission needs.

    Attributes:
        ssh_conn_id: The Airflow connection of the cluster's login node.
        name: The job's name.
        command: What runs, as text for a POSIX shell; the batch script finds it in COMMAND.
        run_dir: The job's own directory on the cluster, absolute; made if it is not there.
        label: The combination, as people read it.
        workdir: Where the job runs, on the cluster; None for the login directory.
        inputs: Files that have to be there, absolute or relative to ``workdir``, or nothing is submitted.
        script: The text of the batch script, or
        batch_script: the path of one on the cluster, absolute or relative to ``workdir``.
        nodes: Number of nodes.
        gpus_per_node: GPUs on each node; 0 asks for none.
        time: The time limit, as ``sbatch --time`` takes it.
        account: None for the user's default; so is ``partition``.
        container: The image that the batch script shall run in; None for none.
        mounts: The container's mounts, ``source:target``, separated by commas.
        env: Further environment variables.
        secrets: Further ones whose values are not here, with a reference that `SlurmSubmitOperator` resolves:
            ``variable:NAME`` or ``connection:ID``.
        options: Further options of sbatch by their long names; True for one without value.
        resume: Submit although another Dag run used the run directory: go on from its checkpoints.
        max_parallel_jobs: How many jobs of the Dag run, with run directories side by side, may be live at once; None
            for any number.
        dry_run: Show what would be submitted, and submit nothing.
    """

    ssh_conn_id: str
    name: str
    command: str
    run_dir: str
    label: str = ""
    workdir: str | None = None
    inputs: tuple[str, ...] | list[str] = ()
    script: str = ""
    batch_script: str | None = None
    nodes: int = 1
    gpus_per_node: int = 0
    time: str | None = None
    account: str | None = None
    partition: str | None = None
    container: str | None = None
    mounts: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str | int | bool] = field(default_factory=dict)
    resume: bool = False
    max_parallel_jobs: int | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Refuse what no quoting makes safe, and what would lead the record astray."""
        for field_name, names in (("env", self.env), ("secrets", self.secrets)):
            if wrong := [name for name in names if not _VARIABLE.fullmatch(name)]:
                raise ValueError(f"{field_name}: expected names of letters, digits and _, got {wrong[0]!r}")
        for name in self.options:
            if not _OPTION.fullmatch(name):
                raise ValueError(f"options: expected long names of sbatch's options, got {name!r}")
            if name in _OUR_OPTIONS:
                raise ValueError(f"options: {name} is set by the submission itself")
        if not _RUN_DIR.fullmatch(self.run_dir):
            raise ValueError(f"run_dir: expected an absolute path of one line, got {self.run_dir!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(_Value):
    """Who asks for a job: one try of one task of one Dag run. The cluster keeps it beside the job's id.

    Attributes:
        generation: Another number after each clear of the task by a user, the same in its retries: Airflow's
            ``max_tries``.
        id: Airflow's id of the task instance, a UUID of version 7: another for each try, also where a Dag run was
            deleted and made again.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    generation: int
    try_number: int
    id: str

    @property
    def run(self) -> str:
        """The Dag run, as one line of the record."""
        return run_name(self.dag_id, self.run_id)

    @property
    def task(self) -> str:
        """The task, as one line of the record."""
        return f"{_word(self.task_id)} {self.map_index}"


def run_name(dag_id: str, run_id: str) -> str:
    """Return a Dag run's name, two words of one line; what ids cannot hold in Airflow is percent-encoded."""
    return f"{_word(dag_id)} {_word(run_id)}"


def _word(text: str) -> str:
    return quote(text, safe=":+~@,") or "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedJob(_Value):
    """A job that Slurm accepted."""

    ssh_conn_id: str
    job_id: str
    job_name: str
    run_dir: str
    log_path: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How a job stands.

    Attributes:
        text: The state in Slurm's own words (``CANCELLED by 1001``).
        exit_code: ``exit:signal``, as sacct prints it; empty if unknown. So are the following.
        elapsed: Run time, ``[days-]hours:minutes:seconds``.
        nodes: The nodes it ran on, ``n[1-2]``.
        reason: Why it waits, or what ended it.
        source: Who said so: squeue, sacct, scontrol, or the exit-status file.
    """

    job_id: str
    state: JobState
    text: str
    exit_code: str = ""
    elapsed: str = ""
    nodes: str = ""
    reason: str = ""
    source: str

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain data."""
        return {**asdict(self), "state": self.state.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the value from what `to_json` returned."""
        return cls(**{**data, "state": JobState[data["state"]]})

    def __str__(self) -> str:
        return f"{self.text} ({self.reason})" if self.reason not in ("", "None") else self.text
