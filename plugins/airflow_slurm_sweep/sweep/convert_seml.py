"""A sweep file of seml as one of ours.

seml runs ``main.py with lr=0.1 act="['relu']"``: Sacred reads each value as a literal of Python, and as a text if it is
none. ``{overrides}`` writes Hydra's grammar, which means the same for numbers and most texts. Where it does not, as for
``null`` and ``[relu,tanh]``, all values are texts that hold Python's literals, and stand bare in the command.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from airflow_slurm_sweep.slurm.parameters import variable
from airflow_slurm_sweep.sweep.converted import NO_PROGRAM, Converted
from airflow_slurm_sweep.sweep.converted_parameters import add, constants, flat, listed, mapping, parameter_key
from airflow_slurm_sweep.sweep.foreign import as_yaml
from airflow_slurm_sweep.sweep.overrides import Value, quote


def of_seml(document: Mapping[str, Any]) -> Converted:
    """Return what a file of seml says."""
    seml, drawn = mapping(document.get("seml")), dict(mapping(document.get("random")))
    script = seml.get("executable")
    sweep = Converted(command=f"python {script or 'train.py'} with {{overrides}}")
    if not script:
        sweep.unsaid.append(NO_PROGRAM)
    samples, seed = drawn.pop("samples", None), drawn.pop("seed", 0)
    for name, value in drawn.items():
        if of_its_own := {key: each for key, each in mapping(value).items() if key in ("samples", "seed")}:
            drawn[name] = {key: each for key, each in value.items() if key not in of_its_own}
            sweep.unsaid.append(f"random.{name}: {as_yaml(of_its_own)}: one search draws all parameters together")
            samples = samples or of_its_own.get("samples")
    add(sweep, constants(mapping(document.get("fixed")), may_draw=False))
    _add_grid(sweep, mapping(document.get("grid")))
    of_grid = prod(len(listed(values)) for values in sweep.parameters.values())
    add(sweep, drawn)
    if drawn:
        sweep.search(samples * of_grid if isinstance(samples, int) else None)
        sweep.section["seed"] = seed if isinstance(seed, int) and seed >= 0 else 0
        sweep.unsaid.append(
            "samples for each of the grid's combinations: as many are drawn of grid and ranges together"
        )
    slurm = document.get("slurm")
    slurm, *others = slurm if isinstance(slurm, list) and slurm else [slurm]
    sweep.ask_slurm(mapping(mapping(slurm).get("sbatch_options")), "slurm.sbatch_options")
    left = [f"seml.{key}" for key in seml if key != "executable"]
    left += [f"slurm.{key}" for key in mapping(slurm) if key != "sbatch_options"]
    left += [f"slurm, entry {number}: {as_yaml(other)}" for number, other in enumerate(others, start=2)]
    left += [key for key in document if key not in ("seml", "slurm", "fixed", "grid", "random")]
    sweep.unsaid.extend(f"{key}, which has no counterpart here" for key in left)
    return _with_literals(sweep)


def _add_grid(sweep: Converted, grid: Mapping[str, Any]) -> None:
    """Add the parameters of a grid; those with the same ``zip_id`` change together."""
    zipped: dict[str, list[str]] = {}
    for name, value in flat(grid):
        if isinstance(value, dict) and value.get("zip_id"):
            zipped.setdefault(str(value["zip_id"]), []).append(parameter_key(name))
    add(sweep, grid)
    for names in zipped.values():
        columns = [listed(sweep.parameters.pop(name, [])) for name in names]
        if not columns[0] or len({len(column) for column in columns}) > 1:
            sweep.unsaid.append(f"{', '.join(names)}: their lists have one zip_id and different lengths")
            continue
        sweep.parameters[", ".join(names)] = [list(row) for row in zip(*columns, strict=True)]


def _with_literals(sweep: Converted) -> Converted:
    """Return a sweep whose values arrive at Sacred as they are."""
    if all(_arrives(_quoted(value), value) for key in sweep.parameters for value in _values(sweep, key)):
        return sweep
    for key, values in sweep.parameters.items():
        if isinstance(values, list):
            is_joint = "," in key
            sweep.parameters[key] = [[*map(_literal, each)] if is_joint else _literal(each) for each in values]
    keys = [name.strip() for key in sweep.parameters for name in key.split(",")]
    words = [f'{key.removeprefix("--")}="${variable(key)}"' for key in keys]
    return replace(sweep, command=sweep.command.replace("{overrides}", " ".join(words)))


def _values(sweep: Converted, key: str) -> list[Value]:
    values = sweep.parameters[key]
    found = values if isinstance(values, list) else []  # a value form has numbers
    return [value for row in found for value in row] if "," in key else found


def _literal(value: Value) -> Value:
    """Return a value in the form that Sacred reads it in, where it stands bare."""
    if isinstance(value, list | dict | bool) or value is None:
        return repr(value)
    return repr(value) if isinstance(value, str) and not _arrives(value, value) else value


def _quoted(value: Value) -> str | None:
    try:
        return quote(value)
    except ValueError:
        return None


def _arrives(text: str | None, value: Value) -> bool:
    """Tell whether Sacred reads a text as a value."""
    if text is None:
        return False
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
            read = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        read = text.strip()
    return repr(read) == repr(value)
