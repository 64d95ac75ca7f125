"""The values of a sweep file's parameters: what they may be, and what is said of anything else."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.errors import Fault
from airflow_slurm_sweep.sweep.axes import Axis
from airflow_slurm_sweep.sweep.distributions import CSV, DRAWN, LISTS, is_number, ours_of
from airflow_slurm_sweep.sweep.drawn import Drawn
from airflow_slurm_sweep.sweep.foreign import (
    as_yaml,
    drawn_by,
    is_call,
    is_comma_list,
    is_cut,
    is_cut_call,
    is_disguised,
    is_foreign,
    is_with_comma,
    list_to_write,
    listed_items,
    listed_numbers,
    number_with_comma,
)
from airflow_slurm_sweep.sweep.lookalikes import has_odd_blank, plain
from airflow_slurm_sweep.sweep.overrides import Value, bare_key, is_key
from airflow_slurm_sweep.sweep.value_forms import is_form, read_form, read_table


def is_parameter(key: str) -> bool:
    """Tell whether a key can name a parameter: as Hydra takes it, or with ``--`` in front."""
    return is_key(key) or (key.startswith("--") and is_key(key[2:]) and not key[2:].startswith("+"))


OWN_KEYS = ("script_path", "config_path", "command", "preset", "sweep", "slurm", "dag")  # of a sweep file
NO_PARAMETER = "expected a parameter's name such as lr, optim.lr, +a.b or --lr"
OWN_KEY = "cannot differ between combinations; write a parameter of that name with -- in front"
_AND_SO_ON = ("...", "…", "etc", "etc.")
NUL = "a value cannot contain a NUL character"


def read_axis(key: str, value: Any, *, is_anchored: bool, folder: Path | None, faults: list[Fault]) -> Axis:
    """Return what a key of a sweep file and its value span; add what is wrong with them to ``faults``.

    ``"a, b"`` names parameters that change together. ``folder`` is the sweep file's; None for a sweep that is no file.
    """
    keys = tuple(name.strip() for name in key.split(","))
    if has_odd_blank(key):
        faults.append(Fault(key=key, problem="a blank in it is no plain one, as copied from a page; write blanks"))
        return Axis(keys=keys)
    if is_anchored and (key.startswith("_") or (isinstance(value, dict) and not is_form(value))):
        faults.append(Fault(key=key, problem=f"holds an anchor and is no parameter; name the key 'x-{key.strip('_')}'"))
        return Axis(keys=keys)
    faults.extend(Fault(key=name, problem=OWN_KEY) for name in keys if name in OWN_KEYS)
    if not all(map(is_parameter, keys)):
        faults.append(Fault(key=key, problem=NO_PARAMETER))
    try:
        axis = _axis(key, keys, value, folder)
    except (ValueError, OverflowError) as error:
        faults.append(Fault(key=key, problem=str(error)))
        return Axis(keys=keys)
    if any(has_nul(item) for row in axis.rows for item in row):
        faults.append(Fault(key=key, problem=NUL))
    return axis


def has_nul(value: Any) -> bool:
    """Return whether a text in a value has a NUL character, which no command line can hold."""
    return any("\0" in text for text in _texts(value))


def _axis(key: str, keys: tuple[str, ...], value: Any, folder: Path | None) -> Axis:
    """Return what a parameter's value, or that of several, spans; a ValueError says what is wrong with it."""
    if isinstance(value, dict) and CSV in value:
        if more := sorted(map(str, value.keys() - {CSV})):
            raise ValueError(f"expected {{csv: FILE}} alone, got {', '.join(more)} beside it")
        return Axis.of(keys, read_table([bare_key(each).removeprefix("--") for each in keys], value[CSV], folder))
    if len(keys) > 1:
        rows = value if isinstance(value, list) and value else [None]
        if odd := [row for row in rows if not isinstance(row, list) or len(row) != len(keys)]:
            example = f"[{', '.join(f'{name}1' for name in 'abcdefghij'[: len(keys)])}]"
            raise ValueError(
                f"expected a list of lists of {len(keys)} values, such as [{example}], got {as_yaml(odd[0])}"
            )
        return Axis.of(keys, [tuple(meant(item) for item in row or ()) for row in rows])
    if isinstance(value, dict):
        if (found := read_form(value)) is None:
            raise ValueError(_of_mapping(key, value))
        if isinstance(found, Drawn):
            return Axis(keys=keys, drawn=found)
        return Axis.of(keys, [(meant(item),) for item in found])
    if value == []:
        raise ValueError("expected a list of values, got an empty one")
    values = value if isinstance(value, list) else [value]
    _refuse_cut(key, values)
    for item in values:
        # Of a list with several items each is meant as it stands, also with commas: [[q, v], "q,v"].
        is_list = isinstance(item, str) and len(values) == 1 and is_comma_list(item)
        if is_list or (isinstance(item, str) and is_call(item)):
            raise ValueError(_of_foreign_text(key, item))
    return Axis(keys=keys, rows=[(meant(item),) for item in values], warning=_of_one_text(key, value))


def _refuse_cut(key: str, values: list[Any]) -> None:
    """Raise ValueError for a list that was cut within brackets, or that goes on in a reader's mind only."""
    if is_cut(values) and not any(isinstance(each, str) and is_cut_call(each) for each in values):
        said = ", ".join(map(str, values))
        raise ValueError(f"YAML has cut ({said}) at each comma; quote each value, as in {key}: ['(1, 2)', '(3, 4)']")
    and_so_on = _AND_SO_ON if is_number(values[0]) else _AND_SO_ON[:2]
    if odd := [each for each in values[1:] if isinstance(each, str) and each.strip() in and_so_on]:
        raise ValueError(f"{odd[0]!r} is a value like the others; list all, or write a form: {{range: [0, 10]}}")


def meant(value: Value) -> Value:
    """Return one value as it is meant: texts that double quotes keep from being another tool's sweep without those.

    Raises:
        ValueError: A text in it is another tool's call, or the beginning of one.
    """
    if isinstance(value, list):
        return [meant(item) for item in value]
    if isinstance(value, dict):
        return {key: meant(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    quoted = value.replace("'", "''")
    mean_it = f"""(or, to mean the text itself: '"{quoted}"')"""
    if is_cut_call(value):
        raise ValueError(
            f"{value!r} is the beginning of another tool's call, which YAML has cut at its comma; write the list of "
            f"values, or a form such as {{loguniform: [1e-5, 1e-3]}} {mean_it}"
        )
    if is_disguised(value):
        raise ValueError(f"{value!r} has characters as copied from a page; write {plain(value)} {mean_it}")
    if is_with_comma(value):
        raise ValueError(f"{value!r} is no number, for its comma; write {value[:-1]} {mean_it}")
    if is_call(value):
        raise ValueError(f"{value!r} is another tool's call where one value stands; write the value {mean_it}")
    return _unquoted(value)


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
    if isinstance(value, list):
        return [protected(item) for item in value]
    if isinstance(value, dict):
        return {key: protected(item) for key, item in value.items()}
    return f'"{value}"' if isinstance(value, str) and is_foreign(_unquoted_text(value)) else value


def _unquoted(text: str) -> str:
    """Return the text inside of double quotes that keep it from being read as another tool's sweep; else the text."""
    inside = _unquoted_text(text)
    return text[1:-1] if inside != text and is_foreign(inside) else text


def _unquoted_text(text: str) -> str:
    while len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return text


def _of_one_text(key: str, value: Any) -> str:
    """Say that a text runs as one value which people nearly always write to mean several; empty for another value."""
    items = value if isinstance(value, list) else [value]
    odd = [item for item in items if isinstance(item, str) and listed_numbers(item)]
    text = odd[0] if odd and (len(odd) < len(items) or len(items) == 1) else value  # [1 2] lacks a comma
    if not isinstance(text, str):
        return ""
    listed = listed_numbers(text) or (listed_items(text) if text is value else None)
    if listed is None:
        return ""
    one_list = f", for one list {key}: [{listed}]" if listed.startswith("[") else ""
    return (
        f"{text!r} is one text; for several values write {key}: {listed}{one_list}, "
        f"for the text {key}: {as_yaml({'value': text})}"
    )


def _of_mapping(key: str, value: dict[Any, Any]) -> str:
    if value and all(each is None for each in value.values()):  # {1e-4, 1e-3} has keys without values
        first, *others = value
        is_nested = isinstance(first, str) and not others
        if listed := listed_numbers(first) if is_nested else as_yaml([first, *others]):
            return f"expected a list of values, got a mapping; write {key}: {listed}"
    if (ours := ours_of(value)) and ours.form:
        return f"expected a list of values, got a mapping; write {key}: {as_yaml(ours.form)}"
    near = get_close_matches(next(iter(map(str, value)), ""), [*LISTS, *DRAWN], n=1)
    if near:
        return f"expected a list of values, got a mapping; did you mean {({**LISTS, **DRAWN})[near[0]]}?"
    return "expected a list of values, got a mapping (write nested keys with dots: optim.lr)"


def _of_foreign_text(key: str, text: str) -> str:
    quoted = text.replace("'", "''")
    mean_it = f"""(or, to mean the text itself: '"{quoted}"')"""
    if number := number_with_comma(text):
        return f"{text!r} is neither a number nor a list; write {key}: {number} {mean_it}"
    if listed := list_to_write(text):
        return f"{text!r} is another tool's list of values; write {key}: {listed} {mean_it}"
    if form := drawn_by(text):
        return f"{text!r} is another tool's search; write {key}: {as_yaml(form.form)} {mean_it}"
    return f"{text!r} is another tool's search; list the values to try, such as {key}: [1, 2] {mean_it}"
