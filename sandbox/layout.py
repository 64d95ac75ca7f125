"""The files of a cluster's directory: made before the first daemon starts, kept between starts."""

from __future__ import annotations

import getpass
import json
import os
import random
import re
import secrets
import socket
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import config
from sandbox.config import Settings
from sandbox.daemons import environment, find_program
from sandbox.processes import SandboxError, is_free

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# A unix socket's path has at most 107 bytes; the longest here is DIR/spool/n8/n8_1234567.4294967294.
MAX_DIRECTORY_BYTES = 72
# Below the ports that Linux gives to outgoing connections (32768 and up).
PORTS = range(10000, 32000)
_SHARES = 64  # of the ports, one for each process
SSHD_PRIVILEGE_FOLDER = Path("/run/sshd")
FOLDERS = ("bin", "dev", "home", "log", "logs", "munge", "run", "spool", "sql/tmp", "ssh", "state", "workspace")


def load(directory: Path) -> Settings | None:
    """The settings of the last start in a directory, None if there was none."""
    try:
        values = json.loads((directory / "state.json").read_text())
    except FileNotFoundError:
        return None
    lines = tuple(values.get("slurm_conf", ()))
    return Settings(**values | {"directory": directory, "slurm_conf": lines})


def check_directory(directory: Path) -> None:
    """Raise an error for a path that Slurm's files or unix sockets cannot hold."""
    if not re.fullmatch(r"[\w./+-]+", str(directory), re.ASCII):
        raise SandboxError(f"{directory}: expected a path of letters, digits and . _ + - only")
    if len(str(directory)) > MAX_DIRECTORY_BYTES:
        raise SandboxError(f"{directory}: expected at most {MAX_DIRECTORY_BYTES} bytes (unix sockets' limit)")


def new_settings(
    directory: Path, *, nodes: int, accounting: bool, min_job_age: int, slurm_conf: Iterable[str] = ()
) -> Settings:
    """Settings of the next start: this user, this host, and ports that are free now."""
    earlier = load(directory)
    names = ["slurmctld", "slurmdbd", "sshd", *(f"n{number}" for number in range(1, nodes + 1))]
    return Settings(
        directory=directory,
        user=getpass.getuser(),
        host=socket.gethostname().partition(".")[0],
        nodes=nodes,
        accounting=accounting,
        min_job_age=min_job_age,
        slurm_conf=tuple(slurm_conf),
        loopback_only=_name_is_loopback(),
        ports=choose_ports(names, {} if earlier is None else earlier.ports),
    )


def _name_is_loopback() -> bool:
    """Whether this host's name is 127.0.0.1; it is 127.0.1.1 on many a Debian, and the container's address in one.

    Slurm listens on all addresses or on that of the host's name. There we cannot reach it by 127.0.0.1, nor it us.
    """
    try:
        return socket.gethostbyname(socket.gethostname()) == config.LOOPBACK
    except OSError:
        return False


def with_ssh_address(settings: Settings, listen: str, port: int) -> Settings:
    """The same settings, but sshd listens on this address and port, whatever port it had before.

    Raises:
        SandboxError: Another process uses the port.
    """
    others = {used for name, used in settings.ports.items() if name != "sshd"}
    if port in others or not is_free(port):
        raise SandboxError(f"port {port}: expected a free one for sshd, but another process uses it")
    return replace(settings, listen=listen, ports=settings.ports | {"sshd": port})


def choose_ports(names: list[str], earlier: dict[str, int]) -> dict[str, int]:
    """A free TCP port for each name: that of an earlier start, so that connections stay valid, or a new one."""
    kept = {name: port for name, port in earlier.items() if name in names and is_free(port)}
    new = [name for name in names if name not in kept]
    return kept | dict(zip(new, free_ports(len(new), besides=kept.values()), strict=True))


def free_ports(count: int, besides: Collection[int] = ()) -> list[int]:
    """Different TCP ports of the loopback address that nobody uses now."""
    # Processes that choose at the same moment, such as those of parallel tests, must not choose the same.
    ours = PORTS[os.getpid() % _SHARES :: _SHARES]
    free: list[int] = []
    while len(free) < count:
        port = random.choice(ours)
        if port not in free and port not in besides and is_free(port):
            free.append(port)
    return free


def prepare(settings: Settings) -> None:
    """Write all that the daemons need to find; keys, job state and accounting data of an earlier start are kept."""
    directory = settings.directory
    for folder in FOLDERS + tuple(f"spool/{node}" for node in settings.node_names):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    # Only munge's socket is for all to see, as munged demands: the secrets have modes of their own.
    (directory / "munge").chmod(0o711)
    (directory / "sql").chmod(0o700)
    _write(directory / "state.json", json.dumps(asdict(settings), default=str, indent=2))
    for name, text in config.files(settings).items():
        _write(directory / name, text)
    for number in range(config.GPUS_PER_NODE):
        device = directory / "dev" / f"gpu{number}"
        if not device.is_symlink():
            device.symlink_to("/dev/null")
    if not (directory / "munge" / "key").exists():
        _write(directory / "munge" / "key", secrets.token_hex(512))
    _make_ssh_keys(settings)
    if os.geteuid() == 0:
        # The one thing outside the directory: sshd started by root wants this empty folder, compiled in, and every
        # sandbox's sshd uses it at each login, so it stays.
        SSHD_PRIVILEGE_FOLDER.mkdir(mode=0o755, exist_ok=True)
    if settings.accounting:
        _make_database(settings)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def _make_ssh_keys(settings: Settings) -> None:
    folder = settings.directory / "ssh"
    for name in ("host_key", "id_ed25519"):
        if not (folder / f"{name}.pub").exists():
            (folder / name).unlink(missing_ok=True)
            _run(
                settings, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slurm-sandbox", "-f", f"{folder}/{name}"
            )
    _write(folder / "authorized_keys", (folder / "id_ed25519.pub").read_text())
    host = f"[{settings.ssh_host}]:{settings.ports['sshd']}"
    _write(folder / "known_hosts", f"{host} {(folder / 'host_key.pub').read_text()}")


def _make_database(settings: Settings) -> None:
    folder = settings.directory / "sql"
    if (folder / "data").exists():
        return
    # Made beside its place first: an interrupted installation is not taken for a database. Who may enter the
    # folder may use the database: it listens on a unix socket there and nowhere else.
    new = folder / f"data.{os.getpid()}"
    options = ["--no-defaults", f"--user={settings.user}", f"--datadir={new}", f"--tmpdir={folder}/tmp"]
    _run(settings, "mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db")
    new.rename(folder / "data")


def _run(settings: Settings, program: str, *arguments: str) -> None:
    result = subprocess.run(
        [find_program(program) or program, *arguments],
        env=environment(settings.directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SandboxError(f"{program}: exit code {result.returncode}: {result.stdout}{result.stderr}".strip())
