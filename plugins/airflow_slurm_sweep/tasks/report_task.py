"""The last task of a sweep's Dag: what became of each combination."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
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
    RETURN_KEY,
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
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.sweep.overrides import bare_key
from airflow_slurm_sweep.sweep.recipe import Search
from airflow_slurm_sweep.sweep.sweep_section import Objective
from airflow_slurm_sweep.tasks.cancel import states_of
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
        if plan is None:  # a cleared one that failed or was stopped has left jobs of its earlier try
            submitted = [SubmittedJob.from_json(job) for job in _left(ti, SUBMIT)]
            self._cancel_orphans(ti, [(job.site, job.run_dir.rpartition("/")[0]) for job in submitted])
            raise AirflowFailException(f"There is no plan: see the log of the task {PLAN!r}")
        approved, consent = ti.xcom_pull(task_ids=APPROVE), ti.xcom_pull(task_ids=APPROVE, key=CONSENT_KEY)
        requests = [JobRequest.from_json(job) for job in cast("list[Any]", mapped_jobs(plan, approved))]
        objective = ti.xcom_pull(task_ids=PLAN, key=OBJECTIVE_KEY)
        objective = objective and Objective(**objective)
        jobs, skipped = _jobs(ti, requests)
        rows = ranked(folded(jobs, requests[0].repeated, requests[0].swept), objective)
        self.log.info("\n%s", "\n\n".join(filter(None, [table(rows, objective), means_table(rows, objective)])))
        if text := used(jobs):
            self.log.info("Used: %s", text)
        ti.xcom_push(key=ROWS_KEY, value=[row.to_json() for row in rows])
        title = f"{ti.dag_id} {ti.run_id}{f' ({consent})' if consent else ''}"
        ti.xcom_push(key=REPORT_KEY, value=summary(title, rows, objective, jobs))
        if requests[0].dry_run:
            self.outlets = []  # a dry run has no results: Dags that the asset triggers must not run
            self.log.info("Dry run: nothing was submitted")
            return {"combinations": len(rows), "succeeded": 0}
        self._cancel_orphans(ti, [(job.site, job.shared_folder) for job in requests])
        if consent:
            self.log.info("The run was %s", consent)
        if consent and approved is None:
            self.outlets = []
            return {"combinations": len(rows), "succeeded": 0}
        for line in failures(causes(jobs)):
            self.log.error(line)
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
        if failed:
            raise AirflowFailException(f"{outcome(rows)}; failed: {failed}")
        self.log.info(outcome(rows))
        for asset in self.outlets:
            extra: Any = {"combinations": len(rows), "best": winner and winner.to_json()}
            context["outlet_events"][asset].extra = extra
        return {"combinations": len(rows), "succeeded": succeeded}

    def _cancel_orphans(self, ti: Any, places: Sequence[tuple[Site, str]]) -> None:
        """Cancel the jobs of the Dag run that no task waits for; ``places`` are sites with their shared folders."""

        async def cancel() -> None:
            for site in dict.fromkeys(site for site, _ in places):
                async with slurm_client(site) as client:  # one login, however many folders
                    for folder in dict.fromkeys(folder for own, folder in places if own == site):
                        siblings = Siblings(installation(), ti.dag_id, ti.run_id, SUBMIT, WAIT, folder)
                        look = partial(cancel_orphans, client, siblings)
                        await patiently(look, PATIENCE, even_if_refused=True)  # it may be refused for minutes only

        with airflow_errors():
            asyncio.run(cancel())


def _jobs(ti: Any, requests: Sequence[JobRequest]) -> tuple[list[Row], Collection[int | None]]:
    """Return a row for each job, and the numbers of the combinations that were skipped because of a canary.

    XComs of an earlier try stay until its task starts again: only those count that belong to the tasks' states.
    """
    states = states_of(ti, [SUBMIT, WAIT])  # one request, however many jobs
    places = {request.index: place for place, request in enumerate(requests)}

    def has_state(task_id: str, index: int | None, state: str) -> bool:
        return states.get(f"{task_id}_{places.get(index)}") == state

    submitted = [SubmittedJob.from_json(job) for job in _left(ti, SUBMIT)]
    submitted = [job for job in submitted if has_state(SUBMIT, job.index, "success")]
    numbers = {job.job_id: job.index for job in submitted}
    ended = [
        end
        for key, state in ((RETURN_KEY, "success"), (STATUS_KEY, "failed"))
        for end in map(JobStatus.from_json, _left(ti, WAIT, key))
        if has_state(WAIT, numbers.get(end.first_job), state)
    ]
    why = {each["index"]: each["why"] for each in _left(ti, SUBMIT, SKIPPED_KEY)}
    skipped = {index: text for index, text in why.items() if has_state(SUBMIT, index, "skipped")}
    proposed = {job.index: job for job in submitted if job.parameters}
    requests = [
        replace(each, parameters=own.parameters, label=own.label) if (own := proposed.get(each.index)) else each
        for each in requests
    ]
    return report_rows(requests, submitted, ended, skipped), skipped


def _left(ti: Any, task_id: str, key: str = RETURN_KEY) -> list[Mapping[str, Any]]:
    # A list of tasks makes Airflow answer with the XComs of all map indices.
    return [read_mapping(each) for each in ti.xcom_pull(task_ids=[task_id], key=key) or () if each]


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
