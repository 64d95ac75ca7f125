"""The section ``sweep:`` of a sweep file: what runs, and what is good."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from airflow_slurm_sweep.sweep.budget import Budget
from airflow_slurm_sweep.sweep.document import Section


class Objective(Section):
    """What the report ranks by: ``{metric: reward, goal: maximize}``."""

    metric: str = Field(
        min_length=1, description="A name in the metrics.json that jobs leave in their run directories."
    )
    goal: Literal["maximize", "minimize"] = Field(description="Which of its values are the better ones.")


class SweepSection(Budget):
    """What a sweep runs beyond the product of its values, and which result is good."""

    objective: Objective | None = Field(
        default=None, description="What the report ranks by: {metric: NAME, goal: maximize or minimize}."
    )
