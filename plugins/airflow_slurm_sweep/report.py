"""What a sweep ends with: a row for each combination, the best one first where the sweep has an objective.

The page "Sweeps" ranks with the same functions, while the sweep still runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from tabulate import tabulate

from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.sweep.dag_section import Objective
from airflow_slurm_sweep.sweep.overrides import json_value

_METRIC_COLUMNS = 8  # of a table for reading; the rows have all metrics
_SUMMARY_ROWS = 20  # of a notification, and as many failed ones besides


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
        succeeded: Whether the job is COMPLETED.
        elapsed: Run time, ``[days-]hours:minutes:seconds``.
        log: The log's path on the cluster.
        metrics: What the job left in ``metrics.json``.
    """

    index: int | None
    combination: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    job: str
    job_id: str = ""
    state: str
    succeeded: bool = False
    elapsed: str = ""
    log: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {**asdict(self), "parameters": json_value(dict(self.parameters))}


def report_rows(
    requests: Sequence[JobRequest], submitted: Sequence[SubmittedJob], ended: Sequence[JobStatus]
) -> list[Row]:
    """Return a row for each request. A request without a job, and a job without an end, have one too.

    Args:
        requests: The plan.
        submitted: The jobs, each with the index of its request, in any order.
        ended: The ends, each with its job's id, in any order.
    """
    jobs = {job.index: job for job in submitted}
    ends = {status.job_id: status for status in ended}
    rows = []
    for request in requests:
        job = jobs.get(request.index)
        rows.append(_row(request, job, ends.get(job.job_id) if job else None))
    return rows


def _row(request: JobRequest, job: SubmittedJob | None, end: JobStatus | None) -> Row:
    missing = "not waited for" if job else "dry run" if request.dry_run else "not submitted"
    return Row(
        index=request.index,
        combination=request.label,
        parameters=request.parameters,
        job=request.name,
        job_id=job.job_id if job else "",
        state=end.text if end else missing,
        succeeded=end is not None and end.state.is_success,
        elapsed=end.elapsed if end else "",
        log=job.log_path if job else "",
        metrics=end.metrics if end else {},
    )


def ranks(results: Iterable[tuple[bool, Mapping[str, Any]]], objective: Objective | None) -> list[int | None]:
    """Return each combination's rank by the objective: 1 is the best; of equal ones the first is the better one.

    Args:
        results: For each combination whether it succeeded, and its metrics.
        objective: None ranks nothing.

    Returns:
        None for a combination that did not succeed, or has no finite number of that name.
    """
    values = [_objective_value(succeeded, metrics, objective) for succeeded, metrics in results]
    sign = -1 if objective and objective.goal == "maximize" else 1
    counting = [(sign * value, place) for place, value in enumerate(values) if value is not None]
    found: list[int | None] = [None] * len(values)
    for rank, (_, place) in enumerate(sorted(counting), start=1):
        found[place] = rank
    return found


def _objective_value(succeeded: bool, metrics: Mapping[str, Any], objective: Objective | None) -> float | None:
    value = metrics.get(objective.metric) if objective and succeeded else None
    return value if isinstance(value, int | float) and isfinite(value) else None


def ranked(rows: Sequence[Row], objective: Objective | None) -> list[Row]:
    """Return the rows in the order of their `ranks`; those without one come last, in the sweep's order."""
    places = ranks(((row.succeeded, row.metrics) for row in rows), objective)
    order = sorted(range(len(rows)), key=lambda place: places[place] or len(rows) + 1)
    return [rows[place] for place in order]


def best(rows: Sequence[Row], objective: Objective | None) -> Row | None:
    """Return the row with the first of the `ranks`; None if there is none."""
    places = ranks(((row.succeeded, row.metrics) for row in rows), objective)
    return rows[places.index(1)] if 1 in places else None


def metric_names(metrics: Iterable[Mapping[str, Any]], objective: Objective | None = None) -> list[str]:
    """Return the names of all metrics, the objective's first, the others in the order in which they occur."""
    names = dict.fromkeys(name for each in metrics for name in each)
    if objective and objective.metric in names:
        names = {objective.metric: None, **names}
    return list(names)


def table(rows: Sequence[Row], objective: Objective | None = None, *, form: str = "simple") -> str:
    """Return rows as text; ``form`` is one of tabulate's."""
    names = metric_names((row.metrics for row in rows), objective)[:_METRIC_COLUMNS]
    lines = [
        [
            *(_cell(text, form) for text in (row.job, row.combination, row.job_id, row.state)),
            *(row.metrics.get(name) for name in names),
            *(_cell(text, form) for text in (row.elapsed, row.log)),
        ]
        for row in rows
    ]
    headers = ["job", "combination", "job id", "state", *names, "elapsed", "log"]
    return tabulate(lines, headers=[_cell(text, form) for text in headers], tablefmt=form)


def _cell(text: str, form: str) -> str:
    return text.replace("|", "\\|") if form == "github" else text


def summary(title: str, rows: Sequence[Row], objective: Objective | None = None) -> str:
    """Return ranked rows as Markdown for a notification: a summary in the first line, the first rows, failures."""
    failed = [row for row in rows if not row.succeeded]
    included = [*rows[:_SUMMARY_ROWS], *[row for row in rows[_SUMMARY_ROWS:] if not row.succeeded][:_SUMMARY_ROWS]]
    winner = best(rows, objective)
    return "\n\n".join(
        [
            f"{title}: {len(rows) - len(failed)} of {len(rows)} combinations succeeded",
            *([best_text(winner, objective)] if winner and objective else []),
            table(included, objective, form="github"),
            *([f"{len(rows) - len(included)} more are in the task's log"] if len(rows) > len(included) else []),
        ]
    )


def best_text(row: Row, objective: Objective) -> str:
    """Return a line that names the best combination."""
    return f"Best: {result_text(row.metrics, row.combination, objective)} ({row.job})"


def result_text(metrics: Mapping[str, Any], combination: str, objective: Objective) -> str:
    """Return a combination's value of the objective as text: ``reward 0.93 with lr=1e-06``."""
    value = f"{objective.metric} {metrics[objective.metric]:.6g}"
    return f"{value} with {combination}" if combination else value
