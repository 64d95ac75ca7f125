"""What a sweep ends with: a row for each combination, the best one first where the sweep has an objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tabulate import tabulate

from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.sweep.dag_section import Objective

Row: TypeAlias = Mapping[str, Any]

NOT_SUBMITTED = {False: "not submitted", True: "dry run"}
COMPLETED = "COMPLETED"
_METRICS = 8  # columns of a table for reading; the rows have all
_SHOWN = 20  # rows of a message, and as many failed ones


def report_rows(
    requests: Sequence[Mapping[str, Any]],
    submitted: Sequence[SubmittedJob],
    ended: Sequence[JobStatus],
) -> list[Row]:
    """Join plan (JSON as XCom gives it), jobs and ends to one row a combination; jobs and ends may be missing."""
    jobs = {job.job_name: job for job in submitted}
    ends = {status.job_id: status for status in ended}
    rows: list[Row] = []
    for request in requests:
        job = jobs.get(request["name"])
        end = ends.get(job.job_id) if job else None
        rows.append(
            {
                "job": request["name"],
                "combination": request.get("label", ""),
                "job id": job.job_id if job else "",
                "state": end.text if end else "not waited for" if job else NOT_SUBMITTED[request.get("dry_run", False)],
                "elapsed": end.elapsed if end else "",
                "log": job.log_path if job else "",
                "metrics": dict(end.metrics) if end else {},
            }
        )
    return rows


def ranked(rows: Sequence[Row], objective: Objective | None) -> list[Row]:
    """Return the best rows first; those that did not complete, or have no such metric, last and in their order."""
    if objective is None:
        return list(rows)
    sign = -1 if objective.goal == "maximize" else 1

    def place(row: Row) -> tuple[bool, float]:
        counts = _counts(row, objective)
        return not counts, sign * row["metrics"][objective.metric] if counts else 0

    return sorted(rows, key=place)


def best(rows: Sequence[Row], objective: Objective | None) -> Row | None:
    """Return the best row of those that `ranked` returned, if there is one."""
    return rows[0] if objective and rows and _counts(rows[0], objective) else None


def metric_names(rows: Sequence[Row], objective: Objective | None = None) -> list[str]:
    """Return the names of all metrics, the objective's first, the others in the order of their coming."""
    names = dict.fromkeys(name for row in rows for name in row["metrics"])
    if objective and objective.metric in names:
        names = {objective.metric: None, **names}
    return list(names)


def table(rows: Sequence[Row], objective: Objective | None = None, *, form: str = "simple") -> str:
    """Return rows as text; ``form`` is one of tabulate's."""
    names = metric_names(rows, objective)[:_METRICS]
    before, after = ("job", "combination", "job id", "state"), ("elapsed", "log")
    lines = [
        [
            *(_cell(row[name], form) for name in before),
            *(row["metrics"].get(name) for name in names),
            *(_cell(row[name], form) for name in after),
        ]
        for row in rows
    ]
    return tabulate(lines, headers=[_cell(name, form) for name in (*before, *names, *after)], tablefmt=form)


def _cell(text: str, form: str) -> str:
    return text.replace("|", "\\|") if form == "github" else text


def text(title: str, rows: Sequence[Row], objective: Objective | None = None) -> str:
    """Return ranked rows as Markdown for people who are told: a summary in the first line, the first rows, failures."""
    failed = [row for row in rows if row["state"] != COMPLETED]
    shown = [*rows[:_SHOWN], *[row for row in rows[_SHOWN:] if row["state"] != COMPLETED][:_SHOWN]]
    winner = best(rows, objective)
    return "\n\n".join(
        [
            f"{title}: {len(rows) - len(failed)} of {len(rows)} combinations succeeded",
            *([best_text(winner, objective)] if winner and objective else []),
            table(shown, objective, form="github"),
            *([f"{len(rows) - len(shown)} more are in the task's log"] if len(rows) > len(shown) else []),
        ]
    )


def best_text(row: Row, objective: Objective) -> str:
    """Say which combination is the best one."""
    value = row["metrics"][objective.metric]
    return f"Best: {objective.metric} {value:.6g} with {row['combination']} ({row['job']})"


def _counts(row: Row, objective: Objective) -> bool:
    return row["state"] == COMPLETED and objective.metric in row["metrics"]
