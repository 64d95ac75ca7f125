"""Try a cluster profile from here to the cluster's sbatch, and say in words what is wrong with it and what cures it.

Each check is a `Finding`, in the order of the way: profile, settings, connection, host, host key, login, and then all
that one script on the login node can tell (slurm/questions.py asks, slurm/verdicts.py judges).
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from secrets import token_hex
from shlex import join
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from airflow_slurm_sweep.check import questions, verdicts
from airflow_slurm_sweep.check.verdicts import Finding, Grade
from airflow_slurm_sweep.errors import SettingsError, SlurmSweepError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.document import read_settings
from airflow_slurm_sweep.sweep.layers import DEFAULT_PROFILE, Folders, Layers, read_layers
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions, SlurmSection
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.ssh import CONNECT_TIMEOUT, SshShell, import_ssh

if TYPE_CHECKING:
    from airflow.sdk import Connection

_PORT = 22
_LONGEST = 240.0  # seconds that all questions may take: each of Slurm's commands has a limit of its own
_WAY = ("profile", "settings", "connection", "host", "host key", "login")
CHECKS = (*_WAY, *verdicts.CHECKS)  # in their order


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
    """Check a profile, and yield what each check found, as soon as it is found.

    Args:
        profile: The profile's name.
        folders: Where profiles are.
        environment: Environment variables, as for `read_layers`.
    """
    try:
        layers = _layers(profile, folders, environment)
    except SlurmSweepError as error:
        yield Finding(check="profile", grade=Grade.FAILED, text=str(error))
        for finding in _skipped("there is no profile", after="profile"):
            yield finding
        return
    yield _profile(layers, folders)
    finding, log, job = _settings(layers)
    yield finding
    ssh_conn_id = layers.profile.ssh_conn_id
    finding, connection = await asyncio.to_thread(_connection, ssh_conn_id)
    yield finding
    if connection is None:
        for finding in _skipped("there is no connection", after="connection"):
            yield finding
        return
    subject = questions.Subject(profile=layers.profile_name, login=_ssh(connection), log=log, job=job)
    async for finding in _way_in(ssh_conn_id, connection, subject):
        yield finding


def _skipped(why: str, *, after: str) -> list[Finding]:
    left = _WAY[_WAY.index(after) + 1 :]
    skipped = [Finding(check=check, grade=Grade.SKIPPED, text=why) for check in left]
    return [*skipped, *verdicts.skipped(why)]


def _layers(profile: str, folders: Folders, environment: Mapping[str, str]) -> Layers:
    section = read_settings(SlurmSection, {"profile": profile})
    if profile == DEFAULT_PROFILE and not folders.profile(profile).exists():
        section = SlurmSection()  # sweeps do without it
    return read_layers(section, folders, environment)


def _profile(layers: Layers, folders: Folders) -> Finding:
    if layers.profile.model_fields_set:
        return Finding(check="profile", grade=Grade.OK, text=layers.profile_name)
    example = folders.shown(folders.clusters / "example.yaml")
    text = f"{layers.profile_name} is not there, or empty: all is as built in. Copy {example} to it, and edit it"
    return Finding(check="profile", grade=Grade.WARNING, text=text)


def _settings(layers: Layers) -> tuple[Finding, str | None, JobRequest | None]:
    """Return the log directory and a job, too, as far as the settings tell."""
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
            grade, text = Grade.WARNING, f"{problem}. Sweeps that do not say it fail; the other checks do without"
        return Finding(check="settings", grade=grade, text=text), settings.log, job
    return Finding(check="settings", grade=Grade.FAILED, text=problem), layers.profile.log or None, None


def _job(layers: Layers, settings: ClusterProfile) -> JobRequest:
    """Return a job with the settings of the profile alone."""
    return JobRequest(
        name="check_cluster",
        command="true",
        run_dir=f"{settings.log}/nemo-rl/check_cluster",
        **layers.job_arguments(settings),
    )


async def _way_in(ssh_conn_id: str, connection: Connection, subject: questions.Subject) -> AsyncIterator[Finding]:
    """Check host, host key and login, each only if the one before is well; then all that is behind."""
    finding, shown = await _host(connection)
    yield finding
    if shown is None:
        for finding in _skipped("the host cannot be reached", after="host"):
            yield finding
        return
    async with SshShell(ssh_conn_id) as shell:
        began = time.monotonic()
        try:
            await shell.connect()
        except SlurmSweepError as error:
            for finding in _no_login(connection, shown, error):
                yield finding
            return
        took = time.monotonic() - began
        yield _host_key(connection, shown)
        yield Finding(check="login", grade=Grade.OK, text=f"{_account(connection)}, in {took:.1f} s")
        async for finding in _behind(shell, subject):
            yield finding


def _ssh(connection: Connection) -> str:
    """Return the command with which a person logs in as we do."""
    key_file = connection.extra_dejson.get("key_file")
    port = ["-p", str(connection.port)] if connection.port not in (None, _PORT) else []
    return join(["ssh", *(["-i", key_file] if key_file else []), *port, _account(connection)])


def _account(connection: Connection) -> str:
    """Return where we log in; without a login in the connection, as the user whose process this is."""
    return f"{connection.login}@{connection.host}" if connection.login else str(connection.host)


def _connection(ssh_conn_id: str) -> tuple[Finding, Connection | None]:
    try:
        connection = BaseHook.get_connection(ssh_conn_id)
    except AirflowNotFoundException:
        text = (
            f"there is no Airflow connection {ssh_conn_id!r}: add one of type ssh (Admin > Connections), or name "
            "another one in the profile (`ssh_conn_id`)"
        )
        return Finding(check="connection", grade=Grade.FAILED, text=text), None
    wrong = [
        problem
        for is_wrong, problem in (
            (connection.conn_type != "ssh", f"its type is {connection.conn_type!r}, expected 'ssh'"),
            (not connection.host, "it has no host, expected the login node's name"),
        )
        if is_wrong
    ]
    if wrong:
        text = f"connection {ssh_conn_id!r}: {'; '.join(wrong)}. Correct it (Admin > Connections)"
        return Finding(check="connection", grade=Grade.FAILED, text=text), None
    text = f"{ssh_conn_id!r} is {_account(connection)}:{connection.port or _PORT}"
    return Finding(check="connection", grade=Grade.OK, text=text), connection


async def _host(connection: Connection) -> tuple[Finding, str | None]:
    """Return the key that the host shows, too."""
    await asyncio.to_thread(import_ssh)
    import asyncssh

    host, port = str(connection.host), connection.port or _PORT
    try:
        key = await asyncio.wait_for(asyncssh.get_server_host_key(host, port), CONNECT_TIMEOUT)
    except (TimeoutError, OSError, asyncssh.Error) as error:
        return Finding(check="host", grade=Grade.FAILED, text=_unreachable(host, port, error)), None
    shown = key.export_public_key().decode().strip() if key else ""
    return Finding(check="host", grade=Grade.OK, text=f"an SSH server answers at {host}:{port}"), shown


def _unreachable(host: str, port: int, error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        problem = f"the name {host!r} is not known to this machine ({error.strerror})"
        return f"{problem}: correct the connection's host, or DNS"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {host}:{port}: correct the connection's host and port, or have sshd started there"
    if isinstance(error, (OSError, asyncio.TimeoutError)) and not isinstance(error, ConnectionError):
        why = str(error) or f"in {CONNECT_TIMEOUT:.0f} s"
        return (
            f"no answer from {host}:{port} ({why}): correct the connection's host and port, or have the firewalls "
            "between this machine and that one let the port through"
        )
    return (
        f"{host}:{port} was reached, and the connection failed ({error}): correct the connection's port if that is no "
        "SSH server; if it is, its log says why it turned us away"
    )


def _host_key(connection: Connection, shown: str) -> Finding:
    if str(connection.extra_dejson.get("no_host_key_check")).lower() == "true":
        text = (
            "is not checked, as the connection says (no_host_key_check): who stands between may read and change all. "
            f"Put the host's key into the connection's extra field `host_key` instead; it shows: {shown}"
        )
        return Finding(check="host key", grade=Grade.WARNING, text=text)
    return Finding(check="host key", grade=Grade.OK, text="is the one that we know")


def _no_login(connection: Connection, shown: str, error: SlurmSweepError) -> list[Finding]:
    """Say what kept us out: behind each of ssh.py's errors is asyncssh's."""
    import asyncssh

    met = error.__context__
    if isinstance(met, asyncssh.HostKeyNotVerifiable):
        problem = (
            "is not the one in the connection's extra field `host_key`: the host was set up anew, or somebody stands "
            "between. If its administrators confirm the new key, put it there"
            if connection.extra_dejson.get("host_key")
            else "is not known to us. Compare it with what the site publishes, and put it into the connection's extra "
            "field `host_key`"
        )
        text = f"the host's key {problem}; it shows: {shown}"
        host_key = Finding(check="host key", grade=Grade.FAILED, text=text)
        return [host_key, *_skipped("the host key is not verified", after="host key")]
    host_key = Finding(check="host key", grade=Grade.SKIPPED, text="the login ended before")
    if isinstance(met, asyncssh.PermissionDenied):
        host_key = _host_key(connection, shown)
    login = Finding(check="login", grade=Grade.FAILED, text=_refused(connection, error))
    return [host_key, login, *_skipped("there is no login", after="login")]


def _refused(connection: Connection, error: SlurmSweepError) -> str:
    import asyncssh

    met = error.__context__
    if isinstance(met, asyncssh.PermissionDenied):
        key = connection.extra_dejson.get("key_file") or "the connection's key"
        return (
            f"{met.reason}. Is that the right account? Does its ~/.ssh/authorized_keys there hold the public half of "
            f"{key}, and may nobody else write that file and its folders? This has to work: {_ssh(connection)}"
        )
    if isinstance(met, FileNotFoundError):
        return (
            f"there is no key file {met.filename} on this machine. Workers and triggerers need it at the same path; or "
            "put the key itself into the connection's extra field `private_key`"
        )
    if isinstance(met, (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)):
        return f"{error}. An encrypted key needs the connection's extra field `private_key_passphrase`"
    return f"{error}. The host answers; the log of its sshd says more"


async def _behind(shell: SshShell, subject: questions.Subject) -> AsyncIterator[Finding]:
    mark = f"m{token_hex(8)}"
    sent = time.time()
    try:
        completed = await asyncio.wait_for(shell.run(questions.script(subject, mark)), _LONGEST)
    except (TimeoutError, SlurmSweepError) as error:
        why = str(error) or f"no answer in {_LONGEST:.0f} s: a start-up file of the account, or a file system, hangs"
        text = f"{why}. This has to print `works` at once: echo echo works | {subject.login} sh -s"
        yield Finding(check="shell", grade=Grade.FAILED, text=text)
        for finding in verdicts.skipped("the login shell did not answer", after="shell"):
            yield finding
        return
    for finding in verdicts.findings(subject, completed, mark, sent, time.time()):
        yield finding
