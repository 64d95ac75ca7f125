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
from airflow_slurm_sweep.sweep.layers import DEFAULT_CLUSTER, Folders, Site, find_site
from airflow_slurm_sweep.sweep.settings import RunOptions, SlurmSection
from airflow_slurm_sweep.tasks import configuration

_JOB_SETTINGS = (
    "nodes", "gpus_per_node", "time", "account", "partition", "container", "mounts", "workdir", "batch_script",
)  # fmt: skip


class CheckClusterOperator(BaseOperator):
    """Check the cluster profile that the Dag run's parameter ``cluster`` names; fail if a check failed.

    Args:
        include: The folder that holds clusters/ and job.sh.
    """

    ui_color = "#fff2cc"

    def __init__(self, *, include: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include

    def execute(self, context: Context) -> None:
        """Log a line for each check."""
        cluster = context["params"].get("cluster") or DEFAULT_CLUSTER
        log = {Grade.WARNING: self.log.warning, Grade.FAILED: self.log.error}

        async def check() -> list[Finding]:
            found = []
            async for finding in check_cluster(cluster, configuration.folders(Path(self.include)), os.environ):
                log.get(finding.grade, self.log.info)("%s", finding)
                found.append(finding)
            return found

        found = asyncio.run(check())
        if failed := [finding.check for finding in found if finding.grade is Grade.FAILED]:
            raise AirflowFailException(f"{cluster}: {summary(found)}; failed: {', '.join(failed)}")
        self.log.info("%s: %s", cluster, summary(found))


def summary(found: list[Finding]) -> str:
    """Count the findings: ``12 checks: 10 ok, 2 failed``."""
    counts = Counter(finding.grade for finding in found)
    parts = [f"{counts[grade]} {grade.value.lower()}" for grade in Grade if counts[grade]]
    return f"{len(found)} checks: {', '.join(parts)}"


async def check_cluster(cluster: str, folders: Folders, environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Check a profile, and yield each finding as soon as it is known.

    Args:
        cluster: The profile's name.
        folders: Where profiles are.
        environment: Environment variables, as for `find_site`.
    """
    try:
        site = _site(cluster, folders, environment)
    except SlurmSweepError as error:
        yield Finding(check="profile", grade=Grade.FAILED, text=str(error))
        for finding in skipped("there is no profile", after="profile"):
            yield finding
        return
    yield _profile(site, folders)
    finding, log, job = _settings(site)
    yield finding
    ssh_conn_id = site.profile.ssh_conn_id
    finding, connection = await asyncio.to_thread(find_connection, ssh_conn_id)
    yield finding
    if connection is None:
        for finding in skipped("there is no connection", after="connection"):
            yield finding
        return
    subject = Subject(profile=site.profile_name, login=ssh_command(connection), log=log, job=job)
    async for finding in check_way_in(ssh_conn_id, connection, subject):
        yield finding


def _site(cluster: str, folders: Folders, environment: Mapping[str, str]) -> Site:
    section = read_settings(SlurmSection, {"cluster": cluster})
    if cluster == DEFAULT_CLUSTER and not (folders.clusters / f"{cluster}.yaml").exists():
        section = SlurmSection()  # sweeps do without it
    return find_site(section, folders, environment)


def _profile(site: Site, folders: Folders) -> Finding:
    if site.profile.model_fields_set:
        return Finding(check="profile", grade=Grade.OK, text=site.profile_name)
    example = folders.shown(folders.clusters / "example.yaml")
    text = f"{site.profile_name} is missing or empty, so the built-in defaults hold. Copy {example} to it, and edit it"
    return Finding(check="profile", grade=Grade.WARNING, text=text)


def _settings(site: Site) -> tuple[Finding, str | None, JobRequest | None]:
    """Return the finding, the log directory and a job, as far as the settings name them."""
    problem = ""
    for section in (SlurmSection(), SlurmSection(account=None, container=None)):
        try:
            settings = site.settings(section, RunOptions(), {})
            job = _job(site, settings)
        except (SettingsError, ValueError) as error:
            problem = problem or str(error)
            continue
        grade, text = Grade.OK, "complete"
        if problem:
            grade, text = Grade.WARNING, f"{problem}. Sweeps that do not set it fail; the other checks go on without it"
        return Finding(check="settings", grade=grade, text=text), settings["log"], job
    return Finding(check="settings", grade=Grade.FAILED, text=problem), site.profile.log, None


def _job(site: Site, settings: Mapping[str, Any]) -> JobRequest:
    """Return a job as the profile alone describes it."""
    return JobRequest(
        ssh_conn_id=site.profile.ssh_conn_id,
        name="check_cluster",
        command="true",
        run_dir=f"{settings['log']}/nemo-rl/check_cluster",
        script="" if settings["batch_script"] else site.job_script,
        options=settings["sbatch"],
        **{name: settings[name] for name in _JOB_SETTINGS},
    )
