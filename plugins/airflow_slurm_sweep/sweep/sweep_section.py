"""The section ``sweep:`` of a sweep file: what runs, what is good, and where the numbers stand that tell it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from airflow_slurm_sweep.names import METRICS
from airflow_slurm_sweep.sweep import setting_types as types
from airflow_slurm_sweep.sweep.document import Section


class Objective(Section):
    """What the report ranks by: ``{metric: reward, goal: maximize}``."""

    metric: str = Field(min_length=1, description="A name among the metrics that jobs leave in their run directories.")
    goal: Literal["maximize", "minimize"] = Field(description="Which of its values are the better ones.")


class Metrics(Section):
    """The numbers by name that a training script writes into its run directory."""

    files: types.MetricFiles = Field(
        default=(METRICS,),
        description="Patterns of the shell as in log_file, for .json, .jsonl and .csv; the newest match counts.",
    )
    names: dict[str, str] = Field(default={}, description="Other names for some of them: {val_reward: reward}.")
    step: str = Field(
        default="", description="The number that is the step; else step, global_step, total_steps, steps or epoch."
    )

    def __str__(self) -> str:
        return f"[{', '.join(self.files)}]"


def _files(value: Any) -> Any:
    return {"files": value} if isinstance(value, str | list) else value


_TEXT: dict[str, Any] = {"type": "string"}
_FILES = {"type": ["string", "array"], "items": _TEXT}
_KEYS = {"files": _FILES, "names": {"type": "object", "additionalProperties": _TEXT}, "step": _TEXT}
_SCHEMA = {"anyOf": [_FILES, {"type": "object", "properties": _KEYS, "additionalProperties": False}]}


class MetricsSetting(Section):
    """Where a training script writes its numbers."""

    metrics: Annotated[Metrics, BeforeValidator(_files), WithJsonSchema(_SCHEMA)] = Field(
        default=Metrics(),
        description="Files in the run directory with the training's numbers: a pattern, a list of patterns, or {files: "
        "..., names: {val_reward: reward}, step: NAME}.",
    )


class SweepSection(MetricsSetting):
    """What a sweep runs beyond the product of its values, and which result is good."""

    objective: Objective | None = Field(
        default=None, description="What the report ranks by: {metric: NAME, goal: maximize or minimize}."
    )
