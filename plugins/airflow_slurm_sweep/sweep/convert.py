"""Another tool's sweep file as one of ours: what can be said, and in comments what cannot.

W&B's ``parameters: {lr: {values: [0.1, 0.01]}}`` and Hydra's ``hydra.sweeper.params: {lr: "0.1,0.01"}`` are both
``lr: [0.1, 0.01]``; distributions become value forms that ``search: random`` draws.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from shlex import quote
from typing import Any, TypeAlias

from airflow_slurm_sweep.errors import Fault, SweepFileError
from airflow_slurm_sweep.sweep.convert_seml import of_seml
from airflow_slurm_sweep.sweep.converted import NO_PROGRAM, Converted
from airflow_slurm_sweep.sweep.converted_parameters import add, constants, flat, mapping, parameter_key
from airflow_slurm_sweep.sweep.foreign import as_yaml, is_call, other_tool
from airflow_slurm_sweep.sweep.hydra_values import choices
from airflow_slurm_sweep.sweep.values import protected
from airflow_slurm_sweep.sweep.yaml_reader import read_mapping

_TRIALS_BY = (
    "run_cap",
    "n_trials",
    "num_samples",
    "max_trials",
    "maxTrialNumber",
    "numRuns",
    "max_trial_number",
    "budget",
)
_WORDS_OF_COMMANDS = {
    "${env}": "",
    "${interpreter}": "python",
    "${args}": "{flags}",
    "${args_no_boolean_flags}": "{flags}",
    "${args_no_hyphens}": "{overrides}",
    "${args_json}": "{json}",
    "${args_json_file}": "{parameters_file}",
}
_PROGRAMS = (("trialCommand",), ("trial", "command"))  # NNI's
_WHOLE = ("matrix", "config")  # keys of sweeps of their own, where several stand in a file
_RANGE = re.compile(r"^(?!.*(?:choice|=)).*\b(?:range|interval)\s*\(")  # what `choices` does not read
_Path: TypeAlias = tuple[str, ...]
_FROM_WANDB = {"program", "command", "method", "parameters", "metric", "description", "run_cap"}


def convert(text: str, source: str) -> str:
    """Return the text of a sweep file.

    Raises:
        SweepFileError: The file is ours already, or holds nothing that can be said.
    """
    document = read_mapping(text, source, [])
    tool = other_tool(document)
    if tool is None:
        raise SweepFileError(source, [Fault(problem="expected a sweep of another tool, got none")])
    readers = {"Weights & Biases": _of_wandb, "seml": of_seml, "Hydra": _of_hydra}
    sweep = readers[tool](document) if tool in readers else _of_others(document, tool)
    if not sweep.parameters:
        problem = f"holds no values to run over: {'; '.join(sweep.unsaid) or 'no parameters'}"
        raise SweepFileError(source, [Fault(problem=problem)])
    lines = [
        f"# From {source}, a file of {tool}.",
        *(f"# Not taken over: {' '.join(each.split())}." for each in sweep.unsaid),
    ]
    lines.append(f"command: {as_yaml(sweep.command)}")
    for key, values in sweep.parameters.items():
        said = values if isinstance(values, dict) else [protected(value) for value in values]
        lines.append(f"{as_yaml(key)}: {as_yaml(said)}")
    sections = {"sweep": sweep.section, **sweep.sections}
    lines += [f"{name}: {as_yaml(section)}" for name, section in sections.items() if section]
    return "\n".join(lines) + "\n"


def _of_wandb(document: Mapping[str, Any]) -> Converted:
    program = str(document.get("program") or "train.py")
    said = document.get("command")
    words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    words = words or ["${interpreter}", "${program}", "${args}"]
    sweep = Converted(command=" ".join(filter(None, (_word(str(word), program) for word in words))))
    if said and not isinstance(said, str | list):
        sweep.unsaid.append(f"command: {as_yaml(said)}")
    if "program" not in document and "command" not in document:
        sweep.unsaid.append(NO_PROGRAM)
    unknown = [key for key in document if key not in _FROM_WANDB]
    sweep.unsaid.extend(f"{key}, which has no counterpart here" for key in unknown)
    add(sweep, document["parameters"], nests=False)
    if "{flags}" in sweep.command:
        has_switches = "${args_no_boolean_flags}" in words
        for key, values in sweep.parameters.items():
            if isinstance(values, list):
                sweep.parameters[key] = [_as_passed(value, has_switches=has_switches) for value in values]
    if (method := document.get("method", "grid")) != "grid" or sweep.is_drawn:
        if method not in ("grid", "random"):
            sweep.unsaid.append(f"method {method}: combinations are drawn at random")
        sweep.search(document.get("run_cap"))
    elif "run_cap" in document:
        sweep.unsaid.append(f"run_cap: {document['run_cap']}, since a grid runs whole")
    metric = mapping(document.get("metric"))
    if not metric and document.get("metric"):
        sweep.unsaid.append(f"metric: {as_yaml(document['metric'])}, which has no name and goal")
    sweep.rank_by(metric.get("name"), metric.get("goal"), ("metric.name", "metric.goal"))
    sweep.unsaid.extend(f"metric.{key}, which has no counterpart here" for key in metric if key not in ("name", "goal"))
    if isinstance(document.get("description"), str):
        sweep.sections["dag"] = {"description": document["description"]}
    return sweep


def _word(word: str, program: str) -> str:
    """Return a word of W&B's command as our command has it."""
    if word in _WORDS_OF_COMMANDS:
        return _WORDS_OF_COMMANDS[word]
    parts = re.split(r"\$\{envvar:(\w+)\}", word.replace("${program}", program))
    texts = [quote(part).replace("{", "{{").replace("}", "}}") if part else "" for part in parts[::2]]
    variables = [f'"${name}"' for name in parts[1::2]]
    return "".join(chain(*zip_longest(texts, variables, fillvalue="")))


def _as_passed(value: Any, *, has_switches: bool) -> Any:
    """Return a value as W&B passes it in a flag: ``--amp=True``, ``--sizes=[1, 2]``."""
    is_text = isinstance(value, list | dict) or value is None or (isinstance(value, bool) and not has_switches)
    return str(value) if is_text else value


def _of_hydra(document: Mapping[str, Any]) -> Converted:
    """Return what Hydra sweeps over: its sweeper's parameters, and a multirun.yaml's overrides."""
    sweep = Converted(command="python train.py {overrides}", unsaid=[NO_PROGRAM])
    hydra = mapping(document.get("hydra"))
    sweeper = mapping(hydra.get("sweeper"))
    add(sweep, _read_by_hydra(mapping(sweeper.get("params")), sweep), nests=False)
    add(sweep, mapping(sweeper.get("search_space")), nests=False)
    task = mapping(hydra.get("overrides")).get("task")
    texts = [each for each in task if isinstance(each, str)] if isinstance(task, list) else []
    pairs = (text.partition("=") for text in texts)
    add(sweep, _read_by_hydra({key: value for key, _, value in pairs}, sweep))
    sweep.ask_slurm(mapping(hydra.get("launcher")), "hydra.launcher")
    directions = [("hydra", "sweeper", "direction"), ("hydra", "sweeper", "optuna_config", "direction")]
    direction = next((path for path in directions if _at(document, path)), directions[0])
    places = ("optimized_metric", ".".join(direction))
    sweep.rank_by(document.get("optimized_metric"), _at(document, direction), places)
    spaces = [("hydra", "sweeper", "params"), ("hydra", "sweeper", "search_space"), ("hydra", "overrides", "task")]
    of_trials, trials = _trials(document, spaces)
    read = [*spaces, of_trials, ("optimized_metric",), ("hydra", "mode"), ("hydra", "launcher")]
    read += [direction, ("hydra", "sweeper", "_target_")]
    sweep.unsaid.extend(f"{key}, which the script's own config keeps" for key in _unread(document, read))
    if sweep.is_drawn or trials:
        sweep.search(trials)
    return sweep


def _read_by_hydra(space: Mapping[str, Any], sweep: Converted) -> dict[str, Any]:
    """Return parameters with the values that Hydra reads in their texts."""
    found: dict[str, Any] = {}
    for key, value in space.items():
        values = choices(value) if isinstance(value, str) else None
        if values is not None:
            found[key] = values
        elif not isinstance(value, str) or (_RANGE.search(value) and is_call(value)):
            found[key] = value
        else:
            sweep.unsaid.append(f"{key}: {as_yaml(value)}, which is no list of values that is read here")
    return found


def _of_others(document: Mapping[str, Any], tool: str) -> Converted:
    sweep = Converted(command="")
    programs = ((path, _at(document, path)) for path in _PROGRAMS)
    of_program, program = next((each for each in programs if isinstance(each[1], str)), ((), ""))
    if not program:
        sweep.unsaid.append(NO_PROGRAM)
    spaces = [(path, space) for path in _places(document) if (space := mapping(_at(document, path)))]
    for path, space in spaces:
        names = {parameter_key(name) for name, _ in flat(space)}
        if sweep.parameters and (path[-1] in _WHOLE or names & sweep.parameters.keys()):
            place = ".".join(map(str, path))
            sweep.unsaid.append(f"{place}: {as_yaml(space)}, another sweep: convert it from a file of its own")
        else:
            add(sweep, constants(space, may_draw=True) if tool == "Ray Tune" else space)
    metric, mode = ("tune_config", "metric"), ("tune_config", "mode")
    sweep.rank_by(_at(document, metric), _at(document, mode), (".".join(metric), ".".join(mode)))
    of_trials, trials = _trials(document, [path for path, _ in spaces])
    read = [*(path for path, _ in spaces), of_program, of_trials, metric, mode]
    sweep.unsaid.extend(f"{key}, which has no counterpart here" for key in _unread(document, read))
    if sweep.is_drawn or trials:
        sweep.search(trials)
    has_flags = not any(isinstance(each, list | dict) for found in sweep.parameters.values() for each in found)
    words = program.strip().replace("{", "{{").replace("}", "}}") or "python train.py"
    return replace(sweep, command=f"{words} {'{flags}' if has_flags else '{json}'}")  # lists have no form as flags


def _places(document: Mapping[str, Any]) -> Iterator[_Path]:
    """Yield where the parameters may stand in the file of a tool that we know by its keys."""
    yield from (("jobs", job, "strategy", "matrix") for job in mapping(document.get("jobs")))
    yield ("strategy", "matrix")
    yield ("matrix", "params") if "params" in mapping(document.get("matrix")) else ("matrix",)
    for key in ("param_space", "search_space", "searchSpace", "parameters", "params", "hyperparameters"):
        yield (key,)
    yield from (("grid",), ("search",))
    yield from ((key, "config") for key, value in document.items() if "run" in mapping(value))  # RLlib's experiments


def _at(document: Any, path: _Path) -> Any:
    for key in path:
        document = mapping(document).get(key)
    return document


def _trials(document: Mapping[str, Any], spaces: Sequence[_Path], path: _Path = ()) -> tuple[_Path, int]:
    """Return how many trials a file asks for, and where; 0 for none. A parameter may have such a name, too."""
    for key, value in document.items():
        here = (*path, key)
        if isinstance(value, dict) and here not in spaces and (found := _trials(value, spaces, here))[1]:
            return found
        if key in _TRIALS_BY and isinstance(value, int) and not isinstance(value, bool):
            return here, value
    return (), 0


def _unread(document: Mapping[str, Any], read: Sequence[_Path], path: _Path = ()) -> Iterator[str]:
    """Yield the keys of a file, nested ones with dots, that are not read, and have none below them that is."""
    for key, value in document.items():
        here = (*path, key)
        if here in read or value in ([], {}):
            continue
        if any(each[: len(here)] == here for each in read):
            yield from _unread(mapping(value), read, here)
        else:
            yield ".".join(map(str, here))
