"""The last task of a sweep's Dag: what became of each combination."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any, cast

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_slurm_sweep.names import (
    APPROVE,
    BEST_KEY,
    CONSENT_KEY,
    OBJECTIVE_KEY,
    PLAN,
    REPORT_KEY,
    ROWS_KEY,
    SEARCH_KEY,
    SKIPPED_KEY,
    STATUS_KEY,
    SUBMIT,
    WAIT,
)
from airflow_slurm_sweep.planned import mapped_jobs
from airflow_slurm_sweep.report import (
    Row,
    best,
    causes,
    failures,
    folded,
    metric_names,
    outcome,
    ranked,
    report_rows,
    used,
)
from airflow_slurm_sweep.report_text import best_text, means_table, result_text, summary, table
from airflow_slurm_sweep.search.tpe import importances
from airflow_slurm_sweep.search.trial import State, Trial
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.slurm.plain import read_mapping
from airflow_slurm_sweep.sweep.overrides import bare_key
from airflow_slurm_sweep.sweep.recipe import Search
from airflow_slurm_sweep.sweep.sweep_section import Objective
from airflow_slurm_sweep.tasks.installation import installation
from airflow_slurm_sweep.tasks.operators import airflow_errors
from airflow_slurm_sweep.tasks.orphans import Siblings, cancel_orphans
from airflow_slurm_sweep.tasks.ssh.shell import slurm_client

PATIENCE = 300.0  # seconds to wait for a cluster that does not answer
_TRIALS = 64  # with a result, from which on they say something of the parameters
_NAMED = 20  # failed combinations that the error names; the table has all


class ReportSweepOperator(BaseOperator):
    """Print what became of each combination, and cancel jobs of the Dag run that no task waits for any more.

    Where the plan has an objective, the best combination comes first.

    It fails if a combination failed, so that the Dag run fails too. As a teardown it also runs after somebody marked
    the Dag run failed or successful: tasks may be skipped then whose jobs live.

    Its ``outlets`` are updated if all combinations succeeded, but not by a dry run or one that nobody approved: these
    succeed all the same. The event has the best one.

    Returns (XCom): the number of combinations and of those that succeeded. The XCom ``rows`` has a `report.Row` as JSON
    for each combination, ``report`` the same as Markdown, shortened, for reading, and ``best`` the best one in a line.
    """

    ui_color = "#e1d5e7"

    def execute(self, context: Context) -> dict[str, int]:
        """Print the table."""
        ti = context["ti"]
        plan = ti.xcom_pull(task_ids=PLAN)
        if plan is None:
            raise AirflowFailException(f"There is no plan: see the log of the task {PLAN!r}")
        approved, consent = ti.xcom_pull(task_ids=APPROVE), ti.xcom_pull(task_ids=APPROVE, key=CONSENT_KEY)
        requests = [JobRequest.from_json(job) for job in cast("list[Any]", mapped_jobs(plan, approved))]
        objective = ti.xcom_pull(task_ids=PLAN, key=OBJECTIVE_KEY)
        objective = objective and Objective(**objective)
        # A list of tasks makes Airflow answer with the XComs of all map indices.
        submitted = [SubmittedJob.from_json(job) for job in ti.xcom_pull(task_ids=[SUBMIT]) if job]
        proposed = {job.index: job for job in submitted if job.parameters}
        requests = [
            replace(each, parameters=own.parameters, label=own.label) if (own := proposed.get(each.index)) else each
            for each in requests
        ]
        ends = ti.xcom_pull(task_ids=[WAIT]) + ti.xcom_pull(task_ids=[WAIT], key=STATUS_KEY)
        ended = [JobStatus.from_json(end) for end in ends if end]
        left = [read_mapping(each) for each in ti.xcom_pull(task_ids=[SUBMIT], key=SKIPPED_KEY) or () if each]
        skipped = {each["index"]: each["why"] for each in left}
        jobs = report_rows(requests, submitted, ended, skipped)
        rows = ranked(folded(jobs, requests[0].repeated, requests[0].swept), objective)
        self.log.info("\n%s", "\n\n".join(filter(None, [table(rows, objective), means_table(rows, objective)])))
        if text := used(rows):
            self.log.info("Used: %s", text)
        ti.xcom_push(key=ROWS_KEY, value=[row.to_json() for row in rows])
        title = f"{ti.dag_id} {ti.run_id}{f' ({consent})' if consent else ''}"
        ti.xcom_push(key=REPORT_KEY, value=summary(title, rows, objective))
        if requests[0].dry_run:
            self.outlets = []  # a dry run has no results: Dags that the asset triggers must not run
            self.log.info("Dry run: nothing was submitted")
            return {"combinations": len(rows), "succeeded": 0}
        with airflow_errors():
            asyncio.run(self._cancel_orphans(ti, requests))
        if consent:
            self.log.info("The run was %s", consent)
        if consent and approved is None:
            self.outlets = []
            return {"combinations": len(rows), "succeeded": 0}
        return self._end(context, rows, objective, _failed(jobs, skipped))

    def _end(self, context: Context, rows: Sequence[Row], objective: Objective | None, failed: str) -> dict[str, int]:
        winner = best(rows, objective)
        succeeded = sum(row.succeeded for row in rows)
        if winner and objective:
            self.log.info(best_text(winner, objective))
            context["ti"].xcom_push(key=BEST_KEY, value=result_text(winner.metrics, winner.combination, objective))
        elif objective and succeeded:
            names = ", ".join(metric_names(row.metrics for row in rows)) or "none"
            self.log.warning("objective: expected the metric %s in the jobs' files, got: %s", objective.metric, names)
        if text := _importances(context["ti"].xcom_pull(task_ids=PLAN, key=SEARCH_KEY), rows, objective):
            self.log.info(text)
        for line in failures(causes(rows)):
            self.log.error(line)
        if failed:
            raise AirflowFailException(f"{outcome(rows)}; failed: {failed}")
        self.log.info(outcome(rows))
        for asset in self.outlets:
            extra: Any = {"combinations": len(rows), "best": winner and winner.to_json()}
            context["outlet_events"][asset].extra = extra
        return {"combinations": len(rows), "succeeded": succeeded}

    async def _cancel_orphans(self, ti: Any, requests: Sequence[JobRequest]) -> None:
        async with slurm_client(requests[0].site) as client:
            for folder in dict.fromkeys(job.shared_folder for job in requests):
                siblings = Siblings(installation(), ti.dag_id, ti.run_id, SUBMIT, WAIT, folder)
                await patiently(partial(cancel_orphans, client, siblings), PATIENCE)


def _importances(search: str | None, rows: Sequence[Row], objective: Objective | None) -> str:
    """Return what the trials of a searched run say of its parameters, in a line; empty if too few or equal."""
    if search is None or objective is None:
        return ""
    results = [(row.parameters, row.metrics.get(objective.metric)) for row in rows if row.succeeded]
    trials = [
        Trial(parameters=parameters, state=State.ENDED, value=value)
        for parameters, value in results
        if value is not None and isfinite(value)
    ]
    if len(trials) < _TRIALS or len({trial.value for trial in trials}) == 1:
        return ""
    own = Search.from_text(search)
    shares = importances(own.space, trials, maximize=own.maximize)
    told = ", ".join(f"{bare_key(key)} {share:.0%}" for key, share in shares.items())
    return f"How much each parameter told of {objective.metric}, roughly (PED-ANOVA of {len(trials)} trials): {told}"


def _failed(jobs: Sequence[Row], skipped: Collection[int | None]) -> str:
    """Return which jobs did not succeed, and how many were skipped because of a canary; empty if all succeeded."""
    left = [row for row in jobs if row.failed]
    failed = [row.job for row in left if row.index not in skipped]
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    number = len(left) - len(failed)
    names = f"{', '.join(failed[:_NAMED])}{more}"
    return f"{names or 'none'}; skipped because of a canary: {number}" if number else names
