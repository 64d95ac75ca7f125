"""What an Airflow connection of type ssh says of a login node.

The fields and the names in its extra are those of Airflow's own SSH hook; ``proxy_jump`` and ``control_path`` are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join
from typing import Any

from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_slurm_sweep.errors import LoginRefusedError

PORT = 22
_TEXTS = ("key_file", "private_key", "host_key", "known_hosts", "proxy_jump", "control_path")  # in the extra


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginNode:
    """How a login node is reached. None leaves a choice to ``~/.ssh/config``, and then to ssh's default.

    Attributes:
        conn_id: The Airflow connection.
        host: Name or address, or a ``Host`` of ``~/.ssh/config``.
        host_keys: Public keys of which the host must show one.
        known_hosts: Instead of them: the text of a known_hosts file, or the path of one.
        checks_host_key: False if any host key will do.
        jumps: Jump hosts on the way, ``[user@]host[:port]`` each.
        control_path: The socket of an OpenSSH master connection, which is used instead of a login of ours.
    """

    conn_id: str
    host: str
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    key_file: str | None = None
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    host_keys: tuple[str, ...] = ()
    known_hosts: str | None = None
    checks_host_key: bool = True
    jumps: tuple[str, ...] = ()
    control_path: str | None = None

    @property
    def account(self) -> str:
        """``user@host``, as far as the connection says it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def place(self) -> str:
        """``user@host:port``."""
        return f"{self.account}:{self.port or PORT}"

    @property
    def ssh_command(self) -> str:
        """The command with which a person goes the same way."""
        socket = ["-S", self.control_path] if self.control_path else []
        return join(["ssh", *socket, *self._way])

    @property
    def master_command(self) -> str:
        """The command with which a person opens the connection behind ``control_path``."""
        return join(["ssh", "-M", "-S", str(self.control_path), "-o", "ControlPersist=yes", "-fN", *self._way])

    @property
    def _way(self) -> list[str]:
        key = ["-i", self.key_file] if self.key_file else []
        jumps = ["-J", ",".join(self.jumps)] if self.jumps else []
        port = ["-p", str(self.port)] if self.port not in (None, PORT) else []
        return [*key, *jumps, *port, self.account]


async def read_login_node(conn_id: str) -> LoginNode:
    """Return what an Airflow connection says; in a thread or process of Airflow's.

    Raises:
        LoginRefusedError: There is none, or it cannot be used.
    """
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    try:
        connection = await get_async_connection(conn_id)
    except AirflowNotFoundException:
        raise LoginRefusedError(
            f"There is no Airflow connection {conn_id!r}: add one of type ssh (`. ./environment.sh` where `init` wrote "
            f"it, Admin > Connections, or `airflow connections add {conn_id} --conn-type ssh ...`), or name another "
            "one in the profile (`ssh_conn_id`)"
        ) from None
    return login_node(connection, await get_async_extra_dejson(connection))


def login_node(connection: Any, extra: Mapping[str, Any]) -> LoginNode:
    """Return what a connection with that extra says; pure."""
    name = f"Airflow connection {connection.conn_id!r}"
    if connection.conn_type != "ssh":
        raise LoginRefusedError(f"{name}: expected the type 'ssh', got {connection.conn_type!r}")
    if not connection.host:
        raise LoginRefusedError(f"{name}: expected a host, the login node's name; got none")
    for key in (*_TEXTS, "private_key_passphrase", "passphrase"):
        if not isinstance(extra.get(key) or "", str):
            raise LoginRefusedError(f"{name}: extra: `{key}`: expected text, got {extra[key]!r:.60}")
    jumps = tuple(filter(None, map(str.strip, (extra.get("proxy_jump") or "").split(","))))
    for port in (str(connection.port or PORT), *(jump.partition(":")[2] for jump in jumps if jump.count(":") == 1)):
        if not (port.isdecimal() and 0 < int(port) < 2**16):
            raise LoginRefusedError(f"{name}: expected a port from 1 to 65535, got {port!r}")
    no_check = str(extra.get("no_host_key_check", "")).lower() == "true"
    if no_check and extra.get("host_key"):
        raise LoginRefusedError(
            f"{name}: `host_key` says which key to expect, and `no_host_key_check` not to look at it"
        )
    return LoginNode(
        conn_id=connection.conn_id,
        host=connection.host,
        port=connection.port or None,
        user=connection.login or None,
        password=connection.password or None,
        key_file=_path(extra.get("key_file")),
        private_key=_lines(extra.get("private_key")),
        passphrase=extra.get("private_key_passphrase") or extra.get("passphrase") or None,
        host_keys=tuple(filter(None, map(str.strip, (_lines(extra.get("host_key")) or "").splitlines()))),
        known_hosts=_lines(extra.get("known_hosts")),
        checks_host_key=not no_check,
        jumps=jumps,
        control_path=_path(extra.get("control_path")),
    )


def _path(text: str | None) -> str | None:
    return str(Path(text).expanduser()) if text else None


def _lines(text: str | None) -> str | None:
    r"""Return a text of several lines; where a connection went through JSON twice, they end in ``\n``, two letters."""
    return text.replace("\\r", "").replace("\\n", "\n").replace("\r\n", "\n") if text else None
