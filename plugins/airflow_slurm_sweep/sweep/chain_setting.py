"""The setting ``chain:``, how a job goes on past its end: ``6``, or ``{jobs: 6, until: {total_steps: 2000}}``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from airflow_slurm_sweep.slurm.chain import DEFAULT_ON
from airflow_slurm_sweep.sweep.document import Section
from airflow_slurm_sweep.sweep.setting_types import Count

_Ending: TypeAlias = Literal["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "FAILED", "OUT_OF_MEMORY"]


def _check_one(until: dict[str, float]) -> dict[str, float]:
    if len(until) > 1:
        raise ValueError(f"expected one metric, got {', '.join(until)}")
    return until


class ChainSetting(Section):
    """Jobs one after the other in one run directory."""

    jobs: Count = Field(description="How many jobs there may be.")
    until: Annotated[dict[str, float], AfterValidator(_check_one)] = Field(
        default={},
        description="A metric and the value that it reaches when all is done; without it the last job's end tells.",
    )
    on: tuple[_Ending, ...] = Field(default=DEFAULT_ON, description="The ends that another job follows.")


def _from_number(value: Any) -> Any:
    return {"jobs": value} if isinstance(value, int) and not isinstance(value, bool) else value


Chain = Annotated[
    ChainSetting,
    BeforeValidator(_from_number),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, ChainSetting.model_json_schema()]}),
]
