"""Sweep files: what they may say, and reading one with all its errors at once.

command: python train.py {flags}           # what each job runs; see docs/commands.md
script_path: examples/train_grpo.py        # or the script, for the command of a preset
config_path: examples/configs/grpo.yaml    # and its config
preset: nemo-rl                            # optional, see sweep/presets.py
optim.lr: [1e-6, 5e-6]                     # every other key: a parameter and its values
                                           # or a value form, see sweep/value_forms.py
slurm: {nodes: 2}                          # optional, see sweep/settings.py
sweep: {objective: {metric: reward, goal: maximize}}  # optional, see sweep/sweep_section.py
dag: {schedule: "@daily"}                  # optional, see sweep/dag_section.py
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.errors import Fault, SettingsError, SweepFileError
from airflow_slurm_sweep.sweep.axes import Axis
from airflow_slurm_sweep.sweep.dag_section import DagSection
from airflow_slurm_sweep.sweep.files import name_of, root_of
from airflow_slurm_sweep.sweep.foreign import other_tool
from airflow_slurm_sweep.sweep.misplaced import comments_of_sbatch, misplaced
from airflow_slurm_sweep.sweep.overrides import Value
from airflow_slurm_sweep.sweep.section import validate
from airflow_slurm_sweep.sweep.settings import ClusterProfile, CommandSetting, PresetSetting, SlurmSection
from airflow_slurm_sweep.sweep.space_reader import read_space
from airflow_slurm_sweep.sweep.space_reader import warnings as space_warnings
from airflow_slurm_sweep.sweep.spaces import Space
from airflow_slurm_sweep.sweep.sweep_section import SweepSection
from airflow_slurm_sweep.sweep.values import OWN_KEYS, read_axis
from airflow_slurm_sweep.sweep.yaml_reader import anchored_keys, kind, read_mapping, read_text

MAX_COMBINATIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """A sweep file, read and checked."""

    source: str  # the file, as messages name it
    name: str | None  # the file's name without its ending; None for a sweep that is no file
    command: str | None  # the sweep's own command line
    preset: str | None  # the sweep's own choice
    script_path: str | None  # the training script, on the cluster, relative to the working directory
    config_path: str | None  # its base config, likewise
    space: Space  # what it runs over
    sweep: SweepSection
    slurm: SlurmSection
    dag: DagSection
    warnings: tuple[str, ...] = ()  # what is odd in the file but harms nothing
    most: int = MAX_COMBINATIONS  # combinations that a run may have

    @property
    def size(self) -> int:
        """The number of combinations; 1 without parameters."""
        return self.space.size

    @property
    def parameters(self) -> Mapping[str, tuple[Value, ...]]:
        """The values of each parameter by its key (``+`` and ``++`` included), in the file's order."""
        return self.space.parameters

    @property
    def what(self) -> str:
        """What runs, as people read it."""
        return self.script_of(self.command) or (self.command or "the profile's command").strip().split("\n")[0]

    def script_of(self, command: str | None) -> str | None:
        """Return the script, unless that command does without it."""
        is_used = command is None or "{script_path}" in command or (self.script_path or "") in command
        return self.script_path if is_used else None


def most_combinations(environment: Mapping[str, str]) -> int:
    """Return how many combinations a sweep may have, as Airflow reads it from the environment.

    Raises:
        SettingsError: It is no number.
    """
    name = "AIRFLOW__SLURM_SWEEP__MAX_COMBINATIONS"
    try:
        return int(environment.get(name, MAX_COMBINATIONS))
    except ValueError:
        raise SettingsError(f"{name}: expected a whole number, got {environment[name]!r}") from None


def load_sweep(path: Path, *, source: str | None = None, max_combinations: int = MAX_COMBINATIONS) -> SweepSpec:
    """Read a sweep file from disk; see `parse_sweep`."""
    source = source or path.name
    text, folder = read_text(path, source), path.absolute().parent
    spec = parse_sweep(text, source=source, folder=folder, max_combinations=max_combinations)
    return replace(spec, name=name_of(path.absolute(), root_of(path.absolute(), "sweeps")))


def load_profile(path: Path, *, source: str | None = None, warnings: list[str] | None = None) -> ClusterProfile:
    """Read a cluster profile from disk; add to ``warnings`` what is odd in it but harms nothing.

    Raises:
        SweepFileError: The file has errors; the message lists them all.
    """
    source = source or path.name
    faults: list[Fault] = []
    found = [] if warnings is None else warnings
    profile = validate(ClusterProfile, read_mapping(read_text(path, source), source, found), "", faults)
    if profile is None:
        raise SweepFileError(source, faults)
    return profile


def parse_sweep(
    text: str,
    *,
    source: str,
    folder: Path | None = None,
    max_combinations: int = MAX_COMBINATIONS,
    started_with: Mapping[str, str | None] | None = None,
) -> SweepSpec:
    """Read a sweep file's text.

    Args:
        text: YAML, see the module's docstring.
        source: What messages call it.
        folder: Where the files are that it names; None for a sweep that is no file.
        max_combinations: Larger sweeps are refused, before anything is built.
        started_with: The script and the config that the run was started with, by the keys ``script_path`` and
            ``config_path``; where the file names one too, they have to match.

    Raises:
        SweepFileError: The text has errors; the message lists them all.
    """
    warnings: list[str] = []
    document = read_mapping(text, source, warnings)
    _refuse_other_tools(document, source)
    faults: list[Fault] = []
    script_path = _path(document, "script_path", started_with or {}, faults)
    config_path = _path(document, "config_path", started_with or {}, faults)
    if not script_path and "command" not in document and (near := _misspelt(document)):
        key, meant = near
        faults.append(Fault(key=key, problem=f"unknown key {key!r}; did you mean {meant!r}?"))
    own = validate(_Own, {key: document[key] for key in ("command", "preset") if key in document}, "", faults)
    axes = _axes(document, anchored_keys(text), folder, faults)
    sweep = validate(SweepSection, document.get("sweep"), "sweep", faults)
    space = read_space(axes, sweep, folder, faults)
    slurm = validate(SlurmSection, document.get("slurm"), "slurm", faults)
    dag = validate(DagSection, document.get("dag"), "dag", faults)
    _refuse_missing_start(dag, faults)
    if not faults and (problem := space.problem(max_combinations)):
        faults.append(Fault(problem=problem))
    if faults or own is None or sweep is None or slurm is None or dag is None:
        raise SweepFileError(source, faults)
    return SweepSpec(
        source=source,
        name=None,
        command=own.command,
        preset=own.preset,
        script_path=script_path,
        config_path=config_path,
        space=space,
        sweep=sweep,
        slurm=slurm,
        dag=dag,
        warnings=(
            *warnings,
            *(f"{source}: {each}" for each in (*comments_of_sbatch(text), *space_warnings(space, sweep))),
        ),
        most=max_combinations,
    )


def _refuse_missing_start(dag: DagSection | None, faults: list[Fault]) -> None:
    if dag and isinstance(dag.schedule, str) and dag.schedule != "@once" and dag.start_date is None:
        problem = f"missing; the schedule {dag.schedule!r} needs the date of the first run, such as 2026-01-31"
        faults.append(Fault(key="dag.start_date", problem=problem))


def _refuse_other_tools(document: Mapping[str, Any], source: str) -> None:
    tool = other_tool(document)
    named = ((key, value) for key, value in document.items() if key not in OWN_KEYS and isinstance(value, dict))
    is_ours = tool != "Weights & Biases" and isinstance(document.get("command"), str)
    if tool and is_ours and (pair := next(named, None)):
        key, value = pair
        name = next(iter(value), "lr")
        problem = f"parameters stand at top level, nested ones with dots: {name}: […] or {key}.{name}: […]"
        raise SweepFileError(source, [Fault(key=key, problem=problem)])
    if tool:
        problem = f"this is a file of {tool}; `airflow-slurm-sweep convert {source}` writes it as a sweep file"
        raise SweepFileError(source, [Fault(problem=problem)])


def _path(document: dict[str, Any], key: str, entered: Mapping[str, str | None], faults: list[Fault]) -> str | None:
    """Return the path that the document, or else the person who started the run, gives for ``key``."""
    started_with = entered.get(key)
    value = started_with if document.get(key) is None else document[key]
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or value.startswith("-"):
        faults.append(Fault(key=key, problem=f"expected a path on the cluster, got {kind(value)}: {value!r}"))
        return None
    if started_with is not None and started_with != value:
        name = key.removesuffix("_path")
        problem = f"the sweep has {value!r}, but the run was started with {name} {started_with!r}; remove one of them"
        faults.append(Fault(key=key, problem=problem))
    return value


class _Own(PresetSetting, CommandSetting):
    """The keys of a sweep file that a profile has, too."""


def _misspelt(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the key that stands in place of `command` or of `script_path`, and which; None if there is none."""
    keys = [key for key in document if key not in OWN_KEYS and not key.startswith("--")]
    for key in keys:
        is_near = key.lower() in ("cmd", "run", "script") or get_close_matches(key.lower(), ["command"], cutoff=0.8)
        if is_near and isinstance(text := document[key], str) and " " in text.strip():
            return key, "command"
    near = get_close_matches("script_path", keys, n=1, cutoff=0.85)
    return (near[0], "script_path") if near else None


def _axes(
    document: Mapping[str, Any], anchored: Collection[str], folder: Path | None, faults: list[Fault]
) -> list[Axis]:
    """Return what the parameters span."""
    parameters = {key: value for key, value in document.items() if key not in OWN_KEYS}
    settings = {key: problem for key, value in parameters.items() if (problem := misplaced(key, value))}
    faults.extend(Fault(key=key, problem=problem) for key, problem in settings.items())
    return [
        read_axis(key, value, is_anchored=key in anchored, folder=folder, faults=faults)
        for key, value in parameters.items()
        if key not in settings
    ]
