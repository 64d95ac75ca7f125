"""The way to the login node, step by step: connection, host, host key, login; and behind it the script's answers."""

from __future__ import annotations

import asyncio
import socket
import time
from secrets import token_hex
from shlex import join
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_slurm_sweep.check import questions, verdicts
from airflow_slurm_sweep.check.findings import Add, Grade
from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.tasks.ssh import CONNECT_TIMEOUT, SshShell, import_ssh

if TYPE_CHECKING:
    from airflow.sdk import Connection

_PORT = 22
_LONGEST = 240.0  # seconds that all questions may take: each of Slurm's commands has a limit of its own


def find_connection(ssh_conn_id: str, add: Add) -> Connection | None:
    """Return the Airflow connection; None if something is wrong with it."""
    try:
        connection = BaseHook.get_connection(ssh_conn_id)
    except AirflowNotFoundException:
        text = (
            f"there is no Airflow connection {ssh_conn_id!r}: add one of type ssh (Admin > Connections), or name "
            "another one in the profile (`ssh_conn_id`)"
        )
        add("connection", Grade.FAILED, text)
        return None
    wrong = []
    if connection.conn_type != "ssh":
        wrong.append(f"its type is {connection.conn_type!r}, expected 'ssh'")
    if not connection.host:
        wrong.append("it has no host, expected the login node's name")
    if wrong:
        text = f"connection {ssh_conn_id!r}: {'; '.join(wrong)}. Correct it (Admin > Connections)"
        add("connection", Grade.FAILED, text)
        return None
    add("connection", Grade.OK, f"{ssh_conn_id!r} is {_account(connection)}:{connection.port or _PORT}")
    return connection


def _account(connection: Connection) -> str:
    """Return ``login@host``; without a login in the connection ssh takes the process's own user."""
    return f"{connection.login}@{connection.host}" if connection.login else str(connection.host)


def ssh_command(connection: Connection) -> str:
    """Return the command with which a person logs in as this connection does."""
    key_file = connection.extra_dejson.get("key_file")
    port = ["-p", str(connection.port)] if connection.port not in (None, _PORT) else []
    return join(["ssh", *(["-i", key_file] if key_file else []), *port, _account(connection)])


async def check_way_in(ssh_conn_id: str, connection: Connection, subject: questions.Subject, add: Add) -> None:
    """Check host, host key and login, each only if the one before is well; then ask the login node the questions."""
    public_key = await _check_host(connection, add)
    if public_key is None:
        return
    async with SshShell(ssh_conn_id) as shell:
        began = time.monotonic()
        try:
            await shell.connect()
        except SlurmSweepError as error:
            _add_no_login(connection, public_key, error, add)
            return
        took = time.monotonic() - began
        _add_host_key(connection, public_key, add)
        add("login", Grade.OK, f"{_account(connection)}, in {took:.1f} s")
        await _ask(shell, subject, add)


async def _check_host(connection: Connection, add: Add) -> str | None:
    """Return the public key that the host presents; None if it does not answer."""
    import_ssh()
    import asyncssh

    host, port = str(connection.host), connection.port or _PORT
    try:
        key = await asyncio.wait_for(asyncssh.get_server_host_key(host, port), CONNECT_TIMEOUT)
    except (TimeoutError, OSError, asyncssh.Error) as error:
        add("host", Grade.FAILED, _unreachable(host, port, error))
        return None
    add("host", Grade.OK, f"an SSH server answers at {host}:{port}")
    return key.export_public_key().decode().strip() if key else ""


def _unreachable(host: str, port: int, error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return (
            f"the name {host!r} is not known to this machine ({error.strerror}): correct the connection's host, or DNS"
        )
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {host}:{port}: correct the connection's host and port, or have sshd started there"
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        why = str(error) or f"in {CONNECT_TIMEOUT:.0f} s"
        return (
            f"no answer from {host}:{port} ({why}): correct the connection's host and port, or have the firewalls "
            "between this machine and that one let the port through"
        )
    return (
        f"{host}:{port} was reached, and the connection failed ({error}): correct the connection's port if that is no "
        "SSH server; if it is, its log says why it turned us away"
    )


def _add_host_key(connection: Connection, public_key: str, add: Add) -> None:
    if str(connection.extra_dejson.get("no_host_key_check")).lower() == "true":
        text = (
            "is not checked, as the connection says (no_host_key_check): a man in the middle could read and alter "
            "everything. Put the host's key into the connection's extra field `host_key` instead; it shows: "
            f"{public_key}"
        )
        add("host key", Grade.WARNING, text)
    else:
        add("host key", Grade.OK, "is the one that we know")


def _add_no_login(connection: Connection, public_key: str, error: SlurmSweepError, add: Add) -> None:
    """Add why the login failed; the context of an error of ssh.py is asyncssh's own error."""
    import asyncssh

    reason = error.__context__
    if isinstance(reason, asyncssh.HostKeyNotVerifiable):
        problem = (
            "is not the one in the connection's extra field `host_key`: the host was reinstalled, or a man in the "
            "middle answers. If its administrators confirm the new key, put it there"
            if connection.extra_dejson.get("host_key")
            else "is not known to us. Compare it with what the site publishes, and put it into the connection's extra "
            "field `host_key`"
        )
        add("host key", Grade.FAILED, f"the host's key {problem}; it shows: {public_key}")
        return
    if isinstance(reason, asyncssh.PermissionDenied):
        _add_host_key(connection, public_key, add)
        key = connection.extra_dejson.get("key_file") or "the connection's key"
        text = (
            f"{reason.reason}. Is that the right account? Does its ~/.ssh/authorized_keys there hold the public half "
            f"of {key}, and may nobody else write that file and its folders? This has to work: "
            f"{ssh_command(connection)}"
        )
    else:
        add("host key", Grade.SKIPPED, "the login ended before")
        text = f"{error}. The host answers; the log of its sshd says more"
    if isinstance(reason, FileNotFoundError):
        text = (
            f"there is no key file {reason.filename} on this machine. Workers and triggerers need it at the same path; "
            "or put the key itself into the connection's extra field `private_key`"
        )
    if isinstance(reason, (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)):
        text = f"{error}. An encrypted key needs the connection's extra field `private_key_passphrase`"
    add("login", Grade.FAILED, text)


async def _ask(shell: SshShell, subject: questions.Subject, add: Add) -> None:
    mark = f"m{token_hex(8)}"
    sent = time.time()
    try:
        completed = await asyncio.wait_for(shell.run(questions.script(subject, mark)), _LONGEST)
    except (TimeoutError, SlurmSweepError) as error:
        why = str(error) or f"no answer in {_LONGEST:.0f} s: a start-up file of the account, or a file system, hangs"
        text = f"{why}. This has to print `works` at once: echo echo works | {subject.login} sh -s"
        add("shell", Grade.FAILED, text)
        return
    verdicts.judge(subject, completed, mark, (sent, time.time()), add)
