"""The section ``dag:`` of a sweep file: arguments of Airflow's Dag, the objective, and notifications."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from airflow_slurm_sweep.sweep.document import Section
from airflow_slurm_sweep.sweep.setting_types import Count, CountOrZero, Flag

# Airflow's
_PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # bad text, a folder's name, no such zone
        raise ValueError(f"expected a timezone such as Europe/Berlin, got {name!r}") from None
    return name


def _check_schedule(schedule: str) -> str:
    from croniter import croniter  # noqa: PLC0415  # most sweeps have no schedule

    if schedule not in _PRESETS and not croniter.is_valid(schedule):
        raise ValueError(f"expected a cron expression or a preset such as @daily, got {schedule!r}")
    return schedule


def _check_class(path: str) -> str:
    if "." not in path or not all(word.isidentifier() for word in path.split(".")):
        example = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
        raise ValueError(f"expected the path of a class such as {example}, got {path!r}")
    return path


def _one_or_more(values: Any) -> Any:
    return [values] if isinstance(values, (str, dict)) else values


class Objective(Section):
    """What the report ranks by: ``{metric: reward, goal: maximize}``."""

    metric: str = Field(
        min_length=1, description="A name in the metrics.json that jobs leave in their run directories."
    )
    goal: Literal["maximize", "minimize"] = Field(description="Which of its values are the better ones.")


class Notification(Section):
    """A notifier to call: ``{on: failed, notifier: a.module.Class, arguments: {...}}``."""

    on: Literal["combination_failed", "failed", "finished", "stuck"] = Field(
        description="finished: all combinations ended; failed: all ended, some failed; combination_failed: one failed; "
        "stuck: Slurm will not start jobs, once for each reason."
    )
    notifier: Annotated[str, AfterValidator(_check_class)] = Field(description="Path of the notifier's class.")
    arguments: dict[str, Any] = Field(
        default={}, description="Arguments of the notifier; templates know dag_id, run_id, report and summary."
    )


class DagSection(Section):
    """How Airflow runs a sweep's Dag; most keys are the argument of Airflow's Dag with that name."""

    former_keys: ClassVar[Mapping[str, str]] = {"workers": "submit and wait run in the triggerer at every size"}

    schedule: Annotated[str, AfterValidator(_check_schedule)] | None = Field(
        default=None, description="Cron expression, or a preset such as @daily; null: runs are triggered by hand."
    )
    start_date: datetime | None = Field(default=None, description="Date of the first run; required with a schedule.")
    timezone: Annotated[str, AfterValidator(_check_timezone)] = Field(
        default="UTC", description="Timezone of schedule and start_date, such as Europe/Berlin."
    )
    catchup: Flag = Field(default=False, description="Whether runs that were missed since start_date are made up for.")
    tags: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = Field(default=(), description="Tags of the Dag.")
    owner: str = Field(default="airflow", min_length=1, description="Owner of the Dag.")
    description: str | None = Field(default=None, description="Text in the list of Dags.")
    retries: CountOrZero = Field(
        default=3, description="Retries of plan and report, if their worker died. A failed job is not run again."
    )
    max_active_runs: Count = Field(default=1, description="Number of runs of the sweep at the same time.")
    objective: Objective | None = Field(
        default=None, description="What the report ranks by: {metric: NAME, goal: maximize or minimize}."
    )
    notify: Annotated[tuple[Notification, ...], BeforeValidator(_one_or_more)] = Field(
        default=(), description="Notifiers to call at the end of a run or of a combination, or if jobs will not start."
    )
