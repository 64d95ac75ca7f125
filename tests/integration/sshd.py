"""A second sshd beside a cluster's own, for the same account, with lines of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox import Sandbox
from sandbox.config import LOOPBACK
from sandbox.daemons import Daemon, stop
from sandbox.layout import free_ports


class Sshd:
    """One that listens: its port, and what it has logged."""

    def __init__(self, daemon: Daemon, port: int) -> None:
        self.port, self._daemon = port, daemon

    @property
    def log(self) -> str:
        return self._daemon.log.read_text()


@contextmanager
def second_sshd(box: Sandbox, *lines: str, name: str = "sshd2", program: str = "sshd") -> Iterator[Sshd]:
    """Run one; its lines stand before those of the cluster's own, and the first one of a kind counts."""
    (port,) = free_ports(1)
    config = box.directory / "ssh" / f"{name}_config"
    own = (box.directory / "ssh" / "sshd_config").read_text().splitlines()
    kept = [line for line in own if not line.startswith(("Port ", "PidFile "))]
    config.write_text("\n".join([*lines, f"Port {port}", "PidFile none", *kept]) + "\n")
    command = [program, "-D", "-e", "-f", str(config)]
    daemon = Daemon(name=name, command=command, address=port, directory=box.directory)
    daemon.log.unlink(missing_ok=True)
    process = daemon.launch()
    try:
        daemon.wait_until_listening()
        yield Sshd(daemon, port)
    finally:
        stop([daemon])
        process.wait()


def known_hosts(box: Sandbox, *ports: int) -> str:
    """Return the text of a known_hosts file for this machine's sshds at these ports."""
    key = (box.directory / "ssh" / "host_key.pub").read_text()
    return "".join(f"[{LOOPBACK}]:{port} {key}" for port in ports)


@contextmanager
def another_host_key(box: Sandbox) -> Iterator[None]:
    """Let sshd show another key."""
    key = box.directory / "ssh" / "host_key"
    own = key.read_bytes(), key.with_suffix(".pub").read_bytes()
    box.stop("sshd")
    key.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    box.start("sshd")
    try:
        yield
    finally:
        box.stop("sshd")
        key.write_bytes(own[0])
        key.with_suffix(".pub").write_bytes(own[1])
        box.start("sshd")
