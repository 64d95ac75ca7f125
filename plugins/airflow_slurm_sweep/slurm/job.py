"""The values that travel: what is asked for, what was submitted, how it stands.

They check themselves: what a shell, a file name, Slurm or the record cannot carry unharmed is a ValueError.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from airflow_slurm_sweep.names import METRICS
from airflow_slurm_sweep.slurm.chain import Chain
from airflow_slurm_sweep.slurm.gpus import requested_gpus
from airflow_slurm_sweep.slurm.parameters import variables
from airflow_slurm_sweep.slurm.plain import changed, read_mapping, read_parameters, with_text
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.slurm.states import JobState, Pending
from airflow_slurm_sweep.slurm.stopping import Asha
from airflow_slurm_sweep.slurm.submit.setup import with_setup
from airflow_slurm_sweep.slurm.validation import (
    METRIC_FILES,
    check_directory,
    check_option,
    check_variable,
    expect,
    is_count,
    is_line,
    is_text,
    our_option,
)

_JOB_ID = re.compile(r"[0-9]+([_+][0-9]+)?")  # with the index of an array's job, or of a heterogeneous one's part
_SECRET = re.compile(r"(variable|connection):.+")
_LONGEST = 128 * 1024 - 1  # bytes of one NAME=VALUE in a process's environment: Linux takes no more

JOB_SCRIPT = Path(__file__).with_name("submit").joinpath("job.sh").read_text(encoding="utf-8")
"""The batch script for clusters that have none of their own: a `JobRequest`'s ``script``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a `JobRequest` and a `SubmittedJob` have in common; all paths are on the cluster."""

    ssh_conn_id: str  # the Airflow connection of the cluster's login node
    clusters: str = ""  # see `Site`; so is login_setup
    login_setup: tuple[str, ...] | list[str] = ()
    run_dir: str  # the job's own directory, absolute; made if it is not there
    label: str = ""
    index: int | None = None  # the combination's number in its sweep, from 1; None for a job of no sweep
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # Where the training's output is, if not in Slurm's log: patterns for `job_logs.log_words`; the newest match counts.
    log_file: tuple[str, ...] | list[str] = ()
    stream_log: bool = False  # show the job's new log lines in the log of the task that waits for it
    # Where the training's numbers are: patterns likewise, of JSON, JSON lines and CSV; see `metrics.MetricsReader`.
    metrics: tuple[str, ...] | list[str] = (METRICS,)
    metric_names: Mapping[str, str] = field(default_factory=dict)  # other names for some of them
    metric_step: str = ""  # which of the numbers is the step; empty: the first of `metrics.STEPS`
    objective: str = ""  # the metric whose history is kept in any case
    stop: Mapping[str, Any] = field(default_factory=dict)  # the arguments of `Asha`; empty for a job that none stops
    queue_limit: int | None = None  # seconds after which a job that is still queued is cancelled; None for any time

    @property
    def site(self) -> Site:
        """Where the job lives."""
        return Site(ssh_conn_id=self.ssh_conn_id, clusters=self.clusters, login_setup=tuple(self.login_setup))

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain data, without fields that have their default."""
        return with_text(changed(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str) -> Self:
        """Build the job from what `to_json` returned, or from its text."""
        values = read_mapping(data)
        return cls(**{**values, "parameters": read_parameters(values)})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest(Job):
    """All that one submission needs."""

    name: str
    command: str  # what runs, as text for a POSIX shell; the batch script finds it in COMMAND
    run_folder: str = ""  # see `shared_folder`; empty: the parent of run_dir
    folders: tuple[str, ...] | list[str] = ()  # in the run directory, made if they are not there
    swept: tuple[str, ...] | list[str] = ()  # the parameters that tell the sweep's combinations apart
    repeated: tuple[str, ...] | list[str] = ()  # those of them that differ between runs of one combination only
    overrides: tuple[str, ...] | list[str] = ()  # of the person who started the run, in Hydra's grammar
    workdir: str | None = None  # where the job runs; None for the login directory
    # Files without which nothing is submitted, absolute or relative to ``workdir``; so is ``batch_script``.
    inputs: tuple[str, ...] | list[str] = ()
    # Lines for bash that run before ``command``, in the same shell. A ``batch_script`` finds them in SETUP_COMMAND.
    setup: tuple[str, ...] | list[str] = ()
    script: str = ""  # the text of the batch script, in place of ``batch_script``
    batch_script: str | None = None
    nodes: int = 1  # as the batch script is told
    extra_nodes: int = 0  # which Slurm is asked for besides
    gpus_per_node: int = 0  # as the batch script is told
    gpu_request: str = "gres"  # how Slurm is asked for them: by ``--gres``, or ``none`` where ``options`` name no GPUs
    time: str | None = None  # the time limit, as ``sbatch --time`` takes it
    warn: int = 0  # seconds before the time limit at which the batch shell gets SIGUSR1; 0 for never
    account: str | None = None
    partition: str | None = None  # or several, ``a,b``
    container: str | None = None
    mounts: str | None = None  # the container's, ``source:target``, separated by commas
    env: Mapping[str, str] = field(default_factory=dict)  # further environment variables
    # Further ones whose values an operator looks up: ``variable:NAME`` or ``connection:ID``.
    secrets: Mapping[str, str] = field(default_factory=dict)
    # Further options of sbatch by their long names; True for one without value.
    options: Mapping[str, str | int | bool] = field(default_factory=dict)
    resume: bool = False  # submit although another Dag run used the run directory: go on from its checkpoints
    max_parallel_jobs: int | None = None  # of the Dag run, with run directories side by side, that may be live at once;
    # in an array, that may run at once
    canaries: int = 0  # how many jobs of the Dag run end before the others are submitted; if one fails, those are not
    trial: int | None = None  # of a search: which of its trials this is, from 0; its parameters are proposed later
    proposals: int | None = None  # how many others the proposal of its parameters knew
    array: bool = False  # submit it as an element of an array with others that come at the same time; see arrays/
    chain: Mapping[str, Any] = field(default_factory=dict)  # the arguments of `Chain`; empty for a single job
    # Whether a chain counts for max_parallel_jobs also between two of its jobs, and a trial until its result is there.
    keeps_place: bool = True
    after: str = ""  # the job of the chain that this one follows, and ``STATE,VALUE,ELAPSED,NODES`` of its end
    ended: str = ""
    dry_run: bool = False
    done: Mapping[str, Any] = field(default_factory=dict)  # how it ended in an earlier run, a `JobStatus` as JSON

    def __post_init__(self) -> None:
        """Raise ValueError for a value that cannot go where it shall, without values that may be secrets."""
        expect(is_line(self.name) and "/" not in self.name, "name", self.name, "printable text without slashes")
        check_directory("run_dir", self.run_dir)
        self._check_texts()
        expect(is_count(self.nodes, 1), "nodes", self.nodes, "a whole number from 1")
        for subject in ("extra_nodes", "gpus_per_node", "warn", "canaries"):
            value = getattr(self, subject)
            expect(is_count(value, 0), subject, value, "a whole number from 0")
        expect(self.gpu_request in ("gres", "none"), "gpu_request", self.gpu_request, "'gres' or 'none'")
        for subject in ("index", "max_parallel_jobs", "queue_limit"):
            limit = getattr(self, subject)
            expect(limit is None or is_count(limit, 1), subject, limit, "a whole number from 1, or None")
        if self.chain:
            fits = self.chain.keys() <= {each.name for each in fields(Chain)} and is_count(self.chain.get("jobs"), 0)
            expect(fits, "chain", self.chain, "the arguments of Chain, such as {'jobs': 6}")
        if self.stop:
            fits = self.stop.keys() <= {each.name for each in fields(Asha)} and is_count(self.stop.get("factor"), 2)
            fits = fits and "maximize" in self.stop and self.stop.get("from_step", 0) > 0
            expect(fits, "stop", self.stop, "the arguments of Asha, from_step above 0 and factor from 2")
        if self.after:
            expect(_JOB_ID.fullmatch(self.after), "after", self.after, "digits")
            words = re.fullmatch(r"[A-Z_]*,[0-9.e+-]*,[^,\s]*,\S*", self.ended)
            expect(words, "ended", self.ended, "STATE,VALUE,ELAPSED,NODES")
        fits = not (self.array and self.max_parallel_jobs and self.chain)
        expect(fits, "array", True, "false where a chain has max_parallel_jobs")
        for name, option in self.options.items():
            check_option(name, option)
            ours = our_option(name)
            expect(ours is None, "options", name, f"an option other than {ours}, which is set from the fields")
        expect(not (self.warn and "signal" in self.options), "warn", self.warn, "0 where the options have signal")
        asked = requested_gpus(self.options, self.nodes + self.extra_nodes)
        fits = asked in (None, self.gpus_per_node)
        expect(fits, "gpus_per_node", self.gpus_per_node, f"{asked}, as the options of sbatch ask for")
        self._check_environment()

    @property
    def shared_folder(self) -> str:
        """Where the Dag run keeps what its jobs share."""
        return self.run_folder or self.run_dir.rpartition("/")[0]

    @property
    def why_skipped(self) -> str:
        """Why nothing is submitted; empty for a job that is."""
        how = "was stopped early" if self.done.get("state") == JobState.STOPPED_EARLY.value else "completed"
        done = f"its job {self.done['job_id']} {how} in an earlier run" if self.done else ""
        why = "this is a dry run" if self.dry_run else done
        return f"{self.name} is not submitted: {why}" if why else ""

    def with_script(self, script: str | None) -> Self:
        """Return it with the batch script that many have in common, unless it has one of its own."""
        return self if self.script or self.batch_script else replace(self, script=script or "")

    def _check_texts(self) -> None:
        for subject in ("workdir", "batch_script", "time", "account", "partition"):
            value = getattr(self, subject)
            expect(value is None or is_line(value), subject, value, "printable text")
        for name in self.folders:
            expect(re.fullmatch(r"\w[\w.+=@-]*", name, re.ASCII), "folders", name, "names of letters and digits")
        for path in self.inputs:
            expect(is_line(path), "inputs", path, "printable paths")
        for path in self.log_file:
            expect(is_line(path), "log_file", path, "printable patterns")
        for path in self.metrics:
            fits = is_line(path) and path.endswith(METRIC_FILES)
            expect(fits, "metrics", path, f"patterns of files that end in {', '.join(METRIC_FILES)}")
        for line in self.setup:
            expect(is_text(line) and line.strip(), "setup", line, "shell lines")
        expect(is_text(self.script), "script", self.script, "UTF-8 text without NUL")

    def _check_environment(self) -> None:
        of_parameters = variables(self.parameters)
        for name in (*self.env, *self.secrets):
            check_variable(name)
            if name in of_parameters:
                raise ValueError(f"env: {name} is the variable of a parameter; remove it, or rename the parameter")
        command = with_setup(self.setup, self.command)
        values = {"COMMAND": command, "CONTAINER": self.container or "", "MOUNTS": self.mounts or ""}
        values |= of_parameters | dict(self.env)
        for name, value in values.items():
            if not is_text(value) or len(f"{name}={value}".encode()) > _LONGEST:
                raise ValueError(f"env: {name}: expected UTF-8 text without NUL, at most {_LONGEST} bytes, got another")
        for name, reference in self.secrets.items():
            fits = is_line(reference) and _SECRET.fullmatch(reference)
            expect(fits, f"secrets: {name}", reference, "variable:NAME or connection:ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedJob(Job):
    """A job that Slurm accepted; `parameters` has those that were proposed for a search's trial, and no others."""

    job_id: str
    job_name: str
    log_path: str
    leaves_exit_file: bool = False  # whether its batch script is job.sh
    # The `JobRequest` of a chain's first job as JSON, its secrets not looked up: the others follow by it.
    request: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for what is no job's id, or no path."""
        expect(_JOB_ID.fullmatch(self.job_id), "job_id", self.job_id, "digits")
        check_directory("run_dir", self.run_dir)
        check_directory("log_path", self.log_path)

    def of(self, request: JobRequest) -> Self:
        """Return the job with the request that it came from, if other jobs may follow it."""
        return replace(self, request=request.to_json()) if request.chain else self


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How a job stands. What is not known is empty, or None."""

    job_id: str
    text: str  # the state in Slurm's own words (``CANCELLED by 1001``)
    exit_code: str = ""  # ``exit:signal``, as sacct prints it
    elapsed: str = ""  # run time, ``[days-]hours:minutes:seconds``
    queued: int | None = None  # seconds from submission, or Slurm's last requeueing, to the start; None until then
    nodes: str = ""  # the nodes it ran on, ``n[1-2]``
    reason: str = ""  # why it waits, or what ended it, in Slurm's words
    cause: str = ""  # the line of its log that says why it failed
    source: str  # squeue, sacct, scontrol, or the exit-status file
    metrics: Mapping[str, float] = field(default_factory=dict)  # the last value of each number that the job left
    wandb: str = ""  # where Weights & Biases shows the run
    gpu_hours: float | None = None  # used by it and by those before it in its chain; see `usage.Hours`
    cpu_hours: float | None = None
    chain: str = ""  # how far the chain came, ``3 of 6 jobs``
    earlier: Sequence[Sequence[str]] = ()  # the jobs before it in its chain, from the first: id and run time
    job_name: str = ""  # as squeue and sacct know it: before an array's element begins, the name of the array
    output: str = ""  # where the controller says that it writes
    pending: Pending | None = None  # only while squeue shows the job as queued

    @property
    def state(self) -> JobState:
        """The state that ``text`` begins with."""
        return JobState.parse(self.text)

    @property
    def first_job(self) -> str:
        """The id of the chain's first job, or its own."""
        return self.earlier[0][0] if self.earlier else self.job_id

    def to_json(self) -> dict[str, Any]:
        """Return the status as plain data, whole: users read it."""
        values = asdict(replace(self, pending=None))
        del values["job_name"], values["output"]
        return {**values, "state": self.state.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str) -> Self:
        """Build the status from what `to_json` returned, or from its text."""
        return cls(**{name: value for name, value in read_mapping(data).items() if name != "state"})

    def __str__(self) -> str:
        return f"{self.text} ({self.reason})" if self.reason not in ("", "None") else self.text
