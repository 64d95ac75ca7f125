"""Other tools' sweep syntax: recognised, so that it is never taken for a value, and said in ours.

``1e-4,1e-3``, ``choice(1,2)``, ``range(2,6)`` and ``np.linspace(0,1,3)`` are texts in YAML, but nobody means a text:
`values_of` gives the list that is meant. A text with commas counts as a list if all its parts are numbers, or all are
words without blanks, or all are lists: ``/a,/b``, ``a:b,c:d`` and ``f(x), g`` are texts.

``1 2``, ``1;2``, ``1..5``, ``1-5``, ``(1, 2)``, ``adam, sgd`` and ``'[1, 2]'`` may be meant as texts: `listed_numbers`
and `listed_items` give the list for a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import yaml
from yamlcore import CCoreDumper, CCoreLoader

from airflow_slurm_sweep.sweep.distributions import CSV, DRAWN, LISTS, Ours, drawn, is_number
from airflow_slurm_sweep.sweep.lookalikes import is_around, plain

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
IS_NUMBER = re.compile(_NUMBER, re.ASCII)
LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_STEP = re.compile(rf"\b(?:step|q)\s*=\s*({_NUMBER})")
_SCALAR = rf"(?:{_NUMBER}|true|false|null|none|~)"
_SCALARS = re.compile(rf"\s*{_SCALAR}\s*(?:,\s*{_SCALAR}\s*)+,?\s*", re.IGNORECASE)
_QUOTED_TEXTS = re.compile(r"\s*'[^']*'(?:\s*,\s*'[^']*')+\s*")
_IN_DOUBLE_QUOTES = re.compile(_QUOTED_TEXTS.pattern.replace("'", '"'))
_SEPARATED_NUMBERS = re.compile(rf"{_NUMBER}(?:(?:\s+|\s*[;|]\s*){_NUMBER})+", re.ASCII)
_END = r"([-+]?\d{1,9})"
_FROM_TO = re.compile(rf"(?:\{{?{_END}\s*(?:\.{{2,3}}|…|to|[-:])\s*{_END}\}}?|\$\(seq\s+{_END}\s+{_END}\))", re.ASCII)
_SPACED_WORDS = re.compile(r"[a-z]\w*(?:, +[a-z]\w*)+", re.ASCII)
_DASHED = re.compile(r"-[A-Za-z/]\S*(?:\s+-[A-Za-z/]\S*)+")  # a list whose dashes lack a blank
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[-+]?0,0\d+", re.ASCII)
_LISTS_OF_VALUES = re.compile(r"\s*\[[^\[\]]*\](?:\s*,\s*\[[^\[\]]*\])+\s*")
_WORD = r"(?:[\w+-][\w.+/-]*|\.\d[\w.+-]*)"
_WORDS = re.compile(rf"{_WORD}(?:,{_WORD})+,?")
_CALL = re.compile(r"\s*(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_WRAPPED = re.compile(
    r"\s*(tag|int|float|str|bool|list|tuple)\s*\((?:\s*(\w+)\s*,)?\s*([\w.]+\s*\(.*\))\s*\)\s*", re.DOTALL
)  # Hydra's and Python's
_LISTS = {"choice", "choices", "grid_search", "suggest_categorical", "shuffle", "sort", "sample_from"}
_STEPS = {"range", "arange", "linspace", "logspace", "geomspace"}
_RANDOM = {
    "interval", "glob", "uniform", "loguniform", "log_uniform", "log_uniform_values", "quniform", "q_uniform",
    "qloguniform", "q_log_uniform", "q_log_uniform_values", "inv_log_uniform", "randint", "qrandint", "lograndint",
    "qlograndint", "uniformint", "normal", "randn", "qrandn", "qnormal", "q_normal", "lognormal", "log_normal",
    "qlognormal", "q_log_normal", "suggest_float", "suggest_int", "suggest_uniform", "suggest_loguniform",
}  # fmt: skip
MOST = 1000  # values of a list that another tool computes
_EXPONENT = 300  # of 10, below which a power is a float
_SHOWN = 12  # values in a message


def is_foreign(text: str) -> bool:
    """Tell whether a text is another tool's sweep as a whole."""
    return is_call(text) or is_comma_list(text) or is_cut_call(text) or is_disguised(text) or is_with_comma(text)


def is_disguised(text: str) -> bool:
    """Tell whether a text is a number, or several values, but for characters that no program reads so."""
    said = plain(text)
    return is_around(text) or (said != text and (IS_NUMBER.fullmatch(said) is not None or is_comma_list(said)))


def is_with_comma(text: str) -> bool:
    """Tell whether a text is a number but for a comma at its end, as JSON's lists have it."""
    return text.endswith(",") and IS_NUMBER.fullmatch(text[:-1]) is not None


def is_cut(items: Sequence[Any]) -> bool:
    """Tell whether YAML has cut a list's items at the commas in their brackets: ``[(1, 2), f(3, 4)]``."""
    missing = [item.count("(") - item.count(")") if isinstance(item, str) else 0 for item in items]
    begun = next((place for place, each in enumerate(missing) if each), None)
    if begun is None or missing[begun] < 0 or items[begun].endswith("("):
        return False
    return any(each < 0 for each in missing[begun:])


def is_call(text: str) -> bool:
    """Tell whether a text is a call such as ``choice(1,2)``, which nothing but a sweep has."""
    while wrapped := _WRAPPED.fullmatch(text):
        text = wrapped[3]
    call = _CALL.fullmatch(text)
    return call is not None and call[1].lower() in {*_LISTS, *_STEPS, *_RANDOM}


def is_cut_call(text: str) -> bool:
    """Tell whether a text is the beginning of a call: YAML cuts ``[choice(1, 2)]`` at its comma."""
    missing = text.count("(") - text.count(")")
    return missing > 0 and is_call(text + ")" * missing)


def is_comma_list(text: str) -> bool:
    """Tell whether a text is numbers, words, quoted texts or lists with commas between them."""
    return any(form.fullmatch(text) for form in (_SCALARS, _WORDS, _QUOTED_TEXTS, _LISTS_OF_VALUES))


def number_with_comma(text: str) -> str | None:
    """Return the number that ``1,000`` or ``0,001`` means; None for any other text.

    It is no list, because no number begins with 00.
    """
    if _DECIMAL_COMMA.fullmatch(text):
        return text.replace(",", ".")
    is_number = _THOUSANDS.fullmatch(text) and any(part.startswith("0") for part in text.split(",")[1:])
    return text.replace(",", "") if is_number else None


def listed_numbers(text: str) -> str | None:
    """Return the list to write for numbers with blanks, ``;``, ``|``, ``..`` or ``to`` between them; None otherwise."""
    text = text.strip()
    if _SEPARATED_NUMBERS.fullmatch(text):
        numbers = re.split(r"[\s;|]+", text)
        return None if any(map(LEADING_ZERO.fullmatch, numbers)) else f"[{', '.join(numbers)}]"
    if ends := _FROM_TO.fullmatch(text):
        first, last = (int(each) for each in ends.groups() if each)
        is_clock = re.search(r":\d\d$", text) is not None
        return f"{{range: [{first}, {last + 1}]}}" if first < last and not is_clock else None
    return None


def listed_items(text: str) -> str | None:
    """Return the list to write for ``(1, 2)``, ``'[1, 2]'``, ``a, b``, ``'"a", "b"'``; None for one text: ``[PAD]``."""
    text = text.strip()
    if _SPACED_WORDS.fullmatch(text):
        return f"[{text}]"
    if _DASHED.fullmatch(text):
        return f"[{', '.join(each[1:] for each in text.split())}]"
    if text.startswith("[") and text.endswith("]"):
        try:
            items = yaml.load(text, Loader=CCoreLoader)  # noqa: S506  # a safe loader: plain values only
        except (yaml.YAMLError, ValueError, RecursionError):
            return None
        is_list = isinstance(items, list) and (len(items) > 1 or text[1:].lstrip().startswith(("'", '"')))
        return text if is_list else None
    inside = text[1:-1] if text.startswith("(") and text.endswith(")") else ""
    if _SCALARS.fullmatch(inside) or _QUOTED_TEXTS.fullmatch(inside):
        return f"[{inside.strip().removesuffix(',')}]"
    return next((f"[{each}]" for each in (text, inside) if _IN_DOUBLE_QUOTES.fullmatch(each)), None)


def list_to_write(text: str) -> str | None:
    """Return the list that says in YAML what another tool's sweep means, in its own digits; None for no list."""
    values = values_of(text)
    if values is None:
        return None
    call = _CALL.fullmatch(text)
    plain = text if not is_call(text) else call[2] if call and call[1].lower() in _LISTS else ""
    parts = [part.strip() for part in plain.strip().strip(",").split(",")]
    if plain and not re.search(r"""["'\[\]{}()]""", plain) and not any(map(LEADING_ZERO.fullmatch, parts)):
        return f"[{', '.join(parts)}]"  # 1e-4 stays 1e-4
    shown = as_yaml(values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown[:-1]}, ...] with all {len(values)} values"


def as_yaml(value: Any) -> str:
    """Return a value as YAML's core schema writes it, on one line: ``[1e-05, adam]``."""
    text: str = yaml.dump(
        value, Dumper=CCoreDumper, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...").removesuffix("\n")


def values_of(text: str) -> list[Any] | None:
    """Return the values that another tool's sweep means; None where it means no list."""
    if is_cut_call(text):
        return None
    while (call := _CALL.fullmatch(text)) and call[1].lower() in _LISTS and is_call(call[2]):
        text = call[2]
    if is_call(text) and (wrapped := _WRAPPED.fullmatch(text)):
        found, cast = values_of(wrapped[3]), {"int": int, "float": float, "str": str}.get(wrapped[1])
        return [cast(each) if cast and is_number(each) else each for each in found] if found else None
    name, inside = (call[1].lower(), call[2]) if call and is_call(text) else ("choice", text)
    try:
        arguments = yaml.load(f"[{inside}]", Loader=CCoreLoader)  # noqa: S506  # a safe loader: plain values only
    except yaml.YAMLError:
        return None
    if any(isinstance(each, str) and (is_call(each) or is_cut_call(each)) for each in arguments):
        return None
    if name in _LISTS:
        has_label = len(arguments) == 2 and isinstance(arguments[0], str) and isinstance(arguments[1], list)
        is_list = len(arguments) == 1 and isinstance(arguments[0], list)
        return (arguments[-1] if has_label or is_list else arguments) or None
    numbers = [each for each in arguments if is_number(each)]
    return steps(name, numbers) if name in _STEPS and len(numbers) == len(arguments) else None


def drawn_by(text: str) -> Ours | None:
    """Return what a call such as ``loguniform(1e-5, 1e-3)`` or ``tag(log, interval(1, 8))`` means in ours, if known."""
    words: set[str | None] = set()
    while wrapped := _WRAPPED.fullmatch(text):
        words |= {wrapped[1], wrapped[2]}
        text = wrapped[3]
    call = _CALL.fullmatch(text)
    if call is None or call[1].lower() in _LISTS:
        return None
    arguments = [argument.strip() for argument in call[2].split(",")]
    numbers = [read_number(argument) for argument in arguments if IS_NUMBER.fullmatch(argument)]
    numbers += [read_number(found[1]) for found in _STEP.finditer(call[2])]
    name = call[1].lower()
    if name == "interval" and all(isinstance(number, int) for number in numbers):  # as Optuna's sweeper reads it
        name = "int"
    if name == "randint" and len(numbers) == 1:
        numbers = [0, *numbers]
    return drawn("int" if "int" in words else name, numbers, is_log="log" in words or "log=true" in call[2].lower())


def read_number(text: str) -> float:
    """Return a number, whole if it is written so."""
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


def steps(name: str, numbers: Sequence[float], most: int = MOST) -> list[Any] | None:
    """Return what Python's range, or NumPy's function of that name, gives for numbers; None for no such list.

    As people write them: 12 digits, and the ends as they were given.
    """
    if not 0 < (count := count_of_steps(name, numbers)) <= most:
        return None
    if name in ("range", "arange"):
        begin, step = (numbers[0] if len(numbers) > 1 else 0), (numbers[2] if len(numbers) > 2 else 1)
        return [_rounded(begin + place * step) for place in range(count)]
    first, last = numbers[:2]
    ways = [place / max(count - 1, 1) for place in range(count)]
    if name == "geomspace":
        line = [first * (last / first) ** way for way in ways]
    else:
        line = [first + way * (last - first) for way in ways]
    if name == "logspace":
        return [_rounded(10.0**each) for each in line]
    return [float(first), *map(_rounded, line[1:-1]), *([float(last)] if count > 1 else [])]


def count_of_steps(name: str, numbers: Sequence[float]) -> int:
    """Return how many values a list that `steps` gives has; 0 for no such list."""
    if not 1 <= len(numbers) <= 3:
        return 0
    if name in ("range", "arange"):
        begin, end, step = [*([0] * (2 - len(numbers))), *numbers, 1][:3]
        return ceil(round(max(0, min((end - begin) / step, 1e18)), 9)) if step else 0
    if len(numbers) != 3 or not isinstance(numbers[2], int):
        return 0
    can_be = {"geomspace": numbers[0] * numbers[1] > 0, "logspace": max(map(abs, numbers[:2])) < _EXPONENT}
    return max(numbers[2], 0) if can_be.get(name, True) else 0


def _rounded(number: float) -> float:
    return number if isinstance(number, int) else float(f"{number:.12g}")


_TOOLS = (  # by keys of a file that hold mappings
    ({"seml"}, "seml"),
    ({"grid", "fixed"}, "seml"),
    ({"random", "fixed"}, "seml"),
    ({"matrix"}, "a build matrix"),
    ({"strategy"}, "a build matrix"),
    ({"jobs"}, "a build matrix"),
    ({"param_space"}, "Ray Tune"),
    ({"tune_config"}, "Ray Tune"),
    ({"searchSpace"}, "NNI"),
    ({"search_space"}, "Optuna"),
    *(({key}, "another sweep tool") for key in ("parameters", "params", "hyperparameters", "grid", "search")),
)


def other_tool(document: Mapping[str, Any]) -> str | None:
    """Return the tool that a document belongs to; None if it may be a sweep file of ours."""
    forms = {*LISTS, *DRAWN, CSV, "values", "value", "distribution"}
    mappings = {key for key, value in document.items() if isinstance(value, dict) and not value.keys() & forms}
    if "matrix" in mappings and isinstance(document["matrix"].get("params"), dict):
        return "Polyaxon"
    if "parameters" in mappings and document.keys() & {"method", "program", "metric", "early_terminate"}:
        return "Weights & Biases"
    defaults = document.get("defaults")
    groups = defaults if isinstance(defaults, list) else []
    if "hydra" in mappings or any(each == "_self_" or isinstance(each, dict) for each in groups):
        return "Hydra"
    if any(document[key].keys() >= {"run", "config"} for key in mappings):  # RLlib's experiments
        return "Ray Tune"
    return next((tool for keys, tool in _TOOLS if keys <= mappings), None)
