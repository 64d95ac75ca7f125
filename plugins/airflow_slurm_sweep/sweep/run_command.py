"""The command of a sweep's jobs: which one, what its placeholders stand for, and which values reach it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from shlex import split

from airflow_slurm_sweep.names import PARAMETERS
from airflow_slurm_sweep.slurm.parameters import variable, variables
from airflow_slurm_sweep.sweep.arguments import flags, json_text, words
from airflow_slurm_sweep.sweep.command import (
    NAME,
    Command,
    fill,
    placeholders,
    read_command,
    without_comments,
)
from airflow_slurm_sweep.sweep.job_variables import (
    literal_parameters,
    literal_values,
    refuse_placeholders,
    refuse_unset,
    settings_of,
    setup_of,
    unset_capitals,
)
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.misplaced import passed_on
from airflow_slurm_sweep.sweep.overrides import Value, bare_key, config_key, override, override_key
from airflow_slurm_sweep.sweep.setting_types import check_expanded
from airflow_slurm_sweep.sweep.settings import SlurmSection
from airflow_slurm_sweep.sweep.simple_commands import last_command, lost_status, refuse_mistakes, with_flags
from airflow_slurm_sweep.sweep.spaces import Space
from airflow_slurm_sweep.sweep.spec import SweepSpec

_OF_ALL = {"flags", "flags_spaced", "overrides", "json", "parameters_file"}  # placeholders of all parameters
_OF_JOB = {"run_dir", "job_name", "index", "nodes", "gpus_per_node", "log", "base"}
_OF_CONFIG = {"config_path", "config_dir", "config_name", "config_arguments"}
_OURS = _OF_ALL | _OF_JOB | _OF_CONFIG | {"script_path"}
_VARIABLES = {  # of the job's environment, with the value of a placeholder
    "run_dir": "BASE_LOG_DIR",
    "parameters_file": f"BASE_LOG_DIR/{PARAMETERS}",
    "nodes": "NUM_ACTOR_NODES",
    "gpus_per_node": "GPUS_PER_NODE",
}
# Jinja's form of a placeholder, {{ lr }}: with blanks, for {{lr}} is how one writes a literal {lr}.
_OF_JINJA = re.compile(rf"(?<!\{{)\{{\{{(?:[ \t]+({NAME})[ \t]*|({NAME})[ \t]+)\}}\}}(?!\}})")

_CURES = {
    "script_path": "Name the training script, relative to the working directory on the cluster, or a command of yours",
    "config_path": "Name the config, or take its placeholder out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """The command of a run's jobs.

    ``words`` are those of its files; ``files`` the script and the config, where it names them; ``apart`` the
    parameters that stand in it as words of their own, and so not among the flags.
    """

    command: Command
    words: Mapping[str, Sequence[str]]
    files: Sequence[str]
    notes: Sequence[str]
    apart: Sequence[str] = ()

    @property
    def names(self) -> set[str]:
        """The names of its placeholders."""
        return self.command.names

    def render(
        self,
        parameters: Mapping[str, Value],
        automatic: Mapping[str, Value],
        places: Mapping[str, Value],
        overrides: Sequence[str],
    ) -> str:
        """Return the command of one job, as text for a shell.

        Raises:
            ValueError: A value has no form in the place where it should stand.
        """
        given = {**automatic, **parameters}
        bare = {bare_key(key): value for key, value in parameters.items()}
        flagged = {key: value for key, value in given.items() if key not in self.apart}
        replaced = set(map(override_key, overrides))
        kept = {key.removeprefix("--"): value for key, value in given.items() if config_key(key) not in replaced}

        def words_of(name: str) -> Sequence[str]:
            match name:
                case "flags" | "flags_spaced":
                    return flags(flagged, spaced=name == "flags_spaced")
                case "overrides":
                    return [*(override(key, value) for key, value in kept.items()), *overrides]
                case "json":
                    return [json_text(parameters)]
                case "parameters_file":
                    return [f"{places['run_dir']}/{PARAMETERS}"]
                case _ if name in self.words:
                    return self.words[name]
                case _:
                    return words(bare[name] if name in bare else places[name])

        return self.command.render(words_of)


def command_text(spec: SweepSpec, layers: Layers) -> str:
    """Return the command of a sweep's jobs as it is written.

    Raises:
        ValueError: There is none.
    """
    text = spec.command or layers.profile.command or layers.preset.command
    if text is None:
        raise ValueError(
            "command: missing; write in the sweep file or the profile what each job runs, such as: python "
            f"{spec.script_path or 'train.py'} {{flags}}"
        )
    return text


def run_command(spec: SweepSpec, layers: Layers, space: Space) -> RunCommand:
    """Return the command of the jobs of a sweep that runs over a space.

    Raises:
        ValueError: There is none, it has faults, or a value has no form in it.
    """
    text, parameters = command_text(spec, layers), space.every_value
    below = settings_of(spec, layers)
    refuse_placeholders(parameters, below)
    keys = {bare_key(key): key for key in parameters}
    try:
        command, said = _read(text, keys.keys(), space), without_comments(text)
        refuse_unset(text, parameters, below, layers.job_script, _OF_JOB)
        reached = command.names & keys.keys()
        reached |= {bare for bare, key in keys.items() if re.search(rf"\b{variable(key)}\b", said)}
        has_placeholder, notes = bool(command.names & _OF_ALL), []
        reads_file = re.search(rf"(?<![\w.-]){re.escape(PARAMETERS)}", said) is not None
        if keys and not (reached or has_placeholder or reads_file):
            command, has_placeholder = with_flags(command, text), True
            place = f"{{flags}} is put at the end of {last_command(text)}"
            notes = [f"The command has no placeholder of parameters: {place}"]
    except ValueError as error:
        raise ValueError(f"command: {error}") from None
    if keys and reads_file and not (reached or has_placeholder):
        notes = [f"The command finds its parameters in {PARAMETERS} only"]
    elif not (has_placeholder or reads_file):
        notes += [
            f"{key}: the command finds it as ${variable(key)} only" for bare, key in keys.items() if bare not in reached
        ]
    apart = _apart(command, parameters)
    _refuse_odd_values(command, parameters, apart)
    files = _files(command, text, spec)
    return RunCommand(command=command, words=_words(spec, layers), files=files, notes=notes, apart=apart)


def _files(command: Command, text: str, spec: SweepSpec) -> list[str]:
    """Return the script and the config, where the command names them by placeholders."""
    files = {"script_path": spec.script_path, "config_path": spec.config_path}
    if missing := [name for name, path in files.items() if path is None and name in command.names]:
        raise ValueError(f"{missing[0]}: missing; the command is {text.strip()!r}. {_CURES[missing[0]]}")
    named = {"script_path": {"script_path"}, "config_path": _OF_CONFIG}
    used = {name: path for name, path in files.items() if path and command.names & named[name]}
    for name, path in used.items():
        try:
            check_expanded(path, "a path relative to workdir, or the whole path")
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return list(used.values())


def _read(text: str, keys: Collection[str], space: Space) -> Command:
    if of_wandb := re.search(r"\$\{(?:args\w*|env|program|interpreter|envvar:(\w+))\}", text):
        word = f"${of_wandb[1]}" if of_wandb[1] else "{flags} for arguments"
        raise ValueError(f"{of_wandb[0]} is a macro of W&B's, which no shell knows; write {word}")
    for found in _OF_JINJA.finditer(without_comments(text)):
        if (name := found[1] or found[2]) in _OURS or name in keys:
            raise ValueError(f"{found[0]} is the text {found[0][1:-1]}, no placeholder; write {{{name}}}")
    refuse_mistakes(text)
    command = read_command(text, {**dict.fromkeys(_OURS, ""), **_VARIABLES, **{key: variable(key) for key in keys}})
    if twice := sorted(command.names & _OURS & set(keys)):
        raise ValueError(f"{{{twice[0]}}} is a parameter and a placeholder of ours; call the parameter otherwise")
    if lacking := sorted(command.names & set(keys) - {bare_key(key) for key in space.parameters}):
        raise ValueError(
            f"{{{lacking[0]}}} has a value by rules only, which some combinations lack; give it one for all"
        )
    return command


def warnings(spec: SweepSpec, layers: Layers) -> list[str]:
    """Return what is odd in a sweep, or below it, but harms nothing."""
    text, found = command_text(spec, layers), [*spec.warnings, *layers.warnings]
    names_config = (spec.config_path or "") in without_comments(text)
    reads_config = placeholders(text) & _OF_CONFIG or names_config or layers.preset.counts
    unused = {"script_path": spec.script_path and not spec.script_of(text), "config_path": not reads_config}
    for name in (name for name, is_unused in unused.items() if is_unused):
        found.append(
            f"{spec.source}: {name}: the command does not use it; write {{{name}}} into the command, or remove it"
        )
    settings = {*SlurmSection.model_fields, *SlurmSection.further_keys}
    # Where the preset says which keys of the script count nodes and GPUs, no other does.
    of_slurm = settings if layers.preset.counts else ()
    found += [f"{spec.source}: {each}" for each in passed_on(spec.parameters, of_slurm)]
    below = settings_of(spec, layers)
    found += [f"{spec.source}: {each}" for each in literal_parameters(spec.parameters, _OURS)]
    found += [f"{spec.source}: command: {each}" for each in unset_capitals(text, spec.parameters, below)]
    if lost := lost_status(text, setup_of(below)):
        found.append(f"{spec.source}: command: {lost}")
    return [*found, *literal_values(below)]


def _apart(command: Command, parameters: Mapping[str, Sequence[Value]]) -> list[str]:
    """Return the lists and mappings that have a placeholder of their own: no flag could carry them."""
    return [
        key
        for key, values in parameters.items()
        if bare_key(key) in command.names and any(isinstance(value, (list, dict)) for value in values)
    ]


def _refuse_odd_values(command: Command, parameters: Mapping[str, Sequence[Value]], apart: Collection[str]) -> None:
    """Raise ValueError for parameters that the environment, flags or overrides cannot carry."""
    variables(dict.fromkeys(parameters))
    for key, values in parameters.items():
        for value in values:
            if key not in apart and command.names & {"flags", "flags_spaced"}:
                flags({key: value})
            if "overrides" in command.names:
                _check_override(key, value)


def _check_override(key: str, value: Value) -> None:
    try:
        override(key, value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}, in {value!r}") from None


def _words(spec: SweepSpec, layers: Layers) -> dict[str, Sequence[str]]:
    """Return what the placeholders of the script and its config stand for."""
    found: dict[str, Sequence[str]] = {"script_path": [spec.script_path or ""], "config_arguments": []}
    if spec.config_path:
        config = PurePosixPath(spec.config_path)
        values: dict[str, Value] = {
            "config_path": spec.config_path,
            "config_dir": str(config.parent),
            "config_name": config.stem,
        }
        found |= {name: [str(value)] for name, value in values.items()}
        found["config_arguments"] = [str(fill(each, values)) for each in split(layers.preset.config_arguments)]
    return found
