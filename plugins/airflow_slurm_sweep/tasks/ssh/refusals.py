"""Why a login failed, and what to do about it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_slurm_sweep.slurm.shell import printable
from airflow_slurm_sweep.tasks.ssh.node import PORT

if TYPE_CHECKING:
    from airflow_slurm_sweep.tasks.ssh.login import Login
    from airflow_slurm_sweep.tasks.ssh.node import LoginNode

CONNECT_TIMEOUT = 30.0  # seconds
_LONGEST_BANNER = 300


def key_problem(node: LoginNode, error: Exception) -> str:
    """Return why the connection's key cannot be used."""
    name = f"Connection {node.conn_id!r}"
    if isinstance(error, OSError):
        return (
            f"{name}: the key file {node.key_file} cannot be read on this machine ({error.strerror}). Workers and "
            "triggerers need it at the same path; or put the key itself into the connection's extra field `private_key`"
        )
    if "Passphrase must be" in str(error):
        return f"{name}: its key is encrypted; put the passphrase into the extra field `private_key_passphrase`"
    if node.passphrase and ("decrypt" in str(error) or "passphrase" in str(error)):
        return f"{name}: the extra field `private_key_passphrase` is not the passphrase of its key ({error})"
    where = "extra field `private_key`" if node.private_key else f"key file {node.key_file}"
    return f"{name}: expected a whole private key in the {where}, from -----BEGIN to -----END with its lines ({error})"


def unreachable(login: Login, error: Exception) -> str:
    """Return why there is no connection to a host now."""
    name = f"Connection {login.node.conn_id!r}: no answer from the login node"
    place = login.place
    why = str(error) or f"{type(error).__name__} in {CONNECT_TIMEOUT:.0f} s"
    if isinstance(error, socket.gaierror):
        return f"{name}: the name {login.hop!r} is not known to this machine ({error.strerror}): correct it, or DNS"
    if isinstance(error, ConnectionRefusedError):
        return f"{name}: nothing listens at {place}: correct host and port, or have sshd started there"
    if login.reached:
        return f"{name}: {place} was reached, and the connection failed ({why}){_banner(login)}"
    if login.is_behind_jump:
        return f"{name}: {place} could not be reached from the jump host ({why})"
    return f"{name}: {place} does not answer ({why}): correct host and port, or let the firewalls pass it"


def host_key_problem(login: Login, error: Exception) -> str:
    """Return what is wrong with the key that a host shows."""
    if str(error).startswith("No matching"):
        return (
            f"Connection {login.node.conn_id!r}: {login.hop} and this machine have no algorithm in common ({error}). "
            "Ask the site which ones it offers; or let OpenSSH connect, by the extra field `control_path`"
        )
    name = f"Connection {login.node.conn_id!r}: the host key of {login.hop}"
    shows = f"It shows: {login.shown_key}" if login.shown_key else f"`ssh-keyscan {login.hop}` prints its keys"
    if _knows_another_key(login):
        return (
            f"{name} is not the one that we know ({error}): the host was reinstalled, or a man in the middle answers. "
            "If its administrators confirm the new key, put it into the connection's extra field `host_key`, a line "
            f"for each key. {shows}"
        )
    return (
        f"{name} is not known to us ({error}). Compare it with what the site publishes, and put it into the "
        f"connection's extra field `host_key`. {shows}"
    )


def _knows_another_key(login: Login) -> bool:
    import asyncssh

    options = login.options
    known = options.known_hosts or str(Path("~/.ssh/known_hosts").expanduser())
    port = None if options.port == PORT else options.port
    with suppress(OSError, ValueError):  # no file of known hosts
        return any(asyncssh.match_known_hosts(known, options.host_key_alias or options.host, "", port)[:2])
    return False


async def login_problem(login: Login) -> str:
    """Return why a host refuses the login."""
    name = f"Connection {login.node.conn_id!r}"
    said = _banner(login)
    if expired := await _certificate_problem(login):
        return f"{name}: {login.way} refuses the login: our certificate is no good ({expired}); renew it{said}"
    has_key = login.node.key_file or login.node.private_key
    if login.node.password and not has_key and "publickey" in login.asked_for:
        return (
            f"{name}: {login.way} refuses the login: it does not know the user, or does not accept the password{said}"
        )
    if "publickey" in login.asked_for:
        keys = "the connection's key" if login.node.private_key else "one of this process's keys"
        key = login.node.key_file or keys
        return (
            f"{name}: {login.way} refuses the login: it does not know the user, or does not accept the key. Is the "
            "user right, and the account neither locked nor expired? Does ~/.ssh/authorized_keys there hold the public "
            f"half of {key}, and may nobody else write that file and its folders? This has to work: "
            f"{login.node.ssh_command}{said}"
        )
    if not login.asked_for:
        return f"{name}: {login.way} refuses the login: it takes neither a key nor a password from us{said}"
    methods = await _methods(login)
    if "publickey" not in methods:
        return (
            f"{name}: {login.way} refuses the login: it takes no key, only {', '.join(methods) or 'a password'}{said}"
        )
    return (
        f"{name}: {login.way} refuses the login: the host asks for a second factor after the key "
        f"({', '.join(login.asked_for)}). Ways out: a host or an account for automation, which many sites have; or the "
        "socket of an OpenSSH connection that you open yourself, in the connection's extra field `control_path` "
        f"(docs/your_cluster.md){said}"
    )


async def _methods(login: Login) -> list[str]:
    """Return how a host lets the user in; asked without a login."""
    import asyncssh

    options = login.options
    with suppress(OSError, asyncssh.Error, TimeoutError):
        asking = asyncssh.get_server_auth_methods(options.host, options.port, options.username, tunnel=options.tunnel)
        return list(await asyncio.wait_for(asking, 10))
    return ["publickey"]  # what nearly all hosts take


def too_many_keys(login: Login, error: Exception) -> str:
    """Return why a host has ended the login."""
    return (
        f"Connection {login.node.conn_id!r}: {login.way} ended the login after too many tries ({error}): an agent or "
        "~/.ssh/config offers more keys than the host takes (MaxAuthTries). Name the right one in the connection's "
        f"extra field `key_file` or `private_key`: then no other is offered{_banner(login)}"
    )


async def _certificate_problem(login: Login) -> str:
    """Return what is wrong with the certificates of our keys; nothing if one of them is well, or there is none."""
    import asyncssh
    from asyncssh.public_key import CERT_TYPE_USER, decode_ssh_certificate

    pairs = list(login.options.client_keys or ())
    if login.options.agent_path:
        with suppress(OSError, ValueError):
            async with asyncssh.connect_agent(login.options.agent_path) as agent:
                pairs += await agent.get_keys()
    problems = []
    for pair in pairs:
        if pair.has_cert:
            try:
                certificate: Any = decode_ssh_certificate(pair.public_data)
                certificate.validate(CERT_TYPE_USER, None)
            except ValueError as error:
                problems.append(str(error))
            else:
                return ""
    return ", ".join(problems)


def _banner(login: Login) -> str:
    said = " ".join(printable(login.said).split())
    return f". The host says: {said[-_LONGEST_BANNER:]}" if said else ""
