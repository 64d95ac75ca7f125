"""The last task of a sweep's Dag: what became of each combination."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_slurm_sweep.names import OBJECTIVE_KEY, REPORT_KEY, ROWS_KEY, STATUS_KEY
from airflow_slurm_sweep.report import COMPLETED, Row, best, best_text, metric_names, ranked, report_rows, table, text
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.sweep.settings import Objective
from airflow_slurm_sweep.tasks.operators import airflow_errors
from airflow_slurm_sweep.tasks.orphans import Siblings, cancel_abandoned
from airflow_slurm_sweep.tasks.ssh import SshShell

PATIENCE = 300.0  # seconds: a report is not worth waiting for longer
_NAMED = 20  # failed combinations that the error names; the table has all


class ReportSweepOperator(BaseOperator):
    """Print what became of each combination, and cancel jobs of the Dag run that no task waits for any more.

    Where the plan has an objective, the best combination comes first.

    Fails if a combination failed, so that the Dag run is failed too. As a teardown it runs also where somebody marked
    the Dag run failed or successful: that is when tasks are skipped whose jobs live.

    Args:
        plan_task_id: The task that gave the plan; likewise the ones that submitted and waited.

    Its ``outlets`` are updated if all succeeded, and not by a dry run; the event says which was the best.

    Returns (XCom): the number of combinations and of those that succeeded. The XCom ``rows`` holds the table,
    ``report`` the same as Markdown, shortened, for reading.
    """

    ui_color = "#e1d5e7"

    def __init__(self, *, plan_task_id: str, submit_task_id: str, wait_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_task_id = plan_task_id
        self.submit_task_id = submit_task_id
        self.wait_task_id = wait_task_id

    def execute(self, context: Context) -> dict[str, int]:
        """Print the table."""
        ti = context["ti"]
        requests = ti.xcom_pull(task_ids=self.plan_task_id)
        if requests is None:
            raise AirflowFailException(f"There is no plan: see the log of the task {self.plan_task_id!r}")
        # All of a task in one answer: so it is where no map index is asked for, and a list of tasks.
        submitted = ti.xcom_pull(task_ids=[self.submit_task_id])
        ended = ti.xcom_pull(task_ids=[self.wait_task_id]) + ti.xcom_pull(task_ids=[self.wait_task_id], key=STATUS_KEY)
        objective = ti.xcom_pull(task_ids=self.plan_task_id, key=OBJECTIVE_KEY)
        objective = objective and Objective(**objective)
        rows = report_rows(
            requests,
            [SubmittedJob.from_json(job) for job in submitted if job],
            [JobStatus.from_json(status) for status in ended if status],
        )
        rows = ranked(rows, objective)
        self.log.info("\n%s", table(rows, objective))
        ti.xcom_push(key=ROWS_KEY, value=rows)
        ti.xcom_push(key=REPORT_KEY, value=text(f"{ti.dag_id} {ti.run_id}", rows, objective))
        if requests[0].get("dry_run"):
            self.outlets = []  # whoever follows the sweep waits for results
            self.log.info("Dry run: nothing was submitted")
            return {"combinations": len(rows), "succeeded": 0}
        with airflow_errors():
            asyncio.run(self._cancel_abandoned(ti, requests))
        succeeded = sum(row["state"] == COMPLETED for row in rows)
        if objective and succeeded:
            self._name_the_best(rows, objective)
        summary = f"{succeeded} of {len(rows)} combinations succeeded"
        if succeeded < len(rows):
            failed = [row["job"] for row in rows if row["state"] != COMPLETED]
            more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
            raise AirflowFailException(f"{summary}; not so: {', '.join(failed[:_NAMED])}{more}")
        self.log.info(summary)
        first: Any = best(rows, objective)
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"combinations": len(rows), "best": first}
        return {"combinations": len(rows), "succeeded": succeeded}

    def _name_the_best(self, rows: Sequence[Row], objective: Objective) -> None:
        row = best(rows, objective)
        if row is None:
            names = ", ".join(metric_names(rows)) or "none"
            self.log.warning("objective: expected the metric %s in metrics.json, got: %s", objective.metric, names)
            return
        self.log.info(best_text(row, objective))

    async def _cancel_abandoned(self, ti: Any, requests: Sequence[Mapping[str, Any]]) -> None:
        folder = requests[0]["run_dir"].rpartition("/")[0]
        pairs = Siblings(ti.dag_id, ti.run_id, self.submit_task_id, self.wait_task_id, folder)
        async with SshShell(requests[0]["ssh_conn_id"]) as shell:
            client = SlurmClient(shell, shell.metrics)
            await patiently(lambda: cancel_abandoned(client, pairs), PATIENCE)
