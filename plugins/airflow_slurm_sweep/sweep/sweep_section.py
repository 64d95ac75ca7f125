"""The section ``sweep:`` of a sweep file: what runs, what is good, and where the numbers stand that tell it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from airflow_slurm_sweep.sweep.budget import Budget
from airflow_slurm_sweep.sweep.metrics_setting import MetricsSetting
from airflow_slurm_sweep.sweep.section import Section
from airflow_slurm_sweep.sweep.setting_types import Count
from airflow_slurm_sweep.sweep.settings import SlurmSection

# Settings that all jobs of a run share.
_OF_RUNS = ("profile", "jobname", "existing", "batch_script", "submit", "max_parallel_jobs")


class Objective(Section):
    """What the report ranks by: ``{metric: reward, goal: maximize}``."""

    metric: str = Field(min_length=1, description="A name among the metrics that jobs leave in their run directories.")
    goal: Literal["maximize", "minimize"] = Field(description="Which of its values are the better ones.")


class StopSection(Section):
    """When jobs are stopped early: ``{rule: asha, from_step: 100, factor: 3}``."""

    rule: Literal["asha"] = Field(
        description="At from_step, and that times factor, times factor again ..., a job goes on while its value of the "
        "objective is among the best 1/factor of all jobs that have come so far."
    )
    from_step: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        description="The first step at which a job may be stopped."
    )
    factor: Annotated[int, Field(strict=True, ge=2, le=1000)] = Field(
        default=3, description="Of the jobs, one in factor goes on."
    )
    to_step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="From this step on no job is stopped; null: at any step."
    )


class RuleSection(Section):
    """What combinations of some kind run with: ``{if: {model: 70B}, set: {tp: 8}, slurm: {nodes: 8}}``."""

    condition: dict[str, Any] = Field(
        alias="if", description="Values of parameters; a list: any of them; {above: X}, {below: X}, {not: X}."
    )
    set: dict[str, Any] = Field(default={}, description="Parameters that are not swept. A list is one value.")
    slurm: SlurmSection | None = Field(default=None, description="Settings of the jobs, over those of `slurm:`.")

    @field_validator("slurm")
    @classmethod
    def _refuse_settings_of_runs(cls, slurm: SlurmSection | None) -> SlurmSection | None:
        if slurm and (named := [name for name in _OF_RUNS if name in slurm.model_fields_set]):
            raise ValueError(f"all jobs of a run have the same {named[0]}; set it in the section slurm")
        return slurm


class SweepSection(MetricsSetting, Budget):
    """What a sweep runs beyond the product of its values, and which result is good."""

    exclude: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="Combinations that do not run: [{optim.lr: 1e-5, model: [a, b]}, {optim.lr: {above: 5e-6}}]; "
        "words: above, below, not.",
    )
    include: tuple[dict[str, Any], ...] = Field(
        default=(), description="Whole combinations that run besides; in a search they are the first trials."
    )
    rules: tuple[RuleSection, ...] = Field(
        default=(),
        description="What combinations of some kind run with: [{if: {model: a}, set: {tp: 8}, slurm: {nodes: 8}}].",
    )
    repeat: dict[str, Any] = Field(
        default={},
        description="Runs each combination with each of these values: {seed: [1, 2, 3]}; the report has means.",
    )
    search: Literal["random", "tpe"] | None = Field(
        default=None,
        description="random: `trials` combinations of the space, spread evenly; tpe: `trials` that Optuna proposes "
        "from the results so far; null: all combinations.",
    )
    trials: Count | None = Field(default=None, description="How many combinations a search runs, before `repeat`.")
    seed: Annotated[int, Field(strict=True, ge=0)] = Field(
        default=0, description="Of a search: another seed draws other combinations."
    )

    canary: Count | None = Field(
        default=None,
        description="How many combinations run to their end before the others are submitted; if one of them fails, the "
        "others are skipped.",
    )
    objective: Objective | None = Field(
        default=None, description="What the report ranks by: {metric: NAME, goal: maximize or minimize}."
    )
    stop: StopSection | None = Field(
        default=None,
        description="Stops jobs early whose objective is behind: {rule: asha, from_step: 100, factor: 3}. Needs a step "
        "in the metrics.",
    )

    @property
    def stopping(self) -> dict[str, Any]:
        """The arguments of `Asha`; none where no job is stopped."""
        if not self.stop or not self.objective:
            return {}
        return {**self.stop.model_dump(exclude={"rule"}), "maximize": self.objective.goal == "maximize"}

    def with_canary(self, canary: int | None) -> Self:
        """Return the section with a run's own canaries; None changes nothing. A ValueError if they do not fit."""
        if canary is None:
            return self
        changed = self.model_copy(update={"canary": canary or None})
        changed._check_search()
        changed._check_stop()
        return changed

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_search()
        self._check_stop()
        return self

    def _check_search(self) -> None:
        if self.search and not self.trials:
            raise ValueError(f"search is {self.search}, and trials is missing; add trials: 40")
        if self.search == "tpe":
            self._check_tpe()
        if not self.search and (named := [name for name in ("trials", "seed") if name in self.model_fields_set]):
            raise ValueError(f"{named[0]} is of a search; add search: random")
        if self.trials and len(self.include) > self.trials:
            raise ValueError(f"include has {len(self.include)} combinations, but trials is {self.trials}; raise trials")

    def _check_stop(self) -> None:
        if self.stop and not self.objective:
            raise ValueError("stop needs an objective; add objective: {metric: loss, goal: minimize}")
        if self.stop and self.repeat:
            raise ValueError("stop does not go with repeat: a mean needs the end of each; remove one of them")
        if self.stop and self.stop.to_step is not None and self.stop.to_step <= self.stop.from_step:
            raise ValueError("stop: to_step is not above from_step, so that no job is stopped; raise to_step")
        if self.stop and self.canary and self.canary >= self.stop.factor:
            raise ValueError("canary is as large as stop's factor, so that a canary may be stopped; lower canary")

    def _check_tpe(self) -> None:
        if not self.objective:
            raise ValueError("search is tpe, and objective is missing; add objective: {metric: loss, goal: minimize}")
        if named := [name for name in ("repeat", "rules", "canary") if getattr(self, name)]:
            raise ValueError(f"{named[0]} does not go with search: tpe; remove it, or set search to random")
        if find_spec("optuna") is None:
            raise ValueError("search is tpe, which needs Optuna: pip install 'airflow-slurm-sweep[search]', or optuna")
