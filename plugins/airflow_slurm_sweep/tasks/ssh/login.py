"""Logs in at a login node with asyncssh, by way of jump hosts where there are any."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from airflow_slurm_sweep.errors import LoginRefusedError
from airflow_slurm_sweep.tasks.ssh.node import LoginNode
from airflow_slurm_sweep.tasks.ssh.refusals import key_problem

if TYPE_CHECKING:
    import asyncssh

_KEEPALIVE = 15  # seconds; a connection that is silent for three of them is lost


def import_ssh() -> None:
    """Import what a connection needs.

    Call this before code that may connect in a signal handler: one that interrupts the import waits for ever.
    """
    for name in ("asyncssh", "airflow.providers.common.compat.connection"):
        import_module(name)
    # asyncssh logs several lines per command at INFO; many such lines hang Airflow's triggerer for good.
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


class Login:
    """One try to log in, and what it met: a failed one is explained by that.

    Attributes:
        node: Where.
        hop: The host that is logged in at, a jump host or the login node.
        place: ``host:port`` of ``hop``.
        way: What was tried, for people: ``me@login1:22 by way of jump``.
        is_behind_jump: Whether ``hop`` is reached through another host or a command.
        reached: Whether an SSH server has answered at ``hop``.
        asked_for: What ``hop`` asked for that we could not give: ``publickey`` (none of our keys was right),
            ``keyboard-interactive``, ``password``.
        shown_key: The host key that ``hop`` showed, as text.
        options: What the last hop was logged in with.
        said: The banner of ``hop``.
    """

    def __init__(self, node: LoginNode) -> None:
        self.node = node
        self.hop = self.way = self.place = node.host
        self.is_behind_jump = False
        self.reached = False
        self.asked_for: list[str] = []
        self.shown_key = self.said = ""
        self.options: Any = None

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Log in at one host after the other; errors are asyncssh's."""
        values = await asyncio.to_thread(_values, self.node)
        connection: asyncssh.SSHClientConnection | None = None
        try:
            for jump in self.node.jumps:
                user, _, place = jump.rpartition("@")
                host, _, port = place.partition(":") if place.count(":") == 1 else (place, "", "")
                user = user or self.node.user or ""
                connection = await self._hop(host, int(port) if port else None, user, connection, values)
            values["password"] = self.node.password  # which is no jump host's business
            return await self._hop(self.node.host, self.node.port, self.node.user or "", connection, values)
        except BaseException:
            if connection is not None:
                connection.abort()
            raise

    async def _hop(
        self,
        host: str,
        port: int | None,
        user: str,
        tunnel: asyncssh.SSHClientConnection | None,
        values: dict[str, Any],
    ) -> asyncssh.SSHClientConnection:
        import asyncssh

        self.hop, self.reached, self.asked_for, self.said = host, False, [], ""
        given = {
            "host": host,
            "port": port,
            "username": user,
            "tunnel": tunnel,
            "client_factory": partial(_observer, self),
        }
        given = {name: value for name, value in given.items() if value} | values
        try:  # what is not given, asyncssh takes from ~/.ssh/config
            self.options = await asyncio.to_thread(asyncssh.SSHClientConnectionOptions, config=(), **given)
        except (OSError, ValueError) as error:
            raise LoginRefusedError(
                f"Connection {self.node.conn_id!r}: ~/.ssh/config, or a key that it names, cannot be used ({error})"
            ) from None
        self.is_behind_jump = bool(self.options.tunnel or self.options.proxy_command)
        self.place = f"{self.options.host}:{self.options.port}"
        self.way = f"{self.options.username}@{self.place}"
        if host == self.node.host and self.is_behind_jump:
            command = self.options.proxy_command and f"the command {join(self.options.proxy_command)}"
            self.way += f" by way of {', '.join(self.node.jumps) or self.options.tunnel or command}"
        connection = await asyncssh.connect(**given)
        if key := connection.get_server_host_key():
            self.shown_key = _text(key)
        if tunnel is not None:
            connection.set_tunnel(tunnel)  # closes it, too
        return connection


def _text(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


def _observer(login: Login) -> asyncssh.SSHClient:
    import asyncssh

    class Observer(asyncssh.SSHClient):
        """Notes what a host asks for."""

        def connection_made(self, _: asyncssh.SSHClientConnection) -> None:
            login.reached = True

        def validate_host_public_key(self, _: str, __: str, ___: int, key: asyncssh.SSHKey) -> bool:
            login.shown_key = _text(key)
            return False

        def auth_banner_received(self, msg: str, _: str) -> None:
            login.said += msg

        def public_key_auth_requested(self) -> None:
            login.asked_for.append("publickey")

        def kbdint_auth_requested(self) -> Any:
            login.asked_for.append("keyboard-interactive")
            return NotImplemented  # asyncssh tries the password, if there is one

        def password_auth_requested(self) -> None:
            login.asked_for.append("password")

    return Observer()


def _values(node: LoginNode) -> dict[str, Any]:
    """Return what is the same for all hops; reads files."""
    import asyncssh

    values: dict[str, Any] = {"keepalive_interval": _KEEPALIVE, "keepalive_count_max": 3}
    if node.key_file or node.private_key:
        # An agent's keys would be tried first, and a host takes six.
        values |= {"client_keys": _key(node), "agent_path": None}
    if not node.checks_host_key:
        values["known_hosts"] = None
    elif node.host_keys:
        try:
            values["known_hosts"] = ([_host_key(line) for line in node.host_keys], [], [])
        except (ValueError, asyncssh.KeyImportError) as error:
            raise LoginRefusedError(
                f"Connection {node.conn_id!r}: expected lines such as `ssh-ed25519 AAAA...` in the extra field "
                f"`host_key` ({error})"
            ) from None
    elif node.known_hosts:
        values["known_hosts"] = _known_hosts(node, node.known_hosts)
    return values


def _key(node: LoginNode) -> Any:
    import asyncssh

    try:
        if node.private_key:
            return [asyncssh.import_private_key(node.private_key, node.passphrase)]
        return asyncssh.load_keypairs(str(node.key_file), node.passphrase)  # its certificate, too
    except (OSError, ValueError) as error:
        raise LoginRefusedError(key_problem(node, error)) from None


def _host_key(line: str) -> asyncssh.SSHKey:
    """Return the key in a line such as ``ssh-ed25519 AAAA``, with a host before it or not; a bare one is RSA."""
    import asyncssh

    words = line.split()
    kinds = ("ssh-", "ecdsa-", "sk-")  # hosts may be called so, too
    found = [pair for pair in pairwise(words) if pair[0].startswith(kinds) and pair[1].startswith("AAAA")]
    kind, key = found[0] if found else ("ssh-rsa", words[0])
    return asyncssh.import_public_key(f"{kind} {key}")


def _known_hosts(node: LoginNode, known: str) -> str | bytes:
    if " " in known.strip():
        return known.encode()
    path = Path(known.strip()).expanduser()
    if not path.is_file():
        raise LoginRefusedError(
            f"Connection {node.conn_id!r}: its extra field `known_hosts` names the file {path}, which is not on this "
            "machine. Workers and triggerers need it at the same path; or put its text into the field"
        )
    return str(path)
