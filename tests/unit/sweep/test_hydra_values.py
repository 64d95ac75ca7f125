"""Hydra's own parser is the judge: `choices` reads what it reads, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException
from hypothesis import given
from hypothesis import strategies as st

from airflow_slurm_sweep.sweep.hydra_values import choices

PARSER = OverridesParser.create()
TEXTS = [
    "01,02", "007", "0x10,0o7", "1_000,2_000", "1__0,0_0", "1_0.5,1e-4,1.,.5,-1E+5", "inf,-NaN", "true,False,NULL,None",
    "{a:1},{b:2}", "{lr:1e-3,name:adam}", "{a: {b:[1,x y]}, 1:2}", "{}", "[]", "[a:1,'b c'],[01]", "${a},${b.c}x",
    "${oc.env:X,1},2", "a: b, c", "say hi , say no", "'a,b'", '"x",3', r"a\,b,c\ d", r"'it\'s',\\", r"'ends \\'",
    "", "no,off", "~a", "a=b", "#a", "[1", "1]", "a,", ",a", "a b(c)", "'a'b", "(1)", "{a:1:2}", "{a}", "{'a':1}", "{a:1,}",
    "choice(01,{a:1})", "choice([1,2])", "choice()", "choice (a, b)", "tag(x,choice(01,1))", "int(choice(1.5,2))", "int(1.5,2)",
    "sort(3,1.5,2)", "sort(1,a)", "shuffle(choice(a,b))", "choice(a,b),c", "choice(choice(a))", "[choice(a)]", "my(1,2)", "float(choice(a))",
]  # fmt: skip


def of_hydra(text: str) -> list[Any] | None:
    try:
        override = PARSER.parse_override(f"k={text}")
    except HydraException:
        return None
    value = override.value()
    values = [plain(each) for each in (value.list if isinstance(value, ChoiceSweep) else [value])]
    return None if "ChoiceSweep" in repr(values) else values  # which Hydra refuses when it runs


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value.text if isinstance(value, QuotedString) else value


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_as_hydra_reads_it(text: str) -> None:
    assert repr(choices(text)) == repr(of_hydra(text))


@given(st.lists(st.sampled_from([*"01_.-+eax,:[]{}' \\\"$", "${a}", "null", "inf"]), max_size=9).map("".join))
def test_a_text_without_functions_is_read_as_hydra_reads_it(text: str) -> None:
    assert repr(choices(text)) == repr(of_hydra(text))
