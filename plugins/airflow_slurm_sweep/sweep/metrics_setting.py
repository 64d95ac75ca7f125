"""Where a training script writes its numbers: a key of sweep files, cluster profiles and presets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from airflow_slurm_sweep.names import METRICS
from airflow_slurm_sweep.sweep import setting_types as types
from airflow_slurm_sweep.sweep.section import Section


class Metrics(Section):
    """The numbers by name that a training script writes into its run directory."""

    files: types.MetricFiles = Field(
        default=(METRICS,),
        description="Patterns of the shell as in log_file, for .json, .jsonl and .csv; the newest match counts.",
    )
    names: dict[str, str] = Field(default={}, description="Other names for some of them: {val_reward: reward}.")
    step: str = Field(
        default="",
        description="The number that is the step; else step, global_step, total_steps, steps, iteration or epoch.",
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
