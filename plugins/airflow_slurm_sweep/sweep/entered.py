"""What the form of a run replaces in a sweep: parameters of one value take the place of the sweep's.

Where the command has ``{overrides}``, overrides are in Hydra's grammar and reach the script as they are written; those
of the sweep's parameters are parameters, too. Elsewhere all are parameters: ``name=value`` with a YAML value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from airflow_slurm_sweep.sweep.command import placeholders
from airflow_slurm_sweep.sweep.hydra_values import choices
from airflow_slurm_sweep.sweep.misplaced import misplaced
from airflow_slurm_sweep.sweep.overrides import (
    Value,
    bare_key,
    check_grammar,
    check_one_value,
    config_key,
    override_key,
)
from airflow_slurm_sweep.sweep.spaces import Space
from airflow_slurm_sweep.sweep.values import is_parameter
from airflow_slurm_sweep.sweep.yaml_reader import read_value


def with_overrides(
    space: Space, command: str, overrides: tuple[str, ...], counts: Mapping[str, Value]
) -> tuple[Space, tuple[str, ...]]:
    """Return a sweep's space with what the form replaces, and the overrides that the command gets besides.

    ``counts`` are the numbers of nodes and GPUs of the form, by their keys in the script's config.

    Raises:
        ValueError: An override is not as the command takes it, or has several values.
    """
    known = space.every_value
    if "overrides" in placeholders(command):
        check_grammar(overrides)
        values = {override_key(text): _of_hydra(text.partition("=")[2]) for text in overrides if text[0] != "~"}
        deleted = {override_key(text) for text in overrides} - values.keys()
        replaced: dict[str, Value] = {bare_key(key): None for key in known if config_key(key) in deleted}
        entered = {key: values[config_key(key)] for key in known if config_key(key) in values}
    else:
        replaced, entered, overrides = {}, entered_parameters(overrides, known), ()
    entered |= {key: counts[config_key(key)] for key in known if config_key(key) in counts}
    replaced |= {bare_key(key): value for key, value in entered.items()}
    return space.without(replaced, entered), overrides


def _of_hydra(text: str) -> Value:
    found = choices(text)
    value: Value = found[0] if found and len(found) == 1 else value_or_text(text)
    return value


def entered_parameters(overrides: Iterable[str], known: Collection[str]) -> dict[str, Value]:
    """Return the parameters that overrides set; ``known`` are those of the sweep.

    Raises:
        ValueError: An override is no ``name=value``, or has several values.
    """
    bare, found = {bare_key(each) for each in known}, dict[str, Value]()
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or key.startswith(("+", "~")):
            raise ValueError(f"overrides: expected name=value, got {text!r} (the command takes no Hydra overrides)")
        if not is_parameter(key):
            raise ValueError(f"overrides: expected a parameter's name such as lr or --lr, got {key!r}")
        if key not in bare:  # the sweep may call `lr` what it is to its script, `--lr`
            key = next((each for each in bare if each.lstrip("-") == key.lstrip("-")), key)
        if misplaced(key, value):
            raise ValueError(f"overrides: {key} is a setting of the sweep file, and no parameter; the form has its own")
        if not value:
            raise ValueError(f"overrides: {key}: expected a value, got nothing; write {key}=null or {key}=''")
        if key in found:
            raise ValueError(f"overrides: {key} is set twice; keep one of them")
        check_one_value(key, value)
        found[key] = read_value(value, f"overrides: {key}")
    return found


def value_or_text(text: str) -> Any:
    """Return what YAML reads in a text; the text where it is no YAML."""
    try:
        return read_value(text, "")
    except ValueError:
        return text
