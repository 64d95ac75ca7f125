"""The values of `job` as plain data, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def read_mapping(data: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """Return a value's fields, as a mapping or as JSON: XComs that triggers leave are JSON twice."""
    found = json.loads(data) if isinstance(data, str) else data
    if not isinstance(found, Mapping):
        raise TypeError(f"expected a mapping as JSON, got {type(found).__name__}: {found!r:.200}")
    return found


def changed(value: DataclassInstance) -> dict[str, Any]:
    """Return the fields that differ from their defaults: a plan has thousands of values."""
    defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(value)}
    return {name: found for name, default in defaults.items() if (found := getattr(value, name)) != default}


def with_text(values: dict[str, Any]) -> dict[str, Any]:
    """Return a value's fields with ``parameters`` as text: XComs have no NaN, and Postgres reads 1e16 as an int."""
    found = values.get("parameters")
    return values | ({"parameters": json.dumps(found, separators=(",", ":"))} if found else {})


def read_parameters(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a `JobRequest` as JSON, with their types, without building the rest of it."""
    return read_mapping(job.get("parameters", {}))
