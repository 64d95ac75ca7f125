"""Conditions on combinations: ``{model: 70B, optim.lr: {above: 5e-6}, seed: [1, 2], stage: {not: warmup}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_slurm_sweep.errors import Fault
from airflow_slurm_sweep.sweep.foreign import as_yaml
from airflow_slurm_sweep.sweep.overrides import Value, bare_key

_WORDS = {"above", "below", "not"}
# What other tools call comparisons.
_COMPARISONS = {
    "gt",
    "lt",
    "ge",
    "le",
    "gte",
    "lte",
    "eq",
    "ne",
    "min",
    "max",
    "in",
    "not_in",
    ">",
    "<",
    ">=",
    "<=",
    "==",
    "!=",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTest:
    """What a parameter's value must be."""

    among: tuple[Value, ...] | None = None
    above: float | None = None
    below: float | None = None
    without: tuple[Value, ...] = ()

    def holds(self, value: Value) -> bool:
        """Tell whether a value is so; only numbers are above or below one."""
        if self.among is not None:
            return any(_is_equal(value, each) for each in self.among)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        for limit, sign in ((self.above, 1), (self.below, -1)):
            if limit is not None and not (is_number and sign * value > sign * limit):  # type: ignore[operator]
                return False
        return not any(_is_equal(value, each) for each in self.without)


Condition: TypeAlias = Mapping[str, ValueTest]  # by a parameter's key; all of them must hold


def matches(condition: Condition, parameters: Mapping[str, Value]) -> bool:
    """Tell whether a combination's parameters are as a condition says."""
    return all(test.holds(parameters[key]) for key, test in condition.items())


def read_condition(place: str, said: Mapping[str, Any], keys: Sequence[str], faults: list[Fault]) -> Condition:
    """Read a condition on the parameters ``keys``; add to ``faults`` what is wrong with it."""
    if not said:
        faults.append(Fault(key=place, problem="expected parameters with values, such as {optim.lr: 1e-5}, got none"))
    known = known_keys(keys)
    found = {}
    for name, value in said.items():
        if (key := known.get(bare_key(name))) is None:
            faults.append(Fault(key=place, problem=unknown_parameter(name, keys)))
        elif (test := _test(value)) is None:
            problem = f"{name}: expected {{above: 1}}, {{below: 2}} or {{not: [3, 4]}}, got {as_yaml(value)}"
            faults.append(Fault(key=place, problem=problem))
        else:
            found[key] = test
    return found


def known_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return the keys of parameters by what the config calls them."""
    return {bare_key(key): key for key in keys}


def unknown_parameter(name: str, keys: Sequence[str]) -> str:
    """Say which parameters there are."""
    return f"{name!r} is none of the parameters that can stand here: {', '.join(keys) or 'there are none'}"


def _test(value: Any) -> ValueTest | None:
    if _is_comparison(value) or (isinstance(value, dict) and isinstance(value.get("not"), dict)):
        return None
    if not isinstance(value, dict) or not value.keys() & _WORDS:
        return ValueTest(among=(*value, value) if isinstance(value, list) else (value,))
    limits = [value[word] for word in ("above", "below") if word in value]
    if value.keys() - _WORDS or not all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in limits
    ):
        return None
    without = value.get("not", [])
    without = (*without, without) if isinstance(without, list) else (without,)
    return ValueTest(above=value.get("above"), below=value.get("below"), without=without)


def _is_comparison(value: Any) -> bool:
    """Whether a value is another tool's comparison, such as ``{gt: 1}`` or ``'>1'``."""
    if isinstance(value, dict):
        return bool(value) and {str(key).lstrip("$") for key in value} <= _COMPARISONS
    return isinstance(value, str) and re.fullmatch(r"(?:[<>]=?|!=|==)\s*[\w.+-]+", value) is not None


def _is_equal(value: Value, other: Value) -> bool:
    """Compare as YAML means it: 1 is 1.0, but true is no number."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)
