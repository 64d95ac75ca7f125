"""Another tool's sweep file as one of ours: what can be said, and in comments what cannot.

W&B's ``parameters: {lr: {values: [0.1, 0.01]}}`` and Hydra's ``hydra.sweeper.params: {lr: "0.1,0.01"}`` are both
``lr: [0.1, 0.01]``; distributions become value forms that ``search: random`` draws.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, zip_longest
from math import prod
from shlex import quote
from typing import Any

from airflow_slurm_sweep.errors import Fault, SweepFileError
from airflow_slurm_sweep.sweep.converted import Converted
from airflow_slurm_sweep.sweep.distributions import Ours, ours_of
from airflow_slurm_sweep.sweep.document import read_mapping
from airflow_slurm_sweep.sweep.foreign import as_yaml, drawn_by, is_foreign, other_tool, values_of
from airflow_slurm_sweep.sweep.value_forms import read_form
from airflow_slurm_sweep.sweep.values import OWN_KEYS, is_parameter, protected

_TRIALS_BY = ("run_cap", "n_trials", "num_samples", "max_trials", "maxTrialNumber", "max_trial_number", "budget")
_WORDS_OF_COMMANDS = {
    "${env}": "",
    "${interpreter}": "python",
    "${args}": "{flags}",
    "${args_no_boolean_flags}": "{flags}",
    "${args_no_hyphens}": "{overrides}",
    "${args_json}": "{json}",
    "${args_json_file}": "{parameters_file}",
}
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
    readers = {"Weights & Biases": _of_wandb, "seml": _of_seml}
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
        sweep.unsaid.append("the program, which the file does not name: replace train.py")
    unknown = [key for key in document if key not in _FROM_WANDB]
    sweep.unsaid.extend(f"{key}, which has no counterpart here" for key in unknown)
    _add(sweep, document["parameters"], "")
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
    metric = _mapping(document.get("metric"))
    sweep.rank_by(metric.get("name"), metric.get("goal"))
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


def _of_seml(document: Mapping[str, Any]) -> Converted:
    seml, drawn = _mapping(document.get("seml")), dict(_mapping(document.get("random")))
    script = seml.get("executable")
    sweep = Converted(command=f"python {script or 'train.py'} with {{overrides}}")
    if not script:
        sweep.unsaid.append("the program, which the file does not name: replace train.py")
    samples, seed = drawn.pop("samples", None), drawn.pop("seed", 0)
    zipped: dict[str, list[str]] = {}
    for name, value in _flat(_mapping(document.get("grid"))):
        if isinstance(value, dict) and value.get("zip_id"):
            zipped.setdefault(str(value["zip_id"]), []).append(_key(name))
    _add(sweep, _constants(_mapping(document.get("fixed"))), "")
    _add(sweep, _mapping(document.get("grid")), "")
    for names in zipped.values():
        columns = [_listed(sweep.parameters.pop(name, [])) for name in names]
        if not columns[0] or len({len(column) for column in columns}) > 1:
            sweep.unsaid.append(f"{', '.join(names)}: their lists have one zip_id and different lengths")
            continue
        sweep.parameters[", ".join(names)] = [list(row) for row in zip(*columns, strict=True)]
    of_grid = prod(len(_listed(values)) for values in sweep.parameters.values())
    _add(sweep, drawn, "")
    if drawn:
        sweep.search(samples * of_grid if isinstance(samples, int) else None)
        sweep.section["seed"] = seed if isinstance(seed, int) and seed >= 0 else 0
        sweep.unsaid.append(
            "samples for each of the grid's combinations: as many are drawn of grid and ranges together"
        )
    sweep.ask_slurm(_mapping(_mapping(document.get("slurm")).get("sbatch_options")), "slurm.sbatch_options")
    left = [f"seml.{key}" for key in seml if key != "executable"]
    left += [key for key in document if key not in ("seml", "slurm", "fixed", "grid", "random")]
    sweep.unsaid.extend(f"{key}, which has no counterpart here" for key in left)
    return sweep


def _listed(values: list[Any] | dict[str, Any]) -> list[Any]:
    """Return the values of a list, or of a form that means one."""
    found = read_form(values) if isinstance(values, dict) else values
    return found if isinstance(found, list) else [values]


def _flat(space: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in space.items():
        if isinstance(value, dict) and "type" not in value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _constants(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping in which a list is one value."""
    found: dict[str, Any] = {}
    for name, value in space.items():
        is_nested = isinstance(value, dict) and not ours_of(value)
        found[name] = _constants(value) if is_nested else [value] if isinstance(value, list) else value
    return found


def _of_others(document: Mapping[str, Any], tool: str) -> Converted:
    sweep = Converted(command=f"python train.py {{{'overrides' if tool == 'Hydra' else 'flags'}}}")
    sweep.unsaid.append("the program, which the file does not name: replace train.py")
    for spaces in _hydra_spaces(document, sweep) if tool == "Hydra" else _spaces(document):
        _add(sweep, _constants(spaces) if tool == "Ray Tune" else spaces, "")
    trials = next((value for key, value in _flat(document) if key.rpartition(".")[2] in _TRIALS_BY), None)
    if sweep.is_drawn or isinstance(trials, int):
        sweep.search(trials)
    if tool != "Hydra" and any(isinstance(each, list | dict) for found in sweep.parameters.values() for each in found):
        return replace(sweep, command="python train.py {json}")  # they have no form as flags
    return sweep


def _hydra_spaces(document: Mapping[str, Any], sweep: Converted) -> Iterator[Mapping[str, Any]]:
    """Yield what Hydra sweeps over: its sweeper's parameters, and a multirun.yaml's overrides."""
    hydra = _mapping(document.get("hydra"))
    sweeper = _mapping(hydra.get("sweeper"))
    yield {key: _listed_by_hydra(value) for key, value in _mapping(sweeper.get("params")).items()}
    yield _mapping(sweeper.get("search_space"))
    task = _mapping(hydra.get("overrides")).get("task")
    texts = [each for each in task if isinstance(each, str)] if isinstance(task, list) else []
    pairs = (text.partition("=") for text in texts)
    yield {key: _listed_by_hydra(value) for key, _, value in pairs}
    sweep.ask_slurm(_mapping(hydra.get("launcher")), "hydra.launcher")
    sweep.rank_by(document.get("optimized_metric"), sweeper.get("direction"))
    known = ("params", "search_space", "direction", "_target_", *_TRIALS_BY)
    left = [f"hydra.sweeper.{key}" for key in sweeper if key not in known]
    left += [f"hydra.{key}" for key in hydra if key not in ("sweeper", "overrides", "mode", "launcher")]
    left += [key for key in document if key not in ("hydra", "optimized_metric")]
    sweep.unsaid.extend(f"{key}, which the script's own config keeps" for key in left)


def _listed_by_hydra(value: Any) -> Any:
    """Return the values in a text: commas part them, unless quotes or brackets hold them together."""
    if not isinstance(value, str) or is_foreign(value):
        return value
    values = values_of(f"[{value}]") or value
    return value if "{" not in value and any(isinstance(each, dict) for each in values) else values


def _spaces(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings of parameters of a tool whose file we know by its keys."""
    job = [*_mapping(document.get("jobs")).values(), document]
    for each in job:
        yield _mapping(_mapping(_mapping(each).get("strategy")).get("matrix"))
    for key in ("matrix", "param_space", "search_space", "searchSpace", "parameters", "params", "hyperparameters"):
        yield _mapping(document.get(key))
    for key in ("grid", "search"):
        yield _mapping(document.get(key))
    for each in document.values():  # RLlib's experiments
        yield _mapping(_mapping(each).get("config"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _add(sweep: Converted, space: Mapping[str, Any], prefix: str) -> None:
    """Add the parameters of a mapping to a sweep, nested ones with dots."""
    last = ("include", "exclude")  # of a build matrix: they name its parameters
    for name, value in sorted(space.items(), key=lambda each: each[0] in last):
        key = _key(f"{prefix}{name}")
        nested = value.get("parameters", value.get("params", value)) if isinstance(value, dict) else None
        if name in last and isinstance(value, list) and all(isinstance(each, dict) for each in value):
            _add_of_matrix(sweep, name, value)
        elif (ours := _ours(value)) and ours.form and is_parameter(key) and _loads(ours.form):
            sweep.parameters[key] = ours.form
            if not ours.is_same:
                sweep.unsaid.append(f"{key}: {as_yaml(value)}, which is written as what is nearest to it here")
        elif isinstance(nested, dict) and not ours and not any(key in value for key in ("distribution", "_type")):
            _add(sweep, nested, f"{prefix}{name}.")
        else:
            sweep.unsaid.append(f"{key}: {as_yaml(value)}, which is no list of values")


def _loads(form: list[Any] | dict[str, Any]) -> bool:
    """Tell whether a value form is one that sweep files may have."""
    try:
        return isinstance(form, list) or read_form(form) is not None
    except ValueError:
        return False


def _key(name: str) -> str:
    """Return the key of a parameter, which another tool may call as we call something else."""
    return f"--{name}" if name in OWN_KEYS or name.startswith("x-") else name


def _add_of_matrix(sweep: Converted, name: str, entries: list[dict[str, Any]]) -> None:
    """Add ``exclude`` or ``include`` of a build matrix; what includes further keys is a rule."""
    for entry in entries:
        each = {_key(name): value for name, value in entry.items()}
        own = {key: value for key, value in each.items() if key in sweep.parameters}
        more = {key: value for key, value in each.items() if key not in own}
        is_new = any(value not in _listed(sweep.parameters[key]) for key, value in own.items())
        is_whole = own.keys() == sweep.parameters.keys()
        if not own or (is_new and not is_whole) or (name == "exclude" and more):
            sweep.unsaid.append(f"{name}: {as_yaml(each)}")
            continue
        if name == "exclude" or is_new or not more:
            sweep.section.setdefault(name, []).append(own)
        if more:
            sweep.section.setdefault("rules", []).append({"if": {**own}, "set": more})


def _ours(value: Any) -> Ours | None:
    """Return what another tool gives a parameter, as ours; None where it is no list and no range."""
    if isinstance(value, list):
        return Ours(value, is_same=True)
    if isinstance(value, str):
        if not is_foreign(value):
            return Ours([value], is_same=True)
        listed = values_of(value)
        return Ours(listed, is_same=True) if listed else drawn_by(value)
    return ours_of(value) if isinstance(value, dict) else Ours([value], is_same=True)
