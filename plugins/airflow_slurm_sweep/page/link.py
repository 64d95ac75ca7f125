"""A button of a sweep's tasks that leads to the page "Sweeps". Airflow's API server makes it, without the tasks."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from airflow.configuration import conf
from airflow.sdk import BaseOperator, BaseOperatorLink

from airflow_slurm_sweep.names import TAG
from airflow_slurm_sweep.page import PREFIX
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator
from airflow_slurm_sweep.tasks.plan_task import PlanSweepOperator
from airflow_slurm_sweep.tasks.report_task import ReportSweepOperator


class PageLink(BaseOperatorLink):
    """The task's run or combination on the page "Sweeps"; no button where the Dag is no sweep."""

    name = "On the page Sweeps"
    operators = [SlurmSubmitOperator, SlurmJobSensor, PlanSweepOperator, ReportSweepOperator]  # noqa: RUF012  # as Airflow declares it

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the page's own address: that in Airflow, /plugin/sweeps, is for those who may read plugins only."""
        if TAG not in operator.dag.tags:
            return ""
        place = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id}
        if ti_key.map_index >= 0:
            place["index"] = ti_key.map_index
        base = conf.get("api", "base_url", fallback="/").rstrip("/")
        return f"{base}/{PREFIX}/?{urlencode(place)}"
