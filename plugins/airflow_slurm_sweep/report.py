"""What a sweep ends with: a row for each combination, the best one first where the sweep has an objective.

The page "Sweeps" ranks with the same functions, while the sweep still runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any

from tabulate import tabulate

from airflow_slurm_sweep.names import log_path
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.parameters import json_values
from airflow_slurm_sweep.sweep.sweep_section import Objective

DONE_EARLIER = "done in an earlier run"  # the state of a combination that *resume* skips
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
        succeeded: Whether the job is COMPLETED, in this run or an earlier one.
        elapsed: Run time, ``[days-]hours:minutes:seconds``.
        log: The log's path on the cluster.
        metrics: What the job left in ``metrics.json``.
        chain: How far its chain came, ``3 of 6 jobs``; the row is about the last one. Empty for a single job.
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
    chain: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {**asdict(self), "parameters": json_values(self.parameters)}


def report_rows(
    requests: Sequence[JobRequest], submitted: Sequence[SubmittedJob], ended: Sequence[JobStatus]
) -> list[Row]:
    """Return a row for each request, in their order; those without a job, and jobs without an end, have one too."""
    jobs = {job.index: job for job in submitted}
    ends = {status.first_job or status.job_id: status for status in ended}
    rows = []
    for request in requests:
        job = jobs.get(request.index)
        end = ends.get(job.job_id) if job else None
        state = "not waited for" if job else "dry run" if request.dry_run else "not submitted"
        row = Row(
            index=request.index, combination=request.label, parameters=request.parameters, job=request.name, state=state
        )
        if job:
            row = replace(row, job_id=job.job_id, log=job.log_path)
        if end:
            succeeded = end.state.is_success
            row = replace(row, state=end.text, succeeded=succeeded, elapsed=end.elapsed, metrics=end.metrics)
            if end.chain:
                row = replace(row, chain=end.chain, job_id=end.job_id, log=log_path(request.run_dir, end.job_id))
        if request.done:
            end = JobStatus.from_json(request.done)
            row = replace(row, state=DONE_EARLIER, succeeded=True, elapsed=end.elapsed, metrics=end.metrics)
            row = replace(row, job_id=end.job_id, log=log_path(request.run_dir, end.job_id))
        rows.append(row)
    return rows


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
    order = zip(rows, _ranks(rows, objective), strict=True)
    return [row for row, _ in sorted(order, key=lambda each: each[1] or len(rows) + 1)]


def best(rows: Sequence[Row], objective: Objective | None) -> Row | None:
    """Return the row with the first of the `ranks`; None if there is none."""
    return next((row for row, rank in zip(rows, _ranks(rows, objective), strict=True) if rank == 1), None)


def _ranks(rows: Sequence[Row], objective: Objective | None) -> list[int | None]:
    return ranks(((row.succeeded, row.metrics) for row in rows), objective)


def metric_names(metrics: Iterable[Mapping[str, Any]], objective: Objective | None = None) -> list[str]:
    """Return the names of all metrics, the objective's first, the others in the order in which they occur."""
    names = dict.fromkeys(name for each in metrics for name in each)
    if objective and objective.metric in names:
        names = {objective.metric: None, **names}
    return list(names)


def table(rows: Sequence[Row], objective: Objective | None = None, *, form: str = "simple") -> str:
    """Return rows as text; ``form`` is one of tabulate's."""
    names = metric_names((row.metrics for row in rows), objective)[:_METRIC_COLUMNS]
    lines: list[list[Any]] = [["job", "combination", "job id", "state", *names, "elapsed", "log"]]
    for row in rows:
        metrics = map(row.metrics.get, names)
        state = f"{row.state}, {row.chain}" if row.chain else row.state
        lines.append([row.job, row.combination, row.job_id, state, *metrics, row.elapsed, row.log])
    if form == "github":
        lines = [[cell.replace("|", "\\|") if isinstance(cell, str) else cell for cell in line] for line in lines]
    return tabulate(lines, headers="firstrow", tablefmt=form)


def summary(title: str, rows: Sequence[Row], objective: Objective | None = None) -> str:
    """Return ranked rows as Markdown for a notification: a summary in the first line, the first rows, failures."""
    succeeded = sum(row.succeeded for row in rows)
    included = [*rows[:_SUMMARY_ROWS], *[row for row in rows[_SUMMARY_ROWS:] if not row.succeeded][:_SUMMARY_ROWS]]
    parts = [f"{title}: {succeeded} of {len(rows)} combinations succeeded"]
    if objective and (winner := best(rows, objective)):
        parts.append(best_text(winner, objective))
    parts.append(table(included, objective, form="github"))
    if len(rows) > len(included):
        parts.append(f"{len(rows) - len(included)} more are in the task's log")
    return "\n\n".join(parts)


def best_text(row: Row, objective: Objective) -> str:
    """Return a line that names the best combination."""
    return f"Best: {result_text(row.metrics, row.combination, objective)} ({row.job})"


def result_text(metrics: Mapping[str, Any], combination: str, objective: Objective) -> str:
    """Return a combination's value of the objective as text: ``reward 0.93 with lr=1e-06``."""
    value = f"{objective.metric} {metrics[objective.metric]:.6g}"
    return f"{value} with {combination}" if combination else value
