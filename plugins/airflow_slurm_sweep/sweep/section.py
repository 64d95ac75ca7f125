"""Sections: what people write in files and forms, checked, with errors that name the key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from airflow_slurm_sweep.errors import Fault, SettingsError
from airflow_slurm_sweep.sweep.yaml_reader import kind


class Section(BaseModel):
    """A mapping that people write: unknown keys are errors, ``time: 240`` is text, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid",
        defer_build=True,  # many models are parts of another one only: each costs a millisecond in each process
        frozen=True,
        coerce_numbers_to_str=True,
        field_title_generator=lambda name, _: name.replace("_", " ").capitalize(),
    )

    further_keys: ClassVar[Sequence[str]] = ()
    """Keys that are accepted besides the fields."""

    other_words: ClassVar[Mapping[str, str]] = {}
    """Words of other tools, and the key for each, perhaps with an example of a value: ``mem: 32G``."""

    hints: ClassVar[Mapping[str, str]] = {}
    """What to write for some keys, which the messages of their faults end with."""

    former_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, and what the message says about each: ``it is called 'profile'``."""

    @model_validator(mode="before")
    @classmethod
    def _read_nothing_as_empty(cls, values: Any) -> Any:
        """Take null for an empty list or mapping, as it is for an empty section."""
        if not isinstance(values, dict):
            return values
        empty = {name: field.default for name, field in cls.model_fields.items() if field.default in ((), {})}
        return {key: empty.get(key) if value is None else value for key, value in values.items()}


Model = TypeVar("Model", bound=Section)


def validate(model: type[Model], values: Any, key: str, faults: list[Fault]) -> Model | None:
    """Check ``values``, where None is an empty section; add each error to ``faults``, with its path below ``key``."""
    values = {} if values is None else values
    if not isinstance(values, dict):
        faults.append(Fault(key=key, problem=f"expected keys with values, got {kind(values)}"))
        return None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            where = ".".join([key, *map(str, detail["loc"])] if key else map(str, detail["loc"]))
            hint = _section_at(model, detail["loc"][:-1]).hints.get(str(detail["loc"][-1])) if detail["loc"] else ""
            problem = f"{_problem(model, dict(detail))}{f'; {hint}' if hint else ''}"
            faults.append(Fault(key=where, problem=problem))
        return None


def read_settings(model: type[Model], values: Any) -> Model:
    """Check settings that come from no single file, such as those of a trigger form.

    Raises:
        SettingsError: Values are wrong; the message lists all of them.
    """
    faults: list[Fault] = []
    settings = validate(model, values, "", faults)
    if settings is None:
        raise SettingsError("\n".join(map(str, faults)))
    return settings


def _fields(section: type[Section]) -> dict[str, FieldInfo]:
    """Return a section's fields by the keys that people write."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _section_at(model: type[Section], place: Sequence[str | int]) -> type[Section]:
    """Return the model at a place of a document: that of the last key on the way that has one."""
    for key in place:
        if field := _fields(model).get(str(key)):
            model = next(_sections(field.annotation), model)
    return model


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def nearest(key: str, keys: Collection[str], other_words: Mapping[str, str]) -> str | None:
    """Return the key that somebody means by an unknown one: by another tool's word for it, or by its letters."""
    word = key.replace("-", "_").lower().removeprefix("slurm_")  # as submitit's Slurm options begin
    ours = other_words.get(word, word)
    if ours.partition(":")[0] in keys:
        return ours
    # Not cpus for gpus, nor time_max for time_min: those mean something else.
    near = [each for each in keys if each[:1] == word[:1] and word not in other_words]
    return next(iter(get_close_matches(word, near, n=1, cutoff=0.8)), None)


def _unknown(section: type[Section], key: str, value: Any) -> str:
    near = nearest(key, [*_fields(section), *section.further_keys], section.other_words)
    if value is None and not near:
        return f"unknown key {key!r}, without a value; within {{…}}, a text with a comma needs quotes"
    hint = f"; did you mean {near!r}?" if near else "."
    more = ", and the long options of sbatch" if section.further_keys else ""
    return f"unknown key {key!r}{hint} Valid keys: {', '.join(sorted(_fields(section)))}{more}"


def _problem(model: type[Section], detail: dict[str, Any]) -> str:
    section = _section_at(model, detail["loc"][:-1])
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        if key in section.former_keys:
            return f"unknown key {key!r}; {section.former_keys[key]}"
        return _unknown(section, key, detail["input"])
    if detail["type"] == "missing":
        return f"missing; expected the keys {', '.join(_fields(section))}"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    value = detail["input"]
    if detail["type"] == "model_type":
        return f"expected keys with values, got {kind(value)}"
    message = detail["msg"].replace("Input should be", "expected")
    for ours, theirs in (
        ("an integer", "a valid integer"),
        ("a list", "a valid tuple"),
        ("a mapping", "a valid dictionary"),
    ):
        message = message.replace(theirs, ours)
    return f"{message.replace('a valid ', 'a ')}, got {'nothing' if value is None else repr(value)}"
