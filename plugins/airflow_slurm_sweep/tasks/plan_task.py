"""The first task of a sweep's Dag: what will run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from jinja2 import TemplateError

from airflow_slurm_sweep.counts import counts_to_read
from airflow_slurm_sweep.errors import SettingsError, SlurmSweepError
from airflow_slurm_sweep.names import (
    ATTEMPT_KEY,
    CONSENT_KEY,
    FAULT_KEY,
    OBJECTIVE_KEY,
    ORIGIN_KEY,
    SCRIPT_KEY,
    SEARCH_KEY,
)
from airflow_slurm_sweep.plan import RunPlan, base_of, budgets, layers_of, plan_run, read_options, unchecked_layers_of
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.submit.sbatch import preview
from airflow_slurm_sweep.sweep.budget import check_budget, needed_consent
from airflow_slurm_sweep.sweep.files import yaml_files
from airflow_slurm_sweep.sweep.layers import Folders, Layers
from airflow_slurm_sweep.sweep.naming import base_name, check_name, date_of_run, is_template
from airflow_slurm_sweep.sweep.sbatch_options import over
from airflow_slurm_sweep.sweep.section import read_settings
from airflow_slurm_sweep.sweep.setting_types import Secret
from airflow_slurm_sweep.sweep.settings import RunOptions, SlurmSection, entered, given
from airflow_slurm_sweep.sweep.spec import SweepSpec, load_sweep, parse_sweep
from airflow_slurm_sweep.sweep.yaml_reader import read_text
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.form import refuse_unknown
from airflow_slurm_sweep.tasks.installation import installation
from airflow_slurm_sweep.tasks.operators import airflow_errors
from airflow_slurm_sweep.tasks.run_names import settle_names
from airflow_slurm_sweep.tasks.ssh.shell import slurm_client

_LONGEST = 4000  # characters of why there is no plan


class PlanSweepOperator(BaseOperator):
    """Plan the run: a job for each combination.

    Args:
        include: The folder that holds clusters/, and job.sh if there is one.
        sweep_file: The sweep file; None runs what the trigger form names, see `launched_sweep`.

    Returns (XCom): a list, a `JobRequest` as JSON for each combination; it holds for the whole Dag run. The XCom
    ``script`` holds the batch script that they have in common, unless it is one of the cluster's; ``objective`` the
    sweep's `Objective` as JSON, if it has one; ``consent`` the `Consent` as JSON that a run needs which is no dry run;
    ``origin`` the working directory's revision and the form's overrides.

    Fails if the run is over its budget.
    """

    ui_color = "#fff2cc"

    def __init__(self, *, include: str, sweep_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include
        self.sweep_file = sweep_file

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the plan; the XCom ``fault`` says why there is none."""
        try:
            return self._planned(context)
        except Exception as error:
            context["ti"].xcom_push(key=FAULT_KEY, value=str(error)[:_LONGEST] or type(error).__name__)
            raise

    def _planned(self, context: Context) -> list[dict[str, Any]]:
        folders = configuration.folders(Path(self.include))
        with airflow_errors():
            configuration.check_form(context["dag_run"].conf)
            if dag := self.get_dag():
                refuse_unknown(context["dag_run"].conf or {}, dag.params)
            spec = self._read_sweep(folders, context["params"])
            options = read_options(context["params"])
            options = options.model_copy(update={"jobname": self._jobname(spec, options, context)})
            layers = (layers_of if self.sweep_file else unchecked_layers_of)(spec, folders, os.environ)
            notes = [] if options.jobname else _namesakes(spec, layers, folders)
            planned = asyncio.run(self._plan(spec, layers, options, context["ti"]))
        for note in [*planned.notes, *notes, *configuration.warnings(len(planned.jobs))]:
            self.log.info(note)
        for job in planned.jobs:
            if job.done:
                self.log.info(job.why_skipped)
            elif options.dry_run:
                self.log.info("%s: %s\nrun directory: %s\n%s", job.name, job.label, job.run_dir, preview(job))
            else:
                self.log.info("%s: %s", job.name, job.command)
        self.log.info("%s%s", planned.summary, "; dry run" if options.dry_run else "")
        if done := sum(bool(job.done) for job in planned.jobs):
            self.log.info("%s more are done in earlier runs", done)
        with airflow_errors():
            if not options.dry_run:
                _check_configuration(planned)
            cost, limits = planned.cost, budgets(spec, layers)
            check_budget(cost, limits)
            consent = None if options.dry_run else needed_consent(cost, limits)
        if consent:
            context["ti"].xcom_push(key=CONSENT_KEY, value=asdict(consent))
        context["ti"].xcom_push(key=ATTEMPT_KEY, value=str(context["ti"].id))
        if planned.search:
            context["ti"].xcom_push(key=SEARCH_KEY, value=planned.search.to_text())
        context["ti"].xcom_push(key=SCRIPT_KEY, value=planned.jobs[0].script)
        if spec.sweep.objective:
            context["ti"].xcom_push(key=OBJECTIVE_KEY, value=spec.sweep.objective.model_dump())
        origin = {"revision": planned.revision, "overrides": list(options.overrides)}
        context["ti"].xcom_push(key=ORIGIN_KEY, value=origin)
        return [_left(job) for job in planned.jobs]

    async def _plan(self, spec: SweepSpec, layers: Layers, options: RunOptions, ti: Any) -> RunPlan:
        counts = await _read_counts(spec, layers, options)
        planned = plan_run(spec, layers, options, counts)
        if options.dry_run:
            return planned
        if planned.existing != "resume":  # before a name is taken; with resume the cost is known only then
            _check_configuration(planned)
            check_budget(planned.cost, budgets(spec, layers))
        names = await settle_names(planned, installation(), ti)
        options = options.model_copy(update={"jobname": names.base})
        return names.added_to(plan_run(spec, layers, options, counts, names.earlier))

    def _read_sweep(self, folders: Folders, params: Mapping[str, Any]) -> SweepSpec:
        if self.sweep_file is None:
            return launched_sweep(folders, params)
        path = Path(self.sweep_file)
        return load_sweep(path, source=folders.shown(path), max_combinations=configuration.max_combinations())

    def _jobname(self, spec: SweepSpec, options: RunOptions, context: Context) -> str | None:
        """Return the run's own job name; that of a scheduled run has the sweep's name and the date.

        So each run has directories of its own, also where several sweeps run one script.
        """
        if options.jobname:
            return options.jobname
        try:
            if spec.slurm.jobname:
                return check_name(str(self.render_template(spec.slurm.jobname, context)))
            run = context["dag_run"]
            if run.run_type == "manual":
                return None
            script = spec.script_of(spec.command)
            sweep = run.dag_id if self.sweep_file else context["params"].get("sweep") or base_name(script)
            date = date_of_run(run.logical_date or run.run_after, spec.dag.timezone)
            return check_name(f"{sweep}_{date}")
        except (ValueError, TemplateError) as error:
            raise SettingsError(f"slurm.jobname: {error}") from None


def _left(job: JobRequest) -> dict[str, Any]:
    """Return what the plan leaves of a job; what a search's trial runs, is decided when its turn comes."""
    if job.trial is not None:
        job = replace(job, label=f"trial {job.index}", parameters={}, swept=(), command="")
    return replace(job, script="").to_json()


def _check_configuration(planned: RunPlan) -> None:
    if planned.search:
        configuration.check_search()
    if planned.jobs[0].canaries:
        configuration.check_canary(len(planned.jobs))


def _namesakes(spec: SweepSpec, layers: Layers, folders: Folders) -> list[str]:
    """Say which other sweep files name their jobs likewise, where names begin with the script's."""
    base, found = base_of(spec, layers, None), []
    files = yaml_files(folders.sweeps).values() if layers.preset.base == "script" else []
    for path, *_ in files:
        with suppress(SlurmSweepError, ValueError):  # a file that does not load runs nothing
            other = load_sweep(path, source=folders.shown(path))
            name = base_of(other, layers_of(other, folders, os.environ), other.slurm.jobname)
            if name == base and other.source != spec.source:
                found.append(other.source)
    if not found:
        return []
    return [
        f"The jobs of {', '.join(found)} have the name {base} too, that of the script: the runs are numbered together. "
        "Set slurm.jobname in each"
    ]


def launched_sweep(folders: Folders, params: Mapping[str, Any]) -> SweepSpec:
    """Return the sweep that a trigger form names: a script, a sweep as text, or a sweep file.

    The form's settings win over the sweep's.

    Raises:
        SweepFileError: The sweep has faults, or its script or config is not the form's.
        SettingsError: The form's settings have faults.
    """
    name, text = params.get("sweep") or None, params.get("sweep_text") or None
    if name and text:
        raise SettingsError("sweep and sweep_text: give one of them")
    source, folder = "sweep_text" if text else "script", None
    if name:
        try:
            # a name, no path: only files of the folder
            path = yaml_files(folders.sweeps).get(check_name(name), [folders.sweeps / f"{name}.yaml"])[0]
        except ValueError as error:
            raise SettingsError(f"sweep: {error}") from None
        source = folders.shown(path)
        text, folder = read_text(path, source), path.parent
    spec = parse_sweep(
        text or "{}",
        source=source,
        folder=folder,
        max_combinations=configuration.max_combinations(),
        started_with={f"{name}_path": params.get(name) or None for name in ("script", "config")},
    )
    section = read_settings(SlurmSection, entered({key: params.get(key) for key in SlurmSection.model_fields}))
    in_text = [] if name else [spec.slurm, *(rule.slurm for rule in spec.sweep.rules if rule.slurm)]
    for typed in [section, *in_text]:
        _refuse_secrets_and_templates(typed)
    return replace(
        spec,
        name=name,
        space=spec.space.without_settings(given(section)),
        command=spec.command or params.get("command") or None,
        preset=spec.preset or params.get("preset") or None,
        slurm=spec.slurm.model_copy(update=over(given(spec.slurm), given(section))),
    )


def _refuse_secrets_and_templates(section: SlurmSection) -> None:
    """Refuse what only files may hold: else whoever may start a run could read Airflow's secrets."""
    if secrets := [name for name, value in section.env.items() if isinstance(value, Secret)]:
        raise SettingsError(f"env: {', '.join(secrets)}: only a sweep file or a cluster profile may name a secret")
    if is_template(section.jobname or ""):
        raise SettingsError(f"slurm.jobname: only a sweep file may have a template, got {section.jobname!r}")


async def _read_counts(spec: SweepSpec, layers: Layers, options: RunOptions) -> dict[str, int]:
    """Read the numbers of nodes and GPUs in the script's config, unless other settings have them."""
    wanted = counts_to_read(spec, layers, options)
    path = spec.config_path
    if not wanted or path is None:
        return {}
    from airflow_slurm_sweep.sweep.script_config import count, wanted_files  # noqa: PLC0415  # imports omegaconf

    texts: dict[str, str | None] = {}
    async with slurm_client(layers.site) as client:
        while files := sorted(wanted_files(path, texts)):
            texts |= await client.read_files(layers.workdir(spec.slurm), files)
    found = {setting: count(path, texts, key) for setting, key in wanted.items()}
    return {setting: number for setting, number in found.items() if number is not None}
