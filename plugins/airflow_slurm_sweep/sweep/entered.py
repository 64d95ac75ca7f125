"""Overrides of a run whose command takes none in Hydra's grammar: ``name=value``, a parameter with a YAML value."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from airflow_slurm_sweep.sweep.document import read_value
from airflow_slurm_sweep.sweep.overrides import Value, bare_key, check_one_value
from airflow_slurm_sweep.sweep.values import is_parameter


def entered_parameters(overrides: Iterable[str], known: Collection[str]) -> dict[str, Value]:
    """Return the parameters that overrides set; ``known`` are those of the sweep.

    Raises:
        ValueError: An override is no ``name=value``, or has several values.
    """
    return {text.partition("=")[0]: _value(text, known) for text in overrides}


def _value(text: str, known: Collection[str]) -> Value:
    key, equals, value = text.partition("=")
    if not equals or key.startswith(("+", "~")):
        raise ValueError(f"overrides: expected name=value, got {text!r} (the command takes no Hydra overrides)")
    if not is_parameter(key):
        raise ValueError(f"overrides: expected a parameter's name such as lr or --lr, got {key!r}")
    bare = {bare_key(each) for each in known}
    if key not in bare and (twins := [each for each in bare if each.lstrip("-") == key.lstrip("-")]):
        raise ValueError(f"overrides: {key}: the sweep calls it {twins[0]!r}; write {twins[0]}={value}")
    if not value:
        raise ValueError(f"overrides: {key}: expected a value, got nothing; write {key}=null or {key}=''")
    check_one_value(key, value)
    found: Value = read_value(value, f"overrides: {key}")
    return found
