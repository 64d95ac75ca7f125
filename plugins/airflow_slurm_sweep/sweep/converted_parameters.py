"""Parameters of another tool's sweep file, as `convert` adds them to a sweep of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_slurm_sweep.sweep.converted import Converted
from airflow_slurm_sweep.sweep.distributions import Ours, drawn, ours_of
from airflow_slurm_sweep.sweep.foreign import as_yaml, drawn_by, is_call, is_cut_call, is_foreign, values_of
from airflow_slurm_sweep.sweep.value_forms import read_form
from airflow_slurm_sweep.sweep.values import OWN_KEYS, is_parameter

_NAME_A_DISTRIBUTION = {"grid_search", "distribution", "type", "_type", "kind"}
_KINDS = {"categorical", "choice", "const", "double", "fixed", "grid", "integer", "log", "range"}  # besides `drawn`'s
_HOLD_LISTS = {"values", "choices", "options", "vals", "_value", "bounds"}
_HOLD_ENDS = {"min", "max", "low", "high", "lower", "upper", "minval", "maxval", "mu", "sigma", "mean", "stddev"}
_KEYS_OF_VALUES = {
    *_NAME_A_DISTRIBUTION, *_HOLD_LISTS, *_HOLD_ENDS, "value", "val", "probabilities", "q", "step", "num", "count",
    "base", "log", "log_scale", "integer", "value_type", "zip_id",
}  # fmt: skip


def listed(values: list[Any] | dict[str, Any]) -> list[Any]:
    """Return the values of a list, or of a form that means one."""
    found = read_form(values) if isinstance(values, dict) else values
    return found if isinstance(found, list) else [values]


def flat(space: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what stands in a mapping, nested keys with dots."""
    for name, value in space.items():
        if isinstance(value, dict) and "type" not in value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def constants(space: Mapping[str, Any], prefix: str = "", *, may_draw: bool) -> dict[str, Any]:
    """Return what stands in a mapping as one value each, nested keys with dots.

    Where it ``may_draw``, a call such as ``uniform(0, 1)`` and a mapping that names a distribution stay what they are.
    """
    found: dict[str, Any] = {}
    for name, value in space.items():
        is_distribution = bool(mapping(value).keys() & _NAME_A_DISTRIBUTION) and _describes_values(value)
        if may_draw and (is_distribution or (isinstance(value, str) and (is_call(value) or is_cut_call(value)))):
            found[f"{prefix}{name}"] = value
        elif isinstance(value, dict) and value:
            found |= constants(value, f"{prefix}{name}.", may_draw=may_draw)
        else:
            found[f"{prefix}{name}"] = [value]
    return found


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def add(sweep: Converted, space: Mapping[str, Any], prefix: str = "", *, nests: bool = True) -> None:
    """Add the parameters of a mapping to a sweep, nested ones with dots.

    Where no mapping ``nests``, as in W&B and Hydra, only one below ``parameters`` does.
    """
    last = ("include", "exclude")  # of a build matrix: they name its parameters
    for name, value in sorted(space.items(), key=lambda each: each[0] in last):
        key = parameter_key(f"{prefix}{name}")
        nested = _nested(value, nests=nests)
        if name in last and isinstance(value, list) and all(isinstance(each, dict) for each in value):
            _add_of_matrix(sweep, name, value)
        elif (ours := _ours(value)) and ours.form and is_parameter(key) and _loads(ours.form):
            sweep.parameters[key] = ours.form
            if not ours.is_same:
                sweep.unsaid.append(f"{key}: {as_yaml(value)}, which is written as what is nearest to it here")
            unread = [each for each in mapping(value) if each not in _KEYS_OF_VALUES]
            sweep.unsaid.extend(f"{key}.{each}, which has no counterpart here" for each in unread)
        elif nested and not ours:
            add(sweep, nested, f"{prefix}{name}.", nests=nests)
        else:
            sweep.unsaid.append(f"{key}: {as_yaml(value)}, which is no list of values and no range that is read here")


def _nested(value: Any, *, nests: bool) -> Mapping[str, Any]:
    """Return the parameters below a parameter; an empty mapping for none."""
    found = mapping(value)
    if len(found.keys() - {"type"}) == 1:  # seml's have a type
        inner = found.get("parameters", found.get("params"))
        if isinstance(inner, dict):
            return inner
    return found if nests and not _describes_values(found) else {}


def _describes_values(value: Mapping[str, Any]) -> bool:
    """Tell whether a mapping is meant as the values of one parameter, complete or not: ``{type: int, low: 1}``.

    ``{type: adam, lr: [1, 2]}`` and ``{min: [0, 1]}`` hold parameters.
    """
    names_one = value.keys() & {"grid_search", "distribution", "_type"} or {"kind", "value"} <= value.keys()
    if names_one or _is_kind(value.get("type")):
        return True
    has_ends = any(not isinstance(value[key], list | dict) for key in value.keys() & _HOLD_ENDS)
    return value.keys() <= _KEYS_OF_VALUES and (has_ends or bool(value.keys() & _HOLD_LISTS))


def _is_kind(kind: Any) -> bool:
    """Tell whether a ``type`` is one of values, as ``int``, and not a value of a parameter that is called type."""
    return isinstance(kind, str) and (kind.lower() in _KINDS or drawn(kind, (1, 2)) is not None)


def _loads(form: list[Any] | dict[str, Any]) -> bool:
    """Tell whether a value form is one that sweep files may have."""
    try:
        return isinstance(form, list) or read_form(form) is not None
    except ValueError:
        return False


def parameter_key(name: str) -> str:
    """Return the key of a parameter, which another tool may call as we call something else."""
    return f"--{name}" if name in OWN_KEYS or name.startswith("x-") else name


def _add_of_matrix(sweep: Converted, name: str, entries: list[dict[str, Any]]) -> None:
    """Add ``exclude`` or ``include`` of a build matrix; what includes further keys is a rule."""
    for entry in entries:
        each = {parameter_key(str(name)): value for name, value in entry.items()}
        own = {key: value for key, value in each.items() if key in sweep.parameters}
        more = {key: value for key, value in each.items() if key not in own}
        is_new = any(value not in listed(sweep.parameters[key]) for key, value in own.items())
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
    if not isinstance(value, dict):
        return Ours([value], is_same=True)
    has_other_type = "type" in value and not _is_kind(value["type"])
    has_unnamed_mean = value.keys() & {"mu", "mean"} and not value.keys() & _NAME_A_DISTRIBUTION  # no end of a range
    return None if has_other_type or has_unnamed_mean else ours_of(value)
