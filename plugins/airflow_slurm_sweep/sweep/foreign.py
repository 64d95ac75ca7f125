"""Other tools' sweep syntax: recognised, so that it is never taken for a value, and said in ours.

``1e-4,1e-3``, ``choice(1,2)``, ``range(2,6)`` and ``np.linspace(0,1,3)`` are texts in YAML, but nobody means a text:
`values_of` gives the list that is meant. A text with commas counts as a list if all its parts are numbers, or all are
words without blanks: ``hello, world``, ``/a,/b``, ``a:b,c:d`` and ``f(x), g`` are texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil, isfinite
from typing import Any

import yaml
from yamlcore import CCoreDumper, CCoreLoader

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NUMBERS = re.compile(rf"\s*{_NUMBER}\s*(?:,\s*{_NUMBER}\s*)+,?\s*")
_WORD = r"(?:[\w+-][\w.+/-]*|\.\d[\w.+-]*)"
_WORDS = re.compile(rf"{_WORD}(?:,{_WORD})+,?")
_CALL = re.compile(r"\s*(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_LISTS = {"choice", "choices", "grid_search", "suggest_categorical", "shuffle", "sort", "sample_from"}
_STEPS = {"range", "arange", "linspace", "logspace", "geomspace"}
_RANDOM = {
    "interval", "glob", "uniform", "loguniform", "log_uniform", "log_uniform_values", "quniform", "q_uniform",
    "qloguniform", "q_log_uniform", "q_log_uniform_values", "inv_log_uniform", "randint", "qrandint", "lograndint",
    "qlograndint", "uniformint", "normal", "randn", "qrandn", "qnormal", "q_normal", "lognormal", "log_normal",
    "qlognormal", "q_log_normal", "suggest_float", "suggest_int", "suggest_uniform", "suggest_loguniform",
}  # fmt: skip
_MOST = 1000
_SHOWN = 12  # values in a message


def is_foreign(text: str) -> bool:
    """Tell whether a text is another tool's sweep as a whole."""
    return is_call(text) or is_comma_list(text)


def is_call(text: str) -> bool:
    """Tell whether a text is a call such as ``choice(1,2)``, which nothing but a sweep has."""
    call = _CALL.fullmatch(text)
    return call is not None and call[1].lower() in {*_LISTS, *_STEPS, *_RANDOM}


def is_comma_list(text: str) -> bool:
    """Tell whether a text is numbers or words with commas between them."""
    return _NUMBERS.fullmatch(text) is not None or _WORDS.fullmatch(text) is not None


def list_to_write(text: str) -> str | None:
    """Return the list that says in YAML what another tool's sweep means, in its own digits; None for no list."""
    values = values_of(text)
    if values is None:
        return None
    call = _CALL.fullmatch(text)
    plain = text if not is_call(text) else call[2] if call and call[1].lower() in _LISTS else ""
    if plain and not re.search(r"""["'\[\]{}]""", plain):  # 1e-4 stays 1e-4
        return f"[{', '.join(part.strip() for part in plain.strip().strip(',').split(','))}]"
    shown = as_yaml(values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown[:-1]}, ...] with all {len(values)} values"


def as_yaml(value: Any) -> str:
    """Return a value as YAML's core schema writes it, on one line: ``[1e-05, adam]``."""
    text: str = yaml.dump(value, Dumper=CCoreDumper, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").removesuffix("\n")


def values_of(text: str) -> list[Any] | None:
    """Return the values that another tool's sweep means; None where it means no list."""
    call = _CALL.fullmatch(text)
    name, inside = (call[1].lower(), call[2]) if call and is_call(text) else ("choice", text)
    try:
        arguments = yaml.load(f"[{inside}]", Loader=CCoreLoader)  # noqa: S506  # a safe loader: plain values only
    except yaml.YAMLError:
        return None
    if name in _LISTS:
        inner = arguments[-1] if arguments and isinstance(arguments[-1], list) else arguments
        return inner or None
    numbers = [each for each in arguments if isinstance(each, int | float) and isfinite(each)]
    return _steps(name, numbers) if name in _STEPS and len(numbers) == len(arguments) else None


def _steps(name: str, numbers: list[Any]) -> list[Any] | None:
    """Return what Python's range, or NumPy's function of that name, gives for numbers."""
    if not 1 <= len(numbers) <= 3:
        return None
    if name in ("range", "arange"):
        first, last, step = numbers if len(numbers) == 3 else [*([0] * (2 - len(numbers))), *numbers, 1]
        count = ceil(round((last - first) / step, 9)) if step else 0
        return [_rounded(first + i * step) for i in range(count)] if 0 < count <= _MOST else None
    if len(numbers) != 3 or not isinstance(numbers[2], int) or not 2 <= numbers[2] <= _MOST:
        return None
    first, last, count = numbers
    if name == "geomspace":
        ratio = last / first if first and first * last > 0 else 0
        return [_rounded(first * ratio ** (i / (count - 1))) for i in range(count)] if ratio else None
    line = [first + i * (last - first) / (count - 1) for i in range(count)]
    return [_rounded(10**each if name == "logspace" else each) for each in line]


def _rounded(number: float) -> float:
    return number if isinstance(number, int) else float(f"{number:.9g}")


def other_tool(document: Mapping[str, Any]) -> str | None:
    """Return whose sweep or config file a whole document is; None if it may be ours."""
    mappings = {key for key, value in document.items() if isinstance(value, dict)}
    if "parameters" in mappings and document.keys() & {"method", "program", "metric", "early_terminate"}:
        return "Weights & Biases"
    defaults = document.get("defaults")
    groups = defaults if isinstance(defaults, list) else []
    if "hydra" in mappings or any(each == "_self_" or isinstance(each, dict) for each in groups):
        return "Hydra"
    if "matrix" in mappings or {"strategy", "jobs"} & mappings:
        return "a build matrix"
    if "param_space" in mappings or "tune_config" in mappings:
        return "Ray Tune"
    if {"search_space", "searchSpace"} & mappings:
        return "NNI" if "searchSpace" in mappings else "Optuna"
    return "another sweep tool" if {"parameters", "params", "hyperparameters", "grid", "search"} & mappings else None
