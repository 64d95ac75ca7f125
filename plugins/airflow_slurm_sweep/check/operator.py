"""Checks a cluster profile from Airflow to the cluster's sbatch: what is wrong with it, and what cures it.

Each check ends as a `Finding`, in the order of the way in: profile and settings (here), connection, host, host key and
login (way_in.py), and then all that one script on the login node can tell (questions.py asks, verdicts.py judges).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import StartTriggerArgs

from airflow_slurm_sweep.check.findings import Add, Finding, Grade
from airflow_slurm_sweep.check.questions import Subject, look_for, program_of
from airflow_slurm_sweep.check.report import bug_report
from airflow_slurm_sweep.check.verdicts import CHECKS
from airflow_slurm_sweep.check.way_in import check_login, check_way_in
from airflow_slurm_sweep.errors import SettingsError, SlurmSweepError
from airflow_slurm_sweep.slurm.gpus import requested_gpus
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.layers import DEFAULT_PROFILE, Folders, Layers, RunSettings, read_layers
from airflow_slurm_sweep.sweep.section import read_settings
from airflow_slurm_sweep.sweep.settings import SlurmSection
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.form import refuse_unknown
from airflow_slurm_sweep.tasks.operators import airflow_errors
from airflow_slurm_sweep.tasks.ssh.shell import SshShell


class CheckClusterOperator(BaseOperator):
    """Check the cluster profile that the Dag run's parameter ``profile`` names; fail if a check failed.

    With the parameter ``submit`` a job of a minute is tried as well.

    Args:
        include: The folder that holds clusters/ and job.sh.
    """

    ui_color = "#fff2cc"

    def __init__(self, *, include: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include

    def execute(self, context: Context) -> None:
        """Log a line for each check."""
        if dag := self.get_dag():
            with airflow_errors():
                refuse_unknown(context["dag_run"].conf or {}, dag.params)
        profile, submits = context["params"].get("profile") or DEFAULT_PROFILE, context["params"].get("submit", False)
        found = check_cluster(profile, Path(self.include), partial(_log, self.log), submits=submits)
        if failed := [finding.check for finding in found if finding.grade is Grade.FAILED]:
            raise AirflowFailException(f"{profile}: {summary(found)}; checks failed: {', '.join(failed)}")
        self.log.info("%s: %s", profile, summary(found))


class CheckLoginOperator(BaseOperator):
    """Log in from the triggerer, as sweeps do, with the connection of the profile that the Dag run names.

    Args:
        include: The folder that holds clusters/.
    """

    ui_color = "#fff2cc"
    template_fields = ("profile",)

    def __init__(self, *, include: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include
        self.profile = f"{{{{ params.profile or {DEFAULT_PROFILE!r} }}}}"
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="airflow_slurm_sweep.check.triggers.CheckLoginTrigger",
            trigger_kwargs={"profile": self.profile, "include": include},
            next_method="execute",  # never called: the trigger ends the task
        )

    def execute(self, context: Context) -> list[str]:
        """Log in from this process, in ``airflow dags test``, which has no triggerer."""
        del context
        found, failed = asyncio.run(check_login_of(self.profile, self.include, self.log))
        if failed:
            raise AirflowFailException(f"{self.profile}: {summary(found)}")
        return [str(finding) for finding in found]


async def check_login_of(profile: str, include: str, log: Any) -> tuple[list[Finding], bool]:
    """Log in with a profile's connection; return and log the findings, and whether one failed."""
    found: list[Finding] = []

    def add(check: str, grade: Grade, text: str) -> None:
        found.append(Finding(check=check, grade=grade, text=text))
        _log(log, found[-1])

    layers = await asyncio.to_thread(_read_layers, profile, configuration.folders(Path(include)))
    ssh_conn_id = layers.profile.ssh_conn_id
    async with SshShell(ssh_conn_id) as shell:
        await check_login(shell, ssh_conn_id, add)
    return found, found[-1].grade is Grade.FAILED


def _read_layers(profile: str, folders: Folders) -> Layers:
    # Sweeps do without the profile called default.
    section = read_settings(SlurmSection, {"profile": profile} if profile != DEFAULT_PROFILE else {})
    # A profile that says nothing of scripts is checked for any command, not for NeMo RL's.
    return read_layers(section, folders, os.environ, command="true")


def _log(log: Any, finding: Finding) -> None:
    methods = {Grade.WARNING: log.warning, Grade.FAILED: log.error}
    methods.get(finding.grade, log.info)("%s", finding)


def summary(found: list[Finding]) -> str:
    """Count the findings: ``12 checks: 10 ok, 2 failed``."""
    counts = Counter(finding.grade for finding in found)
    parts = [f"{counts[grade]} {grade.value.lower()}" for grade in Grade if counts[grade]]
    return f"{len(found)} checks: {', '.join(parts)}"


def check_cluster(
    profile: str, include: Path, show: Callable[[Finding], None], *, submits: bool = False
) -> list[Finding]:
    """Check a profile, and show each finding as soon as it is known; ``submits`` tries a job as well.

    Returns:
        A finding for each of `CHECKS`. The first failure on the way in skips all checks behind it.
    """
    found: list[Finding] = []

    def add(check: str, grade: Grade, text: str) -> None:
        found.append(Finding(check=check, grade=grade, text=text))
        show(found[-1])

    _check(profile, configuration.folders(include), add, submits)
    failed = [finding.check for finding in found if finding.grade is Grade.FAILED]
    reason = f"the check {failed[-1]!r} failed" if failed else "none is submitted; check-cluster --submit tries one"
    for check in CHECKS[len(found) :]:
        add(check, Grade.SKIPPED, reason)
    return found


def check_for_report(profile: str, include: Path) -> tuple[list[Finding], str]:
    """Check a profile; return the findings, and the text for a bug report."""
    found = check_cluster(profile, include, lambda _: None)
    try:
        layers = _read_layers(profile, configuration.folders(include))
    except SlurmSweepError:
        layers = None
    return found, bug_report(layers, found)


def _check(profile: str, folders: Folders, add: Add, submits: bool) -> None:
    try:
        layers = _read_layers(profile, folders)
    except SlurmSweepError as error:
        add("profile", Grade.FAILED, str(error))
        return
    if layers.profile.model_fields_set:
        add("profile", Grade.OK, layers.profile_name)
    else:
        cure = f"Copy {folders.shown(folders.clusters / 'example.yaml')} to it, and edit it"
        text = f"{layers.profile_name} is missing or empty: the built-in defaults hold. {cure}"
        add("profile", Grade.WARNING, text)
    log, job = _check_settings(layers, add)
    program = program_of(layers.profile.command or (layers.preset.command if layers.profile.preset else None))
    subject = Subject(
        profile=layers.profile_name,
        site=layers.site,
        login="",
        log=log,
        job=job and replace(job, command=look_for(program)),
        program=program,
        submits=submits,
    )
    asyncio.run(check_way_in(layers.profile.ssh_conn_id, subject, add))


def _check_settings(layers: Layers, add: Add) -> tuple[str | None, JobRequest | None]:
    """Return the log directory, and a job as the profile alone describes it, as far as the settings name them."""
    problem = ""
    for section in (SlurmSection(), SlurmSection(account=None, container=None)):
        try:
            settings = layers.resolve(RunSettings(section=section))
            arguments = layers.job_arguments(settings)
            if "gpus_per_node" not in layers.profile.model_fields_set:
                asked = requested_gpus(settings.sbatch, settings.nodes + settings.extra_nodes)
                arguments["gpus_per_node"] = asked or settings.gpus_per_node
            run_dir = f"{settings.log}/check_cluster"
            job = JobRequest(name="check_cluster", command="true", run_dir=run_dir, **arguments)
        except (SettingsError, ValueError) as error:
            problem = problem or str(error)
            continue
        if problem:
            text = f"{problem}. Sweeps that do not set it fail; the other checks go on without it"
            add("settings", Grade.WARNING, text)
        else:
            add("settings", Grade.OK, f"complete, with the preset {layers.preset_name}")
        return settings.log, job
    add("settings", Grade.FAILED, problem)
    return layers.profile.log or None, None
