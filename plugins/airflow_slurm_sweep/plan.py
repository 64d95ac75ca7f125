"""A sweep joined with its settings: one `JobRequest` for each combination.

Of several values of one parameter the first found wins: the trigger form's > the sweep's > the automatic one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isinf
from pathlib import PurePosixPath
from typing import Any

from airflow_slurm_sweep.counts import counts_of_the_form, disagreements
from airflow_slurm_sweep.errors import Fault, SettingsError, SweepFileError
from airflow_slurm_sweep.slurm.gpus import gpu_options, requested_gpus
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.runs.earlier import EarlierJob
from airflow_slurm_sweep.slurm.runs.reservation import RunNames
from airflow_slurm_sweep.sweep.combinations import Combination, expand, select
from airflow_slurm_sweep.sweep.command import fill
from airflow_slurm_sweep.sweep.document import read_settings, read_value
from airflow_slurm_sweep.sweep.layers import BUILT_IN, Folders, Layers, read_layers
from airflow_slurm_sweep.sweep.naming import base_name, job_name, label
from airflow_slurm_sweep.sweep.overrides import Value, bare_key, check_grammar, override_key
from airflow_slurm_sweep.sweep.run_command import RunCommand, command_text, run_command
from airflow_slurm_sweep.sweep.setting_types import hours
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions
from airflow_slurm_sweep.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run will submit: a job for each combination that runs, in the sweep's order.

    ``notes`` are for the person who started the run.
    """

    jobs: Sequence[JobRequest]
    names: RunNames
    existing: str  # what to do where earlier runs have these names; see `RunOptions`
    notes: Sequence[str]

    @property
    def gpu_hours(self) -> float:
        """Return the upper bound, where all jobs run into their time limits."""
        return sum(
            (job.nodes + job.extra_nodes) * job.gpus_per_node * _most_hours(job)
            for job in self.jobs
            if job.gpus_per_node and not job.done
        )

    @property
    def summary(self) -> str:
        """Return the number of jobs and the upper bound of their GPU hours."""
        count = sum(not job.done for job in self.jobs)
        jobs = f"{count} {'job' if count == 1 else 'jobs'}"
        further = self.jobs[0].chain.get("jobs", 1) - 1 if self.jobs else 0
        retries = sum(rule["times"] for rule in self.jobs[0].chain.get("retry", ())) if self.jobs else 0
        if (more := max(0, further) + retries) > 0:
            jobs += f" that may be followed by {more} more each"
        if isinf(self.gpu_hours):
            return f"{jobs}, without a time limit: no bound on their GPU-hours"
        return f"{jobs}, at most {self.gpu_hours:.4g} GPU-hours"


def _most_hours(job: JobRequest) -> float:
    """Return how long a job, those that follow it, and all that are run again may take together."""
    limit = hours(job.time or "INFINITE")
    most = limit * max(1, job.chain.get("jobs", 1))
    for rule in job.chain.get("retry", ()):
        time = rule.get("time") or "x1"
        for number in range(1, rule["times"] + 1):
            most += limit * float(time[1:]) ** number if time.startswith("x") else hours(time)
    return float(most)


def read_options(values: Mapping[str, Any]) -> RunOptions:
    """Read what a person entered when starting a run. Other keys, and keys whose value is None, are ignored.

    Raises:
        SettingsError: Values are wrong; the message lists all of them.
    """
    entered = {name: values[name] for name in RunOptions.model_fields if values.get(name) is not None}
    return read_settings(RunOptions, entered)


def unchecked_layers_of(spec: SweepSpec, folders: Folders, environment: Mapping[str, str]) -> Layers:
    """Read the layers of settings below a sweep's own, where the run's form adds to the sweep."""
    return read_layers(spec.slurm, folders, environment, preset=spec.preset, command=spec.command)


def layers_of(spec: SweepSpec, folders: Folders, environment: Mapping[str, str]) -> Layers:
    """Read the layers of settings below a sweep's own, and check what the sweep's command says with them.

    Raises:
        SettingsError: There is no profile or preset of that name.
        SweepFileError: The sweep, the profile or the preset has faults.
    """
    layers = unchecked_layers_of(spec, folders, environment)
    faults = [*disagreements(spec, layers.preset.counts)]
    try:
        run_command(spec, layers, spec.parameters)
        spec.slurm.jobname or base_of(spec, layers, None)
    except ValueError as error:
        faults.append(Fault(problem=str(error)))
    if faults:
        raise SweepFileError(spec.source, faults)
    return layers


def plan_run(
    spec: SweepSpec,
    layers: Layers,
    options: RunOptions | None = None,
    from_config: Mapping[str, int] | None = None,
    earlier: Mapping[int, EarlierJob] | None = None,
) -> RunPlan:
    """Return what a run submits.

    ``layers`` are the settings below the sweep's own, ``from_config`` what the script's config says of
    `counts_to_read`, ``earlier`` the jobs that combinations go on from, by the combination's number.

    Raises:
        SettingsError: Settings are missing or contradict each other; the message names them, and all places for each.
    """
    options = options or RunOptions()
    settings = layers.resolve(spec.slurm, options, from_config or {})
    try:
        sweep, overrides = _with_overrides(spec, layers, options)
        base = base_of(spec, layers, options.jobname or spec.slurm.jobname)
        chosen: Collection[int] = select(options.only, sweep.size) if options.only else range(1, sweep.size + 1)
        run = _Run(
            sweep=sweep,
            layers=layers,
            settings=settings,
            options=options,
            overrides=overrides,
            command=run_command(spec, layers, sweep.parameters),
            base=base,
            common=layers.job_arguments(settings),
            earlier=earlier or {},
            place=lambda key: layers.place(key, spec.slurm, options, from_config or {}),
        )
        names = layers.run_names(base, settings.log)
        jobs = [_job(run, combination) for combination in expand(sweep.parameters) if combination.index in chosen]
    except ValueError as error:
        raise SettingsError(str(error)) from None
    existing = (options if "existing" in options.model_fields_set else spec.slurm).existing
    notes = [*_notes(spec, sweep, jobs), *run.command.notes, *spec.warnings, *layers.warnings]
    return RunPlan(jobs=jobs, names=names, existing=existing, notes=notes)


def base_of(spec: SweepSpec, layers: Layers, jobname: str | None) -> str:
    """Return the name that jobs begin with; ``jobname`` is the run's own. A ValueError if it cannot name a job."""
    names = (spec.name, spec.script_path)
    return base_name(jobname, *(names if layers.preset.base == "sweep" else names[::-1]))


def _with_overrides(spec: SweepSpec, layers: Layers, options: RunOptions) -> tuple[SweepSpec, tuple[str, ...]]:
    """Return the sweep with what the form replaces, and the overrides that the command gets besides.

    Where the command takes no overrides in Hydra's grammar, the form's are parameters with YAML values.
    """
    replaced = {override_key(text) for text in options.overrides} | counts_of_the_form(spec, layers, options)
    kept = {key: values for key, values in spec.parameters.items() if bare_key(key) not in replaced}
    if "{overrides}" in command_text(spec, layers):
        check_grammar(options.overrides)
        return replace(spec, parameters=kept), options.overrides
    entered = {}
    for text in options.overrides:
        key, equals, value = text.partition("=")
        if not equals or key.startswith(("+", "~")):
            raise ValueError(f"overrides: expected name=value, got {text!r} (the command takes no Hydra overrides)")
        entered[key] = (read_value(value, f"overrides: {key}"),)
    return replace(spec, parameters=kept | entered), ()


def _notes(spec: SweepSpec, sweep: SweepSpec, jobs: Sequence[JobRequest]) -> list[str]:
    notes = [f"{spec.source}: {len(jobs)} of {sweep.size} combinations"]
    if dropped := [key for key in spec.parameters if sweep.parameters.get(key) is not spec.parameters[key]]:
        fewer = f": {spec.size} combinations become {sweep.size}" if sweep.size < spec.size else ""
        notes.append(f"The run's own settings replace {', '.join(dropped)} of the sweep{fewer}")
    return notes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What all jobs of a run share.

    ``common`` are the arguments of `JobRequest` that settings decide; ``place`` tells where a setting's value stands.
    """

    sweep: SweepSpec
    layers: Layers
    settings: ClusterProfile
    options: RunOptions
    overrides: tuple[str, ...]
    command: RunCommand
    base: str
    earlier: Mapping[int, EarlierJob]
    common: Mapping[str, Any]
    place: Callable[[str], str]


def _job(run: _Run, combination: Combination) -> JobRequest:
    sweep, preset, parameters = run.sweep, run.layers.preset, combination.parameters
    own: dict[str, object] = {bare_key(key): value for key, value in parameters.items()}
    own |= {override_key(text): _number(text.partition("=")[2]) for text in run.overrides}
    nodes = _count(run, own, "nodes")
    gpus = _gpus(run, own, nodes)
    earlier = run.earlier.get(combination.index)
    name = earlier.name if earlier else job_name(run.base, combination.index, sweep.size)
    places: dict[str, Value] = {
        "log": run.settings.log,
        "base": earlier.base if earlier else run.base,
        "job_name": name,
        "index": combination.index,
        "nodes": nodes,
        "gpus_per_node": gpus,
    }
    run_dir = places["run_dir"] = earlier.run_dir if earlier else str(fill(preset.run_dir, places))
    automatic = {
        key: fill(value, places) for key, value in preset.automatic.items() if value is not None and key not in own
    }
    swept = {key: value for key, value in parameters.items() if len(sweep.parameters[key]) > 1}
    arguments = dict(
        run.common,
        name=name,
        label=label(swept or parameters) or " ".join(run.overrides),
        index=combination.index,
        parameters=parameters,
        swept=list(swept) or (),
        overrides=run.overrides,
        command=run.command.render(parameters, automatic, places, run.overrides),
        run_dir=run_dir,
        # An absolute path may exist only in the container. A relative one is looked up in the job's working directory.
        inputs=[
            path for path in run.command.files if not (run.settings.container and PurePosixPath(path).is_absolute())
        ],
        nodes=nodes,
        gpus_per_node=gpus,
        resume=earlier is not None,
        dry_run=run.options.dry_run,
    )
    return JobRequest(**arguments)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _count(run: _Run, own: Mapping[str, object], setting: str) -> int:
    """Return the job's own number of nodes or GPUs."""
    key = run.layers.preset.counts.get(setting, "")
    value = own.get(key, getattr(run.settings, setting))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{key}: expected a whole number, got {value!r}")
    return value


def _gpus(run: _Run, own: Mapping[str, object], nodes: int) -> int:
    """Return how many GPUs on each node the script is told of; Slurm must not be asked for another number.

    Where nothing sets the number, the user's own options of sbatch do.
    """
    told, sbatch = _count(run, own, "gpus_per_node"), run.settings.sbatch
    asked = requested_gpus(sbatch, nodes + run.settings.extra_nodes)
    names = [name for name in gpu_options(sbatch) if sbatch[name] != "none"]
    if not names or asked == told:
        return told
    key = run.layers.preset.counts.get("gpus_per_node", "")
    place = run.place("gpus_per_node")
    is_set = key in own or place not in (run.layers.preset_place, BUILT_IN)
    if asked is not None and not is_set:
        return asked
    places = f"`sbatch: {{{names[0]}: {sbatch[names[0]]}}}` ({run.place(names[0])})"
    if asked is not None:
        source = f"{key} of the run's parameters" if key in own else f"gpus_per_node ({place})"
        raise SettingsError(
            f"Slurm is asked for {asked} GPUs on each node by {places}, but the script is told {told} by {source}; "
            f"make them equal, or remove one of them"
        )
    if not is_set:
        raise SettingsError(f"{places} does not tell the number of GPUs on each node; set gpus_per_node to it")
    return told
