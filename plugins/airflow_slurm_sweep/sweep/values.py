"""The values of a sweep file's parameters: what they may be, and what is said of anything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_slurm_sweep.errors import Fault
from airflow_slurm_sweep.sweep.foreign import as_yaml, is_call, is_foreign, list_to_write
from airflow_slurm_sweep.sweep.overrides import Value, is_key


def is_parameter(key: str) -> bool:
    """Tell whether a key can name a parameter: as Hydra takes it, or with ``--`` in front."""
    return is_key(key) or (key.startswith("--") and is_key(key[2:]) and not key[2:].startswith("+"))


def read_values(key: str, value: Any, *, is_anchored: bool, faults: list[Fault]) -> tuple[Value, ...]:
    """Return a parameter's values; add what is wrong with them to ``faults``."""
    if is_anchored and (key.startswith("_") or isinstance(value, dict)):
        faults.append(Fault(key=key, problem=f"holds an anchor and is no parameter; name the key 'x-{key.strip('_')}'"))
        return ()
    if not is_parameter(key):
        faults.append(Fault(key=key, problem="expected a parameter's name such as lr, optim.lr, +a.b or --lr"))
    if isinstance(value, dict):
        faults.append(Fault(key=key, problem=_of_mapping(key, value)))
        return ()
    if value == []:
        faults.append(Fault(key=key, problem="expected a list of values, got an empty one"))
    values = value if isinstance(value, list) else [value]
    for item in values:
        # Of a list with several items each is meant as it stands, also with commas: [[q, v], "q,v"].
        if isinstance(item, str) and (is_call(item) or (len(values) == 1 and is_foreign(item))):
            faults.append(Fault(key=key, problem=_of_foreign_text(key, item)))
    if any("\0" in text for item in values for text in _texts(item)):
        faults.append(Fault(key=key, problem="a value cannot contain a NUL character"))
    return tuple(_unquoted(item) for item in values)


def _texts(value: Value) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for item in value for text in _texts(item))
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for item in pair for text in _texts(item))


def protected(value: Value) -> Value:
    """Return a value as a sweep file has to say it to mean it: texts that look like another tool's sweep in quotes."""
    return f'"{value}"' if isinstance(value, str) and is_foreign(_unquoted_text(value)) else value


def _unquoted(value: Value) -> Value:
    """Return the text inside of double quotes that keep it from being read as another tool's sweep; else the value."""
    if isinstance(value, str) and value.startswith('"') and is_foreign(inside := _unquoted_text(value)):
        return value[1:-1] if value != inside else value
    return value


def _unquoted_text(text: str) -> str:
    while len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return text


def _of_mapping(key: str, value: dict[Any, Any]) -> str:
    listed = value.get("values", value.get("choices", value.get("_value")))
    if isinstance(listed, list) and listed:
        return f"expected a list of values, got a mapping; write {key}: {as_yaml(listed)}"
    return "expected a list of values, got a mapping (write nested keys with dots: optim.lr)"


def _of_foreign_text(key: str, text: str) -> str:
    meant = list_to_write(text)
    mean_it = f"""(or, to mean the text itself: '"{text}"')"""
    if meant is None:
        return f"{text!r} is another tool's search; list the values to try, such as {key}: [1, 2] {mean_it}"
    return f"{text!r} is another tool's list of values; write {key}: {meant} {mean_it}"
