"""The layers of a sweep's settings, and the value that each setting has after all of them.

First found wins: the trigger form > rules of the sweep file > its `slurm:` > its `sweep:` > its command > the script's
config (nodes and GPUs, where the preset says so) > the cluster profile > the environment (``LOG``, and the variables
that the preset names) > the preset > the default.
Mappings (``env``, ``sbatch``) are joined, key by key, and so are the lines of ``setup``, the lowest layer's first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isinf
from pathlib import Path
from typing import Any, get_args

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.durations import hours
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, JobRequest
from airflow_slurm_sweep.slurm.retry import check
from airflow_slurm_sweep.slurm.runs.reservation import BASE, NUMBER, RunNames
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.sweep.command import fill
from airflow_slurm_sweep.sweep.entered import value_or_text
from airflow_slurm_sweep.sweep.files import root_of, yaml_files
from airflow_slurm_sweep.sweep.presets import DEFAULT, PLAIN, Preset, load_preset
from airflow_slurm_sweep.sweep.sbatch_options import check_signal, over
from airflow_slurm_sweep.sweep.section import read_settings
from airflow_slurm_sweep.sweep.setting_types import Secret
from airflow_slurm_sweep.sweep.settings import ClusterProfile, JobSettings, RunOptions, SlurmSection, given
from airflow_slurm_sweep.sweep.spec import load_profile
from airflow_slurm_sweep.sweep.sweep_section import SweepSection
from airflow_slurm_sweep.sweep.yaml_reader import read_text

DEFAULT_PROFILE = "default"
_WARN = 120  # seconds before the limit at which a job of a chain is warned by default
BUILT_IN = "the built-in default"
_NO_TEXT = {
    name
    for name, each in ClusterProfile.model_fields.items()
    if {int, bool} & {each.annotation, *get_args(each.annotation)}
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where sweeps and clusters are described."""

    include: Path  # the project's folder ``include``; a ``job.sh`` in it replaces our batch script
    sweeps: Path  # of the sweep files
    clusters: Path  # of the cluster profiles

    @classmethod
    def around(cls, sweep_file: Path) -> Folders:
        """Return the folders for a sweep file.

        A file below a folder ``sweeps`` belongs to the include folder above it. For any other file its own folder is
        the include folder; its profiles are in ``clusters``, or beside it if ``default.yaml`` is.
        """
        sweeps = root_of(sweep_file.absolute(), "sweeps")
        if sweeps.name == "sweeps":
            return cls(include=sweeps.parent, sweeps=sweeps, clusters=sweeps.parent / "clusters")
        clusters = sweeps if (sweeps / f"{DEFAULT_PROFILE}.yaml").exists() else sweeps / "clusters"
        return cls(include=sweeps, sweeps=sweeps, clusters=clusters)

    @property
    def presets(self) -> Path:
        """Where people keep presets of their own."""
        return self.include / "presets"

    def shown(self, path: Path) -> str:
        """Return the path as messages name it: relative to the project's folder if it is in there."""
        root = self.include.absolute().parent
        return str(path.absolute().relative_to(root) if path.absolute().is_relative_to(root) else path)


def read_layers(
    section: SlurmSection,
    folders: Folders,
    environment: Mapping[str, str],
    *,
    preset: str | None = None,
    command: str | None = None,
) -> Layers:
    """Read the layers below a sweep: its cluster profile (or the one called default, if there is one) and the rest.

    ``preset`` and ``command`` are the sweep file's own.

    Raises:
        SettingsError: There is no profile, or no preset, of that name.
        SweepFileError: The profile or the preset has errors.
    """
    name, files = section.profile or DEFAULT_PROFILE, yaml_files(folders.clusters)
    path, *others = files.get(name, [folders.clusters / f"{name}.yaml"])
    shown = folders.shown(path)
    warnings: list[str] = []
    if others:
        raise SettingsError(f"slurm.profile: {shown} and {folders.shown(others[0])} have one name; rename one of them")
    if name in files:
        profile = load_profile(path, source=shown, warnings=warnings)
    elif section.profile:
        existing = ", ".join(files) or "none"
        raise SettingsError(f"slurm.profile: the file {shown} does not exist; existing profiles: {existing}")
    else:
        profile = ClusterProfile()
    own = folders.include / "job.sh"
    job_script = read_text(own, folders.shown(own)) if own.exists() else JOB_SCRIPT
    chosen = preset or profile.preset or (PLAIN if command or profile.command else DEFAULT)
    return Layers(
        profile=profile,
        profile_name=shown,
        preset=load_preset(chosen, folders.presets),
        preset_name=chosen,
        command=command,
        environment=environment,
        job_script=job_script,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The layers of settings above the cluster profile."""

    section: SlurmSection  # of the sweep file
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by the places of those that hold
    options: RunOptions = field(default_factory=RunOptions)
    from_config: Mapping[str, int] = field(default_factory=dict)  # nodes and gpus_per_node, if the config sets them


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of settings below a sweep's own."""

    profile: ClusterProfile  # an empty one where there is no file
    profile_name: str  # the file that holds it or could hold it, as messages name it
    preset: Preset
    preset_name: str
    command: str | None  # the sweep file's own
    environment: Mapping[str, str]  # of the process that plans
    job_script: str  # the text of the batch script, for clusters that name none of their own
    warnings: tuple[str, ...] = ()  # what is odd in the profile's file but harms nothing
    sweep: SweepSection = field(default_factory=SweepSection)  # the sweep file's own

    def resolve(self, above: RunSettings, *, may_lack: bool = False) -> ClusterProfile:
        """Return a profile in which each setting has the value that counts.

        Raises:
            SettingsError: Required ones are missing (the message names all of them and every place for each), which
                ``may_lack`` allows, or they contradict each other.
        """
        values = self._values(above)
        if missing := [] if may_lack else self._missing(values):
            raise SettingsError(f"Required settings are missing. Set {'; '.join(missing)}")
        settings = read_settings(ClusterProfile, values)
        if not settings.batch_script and self.job_script == JOB_SCRIPT:
            check_signal(str(settings.sbatch.get("signal", "")))
        return settings

    def lacks(self, above: RunSettings) -> bool:
        """Return whether required settings are missing."""
        return bool(self._missing(self._values(above)))

    def _values(self, above: RunSettings) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for layer in self._stack(above).values():
            values = over(values, {name: layer[name] for name in layer.keys() & ClusterProfile.model_fields.keys()})
        return values

    def place(self, key: str, above: RunSettings) -> str:
        """Return where the value of a setting, or of an option below ``sbatch``, stands, as messages name it."""
        stack = self._stack(above).items()
        places = [place for place, layer in stack if key in layer or key in layer.get("sbatch", {})]
        return places[-1] if places else BUILT_IN

    def _stack(self, above: RunSettings) -> dict[str, Mapping[str, Any]]:
        """Return the layers by their places; the last one that has a setting wins."""
        return {
            self.preset_place: given(self.preset),
            "the environment": self._from_environment(),
            self.profile_name: given(self.profile),
            "the script's config": above.from_config,
            "the sweep file": {"command": self.command} if self.command else {},
            "the sweep file's `sweep:`": given(self.sweep),
            "the sweep file's `slurm:`": given(above.section),
            **above.rules,
            "the trigger form": given(above.options),
        }

    @property
    def preset_place(self) -> str:
        """The preset as messages name it."""
        return f"the preset {self.preset_name}"

    def workdir(self, section: SlurmSection) -> str | None:
        """Return the directory on the cluster that the sweep's paths start from."""
        layers = reversed(self._stack(RunSettings(section=section)).values())
        return next((layer["workdir"] for layer in layers if "workdir" in layer), None)

    def automatic(self, above: RunSettings) -> dict[str, Any]:
        """Return the keys that each job gets, with placeholders; also counts set above the config, which may differ."""
        decided = {*given(above.section), *given(above.options)}.union(*above.rules.values())
        counts = {key: f"{{{name}}}" for name, key in self.preset.counts.items() if name in decided}
        # The preset's keys keep their places and values; null there means that a key is not automatic.
        values = {**self.preset.automatic, **counts, **self.preset.automatic}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def site(self) -> Site:
        """Where the cluster is."""
        profile = self.profile
        return Site(ssh_conn_id=profile.ssh_conn_id, clusters=profile.clusters or "", login_setup=profile.login_setup)

    def run_names(self, base: str, log: str) -> RunNames:
        """Return what the runs of a sweep may be called, and where their run directories are."""
        places = {"log": log, "base": BASE, **dict.fromkeys(("index", "nodes", "gpus_per_node"), NUMBER)}
        names = (BASE, f"{BASE}_sweep_{NUMBER}")
        return RunNames(
            base=base, run_dirs=tuple(str(fill(self.preset.run_dir, {**places, "job_name": name})) for name in names)
        )

    def job_arguments(self, settings: ClusterProfile) -> dict[str, Any]:
        """Return the arguments of `JobRequest` that settings decide: those of the same name, and some others."""
        same = JobSettings.model_fields.keys() & {each.name for each in fields(JobRequest)}
        secrets = {name: value.reference for name, value in settings.env.items() if isinstance(value, Secret)}
        return {
            **{name: getattr(settings, name) for name in same},
            "ssh_conn_id": settings.ssh_conn_id,
            "clusters": settings.clusters or "",
            "login_setup": settings.login_setup,
            "script": "" if settings.batch_script else self.job_script,
            "env": {name: value for name, value in settings.env.items() if isinstance(value, str)},
            "secrets": secrets,
            "options": settings.sbatch,
            "folders": list(self.preset.folders),
            "array": settings.submit == "array",
            "queue_limit": _seconds(settings.queue_limit),
            "metrics": settings.metrics.files,
            "metric_names": settings.metrics.names,
            "metric_step": settings.metrics.step,
            "objective": self.sweep.objective.metric if self.sweep.objective else "",
            "stop": self.sweep.stopping,
            "warn": _warn(settings),
            "chain": self._chain(settings),
        }

    def _chain(self, settings: ClusterProfile) -> dict[str, Any]:
        """Return the arguments of `Chain`; nothing for a job that no other follows."""
        retry = [rule.model_dump(mode="json", exclude_defaults=True) | {"times": rule.times} for rule in settings.retry]
        if not (settings.chain or retry):
            return {}
        check(retry, settings.sbatch, settings.time)
        chain = settings.chain.model_dump(mode="json") if settings.chain else {"jobs": 0, "on": []}
        return {**chain, "progress": self.preset.progress, "retry": retry}

    def _from_environment(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, source in self._sources.items():
            variable, slash, rest = source.removeprefix("$").partition("/")
            if value := self.environment.get(variable):
                text = f"{value.rstrip('/')}/{rest}" if slash else value
                found[name] = value_or_text(text) if name in _NO_TEXT else text
        return given(read_settings(ClusterProfile, found))

    @property
    def _sources(self) -> Mapping[str, str]:
        return {**self.preset.environment, "log": "$LOG"}

    def _missing(self, values: Mapping[str, Any]) -> list[str]:
        """Return which required settings are missing, each with all places for it."""
        missing = []
        for name in ClusterProfile.model_fields:
            if name in values or name not in ("log", *self.preset.required):
                continue
            places = [
                *(["the trigger form"] if name in RunOptions.model_fields else []),
                *([f"`slurm.{name}` in the sweep file"] if name in SlurmSection.model_fields else []),
                f"`{name}` in {self.profile_name}",
                *([f"{self._sources[name].partition('/')[0][1:]} in the environment"] if name in self._sources else []),
            ]
            none = type(None) in get_args(ClusterProfile.model_fields[name].annotation)
            named = f"{', '.join(places[:-1])}, or {places[-1]}" if len(places) > 1 else places[0]
            missing.append(f"{name}: {named}{' (null in a file: none)' if none else ''}")
        return missing


def _warn(settings: ClusterProfile) -> int:
    """Return how many seconds before the limit a job is warned; by default only a job of a chain with our job.sh."""
    if settings.warn is not None:
        return settings.warn
    if settings.chain is None or settings.batch_script or "signal" in settings.sbatch:
        return 0
    limit = _seconds(settings.time)
    return _WARN if limit is None else min(_WARN, limit // 4)


def _seconds(limit: str | None) -> int | None:
    """Return a duration in seconds; None for no limit, as Slurm's 0 is."""
    return None if limit is None or isinf(hours(limit)) else round(hours(limit) * 3600)
