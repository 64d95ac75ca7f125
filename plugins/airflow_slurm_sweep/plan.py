"""A sweep joined with its settings: one `JobRequest` for each combination.

Of several overrides of one key the first found wins: the trigger form's > the sweep's parameter > the automatic one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isinf
from pathlib import PurePosixPath
from shlex import join
from typing import Any

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.gpus import gpu_options, requested_gpus
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.combinations import Combination, expand, select
from airflow_slurm_sweep.sweep.document import read_settings
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.naming import base_name, is_template, job_name, label
from airflow_slurm_sweep.sweep.overrides import Value, bare_key, override, override_key
from airflow_slurm_sweep.sweep.setting_types import hours
from airflow_slurm_sweep.sweep.settings import COUNTS, GPUS, NODES, ClusterProfile, RunOptions
from airflow_slurm_sweep.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run will submit: a job for each combination that runs, in the sweep's order.

    ``notes`` are for the person who started the run.
    """

    jobs: Sequence[JobRequest]
    notes: Sequence[str]

    @property
    def gpu_hours(self) -> float:
        """Return the upper bound, where all jobs run into their time limits."""
        return sum(
            (job.nodes + job.extra_nodes) * job.gpus_per_node * hours(job.time or "INFINITE")
            for job in self.jobs
            if job.gpus_per_node
        )

    @property
    def summary(self) -> str:
        """Return the number of jobs and the upper bound of their GPU hours."""
        count = "1 job" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs"
        if isinf(self.gpu_hours):
            return f"{count}, without a time limit: no bound on their GPU-hours"
        return f"{count}, at most {self.gpu_hours:.4g} GPU-hours"


def read_options(values: Mapping[str, Any]) -> RunOptions:
    """Read what a person entered when starting a run. Other keys, and keys whose value is None, are ignored.

    Raises:
        SettingsError: Values are wrong; the message lists all of them.
    """
    entered = {name: values[name] for name in RunOptions.model_fields if values.get(name) is not None}
    return read_settings(RunOptions, entered)


def counts_to_read(spec: SweepSpec, options: RunOptions) -> dict[str, str]:
    """Return the counts that only the script's config can set, as ``{"nodes": "cluster.num_nodes"}``."""
    if spec.config_path is None:
        return {}
    set_in_overrides = {bare_key(key) for key in spec.parameters} | {override_key(text) for text in options.overrides}
    set_in_settings = options.model_fields_set | spec.slurm.model_fields_set
    return {
        setting: key
        for key, setting in COUNTS.items()
        if key not in set_in_overrides and setting not in set_in_settings
    }


def plan_run(
    spec: SweepSpec, layers: Layers, options: RunOptions | None = None, from_config: Mapping[str, int] | None = None
) -> RunPlan:
    """Return what a run submits.

    ``layers`` are the settings below the sweep's own, ``from_config`` what the script's config says of
    `counts_to_read`.

    Raises:
        SettingsError: Settings are missing or contradict each other; the message names them, and all places for each.
    """
    options = options or RunOptions()
    replaced = {override_key(text) for text in options.overrides} | _counts_of_the_form(spec, options)
    kept = {key: values for key, values in spec.parameters.items() if bare_key(key) not in replaced}
    sweep = replace(spec, parameters=kept)
    settings = layers.resolve(spec.slurm, options, from_config or {})
    try:
        base = base_name(options.jobname or spec.slurm.jobname, spec.script_path)
        if is_template(base):
            raise ValueError(f"slurm.jobname: {base!r} is a template, which Airflow renders in a run; give a job name")
        chosen: Collection[int] = select(options.only, sweep.size) if options.only else range(1, sweep.size + 1)
        run = _Run(
            sweep=sweep,
            settings=settings,
            options=options,
            base=base,
            common=layers.job_arguments(settings),
            place=lambda key: layers.place(key, spec.slurm, options, from_config or {}),
        )
        jobs = [_job(run, combination) for combination in expand(kept) if combination.index in chosen]
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return RunPlan(jobs=jobs, notes=[*_notes(spec, sweep, jobs), *spec.warnings, *layers.warnings])


def _notes(spec: SweepSpec, sweep: SweepSpec, jobs: Sequence[JobRequest]) -> list[str]:
    notes = [f"{spec.source}: {len(jobs)} of {sweep.size} combinations"]
    if dropped := [key for key in spec.parameters if key not in sweep.parameters]:
        fewer = f": {spec.size} combinations become {sweep.size}" if sweep.size < spec.size else ""
        notes.append(f"The run's own settings replace {', '.join(dropped)} of the sweep{fewer}")
    return notes


def _counts_of_the_form(spec: SweepSpec, options: RunOptions) -> set[str]:
    """Return the keys of the counts that the form's fields replace.

    Raises:
        SettingsError: The overrides set the same count, or the sweep has several values of it.
    """
    given = {key for key, setting in COUNTS.items() if setting in options.model_fields_set}
    for key in given:
        if key in map(override_key, options.overrides):
            raise SettingsError(f"{COUNTS[key]}: the overrides set {key} too; keep one of them")
        if any(bare_key(name) == key and len(values) > 1 for name, values in spec.parameters.items()):
            raise SettingsError(
                f"{COUNTS[key]}: {spec.source} sweeps over {key}; to run with one number, override {key}"
            )
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What all jobs of a run share.

    ``common`` are the arguments of `JobRequest` that settings decide; ``place`` tells where a setting's value stands.
    """

    sweep: SweepSpec
    settings: ClusterProfile
    options: RunOptions
    base: str
    common: Mapping[str, Any]
    place: Callable[[str], str]


def _job(run: _Run, combination: Combination) -> JobRequest:
    sweep, options, parameters = run.sweep, run.options, combination.parameters
    name = job_name(run.base, combination.index, sweep.size)
    run_dir = f"{run.settings.log}/nemo-rl/{name}"
    own: dict[str, object] = {bare_key(key): value for key, value in parameters.items()}
    own |= {override_key(text): _number(text.partition("=")[2]) for text in options.overrides}
    nodes = _count(own, NODES, run.settings.nodes)
    automatic: dict[str, Value] = {
        "logger.log_dir": f"{run_dir}/logs",
        "logger.wandb_enabled": True,
        "logger.wandb.name": name,
        "checkpointing.checkpoint_dir": f"{run_dir}/checkpoints",
        NODES: nodes,
    }
    values = {key: value for key, value in automatic.items() if key not in own} | dict(parameters)
    overrides = [*(override(key, value) for key, value in values.items()), *options.overrides]
    config = ["--config", sweep.config_path] if sweep.config_path else []
    files = [sweep.script_path, *config[1:]]
    swept = {key: value for key, value in parameters.items() if len(sweep.parameters[key]) > 1}
    arguments = dict(
        run.common,
        name=name,
        label=label(swept or parameters) or " ".join(options.overrides),
        index=combination.index,
        parameters=parameters,
        overrides=options.overrides,
        command=join(["uv", "run", sweep.script_path, *config, *overrides]),
        run_dir=run_dir,
        # An absolute path may exist only in the container. A relative one is looked up in the job's working directory.
        inputs=[path for path in files if not (run.settings.container and PurePosixPath(path).is_absolute())],
        nodes=nodes,
        gpus_per_node=_gpus(run, own, nodes),
        resume=options.resume,
        dry_run=options.dry_run,
    )
    return JobRequest(**arguments)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _count(own: Mapping[str, object], key: str, setting: int) -> int:
    """Return the job's own number of nodes or GPUs."""
    value = own.get(key, setting)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{key}: expected a whole number, got {value!r}")
    return value


def _gpus(run: _Run, own: Mapping[str, object], nodes: int) -> int:
    """Return how many GPUs on each node the script is told of; Slurm must not be asked for another number.

    Where nothing sets the number, the user's own options of sbatch do.
    """
    told, sbatch = _count(own, GPUS, run.settings.gpus_per_node), run.settings.sbatch
    asked = requested_gpus(sbatch, nodes + run.settings.extra_nodes)
    names = [name for name in gpu_options(sbatch) if sbatch[name] != "none"]
    if not names or asked == told:
        return told
    is_set = GPUS in own or "gpus_per_node" in run.settings.model_fields_set
    if asked is not None and not is_set:
        return asked
    places = f"`sbatch: {{{names[0]}: {sbatch[names[0]]}}}` ({run.place(names[0])})"
    if asked is not None:
        source = f"{GPUS} of the run's parameters" if GPUS in own else f"gpus_per_node ({run.place('gpus_per_node')})"
        raise SettingsError(
            f"Slurm is asked for {asked} GPUs on each node by {places}, but the script is told {told} by {source}; "
            f"make them equal, or remove one of them"
        )
    if not is_set:
        raise SettingsError(f"{places} does not tell the number of GPUs on each node; set gpus_per_node to it")
    return told
