"""Values as Hydra overrides: ``override("optim.lr", 1e-6)`` is ``optim.lr=1e-06``.

Hydra's own parser gives back the value with its type: tests/unit/sweep/test_overrides.py asks it. Grammar:
hydra.cc/docs/advanced/override_grammar/basic. What that grammar cannot express is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from airflow_slurm_sweep.slurm.parameters import word
from airflow_slurm_sweep.sweep.foreign import is_foreign

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str | int | float | bool | None, Value] | None"

# Text that stands for itself: it starts with a letter or slash and holds nothing that the grammar gives a meaning to.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS_WITH_A_TYPE = {"null", "true", "false", "inf", "nan"}

# `+` adds a key, `++` adds or changes one. A key is a dotted path, or a config group with an optional `@package`.
_ID = r"[A-Za-z_$][A-Za-z0-9_$-]*"
_PATH = rf"{_ID}(?:\.(?:{_ID}|0|[1-9][0-9]*))*"
_KEY = re.compile(rf"\+{{0,2}}(?:{_PATH}|{_ID}(?:/{_ID})+)(?:@{_PATH})?")

# The characters of an unquoted dictionary key, and those that a backslash protects there.
_DICT_KEY = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_/+.*@%?|-]|[\\()\[\]{}:=, \t])*")
_DICT_KEY_ESCAPED = re.compile(r"[\\()\[\]{}:=, \t]")


def is_key(text: str) -> bool:
    """Tell whether Hydra takes ``text`` as the key of an override, ``+`` and ``++`` in front included."""
    return _KEY.fullmatch(text) is not None


def bare_key(key: str) -> str:
    """Return the key without ``+`` or ``++``, as the config has it."""
    return key.lstrip("+")


def config_key(key: str) -> str:
    """Return the key of a parameter as the script's config has it, also without the ``--`` of a flag."""
    return bare_key(key.removeprefix("--"))


def override_key(text: str) -> str:
    """Return the key that an override sets or deletes: ``optim.lr`` for ``++optim.lr=1`` and ``~optim.lr``."""
    return bare_key(text.partition("=")[0].removeprefix("~"))


def check_overrides(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Return overrides without blanks around name and value.

    Raises:
        ValueError: One is no ``key=value``, or two set the same key.
    """
    overrides = tuple("=".join(part.strip(" \t") for part in text.split("=", 1)) for text in overrides)
    for text in overrides:
        if not (text.partition("=")[1] and text[0] not in "=~") and not text.startswith("~"):
            raise ValueError(f"expected key=value, got {text!r}")
        if "\0" in text:
            raise ValueError(f"a value cannot contain a NUL character, got {text!r}")
    keys = [override_key(text) for text in overrides]
    if doubles := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"several overrides of the same key: {', '.join(doubles)}")
    return overrides


def check_grammar(overrides: Iterable[str]) -> None:
    """Raise ValueError for an override that is not in Hydra's grammar, or has several values."""
    for text in overrides:
        key, equals, value = text.partition("=")
        sets, deletes = is_key(key) and bool(equals), key.startswith("~") and is_key(key[1:]) and key[1] != "+"
        if not sets and not deletes:
            raise ValueError(f"expected key=value in Hydra's grammar, got {text!r}")
        check_one_value(key, value)


def check_one_value(key: str, value: str) -> None:
    """Raise ValueError for an override of the form that is a sweep of its own: ``1,2``, ``choice(1,2)``."""
    if is_foreign(value):
        raise ValueError(f'overrides: {key}: expected one value, got {value!r}; write {key}="{value}" to mean the text')


def override(key: str, value: Value) -> str:
    """Return ``key=value`` in Hydra's grammar.

    Raises:
        ValueError: The value, or a part of it, cannot be expressed there.
    """
    return f"{key}={quote(value)}"


def quote(value: Value) -> str:
    """Return ``value`` as Hydra's override grammar writes it; see `override`."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        return _quote_text(value)
    if isinstance(value, list):
        return f"[{','.join(map(quote, value))}]"
    # OmegaConf's dotlist, which some scripts read overrides with, needs the blank behind a colon.
    return "{" + ",".join(f"{_quote_dict_key(key)}: {quote(item)}" for key, item in value.items()) + "}"


def shown(value: Value) -> str:
    """Return a value as people read it: as in an override, or as JSON where none can hold it."""
    try:
        return quote(value)
    except ValueError:
        return word(value)


def _quote_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a value cannot contain a NUL character")
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_WITH_A_TYPE:
        return text
    if "'" in text and '"' not in text and "\\" not in text:
        return f'"{text}"'  # as OmegaConf's dotlist reads it, too
    # Inside quotes a backslash means itself, except in front of a quote: those, and only those, are doubled.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)\Z", r"\1\1", escaped) + "'"


def _quote_dict_key(key: object) -> str:
    if not isinstance(key, str):
        return quote(key)  # type: ignore[arg-type]  # a scalar: YAML has no other hashable keys
    if not _DICT_KEY.fullmatch(key) or key.lower() in _WORDS_WITH_A_TYPE or key != key.strip():
        raise ValueError(f"Hydra's grammar cannot express the mapping key {key!r} (it has no quoted keys)")
    return _DICT_KEY_ESCAPED.sub(r"\\\g<0>", key)
