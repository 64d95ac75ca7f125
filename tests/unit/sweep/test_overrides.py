"""Hydra's own parser is the judge: what goes in comes out, with its type."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_slurm_sweep.sweep.overrides import bare_key, is_key, override, quote

PARSER = OverridesParser.create()

HOSTILE = [
    "",
    " ",
    "  two  ",
    "it's",
    'say "hi"',
    "'",
    "\\",
    "\\'",
    "ends with \\",
    "ends with \\\\'",
    "\\\n",
    "$(touch x)",
    "`touch x`",
    "${HOME}",
    "a\nb",
    "tab\there",
    "grüße 雪 🎉",
    "-x",
    "--config",
    "a,b",
    "(",
    "f(x)",
    "{}",
    "[1,2]",
    "a=b",
    "a: b",
    "null",
    "NULL",
    "true",
    "False",
    "1e-6",
    "1_000",
    "0x10",
    "nan",
    "-inf",
    "~",
    "#comment",
    "*",
    "meta-llama/Llama-3.2-1B",
    "a;b|c&d>e<f",
    "%j",
    "!history",
    "..",
]
SCALARS = [None, True, False, 0, -1, 10**30, 1e-6, 5e-6, 1e16, -0.0, 0.1, math.inf, -math.inf, *HOSTILE]
NESTED: list[Any] = [
    [],
    {},
    [[]],
    [1, [2, ["it's", None]]],
    {"a": 1, "b-c.d": [True, "x y"]},
    {"with space": 1, "a:b": 2, "a=b": 3, "a,b": 4, "f(x)": 5, "a\\b": 6, "a[0]": 7},
    {1: "one", 2.5: "x", None: 0},
    {True: 1.0},
    {"a": {"b": {"c": ["{", "}"]}}},
    [{"role": "user", "content": "say 'hi', \\ and ${x}"}],
]


def read(text: str) -> object:
    parsed = PARSER.parse_override(text)
    assert not parsed.is_sweep_override()
    return parsed.value()


def same(left: object, right: object) -> bool:
    """Compare with types: 1, 1.0 and True are three values here."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        pairs = zip(left.items(), right.items(), strict=True) if len(left) == len(right) else [((0, 0), (1, 1))]
        return all(same(a, b) and same(c, d) for (a, c), (b, d) in pairs)
    return type(left) is type(right) and (left == right or (left != left and right != right))


@pytest.mark.parametrize("value", [*SCALARS, *NESTED], ids=repr)
def test_hydra_gives_back_every_value_with_its_type(value: Any) -> None:
    text = override("optim.lr", value)
    assert same(read(text), value), text


def test_nan_stays_nan() -> None:
    assert same(read(override("x", math.nan)), math.nan)


PLAIN_KEYS = st.text(st.sampled_from("abzXYZ_019-./+%@?|*:=,()[]{}\\ "), min_size=1, max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
    | st.text(st.sampled_from("'\"\\ab$(){}[],=:\n `"), max_size=12)
    | st.sampled_from(HOSTILE),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(PLAIN_KEYS, children, max_size=3),
    max_leaves=8,
)


@settings(max_examples=2000, deadline=None)
@given(VALUES)
def test_hydra_gives_back_any_value_that_is_not_refused(value: Any) -> None:
    try:
        text = override("x", value)
    except ValueError:
        return  # refused with a reason; which ones are, the next test says
    assert same(read(text), value), text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"it's": 1}, "cannot express the mapping key"),
        ({"null": 1}, "cannot express the mapping key"),
        ({"": 1}, "cannot express the mapping key"),
        ({"a ": 1}, "cannot express the mapping key"),
        ({"é": 1}, "cannot express the mapping key"),
        ([{"a": "\0"}], "NUL"),
    ],
    ids=repr,
)
def test_a_value_that_the_grammar_cannot_express_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        quote(value)


@pytest.mark.parametrize(
    "key",
    ["lr", "optim.lr", "+new.key", "++policy.a-b.0.c", "a_b", "model/size", "+db@pkg.sub", "a.$b", "_x"],
)
def test_keys_that_hydra_takes(key: str) -> None:
    assert is_key(key)
    parsed = PARSER.parse_override(f"{key}=1")
    path = f"{parsed.key_or_group}@{parsed.package}" if parsed.package else parsed.key_or_group
    assert path == bare_key(key)


@pytest.mark.parametrize(
    "key", ["", "a b", "1a", "a..b", "a.", ".a", "+++a", "a=b", "é", "a.1b", "~a", "-a", "a/b.c", "a:b"]
)
def test_keys_that_are_refused(key: str) -> None:
    assert not is_key(key)
