"""What a run may cost, and when a person has to approve it: keys of ``sweep:`` and of a cluster profile.

Both places count, the stricter one first: neither a sweep file nor the form of the Dag `launch` goes round the profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Annotated, Self

from pydantic import Field, model_validator

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.durations import hours, minutes
from airflow_slurm_sweep.slurm.gpus import Options
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep import setting_types as types
from airflow_slurm_sweep.sweep.section import Section

_Hours = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_UNITS = {"gpu_hours": "GPU-hours", "cpu_hours": "CPU-hours"}  # by the ends of the settings' names


class Approve(Section):
    """When a run waits for a person: ``{above_gpu_hours: 256, by: [lead], within: 2-0}``."""

    above_gpu_hours: _Hours | None = Field(
        default=None, description="A run whose upper bound is more GPU-hours than that waits."
    )
    above_cpu_hours: _Hours | None = Field(
        default=None, description="A run whose upper bound is more CPU-hours than that, of jobs without GPUs, waits."
    )
    by: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="User ids of Airflow's auth manager; without it, whoever may edit the Dag's runs."
    )
    within: types.Time | None = Field(
        default=None,
        description="How long the run waits for an answer, such as 2-0 (two days); then it submits nothing. null: for "
        "good.",
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.above_gpu_hours is None and self.above_cpu_hours is None:
            raise ValueError("expected above_gpu_hours or above_cpu_hours, such as {above_gpu_hours: 256}")
        return self


class Budget(Section):
    """What a run may cost."""

    max_gpu_hours: _Hours | None = Field(
        default=None,
        description="Limit of a run's GPU-hours, computed from the jobs' time limits. A run above it submits nothing "
        "and fails. In `sweep:` and profile: the smaller one.",
    )
    max_cpu_hours: _Hours | None = Field(
        default=None, description="Limit of the CPU-hours of jobs without GPUs, computed likewise."
    )
    approve: Approve | None = Field(
        default=None,
        description="A run that costs more waits until a person approves it: {above_gpu_hours: 256, by: [USER], "
        "within: 2-0}; see docs/consent.md. In `sweep:` and profile: both.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The upper bound of what jobs cost, if all of them run into their time limits."""

    gpu_hours: float
    cpu_hours: float  # of the jobs that ask for no GPU

    @classmethod
    def of(cls, jobs: Iterable[JobRequest]) -> Self:
        """Return the cost of those jobs that no earlier run has done."""
        found = {"gpu_hours": 0.0, "cpu_hours": 0.0}
        for job in jobs:
            nodes = job.nodes + job.extra_nodes
            gpus = nodes * job.gpus_per_node
            if not job.done:
                units = gpus or _cpus(job.options, nodes)
                found["gpu_hours" if gpus else "cpu_hours"] += units * _most_hours(job)
        return cls(**found)

    def __str__(self) -> str:
        """Return the bound in words: ``at most 64 GPU-hours``."""
        sums = {unit: getattr(self, name) for name, unit in _UNITS.items() if getattr(self, name)}
        if unbounded := [unit for unit, number in sums.items() if isinf(number)]:
            return f"without a time limit: no bound on their {' and '.join(unbounded)}"
        return f"at most {' and '.join(f'{number:.4g} {unit}' for unit, number in (sums or {'GPU-hours': 0}).items())}"


def _most_hours(job: JobRequest) -> float:
    """Return how long a job, those that follow it, and all that are run again may take together.

    A time limit that a retry has changed stays. So the most is: first the retries with the longest ones, then the rest.
    """
    most = hours(job.time or "INFINITE")
    limit = max(most, (minutes(job.time) or 0) / 60)  # as `retry.changes` multiplies it
    others, factors = max(0, job.chain.get("jobs", 1) - 1), []
    for rule in job.chain.get("retry", ()):
        time, times = rule.get("time") or "x1", rule["times"]
        if not time.startswith("x"):
            limit = max(limit, hours(time))
            most += hours(time) * times
        elif float(time[1:]) > 1:
            factors.append((float(time[1:]), times))
        else:
            others += times
    for factor, times in sorted(factors, reverse=True):
        for _ in range(times):
            limit = max(limit * factor, limit + 1 / 60)  # a minute at least
            most += limit
            if isinf(most):
                return most
    return float(most + limit * others if others else most)


def _cpus(options: Options, nodes: int) -> int:
    """Return how many CPUs the options of a job ask for; not those that an exclusive node has besides."""
    numbers = {name: int(value) for name, value in options.items() if str(value).isdecimal()}
    tasks = numbers.get("ntasks", nodes * numbers.get("ntasks-per-node", 1))
    of_task = re.search(r"\bcpu[=:]([0-9]+)", str(options.get("tres-per-task", "")))
    return tasks * (int(of_task[1]) if of_task else numbers.get("cpus-per-task", 1))


def check_budget(cost: Cost, budgets: Mapping[str, Budget]) -> None:
    """Refuse a run that costs too much; ``budgets`` are named by the places where they stand.

    Raises:
        SettingsError: It may take more than the smallest limit.
    """
    for name, unit in _UNITS.items():
        limits = {
            place: limit for place, each in budgets.items() if (limit := getattr(each, f"max_{name}")) is not None
        }
        place = min(limits, key=lambda each: limits[each], default="")
        if limits and getattr(cost, name) > limits[place]:
            raise SettingsError(
                f"the run is over its budget: the jobs are {cost}, but max_{name} is {limits[place]:.4g} {unit} "
                f"({place}); run fewer combinations (only), or set or shorten slurm.time"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The approval that a run needs.

    Attributes:
        why: Each limit that the run exceeds, and its place.
        by: The ids of the users who may give it; empty for whoever may edit the Dag's runs.
        within: How long the run waits, as Slurm writes durations; None for any time.
    """

    why: str
    by: Sequence[str]
    within: str | None


def needed_consent(cost: Cost, budgets: Mapping[str, Budget]) -> Consent | None:
    """Return the approval that a run of that cost needs: by a user whom all places name, within the shortest time.

    Raises:
        SettingsError: No user is named by all of them.
    """
    rules = {place: each.approve for place, each in budgets.items() if each.approve}
    exceeded = {
        f"above_{name} is {limit:.4g} ({place})": rule
        for place, rule in rules.items()
        for name in _UNITS
        if (limit := getattr(rule, f"above_{name}")) is not None and getattr(cost, name) > limit
    }
    if not exceeded:
        return None
    named = [rule.by for rule in exceeded.values() if rule.by]
    by = [user for user in next(iter(named), ()) if all(user in each for each in named)]
    if named and not by:
        lists = " and ".join(f"`by: [{', '.join(each)}]`" for each in dict.fromkeys(named))
        raise SettingsError(f"approve: nobody may approve the run: {lists} have no user in common; add one to both")
    times = [rule.within for rule in exceeded.values() if rule.within]
    return Consent(why=" and ".join(exceeded), by=by, within=min(times, key=hours, default=None))
