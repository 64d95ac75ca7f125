"""Checks a cluster profile from Airflow to the cluster's sbatch: what is wrong with it, and what cures it.

Each check ends as a `Finding`, in the order of the way in: profile and settings (here), connection, host, host key and
login (way_in.py), and then all that one script on the login node can tell (questions.py asks, verdicts.py judges).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_slurm_sweep.check.findings import Finding, Grade
from airflow_slurm_sweep.check.questions import Subject
from airflow_slurm_sweep.check.verdicts import skipped
from airflow_slurm_sweep.check.way_in import check_way_in, find_connection, ssh_command
from airflow_slurm_sweep.errors import SettingsError, SlurmSweepError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.document import read_settings
from airflow_slurm_sweep.sweep.layers import DEFAULT_PROFILE, Folders, Layers, read_layers
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions, SlurmSection
from airflow_slurm_sweep.tasks import configuration


class CheckClusterOperator(BaseOperator):
    """Check the cluster profile that the Dag run's parameter ``profile`` names; fail if a check failed.

    Args:
        include: The folder that holds clusters/ and job.sh.
    """

    ui_color = "#fff2cc"

    def __init__(self, *, include: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include

    def execute(self, context: Context) -> None:
        """Log a line for each check."""
        profile = context["params"].get("profile") or DEFAULT_PROFILE
        log = {Grade.WARNING: self.log.warning, Grade.FAILED: self.log.error}

        async def check() -> list[Finding]:
            found = []
            async for finding in check_cluster(profile, configuration.folders(Path(self.include)), os.environ):
                log.get(finding.grade, self.log.info)("%s", finding)
                found.append(finding)
            return found

        found = asyncio.run(check())
        if failed := [finding.check for finding in found if finding.grade is Grade.FAILED]:
            raise AirflowFailException(f"{profile}: {summary(found)}; checks failed: {', '.join(failed)}")
        self.log.info("%s: %s", profile, summary(found))


def summary(found: list[Finding]) -> str:
    """Count the findings: ``12 checks: 10 ok, 2 failed``."""
    counts = Counter(finding.grade for finding in found)
    parts = [f"{counts[grade]} {grade.value.lower()}" for grade in Grade if counts[grade]]
    return f"{len(found)} checks: {', '.join(parts)}"


async def check_cluster(profile: str, folders: Folders, environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Check a profile, and yield each finding as soon as it is known.

    Args:
        profile: The profile's name.
        folders: Where profiles are.
        environment: Environment variables, as for `read_layers`.
    """
    try:
        layers = _layers(profile, folders, environment)
    except SlurmSweepError as error:
        yield Finding(check="profile", grade=Grade.FAILED, text=str(error))
        for finding in skipped("there is no profile", after="profile"):
            yield finding
        return
    yield _profile(layers, folders)
    finding, log, job = _settings(layers)
    yield finding
    ssh_conn_id = layers.profile.ssh_conn_id
    finding, connection = await asyncio.to_thread(find_connection, ssh_conn_id)
    yield finding
    if connection is None:
        for finding in skipped("there is no connection", after="connection"):
            yield finding
        return
    subject = Subject(profile=layers.profile_name, login=ssh_command(connection), log=log, job=job)
    async for finding in check_way_in(ssh_conn_id, connection, subject):
        yield finding


def _layers(profile: str, folders: Folders, environment: Mapping[str, str]) -> Layers:
    section = read_settings(SlurmSection, {"profile": profile})
    if profile == DEFAULT_PROFILE and not folders.profile(profile).exists():
        section = SlurmSection()  # sweeps do without it
    return read_layers(section, folders, environment)


def _profile(layers: Layers, folders: Folders) -> Finding:
    if layers.profile.model_fields_set:
        return Finding(check="profile", grade=Grade.OK, text=layers.profile_name)
    example = folders.shown(folders.clusters / "example.yaml")
    text = f"{layers.profile_name} is missing or empty: the built-in defaults hold. Copy {example} to it, and edit it"
    return Finding(check="profile", grade=Grade.WARNING, text=text)


def _settings(layers: Layers) -> tuple[Finding, str | None, JobRequest | None]:
    """Return the finding, the log directory and a job, as far as the settings name them."""
    problem = ""
    for section in (SlurmSection(), SlurmSection(account=None, container=None)):
        try:
            settings = layers.resolve(section, RunOptions(), {})
            job = _job(layers, settings)
        except (SettingsError, ValueError) as error:
            problem = problem or str(error)
            continue
        grade, text = Grade.OK, "complete"
        if problem:
            grade, text = Grade.WARNING, f"{problem}. Sweeps that do not set it fail; the other checks go on without it"
        return Finding(check="settings", grade=grade, text=text), settings.log, job
    return Finding(check="settings", grade=Grade.FAILED, text=problem), layers.profile.log or None, None


def _job(layers: Layers, settings: ClusterProfile) -> JobRequest:
    """Return a job as the profile alone describes it."""
    return JobRequest(
        name="check_cluster",
        command="true",
        run_dir=f"{settings.log}/nemo-rl/check_cluster",
        **layers.job_arguments(settings),
    )
