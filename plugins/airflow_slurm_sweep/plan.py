"""A sweep joined with its settings: one `JobRequest` for each combination.

Of several values of one parameter the first found wins: the trigger form's > the sweep's > the automatic one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_slurm_sweep.counts import counts_of_the_form, disagreements
from airflow_slurm_sweep.errors import Fault, SettingsError, SweepFileError
from airflow_slurm_sweep.slurm.gpus import gpu_options, requested_gpus
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.runs.earlier import EarlierJob
from airflow_slurm_sweep.slurm.runs.reservation import RunNames
from airflow_slurm_sweep.slurm.validation import is_count
from airflow_slurm_sweep.sweep.budget import Budget, Cost
from airflow_slurm_sweep.sweep.combinations import select
from airflow_slurm_sweep.sweep.command import fill
from airflow_slurm_sweep.sweep.entered import with_overrides
from airflow_slurm_sweep.sweep.layers import BUILT_IN, Folders, Layers, RunSettings, read_layers
from airflow_slurm_sweep.sweep.naming import base_name, job_name, refuse_shared
from airflow_slurm_sweep.sweep.overrides import Value, config_key, override_key
from airflow_slurm_sweep.sweep.recipe import Recipe, Search, check_search
from airflow_slurm_sweep.sweep.run_command import command_text, run_command, warnings
from airflow_slurm_sweep.sweep.section import read_settings
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions
from airflow_slurm_sweep.sweep.space_reader import notes
from airflow_slurm_sweep.sweep.spaces import Combination
from airflow_slurm_sweep.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run will submit: a job for each combination that runs, in the sweep's order.

    ``notes`` are for the person who started the run, ``revision`` says which commit the working directory has.
    """

    jobs: Sequence[JobRequest]
    names: RunNames
    existing: str  # what to do where earlier runs have these names; see `RunOptions`
    notes: Sequence[str]
    search: Search | None = None  # of a run whose parameters are proposed while it goes on
    revision: str = ""

    @property
    def cost(self) -> Cost:
        """Return the upper bound, where all jobs run into their time limits."""
        return Cost.of(self.jobs)

    @property
    def summary(self) -> str:
        """Return the number of jobs and the upper bound of their cost."""
        count = sum(not job.done for job in self.jobs)
        more = max((_most_further_jobs(job) for job in self.jobs), default=0)
        followed = f" that may be followed by {more} more each" if more else ""
        first = self.jobs[0].canaries
        waiting = f"; {first} of them run to their end before the others are submitted" if 0 < first < count else ""
        return f"{count} {'job' if count == 1 else 'jobs'}{followed}, {self.cost}{waiting}"


def _most_further_jobs(job: JobRequest) -> int:
    retries: int = sum(rule["times"] for rule in job.chain.get("retry", ()))
    return max(0, int(job.chain.get("jobs", 1)) - 1) + retries


def read_options(values: Mapping[str, Any]) -> RunOptions:
    """Read what a person entered when starting a run. Other keys, and keys whose value is None, are ignored.

    Raises:
        SettingsError: Values are wrong; the message lists all of them.
    """
    entered = {name: values[name] for name in RunOptions.model_fields if values.get(name) is not None}
    return read_settings(RunOptions, entered)


def unchecked_layers_of(spec: SweepSpec, folders: Folders, environment: Mapping[str, str]) -> Layers:
    """Read the layers of settings below a sweep's own, where the run's form adds to the sweep."""
    try:
        layers = read_layers(spec.slurm, folders, environment, preset=spec.preset, command=spec.command)
    except SettingsError as error:
        raise SweepFileError(spec.source, [Fault(problem=str(error))]) from None
    return replace(layers, sweep=spec.sweep)


def layers_of(spec: SweepSpec, folders: Folders, environment: Mapping[str, str]) -> Layers:
    """Read the layers of settings below a sweep's own, and check what the sweep's command says with them.

    Raises:
        SweepFileError: The sweep, the profile or the preset has faults, or does not exist.
    """
    layers = unchecked_layers_of(spec, folders, environment)
    faults = [*disagreements(spec, layers.preset.counts)]
    try:
        run_command(spec, layers, spec.space)
        settings = layers.resolve(RunSettings(section=spec.slurm), may_lack=True)  # the form may have them
        check_search(spec, settings, layers.preset.counts, spec.slurm.existing)
        spec.slurm.jobname or base_of(spec, layers, None)
    except (ValueError, SettingsError) as error:
        faults.append(Fault(problem=str(error)))
    if faults:
        raise SweepFileError(spec.source, faults)
    return layers


def budgets(spec: SweepSpec, layers: Layers) -> dict[str, Budget]:
    """Return what limits the cost of a sweep's runs, by the places where it stands."""
    return {f"`sweep:` of {spec.source}": spec.sweep, layers.profile_name: layers.profile}


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
    above = RunSettings(section=spec.slurm, options=options, from_config=from_config or {})
    settings = layers.resolve(above)
    try:
        sweep, overrides = _with_form(spec, layers, options)
        if problem := sweep.space.problem(spec.most):
            raise SettingsError(f"with the run's own settings: {problem}")
        base = base_of(spec, layers, options.jobname or spec.slurm.jobname)
        chosen: Collection[int] = select(options.only, sweep.size) if options.only else range(1, sweep.size + 1)
        run = _Run(
            sweep=sweep,
            layers=layers,
            above=above,
            base=base,
            recipe=Recipe(
                command=run_command(spec, layers, sweep.space),
                automatic=layers.automatic(above),
                overrides=overrides,
                swept=tuple(sweep.space.swept),
                repeated=tuple(sweep.space.repeated),
                places={"log": settings.log, "base": base},
            ),
            earlier=earlier or {},
        )
        names = layers.run_names(base, settings.log)
        jobs = [*_jobs(run, chosen)]
        refuse_shared((job.name, job.run_dir) for job in jobs)
        existing = (options if "existing" in options.model_fields_set else spec.slurm).existing
        check_search(sweep, settings, layers.preset.counts, existing)
        search = None
        if sweep.sweep.search == "tpe" and (objective := sweep.sweep.objective):  # the section sweep wants one
            search = Search(space=sweep.space, recipe=run.recipe, maximize=objective.goal == "maximize")
    except ValueError as error:
        raise SettingsError(str(error)) from None
    said = [*_notes(spec, sweep, jobs), *run.recipe.command.notes, *warnings(spec, layers)]
    if search:
        said += search.notes(settings.max_parallel_jobs or 0)
    return RunPlan(jobs=jobs, names=names, existing=existing, notes=said, search=search)


def base_of(spec: SweepSpec, layers: Layers, jobname: str | None) -> str:
    """Return the name that jobs begin with; ``jobname`` is the run's own. A ValueError if it cannot name a job."""
    names = (spec.name, spec.script_of(command_text(spec, layers)))
    return base_name(jobname, *(names if layers.preset.base == "sweep" else names[::-1]))


def _with_form(spec: SweepSpec, layers: Layers, options: RunOptions) -> tuple[SweepSpec, tuple[str, ...]]:
    """Return the sweep with what the form replaces, and the overrides that the command gets besides."""
    counts = counts_of_the_form(spec, layers, options)
    space, overrides = with_overrides(spec.space, command_text(spec, layers), options.overrides, counts)
    return replace(spec, space=space, sweep=spec.sweep.with_canary(options.canary)), overrides


def _notes(spec: SweepSpec, sweep: SweepSpec, jobs: Sequence[JobRequest]) -> list[str]:
    found = [f"{spec.source}: {len(jobs)} of {sweep.size} combinations", *notes(sweep.space, sweep.sweep)]
    if dropped := ", ".join(sweep.space.overridden):
        fewer = f": {spec.size} combinations become {sweep.size}" if sweep.size < spec.size else ""
        found.append(f"The run's own settings replace {dropped} of the sweep{fewer}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What all jobs of a run share."""

    sweep: SweepSpec
    layers: Layers
    above: RunSettings
    base: str
    recipe: Recipe
    earlier: Mapping[int, EarlierJob]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needs:
    """What jobs ask for that the same rules hold for; ``common`` are the arguments of `JobRequest` that it decides."""

    above: RunSettings
    settings: ClusterProfile
    recipe: Recipe
    common: Mapping[str, Any]


def _jobs(run: _Run, chosen: Collection[int]) -> Iterator[JobRequest]:
    """Yield the jobs of the chosen combinations."""
    needs: dict[tuple[str, ...], _Needs] = {}
    for combination in run.sweep.space.combinations:
        rules = tuple(combination.settings)
        if combination.index in chosen and rules not in needs:
            above = replace(run.above, rules=combination.settings)
            settings = run.layers.resolve(above)
            # An absolute path may exist only in the container. A relative one is looked up in the working directory.
            files = [path for path in run.recipe.command.files if not (settings.container and path.startswith("/"))]
            common = {**run.layers.job_arguments(settings), "inputs": files}
            common["canaries"] = run.sweep.sweep.canary or 0
            recipe = replace(run.recipe, automatic=run.layers.automatic(above))
            needs[rules] = _Needs(above=above, settings=settings, recipe=recipe, common=common)
        if combination.index in chosen:
            yield _job(run, needs[rules], combination)


def _job(run: _Run, needs: _Needs, combination: Combination) -> JobRequest:
    sweep, preset, parameters = run.sweep, run.layers.preset, combination.parameters
    own: dict[str, object] = {config_key(key): value for key, value in parameters.items()}
    own |= {override_key(text): _number(text.partition("=")[2]) for text in run.recipe.overrides if text[0] != "~"}
    nodes = _count(run, needs, own, "nodes")
    gpus = _gpus(run, needs, own, nodes)
    earlier = run.earlier.get(combination.index)
    name = earlier.name if earlier else job_name(run.base, combination.index, sweep.size)
    places: dict[str, Value] = {
        "log": needs.settings.log,
        "base": earlier.base if earlier else run.base,
        "job_name": name,
        "index": combination.index,
        "nodes": nodes,
        "gpus_per_node": gpus,
    }
    run_dir = places["run_dir"] = earlier.run_dir if earlier else str(fill(preset.run_dir, places))
    arguments = dict(
        needs.common,
        **needs.recipe.arguments(parameters, places),
        name=name,
        index=combination.index,
        run_dir=run_dir,
        nodes=nodes,
        gpus_per_node=gpus,
        resume=earlier is not None,
        dry_run=run.above.options.dry_run,
        trial=combination.index - 1 if sweep.sweep.search == "tpe" else None,
    )
    return JobRequest(**arguments)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _count(run: _Run, needs: _Needs, own: Mapping[str, object], setting: str) -> int:
    """Return the job's own number of nodes or GPUs."""
    key = run.layers.preset.counts.get(setting, "")
    value = own.get(key, getattr(needs.settings, setting))
    least = 1 if setting == "nodes" else 0
    if not isinstance(value, int) or not is_count(value, least):
        raise SettingsError(f"{key}: expected a whole number from {least}, got {value!r}")
    return value


def _gpus(run: _Run, needs: _Needs, own: Mapping[str, object], nodes: int) -> int:
    """Return how many GPUs on each node the script is told of; Slurm must not be asked for another number.

    Where nothing sets the number, the user's own options of sbatch do.
    """
    told, sbatch = _count(run, needs, own, "gpus_per_node"), needs.settings.sbatch
    asked = requested_gpus(sbatch, nodes + needs.settings.extra_nodes)
    names = [name for name in gpu_options(sbatch) if sbatch[name] != "none"]
    if not names or asked == told:
        return told
    key = run.layers.preset.counts.get("gpus_per_node", "")
    place = run.layers.place("gpus_per_node", needs.above)
    is_set = key in own or place not in (run.layers.preset_place, BUILT_IN)
    if asked is not None and not is_set:
        return asked
    places = f"`sbatch: {{{names[0]}: {sbatch[names[0]]}}}` ({run.layers.place(names[0], needs.above)})"
    if asked is not None:
        source = f"{key} of the run's parameters" if key in own else f"gpus_per_node ({place})"
        raise SettingsError(
            f"Slurm is asked for {asked} GPUs on each node by {places}, but the script is told {told} by {source}; "
            f"make them equal, or remove one of them"
        )
    if not is_set:
        raise SettingsError(f"{places} does not tell the number of GPUs on each node; set gpus_per_node to it")
    return told
