"""YAML documents that people write: YAML 1.2's core schema, so that what looks like text or a number is one.

``1e-6`` is a float, ``8:0:0`` and ``no`` are text, a duplicate key is an error with its line (yamlcore, for PyYAML).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yamlcore import CCoreLoader

from airflow_slurm_sweep.errors import Fault, SettingsError, SweepFileError, unknown_key

Model = TypeVar("Model", bound=BaseModel)


def read_mapping(text: str, source: str) -> dict[str, Any]:
    """Read a YAML document that has to be a mapping with text as keys.

    Raises:
        SweepFileError: It is no YAML, or not such a mapping; with the line where that can be told.
    """
    try:
        document = yaml.load(text, Loader=CCoreLoader)  # noqa: S506  # a safe loader: plain values only
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SweepFileError(source, [Fault(key=line, problem=_in_words(error, text))]) from None
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise SweepFileError(source, [Fault(key="", problem=f"not YAML: {error}")]) from None
    if not isinstance(document, dict):
        raise SweepFileError(source, [Fault(key="", problem=f"expected keys with values, got {kind(document)}")])
    if odd := [key for key in document if not isinstance(key, str)]:
        raise SweepFileError(source, [Fault(key=str(key), problem="expected text as a key") for key in odd])
    return document


def _in_words(error: yaml.MarkedYAMLError, text: str) -> str:
    if error.problem == "found duplicate key" and error.problem_mark:
        key = text.splitlines()[error.problem_mark.line].strip().partition(":")[0]
        return f"{key!r} stands here a second time: give each key once"
    return f"not YAML: {error.problem}"


def kind(value: object) -> str:
    """Name a YAML value's kind for an error message."""
    if value is None:
        return "nothing"
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def validate(model: type[Model], values: Any, key: str, faults: list[Fault]) -> Model | None:
    """Check ``values`` against ``model``; what is wrong goes to ``faults``, below ``key``."""
    if not isinstance(values, dict):
        faults.append(Fault(key=key, problem=f"expected keys with values, got {kind(values)}"))
        return None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            where = ".".join([key, *map(str, detail["loc"])] if key else map(str, detail["loc"]))
            faults.append(Fault(key=where, problem=_problem(model, dict(detail))))
        return None


def read_settings(model: type[Model], values: Any) -> Model:
    """Check what a person said when starting a run.

    Raises:
        SettingsError: Values are wrong; the message lists all of them.
    """
    faults: list[Fault] = []
    settings = validate(model, values, "", faults)
    if settings is None:
        raise SettingsError("\n".join(map(str, faults)))
    return settings


def _inner(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel]:
    """Return the model at a place of a document: that of the last key on the way that has one."""
    for key in place:
        if field := model.model_fields.get(str(key)):
            model = next(_models(field.annotation), model)
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _problem(model: type[BaseModel], detail: dict[str, Any]) -> str:
    if detail["type"] == "extra_forbidden":
        return unknown_key(str(detail["loc"][-1]), _inner(model, detail["loc"][:-1]).model_fields)
    if detail["type"] == "missing":
        return f"missing; expected the keys {', '.join(_inner(model, detail['loc'][:-1]).model_fields)}"
    if detail["type"] == "model_type":
        return f"expected keys with values, got {kind(detail['input'])}"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    message = detail["msg"].replace("Input should be", "expected").replace("a valid integer", "an integer")
    message = message.replace("a valid ", "a ")
    return f"{message}, got {detail['input']!r}"
