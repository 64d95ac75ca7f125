"""The settings of jobs and of runs. Each is declared here, once; a class is a place where settings may stand.

    Resources      trigger form, sweep file, cluster profile, command line
    JobSettings    sweep file, cluster profile, form of the Dag `launch`
    SlurmSection   the section ``slurm:`` of a sweep file, form of `launch`
    ClusterProfile a file of include/clusters
    Preset         a preset (presets.py), in the language of a profile
    RunOptions     trigger form, command line

Type, title, description and default are pydantic's; `Setting` has the rest. Form, command line, JSON Schemas,
docs/settings.md (all: schema.py) and the layers of values (layers.py) are made from it.

A default is the value where no layer has one, so ask `given` what a file says. Absent and empty differ: an absent key
is looked for in the next layer, ``container:`` with nothing behind it (null) says "none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from airflow_slurm_sweep.slurm.validation import OUR_OPTIONS, check_option, our_option
from airflow_slurm_sweep.sweep import setting_types as types
from airflow_slurm_sweep.sweep.budget import Budget
from airflow_slurm_sweep.sweep.chain_setting import Chain, Retries, check_retry
from airflow_slurm_sweep.sweep.metrics_setting import MetricsSetting
from airflow_slurm_sweep.sweep.naming import check_name
from airflow_slurm_sweep.sweep.sbatch_options import HINTS, LONG, OTHER_WORDS, check_words, moved_below_sbatch
from airflow_slurm_sweep.sweep.section import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a setting has besides a pydantic field."""

    option: str = ""  # the option of sbatch that it replaces


def setting(field: FieldInfo) -> Setting:
    """Return what a field's declaration says besides pydantic's part."""
    return next((each for each in field.metadata if isinstance(each, Setting)), Setting())


class Resources(Section):
    """What a job asks Slurm for."""

    nodes: Annotated[types.Count, Setting(option="nodes")] = Field(
        default=1,
        description="Nodes of each job. Under nemo-rl, where neither sweep nor form says it: cluster.num_nodes in the "
        "script's config.",
    )
    gpus_per_node: Annotated[types.CountOrZero, Field(title="GPUs per node")] = Field(
        default=0,
        description="GPUs on each node; 0 asks for none. Under nemo-rl, where neither sweep nor form says it: "
        "cluster.gpus_per_node in the script's config.",
    )
    time: Annotated[types.Time | None, Setting(option="time"), Field(title="Time limit")] = Field(
        default=None,
        description="Time limit of a job: minutes, h:m:s, d-h or d-h:m:s; null: the partition's default.",
    )
    chain: Chain | None = Field(
        default=None,
        description="How many jobs may follow one another in a run directory until the training is done; or more: "
        "{jobs: 6, until: {total_steps: 2000}, on: [TIMEOUT]}. See docs/long_jobs.md.",
    )
    account: Annotated[types.Name | None, Setting(option="account")] = Field(
        default=None, description="Slurm account that pays for the jobs; null: the user's default account."
    )
    partition: Annotated[types.Partitions | None, Setting(option="partition")] = Field(
        default=None,
        description="Partition of the jobs, or several (a,b or [a, b]): the first that can start a job gets it; null: "
        "the cluster's default partition.",
    )
    container: types.Image | None = Field(
        default=None, description="Container image, by its path on the cluster; null: no container."
    )
    mounts: types.Mounts | None = Field(
        default=None, description="Mounts of the container, source:target, comma-separated; null: none."
    )


class JobSettings(Resources):
    """How jobs run."""

    extra_nodes: types.CountOrZero = Field(
        default=0,
        description="Additional nodes that Slurm is asked for and the script is not told of, such as 1 for ray.sub "
        "with DEDICATED_RAY_HEAD.",
    )
    gpu_request: Annotated[Literal["gres", "none"], Field(title="GPU request")] = Field(
        default="gres",
        description="gres: Slurm is asked for gpus_per_node by --gres=gpu:N, unless sbatch has an option for GPUs. "
        "none: only the script is told the number, where a site hands out whole nodes without GRES.",
    )
    workdir: Annotated[types.Path | None, Setting(option="chdir"), Field(title="Working directory")] = Field(
        default=None, description="Directory in which jobs start; script and config are relative to it."
    )
    batch_script: types.Path | None = Field(
        default=None, description="Batch script on the cluster, such as ray.sub, relative to workdir; null: our job.sh."
    )
    setup: types.Setup = Field(
        default=(),
        description="Lines for bash before the command, in its shell, also in the container, such as `module load x`; "
        "the profile's come first. An item may have several lines, such as an `if`. A line that fails ends the job. "
        "A batch_script finds them in SETUP_COMMAND.",
    )
    env: Annotated[types.Env, Setting(option="export"), Field(title="Environment")] = Field(
        default={},
        description="Environment variables: text, or a secret of Airflow's: {variable: NAME} or {connection: ID}.",
    )
    sbatch: Annotated[types.Options, Field(title="sbatch options")] = Field(
        default={},
        description="Options of sbatch by their long names; true for one without a value. Those of Slurm 22.05 and "
        "24.11 may also stand beside the settings: cpus_per_task, mem, qos.",
    )
    submit: Annotated[Literal["each", "array"], Setting(option="array")] = Field(
        default="each",
        description="each: an sbatch for each job. array: an sbatch --array for many, where a site limits requests.",
    )
    max_parallel_jobs: types.Count | None = Field(
        default=None,
        description="Number of jobs of a run that may be queued or running at the same time; null: all. "
        "With submit: array, of the running ones of each array (a thousand jobs that ask for the same).",
    )
    warn: types.SecondsBefore | None = Field(
        default=None,
        description="Seconds before the time limit at which the command gets SIGUSR1; 0 for never. With chain and "
        "without a batch_script: 120, but at most a quarter of the time limit.",
    )
    retry: Retries = Field(
        default=(),
        description="Ends after which a job is run again, such as {on: OUT_OF_MEMORY, times: 2, mem: x2} or "
        "{on: NODE_FAIL, times: 3, exclude_node: true}. See docs/long_jobs.md.",
    )
    queue_limit: types.Time | None = Field(
        default=None,
        description="How long a job may wait in Slurm's queue, such as 2-0 (two days); then it is cancelled and fails.",
    )
    log_file: types.Patterns = Field(
        default=(),
        description="Where the training's output is if not in Slurm's log, such as `{job_id}-logs/ray-driver.log`: "
        "patterns of the shell, with {job_id} and {run_dir}, relative to the latter; the newest match counts.",
    )
    stream_log: types.Flag = Field(
        default=False, description="Whether the log of `wait` shows the job's new lines while it runs."
    )

    further_keys: ClassVar[Sequence[str]] = tuple(word.replace("-", "_") for word in LONG)
    other_words: ClassVar[Mapping[str, str]] = OTHER_WORDS
    hints: ClassVar[Mapping[str, str]] = HINTS

    @model_validator(mode="before")
    @classmethod
    def _move_words_of_sbatch(cls, values: Any) -> Any:
        return moved_below_sbatch(values, cls.model_fields, OUR_OPTIONS) if isinstance(values, dict) else values

    @field_validator("sbatch")
    @classmethod
    def _check_options(cls, options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        instead = {setting(field).option: name for name, field in SlurmSection.model_fields.items()}
        instead["clusters"] = "clusters (of the cluster profile)"
        check_words(options)
        for name, value in options.items():
            check_option(name, value)
            if (ours := our_option(name)) in instead:
                raise ValueError(f"the option {ours!r} is reserved; use the setting {instead[ours]!r}")
            if ours is not None:
                raise ValueError(f"the option {ours!r} is reserved: airflow-slurm-sweep sets it itself")
        return options

    @model_validator(mode="after")
    def _refuse_two_answers(self) -> Self:
        check_retry(self.chain, self.retry)
        return self

    @model_validator(mode="after")
    def _refuse_two_signals(self) -> Self:
        if self.warn and "signal" in self.sbatch:
            raise ValueError(f"warn is {self.warn}, but sbatch has signal too; remove one of them")
        return self

    @model_validator(mode="after")
    def _refuse_a_limited_array(self) -> Self:
        if self.submit == "array" and self.max_parallel_jobs and (self.chain or self.retry):
            raise ValueError(
                f"submit is array, and max_parallel_jobs is {self.max_parallel_jobs}: Slurm does not count the jobs "
                "that chain and retry add; set submit to each, or remove max_parallel_jobs"
            )
        return self


class _RunSettings(Section):
    jobname: Annotated[types.NameOrTemplate | None, Setting(option="job-name"), Field(title="Job name")] = Field(
        default=None,
        description="Beginning of job names and run directories: letters, digits and _ . + = @ -, no blanks. A sweep "
        "file may have a Jinja template here. "
        "Without it: the name of the sweep file; under nemo-rl, that of the script without .py. Scheduled runs: the "
        "name of the sweep file with the run's date.",
    )
    existing: Annotated[Literal["new", "resume", "refuse"], Field(title="Existing runs")] = Field(
        default="new",
        description="What a run does where earlier runs have its names. new: the run's names end in _run2, _run3 ... "
        "resume: combinations that are done are skipped, the others go on in their directories, and new ones start. "
        "refuse: the run fails.",
    )


class SlurmSection(JobSettings, _RunSettings):
    """How the jobs of a sweep ask Slurm for what they need."""

    former_keys: ClassVar[Mapping[str, str]] = {"cluster": "it is called 'profile'"}

    profile: types.Name | None = Field(
        default=None,
        description="Cluster profile: a file of include/clusters. Without it: default.yaml, if that exists.",
    )


class PresetSetting(Section):
    """The choice of a preset."""

    preset: types.Name | None = Field(
        default=None,
        description="What kind of script runs: nemo-rl, hydra, plain, or a file of include/presets. Without it: plain "
        "where there is a command, else nemo-rl.",
    )


class CommandSetting(Section):
    """The command of jobs."""

    command: types.Script | None = Field(
        default=None, description="Command line of each job, with placeholders such as {flags}; see docs/commands.md."
    )


class ClusterProfile(JobSettings, PresetSetting, CommandSetting, MetricsSetting, Budget):
    """Where a cluster is, and what jobs on it ask for unless the sweep says otherwise."""

    ssh_conn_id: Annotated[str, Field(min_length=1)] = Field(
        default="slurm", description="Airflow connection (type ssh) of the login node."
    )
    clusters: types.Name | None = Field(
        default=None, description="Name of the cluster in Slurm, where several share the login node; null: its default."
    )
    login_setup: types.Lines = Field(
        default=(),
        description="Commands that the login node runs before each script of airflow-slurm-sweep, such as "
        "`module load slurm`.",
    )
    log: types.Directory = Field(
        default="", description="Log directory on the cluster, in which each job has a run directory."
    )


NONE_IN_A_FORM = {"time", "account", "partition", "container", "mounts", "batch_script"}
"""The settings for which the text "null" is no name."""


def entered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a form says: an empty field nothing, and null "none"."""
    said = {name: value for name, value in values.items() if value not in (None, "", {})}
    return {name: None if value == "null" and name in NONE_IN_A_FORM else value for name, value in said.items()}


class RunOptions(Resources, _RunSettings):
    """What the person who starts a run may say. An empty field of the form says nothing."""

    dry_run: types.Flag = Field(default=False, description="Show what would be submitted, and submit nothing.")
    only: Annotated[types.Only | None, Field(title="Only these combinations")] = Field(
        default=None, description="Indices of combinations, such as 1-4,9."
    )
    overrides: types.Overrides = Field(
        default=(),
        description="key=value, one a line: in Hydra's grammar where the command has {overrides}, else with YAML "
        "values. They win over the sweep's parameters.",
    )
    canary: types.CountOrZero | None = Field(
        default=None,
        description="How many combinations run to their end before the others are submitted; 0: none. If empty: as in "
        "the sweep file.",
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_fields(cls, values: Any) -> Any:
        return entered(values)

    _refuse_templates = field_validator("jobname")(check_name)


def given(section: Section) -> dict[str, Any]:
    """Return what a section says, null included, without the defaults."""
    return {name: getattr(section, name) for name in section.model_fields_set}
