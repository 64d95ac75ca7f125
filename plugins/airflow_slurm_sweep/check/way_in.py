"""The way to the login node, step by step: connection, host, host key, login; and behind it the script's answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from secrets import token_hex
from shlex import join
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_slurm_sweep.check import questions, verdicts
from airflow_slurm_sweep.check.findings import Finding, Grade
from airflow_slurm_sweep.check.verdicts import skipped
from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.tasks.ssh import CONNECT_TIMEOUT, SshShell, import_ssh

if TYPE_CHECKING:
    from airflow.sdk import Connection

_PORT = 22
_LONGEST = 240.0  # seconds that all questions may take: each of Slurm's commands has a limit of its own


async def check_way_in(ssh_conn_id: str, connection: Connection, subject: questions.Subject) -> AsyncIterator[Finding]:
    """Check host, host key and login, each only if the one before is well; then ask the login node the questions."""
    finding, shown = await _host(connection)
    yield finding
    if shown is None:
        for finding in skipped("the host cannot be reached", after="host"):
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
        async for finding in _ask(shell, subject):
            yield finding


def ssh_command(connection: Connection) -> str:
    """Return the command with which a person logs in as this connection does."""
    key_file = connection.extra_dejson.get("key_file")
    port = ["-p", str(connection.port)] if connection.port not in (None, _PORT) else []
    return join(["ssh", *(["-i", key_file] if key_file else []), *port, _account(connection)])


def _account(connection: Connection) -> str:
    """Return ``login@host``; without a login in the connection ssh takes the process's own user."""
    return f"{connection.login}@{connection.host}" if connection.login else str(connection.host)


def find_connection(ssh_conn_id: str) -> tuple[Finding, Connection | None]:
    """Return what is wrong with the Airflow connection; the connection too, if nothing is."""
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
    """Return whether the host answers, and the key that it presents."""
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
            "is not checked, as the connection says (no_host_key_check): a man in the middle could read and alter "
            f"everything. Put the host's key into the connection's extra field `host_key` instead; it shows: {shown}"
        )
        return Finding(check="host key", grade=Grade.WARNING, text=text)
    return Finding(check="host key", grade=Grade.OK, text="is the one that we know")


def _no_login(connection: Connection, shown: str, error: SlurmSweepError) -> list[Finding]:
    """Return why the login failed; the context of an error of ssh.py is asyncssh's own error."""
    import asyncssh

    met = error.__context__
    if isinstance(met, asyncssh.HostKeyNotVerifiable):
        problem = (
            "is not the one in the connection's extra field `host_key`: the host was reinstalled, or a man in the "
            "middle answers. If its administrators confirm the new key, put it there"
            if connection.extra_dejson.get("host_key")
            else "is not known to us. Compare it with what the site publishes, and put it into the connection's extra "
            "field `host_key`"
        )
        text = f"the host's key {problem}; it shows: {shown}"
        host_key = Finding(check="host key", grade=Grade.FAILED, text=text)
        return [host_key, *skipped("the host key is not verified", after="host key")]
    host_key = Finding(check="host key", grade=Grade.SKIPPED, text="the login ended before")
    if isinstance(met, asyncssh.PermissionDenied):
        host_key = _host_key(connection, shown)
    login = Finding(check="login", grade=Grade.FAILED, text=_refused(connection, error))
    return [host_key, login, *skipped("there is no login", after="login")]


def _refused(connection: Connection, error: SlurmSweepError) -> str:
    import asyncssh

    met = error.__context__
    if isinstance(met, asyncssh.PermissionDenied):
        key = connection.extra_dejson.get("key_file") or "the connection's key"
        return (
            f"{met.reason}. Is that the right account? Does its ~/.ssh/authorized_keys there hold the public half of "
            f"{key}, and may nobody else write that file and its folders? This has to work: {ssh_command(connection)}"
        )
    if isinstance(met, FileNotFoundError):
        return (
            f"there is no key file {met.filename} on this machine. Workers and triggerers need it at the same path; or "
            "put the key itself into the connection's extra field `private_key`"
        )
    if isinstance(met, (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)):
        return f"{error}. An encrypted key needs the connection's extra field `private_key_passphrase`"
    return f"{error}. The host answers; the log of its sshd says more"


async def _ask(shell: SshShell, subject: questions.Subject) -> AsyncIterator[Finding]:
    mark = f"m{token_hex(8)}"
    sent = time.time()
    try:
        completed = await asyncio.wait_for(shell.run(questions.script(subject, mark)), _LONGEST)
    except (TimeoutError, SlurmSweepError) as error:
        why = str(error) or f"no answer in {_LONGEST:.0f} s: a start-up file of the account, or a file system, hangs"
        text = f"{why}. This has to print `works` at once: echo echo works | {subject.login} sh -s"
        yield Finding(check="shell", grade=Grade.FAILED, text=text)
        for finding in skipped("the login shell did not answer", after="shell"):
            yield finding
        return
    for finding in verdicts.findings(subject, completed, mark, sent, time.time()):
        yield finding
