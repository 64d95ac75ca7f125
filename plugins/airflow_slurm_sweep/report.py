"""What a sweep ends with: a row for each combination, the best one first where the sweep has an objective.

The page "Sweeps" ranks with the same functions, while the sweep still runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import fsum, isfinite
from typing import Any

from airflow_slurm_sweep.means import deviation, mean
from airflow_slurm_sweep.names import log_path
from airflow_slurm_sweep.slurm.failure import groups
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.parameters import json_values
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.naming import label
from airflow_slurm_sweep.sweep.sweep_section import Objective

HOURS = {"gpu_hours": "GPU-hours", "cpu_hours": "CPU-hours"}
NO_HOURS = "unknown hours"
DONE_EARLIER = "done in an earlier run"  # the state of a combination that *resume* skips
_SKIPPED = "skipped"
STOPPED_EARLIER = "stopped early in an earlier run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one combination.

    Attributes:
        index: Its number in the sweep, from 1.
        combination: The combination, as people read it.
        parameters: Its value of each parameter.
        job: The job's name.
        job_id: Slurm's; empty where nothing was submitted. So are `elapsed` and `log` where they are not known.
        state: In Slurm's own words, or why there is none.
        cause: The line of the job's log that says why it failed.
        succeeded: Whether the job is COMPLETED, in this run or an earlier one.
        stopped: Whether the rule of `sweep.stop` stopped it: no success, which would have a rank, and no failure.
        elapsed: Run time, ``[days-]hours:minutes:seconds``.
        log: The log's path on the cluster.
        metrics: The last value of each number that the job left.
        repeats: How many jobs the row is of: with ``sweep.repeat`` names and ids are several, and metrics are means.
        spread: Their standard deviations.
        gpu_hours: What it used, with all jobs of its chain and its repeats, if it asked for GPUs; None where not known.
        cpu_hours: Likewise, if it asked for none.
        chain: How far its chain came, ``3 of 6 jobs``; the row is about the last one. Empty for a single job.
        over: Whether nothing more happens to it by itself.
    """

    index: int | None
    combination: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    job: str
    job_id: str = ""
    state: str
    cause: str = ""
    succeeded: bool = False
    stopped: bool = False
    elapsed: str = ""
    log: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1
    spread: Mapping[str, float] = field(default_factory=dict)
    gpu_hours: float | None = None
    cpu_hours: float | None = None
    chain: str = ""
    over: bool = True

    @property
    def failed(self) -> bool:
        """Whether the combination has neither succeeded nor been stopped early."""
        return not (self.succeeded or self.stopped)

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        values = {**asdict(self), "parameters": json_values(self.parameters)}
        del values["over"]  # the state says it
        return values


def report_rows(
    requests: Sequence[JobRequest],
    submitted: Sequence[SubmittedJob],
    ended: Sequence[JobStatus],
    skipped: Mapping[int | None, str] = {},
) -> list[Row]:
    """Return a row for each request, in their order; those without a job, and jobs without an end, have one too.

    ``skipped`` says why combinations were skipped because of a canary, by their numbers.
    """
    jobs = {job.index: job for job in submitted}
    ends = {status.first_job: status for status in ended}
    rows = []
    for request in requests:
        job = jobs.get(request.index)
        end = ends.get(job.job_id) if job else None
        why = f"{_SKIPPED} ({skipped[request.index]})" if request.index in skipped else "not submitted"
        state = "not waited for" if job else "dry run" if request.dry_run else why
        row = Row(
            index=request.index, combination=request.label, parameters=request.parameters, job=request.name, state=state
        )
        if job:
            row = replace(row, job_id=job.job_id, log=job.log_path)
        if end:
            gpu_hours, cpu_hours = hours(request.gpus_per_node, end.gpu_hours, end.cpu_hours)
            row = replace(
                row,
                state=str(end) if end.state is JobState.STOPPED_EARLY else end.text,
                cause=end.cause,
                succeeded=end.state is JobState.COMPLETED,
                stopped=end.state is JobState.STOPPED_EARLY,
                elapsed=end.elapsed,
                metrics=end.metrics,
                chain=end.chain,
                gpu_hours=gpu_hours,
                cpu_hours=cpu_hours,
            )
            if end.chain:
                row = replace(row, job_id=end.job_id, log=log_path(request.run_dir, end.job_id))
        if request.done:
            end = JobStatus.from_json(request.done)
            stopped = end.state is JobState.STOPPED_EARLY
            row = replace(row, succeeded=not stopped, stopped=stopped, elapsed=end.elapsed, metrics=end.metrics)
            row = replace(row, state=earlier_text(stopped=stopped))
            row = replace(row, job_id=end.job_id, log=log_path(request.run_dir, end.job_id))
        rows.append(row)
    return rows


def earlier_text(*, stopped: bool) -> str:
    """Return the state of a combination that *resume* skips."""
    return STOPPED_EARLIER if stopped else DONE_EARLIER


def outcome(rows: Sequence[Row]) -> str:
    """Return how many combinations succeeded, and how many were stopped early, in words."""
    stopped = sum(row.stopped for row in rows)
    early = f", {stopped} stopped early" if stopped else ""
    return f"{sum(row.succeeded for row in rows)} of {len(rows)} combinations succeeded{early}"


def hours(gpus: int, gpu_hours: float | None, cpu_hours: float | None) -> tuple[float | None, float | None]:
    """Return the hours that count: of GPUs where a job asked for them or got some, else of CPUs."""
    return (gpu_hours, None) if gpus or gpu_hours else (None, cpu_hours)


def hours_text(used: Iterable[tuple[float | None, float | None]]) -> str:
    """Return what ended jobs used, given the GPU- and CPU-hours of each: ``12.5 GPU-hours, unknown for 2 jobs``."""
    each = [*used]
    known = {
        unit: [value for pair in each if (value := pair[at]) is not None] for at, unit in enumerate(HOURS.values())
    }
    parts = [f"{_amount(fsum(numbers))} {unit}" for unit, numbers in known.items() if numbers]
    unknown = each.count((None, None))
    if unknown:
        parts.append(f"unknown for {unknown} {'job' if unknown == 1 else 'jobs'}" if parts else NO_HOURS)
    return ", ".join(parts)


def _amount(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 1000 else f"{hours:.4g}"


def used(jobs: Iterable[Row]) -> str:
    """Return what jobs used in this run, given a row for each; empty where none has ended."""
    return hours_text((row.gpu_hours, row.cpu_hours) for row in _of_this_run(jobs))


def _of_this_run(jobs: Iterable[Row]) -> list[Row]:
    return [row for row in jobs if row.job_id and row.state not in (DONE_EARLIER, STOPPED_EARLIER)]


def folded(rows: Sequence[Row], repeated: Collection[str], swept: Iterable[str]) -> list[Row]:
    """Return a row for each combination, given those of its repeats; ``repeated`` and ``swept`` are parameters."""
    if not repeated:
        return [*rows]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        own = [each for each in row.parameters.items() if each[0] not in repeated]
        groups.setdefault(repr(own), []).append(row)
    return [_fold(group, repeated, swept) for group in groups.values()]


def _fold(rows: Sequence[Row], repeated: Collection[str], swept: Iterable[str]) -> Row:
    parameters = {key: value for key, value in rows[0].parameters.items() if key not in repeated}
    states = Counter(row.state for row in rows)
    done = [row for row in rows if row.succeeded]
    own = _of_this_run(rows)
    values = {name: [row.metrics[name] for row in done if name in row.metrics] for row in done for name in row.metrics}
    spread = {name: deviation(found) for name, found in values.items() if len(found) == len(done)}
    return replace(
        max(rows, key=lambda row: (row.failed, bool(row.cause))),  # the first that says why it failed
        index=rows[0].index,
        combination=label({key: parameters[key] for key in swept if key in parameters}),
        parameters=parameters,
        job=", ".join(row.job for row in rows),
        job_id=", ".join(row.job_id for row in rows if row.job_id),
        state=rows[0].state if len(states) == 1 else ", ".join(f"{count} {state}" for state, count in states.items()),
        succeeded=len(done) == len(rows),
        metrics={name: mean(found) for name, found in values.items() if len(found) == len(done)},
        repeats=len(rows),
        gpu_hours=_sum([row.gpu_hours for row in own]),
        cpu_hours=_sum([row.cpu_hours for row in own]),
        spread={name: value for name, value in spread.items() if value is not None},
    )


def _sum(values: Sequence[float | None]) -> float | None:
    return None if None in values or not values else fsum(filter(None, values))


def ranks(results: Iterable[tuple[bool, Mapping[str, Any]]], objective: Objective | None) -> list[int | None]:
    """Return each combination's rank by the objective: 1 is the best; of equal ones the first is the better one.

    ``results`` has for each combination whether it succeeded, and its metrics. The rank of one that did not succeed, or
    has no finite number of that name, is None.
    """
    values = [metrics.get(objective.metric) if objective and succeeded else None for succeeded, metrics in results]
    numbers = {place: value for place, value in enumerate(values) if isinstance(value, int | float) and isfinite(value)}
    sign = -1 if objective and objective.goal == "maximize" else 1
    order = sorted(numbers, key=lambda place: sign * numbers[place])
    found = {place: rank for rank, place in enumerate(order, start=1)}
    return [found.get(place) for place in range(len(values))]


def ranked(rows: Sequence[Row], objective: Objective | None) -> list[Row]:
    """Return the rows in the order of their `ranks`; those without one come last, in the sweep's order."""
    order = zip(rows, row_ranks(rows, objective), strict=True)
    return [row for row, _ in sorted(order, key=lambda each: each[1] or len(rows) + 1)]


def best(rows: Sequence[Row], objective: Objective | None) -> Row | None:
    """Return the row with the first of the `ranks`; None if there is none."""
    return next((row for row, rank in zip(rows, row_ranks(rows, objective), strict=True) if rank == 1), None)


def row_ranks(rows: Sequence[Row], objective: Objective | None) -> list[int | None]:
    """Return the `ranks` of rows."""
    return ranks(((row.succeeded, row.metrics) for row in rows), objective)


def metric_names(metrics: Iterable[Mapping[str, Any]], objective: Objective | None = None) -> list[str]:
    """Return the names of all metrics, the objective's first, the others in the order in which they occur."""
    names = dict.fromkeys(name for each in metrics for name in each)
    if objective and objective.metric in names:
        names = {objective.metric: None, **names}
    return list(names)


def failures(causes: Sequence[str]) -> list[str]:
    """Return why combinations failed, given the cause of each that did: ``17 of 24 failed: CUDA out of memory``."""
    return [f"{number} of {len(causes)} failed: {text}" for text, number in groups(causes)]


def causes(rows: Iterable[Row]) -> list[str]:
    """Return the causes of those rows that failed by themselves."""
    return [row.cause for row in rows if row.failed and row.over and not row.state.startswith(_SKIPPED)]
