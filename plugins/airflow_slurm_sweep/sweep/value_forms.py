"""Value forms: what a mapping in place of a parameter's values means.

    lr: {geomspace: [1e-6, 1e-3, 4]}          # a list, as `range`, `linspace`: named as Python and NumPy name them
    dropout: {uniform: [0.1, 0.4], step: 0.1} # drawn by a search, as `loguniform`, `int`, `logint`: both ends included
    "id, seed": {csv: samples.csv}            # the rows of a table beside the sweep file, by the names in its header

W&B's ``{values: [..]}`` and ``{distribution: uniform, min: 0, max: 1}`` mean the same here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.sweep.distributions import CSV, DRAWN, LISTS, is_number, ours_of
from airflow_slurm_sweep.sweep.drawn import LOGARITHMIC, WHOLE, Drawn
from airflow_slurm_sweep.sweep.foreign import IS_NUMBER, LEADING_ZERO, as_yaml, count_of_steps, read_number, steps
from airflow_slurm_sweep.sweep.overrides import Value

MOST = 100_000  # values of a list, rows of a table
_OF_WANDB = {"values", "value", "distribution", "min", "max", "q"}
_KINDS_OF_WANDB = {"values", "value", "distribution"}  # one of which tells what is meant
_WORDS: dict[str, Value] = {
    "": None, "~": None,
    **{spelt: value for word, value in (("null", None), ("true", True), ("false", False))
       for spelt in (word, word.title(), word.upper())},
}  # fmt: skip


def is_form(value: Mapping[Any, Any]) -> bool:
    """Tell whether a mapping is a value form, right or wrong."""
    return bool(value.keys() & {*LISTS, *DRAWN, CSV}) or (value.keys() <= _OF_WANDB and ours_of(value) is not None)


def read_form(value: Mapping[Any, Any]) -> list[Value] | Drawn | None:
    """Return the values that a mapping means; None for one that is no form.

    Raises:
        ValueError: It is one, with a fault.
    """
    is_wandb = value.keys() <= _OF_WANDB and value.keys() & _KINDS_OF_WANDB
    listed = next((word for word in ("values", "value") if is_wandb and word in value), None)
    if listed and (others := sorted(value.keys() - {listed, "distribution"})):
        raise ValueError(f"expected {{{listed}: ...}} alone, got {', '.join(others)} beside it")
    if is_wandb and (same := ours_of(value)) and same.is_same:
        if isinstance(same.form, list):
            return same.form
        value = same.form
    word = next((word for word in (*LISTS, *DRAWN) if word in value), None)
    if word is None:
        return None
    numbers, more = value[word], {key: item for key, item in value.items() if key != word}
    example = {**LISTS, **DRAWN}[word]
    if isinstance(numbers, list) and all(map(is_number, numbers)):
        if word in LISTS and not more and (found := steps(word, numbers, MOST)):
            return found
        if word in LISTS and not more and (many := count_of_steps(word, numbers)) > MOST:
            raise ValueError(f"{as_yaml(value)} has {many} values, but at most {MOST} are read; give it fewer")
        if word in DRAWN and (drawn := _drawn(word, numbers, more)):
            return drawn
    raise ValueError(f"expected a form such as {example}; got {as_yaml(value)}")


def _drawn(word: str, numbers: Sequence[float], more: Mapping[str, Any]) -> Drawn | None:
    step: Any = more.get("step")
    allowed = {"step"} if word not in LOGARITHMIC else set()
    if len(numbers) != 2 or not numbers[0] < numbers[1] or more.keys() - allowed:
        return None
    if word in LOGARITHMIC and numbers[0] <= 0:
        return None
    if "step" in more and not (is_number(step) and 0 < step <= numbers[1] - numbers[0]):
        return None
    if word in WHOLE and not all(isinstance(number, int) for number in (*numbers, step or 1)):
        return None
    if step and abs((count := (numbers[1] - numbers[0]) / step) - round(count)) > 1e-6:
        return None
    return Drawn(word=word, low=numbers[0], high=numbers[1], step=step)


def read_table(keys: Sequence[str], file: Any, folder: Path | None) -> list[tuple[Value, ...]]:
    """Return the columns of a CSV file that have the names of parameters, row by row; YAML's scalars in the cells.

    Empty lines are skipped, and in a table of several columns rows whose cells are all empty.

    Args:
        keys: The parameters' names, as the header has them.
        file: The file's name, relative to the folder of the sweep file.
        folder: None for a sweep that is no file.

    Raises:
        ValueError: There is no such file, or it lacks a column, a row or a cell.
    """
    if not isinstance(file, str) or not file.strip():
        raise ValueError(f"expected {{csv: FILE}} with the name of a file beside the sweep file, got {file!r}")
    if folder is None:
        raise ValueError(f"csv: {file} would stand beside the sweep file, but this sweep is text; list the values")
    try:
        with (folder / file).open(encoding="utf-8-sig", newline="") as lines:
            rows = list(islice(filter(_is_filled, csv.reader(lines, strict=True)), MOST + 2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"csv: {file} cannot be read: {error}") from None
    head, *rows = rows or [[]]
    names = [name.strip() for name in head]
    if missing := [key for key in keys if key not in names]:
        raise ValueError(f"csv: {file} has no column {missing[0]!r}; its header has: {', '.join(names) or 'nothing'}")
    if twice := [key for key in keys if names.count(key) > 1]:
        raise ValueError(f"csv: {file} has two columns {twice[0]!r}; rename one of them")
    if not 0 < len(rows) <= MOST:
        raise ValueError(f"csv: expected 1 to {MOST} rows below the header of {file}, got {len(rows) or 'none'}")
    if odd := next((number for number, row in enumerate(rows, start=1) if len(row) != len(names)), 0):
        cells = f"{len(rows[odd - 1])} cells, and the header {len(names)}"
        raise ValueError(f"csv: row {odd} of {file} has {cells}; quote a cell that contains a comma")
    columns = [names.index(key) for key in keys]
    return [tuple(_cell(row[column].strip()) for column in columns) for row in rows]


def _is_filled(row: Sequence[str]) -> bool:
    """Tell whether a row counts: an empty cell alone is null, but several are a line that a spreadsheet has left."""
    return len(row) == 1 or any(map(str.strip, row))


def _cell(text: str) -> Value:
    """Return a cell as YAML's core schema reads a scalar; 007, infinity and NaN are text."""
    if IS_NUMBER.fullmatch(text) and not LEADING_ZERO.fullmatch(text) and is_number(number := read_number(text)):
        return number
    return _WORDS.get(text, text)
