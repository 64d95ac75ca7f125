"""The setting ``chain:``, how a job goes on past its end: ``6``, or ``{jobs: 6, until: {total_steps: 2000}}``."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from airflow_slurm_sweep.slurm.chain import DEFAULT_ON
from airflow_slurm_sweep.sweep.section import Section
from airflow_slurm_sweep.sweep.setting_types import TIME_PATTERN, Count, Flag

_Ending: TypeAlias = Literal["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "FAILED", "OUT_OF_MEMORY"]


def _check_one(until: dict[str, float]) -> dict[str, float]:
    if len(until) > 1:
        raise ValueError(f"expected one metric, got {', '.join(until)}")
    return until


def _check_size(pattern: str, example: str, text: str) -> str:
    if not re.fullmatch(rf"x[0-9]+(\.[0-9]+)?|{pattern}", text):
        raise ValueError(f"expected {example}, or a factor such as x2, got {text!r}")
    return text


class ChainSetting(Section):
    """Jobs one after the other in one run directory."""

    jobs: Count = Field(description="How many jobs there may be.")
    until: Annotated[dict[str, float], AfterValidator(_check_one)] = Field(
        default={},
        description="The metric and the value at which the training is done: {total_steps: 2000}. Without it, a job "
        "that ends COMPLETED, and was not told to end, is the last.",
    )
    on: tuple[_Ending, ...] = Field(default=DEFAULT_ON, description="The ends that another job follows.")


class RetrySetting(Section):
    """An end after which a job is run again, and what is changed for it."""

    on: _Ending = Field(description="The job's end.")
    times: Count = Field(default=1, description="How often the job is run again for it.")
    exit_codes: tuple[Annotated[int, Field(strict=True, ge=1, le=255)], ...] = Field(
        default=(), description="Only for these exit statuses; without them for all."
    )
    mem: Annotated[str, AfterValidator(partial(_check_size, r"[0-9]+[KMGT]?", "64G"))] | None = Field(
        default=None, description="Memory, 64G, or x2 for twice as much each time as before."
    )
    time: Annotated[str, AfterValidator(partial(_check_size, TIME_PATTERN, "8:0:0"))] | None = Field(
        default=None, description="Time limit, likewise."
    )
    exclude_node: Flag = Field(default=False, description="Whether the nodes of the job that ended are left out.")


def check_retry(chain: ChainSetting | None, retry: tuple[RetrySetting, ...]) -> None:
    """Raise ValueError where an end has two answers."""
    ends = [rule.on for rule in retry]
    if twice := sorted({end for end in ends if ends.count(end) > 1}):
        raise ValueError(f"retry: {twice[0]} has two rules; keep one of them")
    if both := [end for end in ends if chain and end in chain.on]:
        raise ValueError(
            f"retry: {both[0]} stands in chain.on too ({', '.join(chain.on if chain else ())}); keep one of them"
        )


def _one_rule(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _from_number(value: Any) -> Any:
    return {"jobs": value} if isinstance(value, int) and not isinstance(value, bool) else value


# Whole, without references to other places: the trigger form has each field's schema alone.
_RETRY = RetrySetting.model_json_schema()
Retries = Annotated[
    tuple[RetrySetting, ...],
    BeforeValidator(_one_rule),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _RETRY}, _RETRY]}),
]
Chain = Annotated[
    ChainSetting,
    BeforeValidator(_from_number),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, ChainSetting.model_json_schema()]}),
]
