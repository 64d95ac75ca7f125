"""A combination's values as arguments of a command: flags, words, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from airflow_slurm_sweep.slurm.parameters import json_values, word
from airflow_slurm_sweep.sweep.overrides import Value, bare_key


def flags(parameters: Mapping[str, Value], *, spaced: bool = False) -> list[str]:
    """Return ``--lr=0.1``, or ``--lr 0.1`` if ``spaced``; true is ``--amp``, false and null are left out.

    Raises:
        ValueError: A value is a list or a mapping, for which command lines have no common form.
    """
    return [word for key, value in parameters.items() for word in _flag(key, value, spaced)]


def _flag(key: str, value: Value, spaced: bool) -> Iterator[str]:
    name = key if key.startswith("--") else f"--{bare_key(key)}"
    if isinstance(value, (list, dict)):
        raise ValueError(
            f"{key}: {word(value)} has no form as a flag, since a repeated flag counts once; write "
            f"{{{bare_key(key)}}} for one word per element, or {{json}}, {{overrides}}, {{parameters_file}}"
        )
    if value is True:
        yield name
    elif value is not None and value is not False:
        text = word(value)
        # argparse takes a lone word that begins with a dash for a flag, unless it is a number such as -1 or -0.5.
        if spaced and not (text.startswith("-") and (isinstance(value, str) or re.search("[a-z]", text))):
            yield from (name, text)
        else:
            yield f"{name}={text}"


def words(value: Value) -> list[str]:
    """Return a value as words: a list has one for each element."""
    return [word(item) for item in value] if isinstance(value, list) else [word(value)]


def json_text(parameters: Mapping[str, Value]) -> str:
    """Return all parameters as one JSON text, as parameters.json has them."""
    return json.dumps(json_values(parameters), ensure_ascii=False)
