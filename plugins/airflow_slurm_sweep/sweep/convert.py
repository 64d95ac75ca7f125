"""Another tool's sweep file as one of ours: what can be said, and in comments what cannot.

W&B's ``parameters: {lr: {values: [0.1, 0.01]}}`` and Hydra's ``hydra.sweeper.params: {lr: "0.1,0.01"}`` are both
``lr: [0.1, 0.01]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from airflow_slurm_sweep.errors import Fault, SweepFileError
from airflow_slurm_sweep.sweep.document import read_mapping
from airflow_slurm_sweep.sweep.foreign import as_yaml, is_foreign, other_tool, values_of
from airflow_slurm_sweep.sweep.spec import OWN_KEYS
from airflow_slurm_sweep.sweep.values import is_parameter, protected

_RANDOM = {"min", "max", "distribution", "lower", "upper", "low", "high", "mu", "sigma", "probabilities"}
_WORDS_OF_COMMANDS = {
    "${env}": "",
    "${interpreter}": "python",
    "${args}": "{flags}",
    "${args_no_boolean_flags}": "{flags}",
    "${args_no_hyphens}": "{overrides}",
    "${args_json}": "{json}",
    "${args_json_file}": "{parameters_file}",
}
_FROM_WANDB = {"program", "command", "method", "parameters", "metric", "description"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sweep:
    command: str
    parameters: dict[str, list[Any]] = field(default_factory=dict)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    unsaid: list[str] = field(default_factory=list)  # why something is left out


def convert(text: str, source: str) -> str:
    """Return the text of a sweep file.

    Raises:
        SweepFileError: The file is ours already, or holds nothing that can be said.
    """
    document = read_mapping(text, source, [])
    tool = other_tool(document)
    if tool is None:
        raise SweepFileError(source, [Fault(problem="expected a sweep of another tool, got none")])
    sweep = _of_wandb(document) if tool == "Weights & Biases" else _of_others(document, tool)
    if not sweep.parameters:
        problem = f"holds no values that a grid can run over: {'; '.join(sweep.unsaid) or 'no parameters'}"
        raise SweepFileError(source, [Fault(problem=problem)])
    lines = [
        f"# From {source}, a file of {tool}.",
        *(f"# Not taken over: {' '.join(each.split())}." for each in sweep.unsaid),
    ]
    lines.append(f"command: {as_yaml(sweep.command)}")
    for key, values in sweep.parameters.items():
        name = f"--{key}" if key in OWN_KEYS else key
        lines.append(f"{as_yaml(name)}: {as_yaml([protected(value) for value in values])}")
    lines += [f"{name}: {as_yaml(section)}" for name, section in sweep.sections.items()]
    return "\n".join(lines) + "\n"


def _of_wandb(document: Mapping[str, Any]) -> _Sweep:
    program = str(document.get("program") or "train.py")
    words = document.get("command") or ["${interpreter}", "${program}", "${args}"]
    words = words.split() if isinstance(words, str) else words
    sweep = _Sweep(command=" ".join(filter(None, (_word(str(word), program) for word in words))))
    if "program" not in document and "command" not in document:
        sweep.unsaid.append("the program, which the file does not name: replace train.py")
    if (method := document.get("method", "grid")) != "grid":
        sweep.unsaid.append(f"method {method}: each combination of the values runs")
    unknown = [key for key in document if key not in _FROM_WANDB]
    sweep.unsaid.extend(f"{key}, which has no counterpart here" for key in unknown)
    _add(sweep, document["parameters"], "")
    metric = document.get("metric")
    if isinstance(metric, dict) and metric.get("name"):
        objective = {"metric": metric["name"], "goal": metric.get("goal", "minimize")}
        sweep.sections["sweep"] = {"objective": objective}
        sweep.unsaid.append("reading the metric from W&B: the report reads it from metrics.json of each run directory")
    if isinstance(document.get("description"), str):
        sweep.sections["dag"] = {"description": document["description"]}
    return sweep


def _word(word: str, program: str) -> str:
    """Return a word of W&B's command as our command has it."""
    if word in _WORDS_OF_COMMANDS:
        return _WORDS_OF_COMMANDS[word]
    return quote(word.replace("${program}", program)).replace("{", "{{").replace("}", "}}")


def _of_others(document: Mapping[str, Any], tool: str) -> _Sweep:
    placeholder = "overrides" if tool == "Hydra" else "flags"
    sweep = _Sweep(command=f"python train.py {{{placeholder}}}")
    sweep.unsaid.append("the program, which the file does not name: replace train.py")
    for spaces in _hydra_spaces(document, sweep) if tool == "Hydra" else _spaces(document):
        _add(sweep, spaces, "")
    return sweep


def _hydra_spaces(document: Mapping[str, Any], sweep: _Sweep) -> Iterator[Mapping[str, Any]]:
    """Yield what Hydra sweeps over: its sweeper's parameters, and a multirun.yaml's overrides."""
    hydra = _mapping(document.get("hydra"))
    sweeper = _mapping(hydra.get("sweeper"))
    yield _mapping(sweeper.get("params"))
    yield _mapping(sweeper.get("search_space"))
    task = _mapping(hydra.get("overrides")).get("task")
    texts = [each for each in task if isinstance(each, str)] if isinstance(task, list) else []
    pairs = (text.partition("=") for text in texts)
    yield {key: value if is_foreign(value) else values_of(f"[{value}]") for key, _, value in pairs}
    left = [f"hydra.sweeper.{key}" for key in sweeper if key not in ("params", "search_space", "_target_")]
    left += [f"hydra.{key}" for key in hydra if key not in ("sweeper", "overrides", "mode")]
    left += [key for key in document if key != "hydra"]
    sweep.unsaid.extend(f"{key}, which the script's own config keeps" for key in left)


def _spaces(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings of parameters of a tool whose file we know by its keys."""
    job = [*_mapping(document.get("jobs")).values(), document]
    for each in job:
        yield _mapping(_mapping(_mapping(each).get("strategy")).get("matrix"))
    for key in ("matrix", "param_space", "search_space", "searchSpace", "parameters", "params", "hyperparameters"):
        yield _mapping(document.get(key))
    for key in ("grid", "search"):
        yield _mapping(document.get(key))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _add(sweep: _Sweep, space: Mapping[str, Any], prefix: str) -> None:
    """Add the parameters of a mapping to a sweep, nested ones with dots."""
    for name, value in space.items():
        key = f"{prefix}{name}"
        nested = value.get("parameters", value) if isinstance(value, dict) else None
        values = _listed(value)
        if name in ("include", "exclude") and values and all(isinstance(each, dict) for each in values):
            sweep.unsaid.append(f"{key}: {as_yaml(value)}: all combinations run")  # of a build matrix
        elif values and is_parameter(key):
            sweep.parameters[key] = values
        elif isinstance(nested, dict) and values is None and not _RANDOM & nested.keys():
            _add(sweep, nested, f"{key}.")
        else:
            sweep.unsaid.append(f"{key}: {as_yaml(value)}, which is no list of values")


def _listed(value: Any) -> list[Any] | None:
    """Return the values that another tool gives a parameter; None where it gives no list."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return values_of(value) if is_foreign(value) else [value]
    if not isinstance(value, dict):
        return [value]
    if "value" in value:
        return [value["value"]]
    kind = value.get("_type", "choice")
    found = value.get("values", value.get("choices", value.get("grid_search", value.get("_value"))))
    return found if isinstance(found, list) and kind == "choice" else None
