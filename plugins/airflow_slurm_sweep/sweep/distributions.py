"""Other tools' search spaces as value forms of ours: W&B, Ray Tune, Optuna, Hydra's sweepers, NNI, Hyperopt, seml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, floor
from typing import Any, NamedTuple, TypeGuard

# Our value forms, each as messages show it.
LISTS = {
    "range": "{range: [0, 10, 2]}, without its end",
    "linspace": "{linspace: [0, 1, 5]}",
    "geomspace": "{geomspace: [1e-6, 1e-3, 4]}",
}
DRAWN = {
    "uniform": "{uniform: [0.1, 0.4]}, or with a step that divides it: {uniform: [0.1, 0.4], step: 0.1}",
    "loguniform": "{loguniform: [1e-7, 1e-4]}, both above 0",
    "int": "{int: [2, 12]}, or with a step that divides it: {int: [2, 12], step: 2}",
    "logint": "{logint: [8, 512]}, whole numbers above 0",
}
CSV = "csv"
_LARGEST = 1e300  # products and ratios of such numbers, and those of their steps, stay within a float

_WORDS = {  # names without "_", "suggest" and the "q" of a step
    "uniform": "uniform", "interval": "uniform", "float": "uniform",
    "loguniform": "loguniform", "loguniformvalues": "loguniform", "invloguniformvalues": "loguniform",
    "int": "int", "intuniform": "int", "uniformint": "int", "randint": "int",
    "logint": "logint", "lograndint": "logint",
    "normal": "normal", "randn": "normal", "lognormal": "lognormal",
}  # fmt: skip
_ENDS = (("min", "max"), ("low", "high"), ("lower", "upper"), ("mu", "sigma"), ("mean", "stddev"))
_RARE_KINDS = ("kind", "space", "prior", "sample", "strategy")  # where Ludwig, skopt, trlx and others name it
_KEYS_OF_LISTS = ("values", "choices", "options", "grid_search", "_value")


class Ours(NamedTuple):
    """What to write in a sweep file: a value form, or a list."""

    form: dict[str, Any] | list[Any]
    is_same: bool  # or only near to what the other tool does


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number that can be computed with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def ours_of(value: Mapping[Any, Any]) -> Ours | None:
    """Return what another tool's mapping for one parameter means; None where it means nothing known."""
    kind = value.get("distribution", value.get("type", value.get("_type", _rare_kind(value))))
    if "value" in value:
        is_polyaxons = "kind" in value
        return _of_polyaxon(value["kind"], value["value"]) if is_polyaxons else Ours([value["value"]], is_same=True)
    listed = next((value[key] for key in _KEYS_OF_LISTS if isinstance(value.get(key), list)), None)
    if listed and kind in (None, "choice", "categorical", "grid", "categorical_w_probabilities"):
        return Ours(listed, is_same="probabilities" not in value)
    numbers = value.get("bounds", value.get("_value", listed))
    if not isinstance(numbers, list):
        ends = next((pair for pair in _ENDS if value.keys() >= set(pair)), ())
        numbers = [value[key] for key in ends]
    if (step := value.get("q", value.get("step"))) is not None:
        numbers = [*numbers, step]
    if not all(map(is_number, numbers)):
        return None
    if isinstance(count := value.get("num"), int) and len(numbers) == 2:  # seml's grid
        return Ours({"geomspace" if "log" in str(kind) else "linspace": [*numbers, count]}, is_same=True)
    if kind == "range" and step is not None and "bounds" not in value:  # seml's, as Python's
        return Ours({"range": numbers}, is_same=True)
    if kind is None:
        kind = "int" if all(isinstance(number, int) for number in numbers) else "uniform"
    if kind == "range":  # Ax's
        kind = "int" if all(isinstance(number, int) for number in numbers) else "uniform"
    if value.get("integer") or value.get("value_type") == "int":
        kind = "int"
    scale = str(value.get("scale", value.get("spacing", "")))
    is_log = any(value.get(key) is True for key in ("log", "log_scale")) or scale.startswith("log")
    return drawn(str(kind), numbers, is_log=is_log)


def _rare_kind(value: Mapping[Any, Any]) -> str | None:
    words = (value.get(key) for key in _RARE_KINDS)
    return next((word for word in words if isinstance(word, str) and drawn(word, (1, 2))), None)


def _of_polyaxon(kind: Any, value: Any) -> Ours | None:
    """Return what a mapping ``{kind: linspace, value: "0:1:5"}`` means."""
    if kind in ("choice", "pchoice"):
        return Ours([each[0] for each in value] if kind == "pchoice" else [*value], is_same=kind == "choice")
    if isinstance(value, Mapping):
        value = [*value.values()]
    try:
        numbers = [float(each) for each in (value.split(":") if isinstance(value, str) else value)]
    except (TypeError, ValueError):
        return None
    numbers = [int(each) if each.is_integer() else each for each in numbers]
    if kind in LISTS:
        return Ours({kind: numbers}, is_same=True) if len(numbers) in (2, 3) else None
    return drawn(kind, numbers)


def drawn(name: str, numbers: Sequence[float], *, is_log: bool = False) -> Ours | None:
    """Return another tool's distribution with its numbers as a value form; None if it is none.

    Of ``randint`` the end is excluded, as in NumPy, Ray and NNI. ``log_uniform`` with a ``_``, as W&B has it, and
    Hyperopt's with negative numbers have the exponents of e.
    """
    name = name.lower().removeprefix("suggest_").replace("-", "")
    plain = name.replace("_", "")
    has_step = plain.startswith("q")
    word = _WORDS.get(plain.removeprefix("q"))
    if word is None or not 2 <= len(numbers) <= 3:
        return None
    low, high, step = (*numbers, 0)[:3]
    is_same = "inv" not in plain
    if word in ("normal", "lognormal"):
        low, high, step, is_same = low - 2 * high, low + 2 * high, 0, False
    if word == "lognormal" or name in ("log_uniform", "q_log_uniform") or (word == "loguniform" and low <= 0):
        low, high = (float(f"{exp(min(number, 700)):.6g}") for number in (low, high))
        word, is_same = "loguniform", False
    if "randint" in plain and not has_step:
        high -= 1
    if is_log:
        word = {"uniform": "loguniform", "int": "logint"}.get(word, word)
    return _form("uniform" if word == "normal" else word, low, high, step, is_same=is_same)


def _form(word: str, low: float, high: float, step: float, *, is_same: bool) -> Ours | None:
    if not all(map(is_number, (low, high, step))):
        return None
    is_whole = all(float(number).is_integer() for number in (low, high, step))
    if word == "loguniform" and step:
        word, is_same = ("logint", is_same and step == 1) if is_whole else (word, False)
    if word in ("int", "logint"):
        if not is_whole:
            return None
        low, high, step = int(low), int(high), int(step)
    if word in ("loguniform", "logint"):
        step, is_same = 0, is_same and low > 0
    if step > 0:
        last = low + floor((high - low) / step + 1e-9) * step
        if abs(last - high) > 1e-9 * abs(step):
            high, is_same = float(f"{last:.12g}") if word == "uniform" else last, False
    if not low < high:
        return Ours([low], is_same=is_same) if low == high else None
    if word in ("loguniform", "logint") and low <= 0:
        return None
    more = {"step": step} if step > 0 and (word, step) != ("int", 1) else {}
    return Ours({word: [low, high], **more}, is_same=is_same)
