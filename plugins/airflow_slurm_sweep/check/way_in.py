"""The way to the login node, step by step: connection, host, host key, login; and behind it the script's answers."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import replace
from secrets import token_hex

from airflow_slurm_sweep.check import questions, verdicts
from airflow_slurm_sweep.check.findings import Add, Grade
from airflow_slurm_sweep.check.trial import try_job
from airflow_slurm_sweep.errors import LoginRefusedError, SlurmSweepError
from airflow_slurm_sweep.tasks.ssh.login import Login
from airflow_slurm_sweep.tasks.ssh.node import LoginNode, read_login_node
from airflow_slurm_sweep.tasks.ssh.shell import SshShell

_LONGEST = 240.0  # seconds that all questions may take: each of Slurm's commands has a limit of its own


async def check_way_in(ssh_conn_id: str, subject: questions.Subject, add: Add) -> None:
    """Check connection, host, host key and login, each only if the one before is well; then ask the questions."""
    async with SshShell(ssh_conn_id) as shell:
        if node := await check_login(shell, ssh_conn_id, add):
            await _ask(shell, replace(subject, login=node.ssh_command), add)


async def check_login(shell: SshShell, ssh_conn_id: str, add: Add) -> LoginNode | None:
    """Log in; return where, or None if that failed."""
    try:
        node = await read_login_node(ssh_conn_id)
    except LoginRefusedError as error:
        add("connection", Grade.FAILED, str(error))
        return None
    add("connection", Grade.OK, f"{ssh_conn_id!r} is {node.place}")
    began = time.monotonic()
    try:
        await shell.connect()
    except SlurmSweepError as error:
        _add_no_login(shell.login, error, add)
        return None
    took = time.monotonic() - began
    if shell.login is None:
        add("host", Grade.OK, f"reached by the OpenSSH connection behind {node.control_path}")
        add("host key", Grade.OK, "was OpenSSH's business")
    else:
        add("host", Grade.OK, f"an SSH server answers at {shell.login.way}")
        _add_host_key(shell.login, add)
    process = f"process {os.getpid()} on {socket.gethostname()}"
    add("login", Grade.OK, f"{node.account}, in {took:.1f} s, from {process}")
    return node


def _add_host_key(login: Login, add: Add) -> None:
    if login.node.checks_host_key:
        add("host key", Grade.OK, "is the one that we know")
        return
    text = (
        "is not checked, as the connection says (no_host_key_check): a man in the middle could read and alter "
        "everything. Put the host's key into the connection's extra field `host_key` instead; it shows: "
        f"{login.shown_key}"
    )
    add("host key", Grade.WARNING, text)


def _add_no_login(login: Login | None, error: SlurmSweepError, add: Add) -> None:
    """Add the step that failed, and those before it."""
    import asyncssh

    reason = error.__cause__
    if login is None or not login.reached:
        if login is not None and not isinstance(error, LoginRefusedError):
            add("host", Grade.FAILED, str(error))
            return
        add("host", Grade.SKIPPED, "there was no try to log in")
        add("host key", Grade.SKIPPED, "there was no try to log in")
    else:
        add("host", Grade.OK, f"an SSH server answers at {login.way}")
        if isinstance(reason, (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed)):
            add("host key", Grade.FAILED, str(error))
            return
        if isinstance(error, LoginRefusedError):
            _add_host_key(login, add)
        else:
            add("host key", Grade.SKIPPED, "the login ended before")
    add("login", Grade.FAILED, str(error))


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
    if verdicts.judge(subject, completed, mark, (sent, time.time()), add) and subject.submits:
        await try_job(shell, subject, add)
