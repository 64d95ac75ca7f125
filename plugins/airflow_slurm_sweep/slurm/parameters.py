"""A combination's parameters as other programs read them: JSON, one word, environment variables."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_NO_LETTER = re.compile(r"[^A-Z0-9]")


def json_values(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers that are not finite become text that `float` reads back."""
    match value:
        case Mapping():
            return {json_values(key): json_values(item) for key, item in value.items()}
        case list() | tuple():
            return [json_values(item) for item in value]
        case float() if not math.isfinite(value):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
        case _:
            return value


def word(value: Any) -> str:
    """Return a value as one word: text as it is, a number as Python writes it, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(value)
    return json.dumps(json_values(value), ensure_ascii=False)


def variable(key: str) -> str:
    """Return the environment variable of a parameter: ``SWEEP_MODEL_NAME`` of ``model.name``, ``+model.name``."""
    return f"SWEEP_{_NO_LETTER.sub('_', key.lstrip('+-').upper())}"


def variables(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of all parameters.

    Raises:
        ValueError: Two parameters have the same one.
    """
    names: dict[str, str] = {}
    for key in parameters:
        if (twin := names.setdefault(variable(key), key)) != key:
            raise ValueError(
                f"the parameters {twin!r} and {key!r} are both {variable(key)} in the environment; rename one"
            )
    # A half character of UTF-16, which has no UTF-8, is written as in parameters.json.
    return {name: word(parameters[key]).encode("utf-8", "backslashreplace").decode() for name, key in names.items()}
