"""The first and the last task of a sweep's Dag: what will run, and what became of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from jinja2 import TemplateError

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.plan import counts_to_read, plan, read_options
from airflow_slurm_sweep.report import COMPLETED, Row, best, best_text, metric_names, ranked, report_rows, table, text
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.commands import preview
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.sweep.dag_section import Objective
from airflow_slurm_sweep.sweep.document import read_settings, read_text
from airflow_slurm_sweep.sweep.layers import Folders, Layers, read_layers
from airflow_slurm_sweep.sweep.naming import base_name, check_name, is_template
from airflow_slurm_sweep.sweep.setting_types import Secret
from airflow_slurm_sweep.sweep.settings import RunOptions, SlurmSection, given
from airflow_slurm_sweep.sweep.spec import SweepSpec, load_sweep, parse_sweep
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.notify import REPORT_KEY
from airflow_slurm_sweep.tasks.operators import airflow_errors
from airflow_slurm_sweep.tasks.orphans import Siblings, cancel_abandoned
from airflow_slurm_sweep.tasks.run_plan import SCRIPT_KEY
from airflow_slurm_sweep.tasks.ssh import SshShell
from airflow_slurm_sweep.tasks.triggers import STATUS_KEY

PATIENCE = 300.0  # seconds: a report is not worth waiting for longer
_NAMED = 20  # failed combinations that the error names; the table has all
OBJECTIVE_KEY = "objective"  # the XCom of the plan that says what the report ranks by; none where the sweep has none


class PlanSweepOperator(BaseOperator):
    """Settle what each combination's job will be.

    Args:
        include: The folder that holds clusters/, and job.sh if there is one.
        sweep_file: The sweep file; None runs what the trigger form names, see `launched_sweep`.

    Returns (XCom): a list, a `JobRequest` as JSON for each combination; it holds for the whole Dag run. The XCom
    ``script`` holds the batch script that they have in common, unless it is one of the cluster's; ``objective`` the
    sweep's `Objective` as JSON, if it has one.
    """

    ui_color = "#fff2cc"

    def __init__(self, *, include: str, sweep_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include
        self.sweep_file = sweep_file

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the plan."""
        folders = configuration.folders(Path(self.include))
        with airflow_errors():
            spec = self._read_sweep(folders, context["params"])
            options = read_options(context["params"])
            options = options.model_copy(update={"jobname": self._jobname(spec, options, context)})
            layers = read_layers(spec.slurm, folders, os.environ)
            planned = plan(spec, layers, options, asyncio.run(_read_counts(spec, layers, options)))
        for note in [*planned.notes, *configuration.warnings(len(planned.requests))]:
            self.log.info(note)
        for job in planned.requests:
            if options.dry_run:
                self.log.info("%s: %s\nrun directory: %s\n%s", job.name, job.label, job.run_dir, preview(job))
            else:
                self.log.info("%s: %s", job.name, job.command)
        self.log.info("%s%s", planned.summary, "; dry run" if options.dry_run else "")
        context["ti"].xcom_push(key=SCRIPT_KEY, value=planned.requests[0].script)
        if spec.dag.objective:
            context["ti"].xcom_push(key=OBJECTIVE_KEY, value=spec.dag.objective.model_dump())
        return [replace(job, script="").to_json() for job in planned.requests]

    def _read_sweep(self, folders: Folders, params: Mapping[str, Any]) -> SweepSpec:
        if self.sweep_file is None:
            return launched_sweep(folders, params)
        path = Path(self.sweep_file)
        return load_sweep(path, source=folders.shown(path), max_combinations=configuration.max_combinations())

    def _jobname(self, spec: SweepSpec, options: RunOptions, context: Context) -> str | None:
        """Return the run's own job name: in scheduled runs with the date, so that none writes where another did."""
        if options.jobname:
            return options.jobname
        try:
            if spec.slurm.jobname:
                return check_name(str(self.render_template(spec.slurm.jobname, context)))
            run = context["dag_run"]
            if run.run_type == "manual":
                return None
            date = run.logical_date or run.run_after
            return check_name(f"{base_name(None, spec.script_path)}_{date:%Y%m%dT%H%M%S}")
        except (ValueError, TemplateError) as error:
            raise SettingsError(f"slurm.jobname: {error}") from None


def launched_sweep(folders: Folders, params: Mapping[str, Any]) -> SweepSpec:
    """Return what a trigger form names: a script, a sweep as text, or a sweep file; its settings win over the sweep's.

    Raises:
        SweepFileError: The sweep has faults, or its script or config is not the form's.
        SettingsError: The form's settings have faults.
    """
    name, text = params.get("sweep") or None, params.get("sweep_text") or None
    if name and text:
        raise SettingsError("sweep and sweep_text: give one of them")
    source = "sweep_text" if text else "script"
    if name:
        path = folders.sweeps / f"{_checked(name)}.yaml"
        source = folders.shown(path)
        text = read_text(path, source)
    spec = parse_sweep(
        text or "{}",
        source=source,
        max_combinations=configuration.max_combinations(),
        script=params.get("script") or None,
        config=params.get("config") or None,
    )
    keys = [*SlurmSection.model_fields, *SlurmSection.former_keys]
    section = read_settings(SlurmSection, {key: params[key] for key in keys if params.get(key) not in (None, "", {})})
    for typed in [section, *([] if name else [spec.slurm])]:
        _refuse_what_airflow_keeps(typed)
    return replace(spec, slurm=spec.slurm.model_copy(update=given(section)))


def _refuse_what_airflow_keeps(section: SlurmSection) -> None:
    """Keep Airflow's secrets from a person who may only start runs: only files may name them, and hold templates."""
    if secrets := [name for name, value in section.env.items() if isinstance(value, Secret)]:
        raise SettingsError(f"env: {', '.join(secrets)}: only a sweep file or a cluster profile may name a secret")
    if is_template(section.jobname or ""):
        raise SettingsError(f"slurm.jobname: only a sweep file may have a template, got {section.jobname!r}")


def _checked(name: str) -> str:
    try:
        return check_name(name)  # no path: only what lies in the folder
    except ValueError as error:
        raise SettingsError(f"sweep: {error}") from None


async def _read_counts(spec: SweepSpec, layers: Layers, options: RunOptions) -> dict[str, int]:
    """Read the numbers of nodes and GPUs in the script's config, if nothing else says them."""
    wanted = counts_to_read(spec, options)
    path = spec.config_path
    if not wanted or path is None:
        return {}
    from airflow_slurm_sweep.sweep.script_config import count, wanted_files  # noqa: PLC0415  # imports omegaconf

    texts: dict[str, str | None] = {}
    async with SshShell(layers.profile.ssh_conn_id) as shell:
        while files := sorted(wanted_files(path, texts)):
            texts |= await SlurmClient(shell, shell.metrics).read_files(layers.workdir(spec.slurm), files)
    found = {setting: count(path, texts, key) for setting, key in wanted.items()}
    return {setting: number for setting, number in found.items() if number is not None}


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
        ti.xcom_push(key="rows", value=rows)
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
