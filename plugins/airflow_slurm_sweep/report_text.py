"""What a sweep ends with, as people read it: tables of `report.Row`, and a summary in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_slurm_sweep.means import means
from airflow_slurm_sweep.report import (
    HOURS,
    NO_HOURS,
    Row,
    best,
    causes,
    failures,
    metric_names,
    outcome,
    row_ranks,
    used,
)
from airflow_slurm_sweep.sweep.overrides import bare_key, shown
from airflow_slurm_sweep.sweep.sweep_section import Objective

_METRIC_COLUMNS = 8  # of a table for reading; the rows have all metrics
_SUMMARY_ROWS = 20  # of a notification, and as many failed ones besides
_MEANS = 60  # values of parameters


def table(rows: Sequence[Row], objective: Objective | None = None, *, form: str = "simple") -> str:
    """Return rows as text; ``form`` is one of tabulate's."""
    names = metric_names((row.metrics for row in rows), objective)[:_METRIC_COLUMNS]
    is_repeated = any(row.repeats > 1 for row in rows)
    known = {name: unit for name, unit in HOURS.items() if any(getattr(row, name) is not None for row in rows)}
    lines: list[list[Any]] = [
        [
            "job",
            "combination",
            "job id",
            "state",
            *(["n"] if is_repeated else []),
            *names,
            "elapsed",
            *known.values(),
            "log",
        ]
    ]
    for row in rows:
        metrics = [_number(row, name) for name in names]
        many = [row.repeats] if is_repeated else []
        ids = [_first_and_last(text) for text in (row.job, row.job_id)]
        state = f"{row.state}, {row.chain}" if row.chain else row.state
        lines.append(
            [ids[0], row.combination, ids[1], state, *many, *metrics, row.elapsed, *_hours(row, known), row.log]
        )
    return _as_text(lines, form)


def _as_text(lines: Sequence[Sequence[Any]], form: str) -> str:
    """Return a table as text; the first line is its head, and the first two columns are text: no number is rounded."""
    from tabulate import tabulate  # noqa: PLC0415  # 40 ms, which reading the Dag files need not take

    if form == "github":
        lines = [[cell.replace("|", "\\|") if isinstance(cell, str) else cell for cell in line] for line in lines]
    return tabulate(lines, headers="firstrow", tablefmt=form, disable_numparse=[0, 1])


def means_table(rows: Sequence[Row], objective: Objective | None, *, form: str = "simple") -> str:
    """Return the mean result by each parameter's value as text, empty where there are no `means`."""
    if not objective:
        return ""
    in_order = sorted(zip(rows, row_ranks(rows, objective), strict=True), key=lambda each: each[0].index or 0)
    results = [
        ({bare_key(key): shown(value) for key, value in row.parameters.items()}, row.metrics[objective.metric])
        for row, rank in in_order
        if rank
    ]
    lines = [[each.parameter, each.value, each.number, each.mean, each.spread] for each in means(results)]
    heads = ["parameter", "value", "n", f"mean {objective.metric}", "spread"]
    return _as_text([heads, *lines[:_MEANS]], form) if lines else ""


def _number(row: Row, name: str) -> float | str | None:
    return f"{row.metrics[name]:.6g} ± {row.spread[name]:.2g}" if name in row.spread else row.metrics.get(name)


def _hours(row: Row, names: Iterable[str]) -> list[str]:
    return ["" if (value := getattr(row, name)) is None else f"{value:.4g}" for name in names]


def _first_and_last(names: str) -> str:
    first, *others = names.split(", ")
    return f"{first} … {others[-1]}" if others else first


def summary(
    title: str, rows: Sequence[Row], objective: Objective | None = None, jobs: Sequence[Row] | None = None
) -> str:
    """Return ranked rows as Markdown for a notification: a summary in the first line, the first rows, failures.

    ``jobs`` has a row for each job, where ``rows`` has one for all repeats of a combination.
    """
    jobs = rows if jobs is None else jobs
    included = [*rows[:_SUMMARY_ROWS], *[row for row in rows[_SUMMARY_ROWS:] if row.failed][:_SUMMARY_ROWS]]
    parts = [f"{title}: {outcome(rows)}"]
    if objective and (winner := best(rows, objective)):
        parts.append(best_text(winner, objective))
    parts.append(table(included, objective, form="github"))
    if (text := used(jobs)) not in ("", NO_HOURS):
        parts.append(f"Used: {text}")
    if by_value := means_table(rows, objective, form="github"):
        parts.append(by_value)
    parts += failures(causes(jobs))
    if len(rows) > len(included):
        parts.append(f"{len(rows) - len(included)} more are in the task's log")
    return "\n\n".join(parts)


def best_text(row: Row, objective: Objective) -> str:
    """Return a line that names the best combination."""
    mean = f", the mean of {row.repeats}" if row.repeats > 1 else ""
    return f"Best: {result_text(row.metrics, row.combination, objective)} ({row.job}{mean})"


def result_text(metrics: Mapping[str, Any], combination: str, objective: Objective) -> str:
    """Return a combination's value of the objective as text: ``reward 0.93 with lr=1e-06``."""
    value = f"{objective.metric} {metrics[objective.metric]:.6g}"
    return f"{value} with {combination}" if combination else value
