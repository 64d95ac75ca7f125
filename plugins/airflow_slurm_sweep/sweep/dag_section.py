"""The section ``dag:`` of a sweep file: arguments of Airflow's Dag, and notifications."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from airflow_slurm_sweep.sweep.section import Section
from airflow_slurm_sweep.sweep.setting_types import Count, CountOrZero, Flag

# Airflow's
_PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_CRON_FIELDS = 5  # croniter takes a sixth one for seconds
_LONGEST_TAG = 100  # characters: Airflow's column


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # bad text, a folder's name, no such zone
        raise ValueError(f"expected a timezone such as Europe/Berlin, got {name!r}") from None
    return name


def _check_schedule(schedule: Any) -> Any:
    from croniter import CroniterBadDateError, croniter  # noqa: PLC0415  # most sweeps have no schedule

    if schedule is None or schedule in _PRESETS:
        return schedule
    if isinstance(schedule, str) and croniter.is_valid(schedule):
        if (fields := len(schedule.split())) > _CRON_FIELDS:
            raise ValueError(f"expected five fields, such as 0 3 * * * for daily at three, got {fields}: {schedule!r}")
        try:
            croniter(schedule).get_next()
        except CroniterBadDateError:
            raise ValueError(f"no date is ever as {schedule!r} says") from None
        return schedule
    assets = _one_or_more(schedule.get("assets")) if isinstance(schedule, dict) and len(schedule) == 1 else None
    if isinstance(assets, list) and assets and all(isinstance(each, str) and each for each in assets):
        return {"assets": assets}
    raise ValueError(
        "expected a cron expression, a preset such as @daily, or assets such as {assets: [sweep_a]}, "
        f"got {schedule!r}"
    )


def _check_date(date: Any) -> datetime:
    try:
        return date if isinstance(date, datetime) else datetime.fromisoformat(date)
    except (TypeError, ValueError):  # pydantic would take 20260131 for seconds since 1970
        raise ValueError(f"expected a date such as 2026-01-31 or 2026-01-31T03:00, got {date!r}") from None


def _check_class(path: str) -> str:
    if "." not in path or not all(word.isidentifier() for word in path.split(".")):
        example = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
        raise ValueError(f"expected the path of a class such as {example}, got {path!r}")
    return path


def _check_tag(tag: str) -> str:
    if len(tag) > _LONGEST_TAG:
        raise ValueError(f"expected at most {_LONGEST_TAG} characters, got {len(tag)}")
    return tag


def _one_or_more(values: Any) -> Any:
    return [values] if isinstance(values, (str, dict)) else values


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


class AssetSchedule(Section):
    """Assets that start a run once all of them were updated: ``{assets: [sweep_grpo, s3://bucket/data]}``."""

    assets: tuple[str, ...] = Field(description="Names or URIs of assets; a run begins when all of them were updated.")


_Tag = Annotated[str, AfterValidator(_check_tag)]
Date = Annotated[datetime, BeforeValidator(_check_date)]


class DagSection(Section):
    """How Airflow runs a sweep's Dag; most keys are the argument of Airflow's Dag with that name."""

    former_keys: ClassVar[Mapping[str, str]] = {
        "workers": "submit and wait run in the triggerer at every size",
        "objective": "it stands under sweep:",
    }

    schedule: Annotated[str | AssetSchedule | None, BeforeValidator(_check_schedule)] = Field(
        default=None,
        description="Cron expression, a preset such as @daily, or {assets: [NAME]}; null: runs are triggered by hand.",
    )
    start_date: Date | None = Field(default=None, description="Date of the first run; required with a cron schedule.")
    end_date: Date | None = Field(default=None, description="Date after which no run is scheduled.")
    timezone: Annotated[str, AfterValidator(_check_timezone)] = Field(
        default="UTC",
        description="Timezone of schedule, dates, and the names of scheduled runs, such as Europe/Berlin.",
    )
    catchup: Flag = Field(default=False, description="Whether runs that were missed since start_date are made up for.")
    tags: Annotated[tuple[_Tag, ...], BeforeValidator(_one_or_more)] = Field(default=(), description="Tags of the Dag.")
    owner: str = Field(default="airflow", min_length=1, description="Owner of the Dag.")
    description: str | None = Field(default=None, description="Text in the list of Dags.")
    retries: CountOrZero = Field(
        default=3, description="Retries of plan and report, if their worker died. For jobs: `retry`."
    )
    queue: str | None = Field(default=None, min_length=1, description="Queue of Airflow's workers, of plan and report.")
    pool: str | None = Field(default=None, min_length=1, description="Airflow's pool of plan and report.")
    executor: str | None = Field(default=None, min_length=1, description="Airflow's executor of plan and report.")
    priority_weight: int | None = Field(default=None, description="Airflow's priority of plan and report.")
    max_active_runs: Count = Field(default=1, description="Number of runs of the sweep at the same time.")
    notify: Annotated[tuple[Notification, ...], BeforeValidator(_one_or_more)] = Field(
        default=(), description="Notifiers to call at the end of a run or of a combination, or if jobs will not start."
    )

    @model_validator(mode="after")
    def _check_airflows_limits(self) -> Self:
        if self.schedule == "@continuous" and self.max_active_runs > 1:
            raise ValueError(f"max_active_runs: expected 1 with the schedule @continuous, got {self.max_active_runs}")
        return self

    @model_validator(mode="after")
    def _check_offsets(self) -> Self:
        for key in ("start_date", "end_date"):
            date = getattr(self, key)
            if date and date.utcoffset() and "timezone" not in self.model_fields_set:
                raise ValueError(
                    f"{key}: {date.isoformat()} has an offset, which says nothing of daylight saving; add the timezone "
                    "of the schedule, such as timezone: Europe/Berlin"
                )
        dates = [date.replace(tzinfo=None) for date in (self.start_date, self.end_date) if date]
        if len(dates) > 1 and dates[1] < dates[0]:
            raise ValueError(f"end_date: expected a date after start_date, got {dates[1].date()}; no run would start")
        return self
