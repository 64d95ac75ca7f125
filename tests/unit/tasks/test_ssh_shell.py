"""What a session on a login node does when the way in, or the node, lets it down."""

from __future__ import annotations

import asyncio
import socket
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError
from airflow_slurm_sweep.slurm.shell import Completed
from airflow_slurm_sweep.tasks.ssh import openssh, shell
from airflow_slurm_sweep.tasks.ssh.login import _host_key
from airflow_slurm_sweep.tasks.ssh.node import LoginNode, login_node
from airflow_slurm_sweep.tasks.ssh.refusals import host_key_problem
from airflow_slurm_sweep.tasks.ssh.shell import SshShell

CONNECTION: dict[str, Any] = {
    "conn_id": "c",
    "conn_type": "ssh",
    "host": "h",
    "port": None,
    "login": "",
    "password": "",
}


@pytest.mark.parametrize(
    ("port", "extra", "said"),
    [
        (None, {"proxy_jump": "jump:abc"}, "expected a port from 1 to 65535, got 'abc'"),
        (None, {"proxy_jump": "a, me@jump:70000"}, "expected a port from 1 to 65535, got '70000'"),
        (70000, {}, "expected a port from 1 to 65535, got '70000'"),
        (None, {"host_key": ["ssh-ed25519 A"]}, "extra: `host_key`: expected text, got ['ssh-ed25519 A']"),
        (None, {"proxy_jump": 7}, "extra: `proxy_jump`: expected text, got 7"),
    ],
)
def test_a_connection_that_cannot_be_meant_is_refused(port: int | None, extra: dict[str, Any], said: str) -> None:
    with pytest.raises(LoginRefusedError) as caught:
        login_node(SimpleNamespace(**CONNECTION | {"port": port}), extra)
    assert str(caught.value) == f"Airflow connection 'c': {said}"


class Session:
    """A way to a login node that is up and does not answer."""

    aborted = 0

    def __init__(self, *_: object) -> None:
        self.is_open = True

    def is_closed(self) -> bool:
        return not self.is_open

    async def check(self) -> None:
        """Find it well."""

    async def run(self, _: str) -> Completed:
        raise TimeoutError

    def abort(self) -> None:
        self.is_open = False
        Session.aborted += 1

    async def close(self) -> None:
        """Close it."""


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the login node refuses; empty: it does not."""
    why: list[str] = []

    async def read(_: str) -> object:
        if why:
            raise LoginRefusedError(why[0])
        return SimpleNamespace(control_path="/s")

    monkeypatch.setattr(shell, "read_login_node", read)
    monkeypatch.setattr(shell, "OpenSshSession", Session)
    return why


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB7V0Cq0rsUOGDVfQ0kNsLzA0sS6v3m2tC3o3pQ0m1Xk"


@pytest.mark.parametrize("line", [KEY, f"login {KEY}", f"ssh-gate.example.org {KEY}", f"sk-1,ecdsa-2 {KEY} a comment"])
def test_a_host_may_be_called_as_kinds_of_keys_are(line: str) -> None:
    assert _host_key(line).get_algorithm() == "ssh-ed25519"


def test_a_way_without_a_common_algorithm_is_no_attack() -> None:
    node = LoginNode(conn_id="c", host="h", host_keys=(KEY,))
    login: Any = SimpleNamespace(node=node, hop="h")
    error = asyncssh.KeyExchangeFailed("No matching key exchange algorithm found, sent a and received b")
    said = host_key_problem(login, error)
    assert said.startswith("Connection 'c': h and this machine have no algorithm in common (No matching key exchange")


def test_the_command_that_opens_the_socket_goes_the_same_way() -> None:
    node = LoginNode(conn_id="c", host="h", user="me", port=2222, jumps=("jump",), control_path="/a b")
    assert node.master_command == "ssh -M -S '/a b' -o ControlPersist=yes -fN -J jump -p 2222 me@h"


def test_who_was_let_in_before_tries_again(refusing: list[str]) -> None:
    async def twice() -> None:
        ssh = SshShell("c")
        (await ssh.connect()).abort()
        refusing.append("There is no Airflow connection 'c'")  # as while the API server is away
        with pytest.raises(ClusterUnavailableError, match="It let us in before, so we try again"):
            await ssh.connect()
        with pytest.raises(LoginRefusedError):
            await SshShell("c").connect()

    asyncio.run(twice())


@pytest.mark.usefixtures("refusing")
def test_a_login_node_that_hangs_is_left_after_three_commands() -> None:
    async def commands() -> list[int]:
        ssh, aborted = SshShell("c"), []
        for _ in range(4):
            with pytest.raises(ClusterUnavailableError):
                await ssh.run("true")
            aborted.append(Session.aborted - before)
        return aborted

    before = Session.aborted
    assert asyncio.run(commands()) == [0, 0, 1, 1]


def test_an_openssh_master_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssh, "CONNECT_TIMEOUT", 2.0)
    with TemporaryDirectory(prefix="ssh") as folder, socket.socket(socket.AF_UNIX) as master:
        path = f"{folder}/s"  # a socket's path has a hundred characters at most
        master.bind(path)
        master.listen()
        session = openssh.OpenSshSession(LoginNode(conn_id="c", host="h", control_path=path))
        with pytest.raises(ClusterUnavailableError, match=r"^Connection 'c': the OpenSSH connection .* gave no answer"):
            asyncio.run(asyncio.wait_for(session.check(), 60))
