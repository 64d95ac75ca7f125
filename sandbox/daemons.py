"""The daemons of a cluster: how each is called, where it listens, how it is started and stopped.

All run in the foreground of a session of their own with their output in ``DIR/logs/NAME.log``, so that their pid is
known at once and whatever they say before they fail is kept. ``DIR/run/NAME.process`` holds pid and start time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.config import MARKER
from sandbox.processes import SandboxError, listens, send, started_at, tree, wait_until, writing_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sandbox.config import Settings

START_SECONDS = 30.0
STOP_SECONDS = 10
LOG_LINES = 12

PACKAGES = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "munged": "munge",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
ACCOUNTING_PACKAGES = {
    "slurmdbd": "slurmdbd slurm-wlm-mysql-plugin",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}


def find_program(name: str) -> str | None:
    """Absolute path of a program; daemons are often outside an ordinary user's PATH."""
    return shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    )


def require_programs(*, accounting: bool) -> None:
    """Raise one error that names all missing programs and the Debian packages that have them."""
    programs = PACKAGES | (ACCOUNTING_PACKAGES if accounting else {})
    missing = [name for name in programs if find_program(name) is None]
    if missing:
        packages = " ".join(dict.fromkeys(programs[name] for name in missing))
        raise SandboxError(f"not installed: {', '.join(missing)}. On Debian and Ubuntu: apt-get install {packages}")


def environment(directory: Path) -> dict[str, str]:
    """Environment of every process of a cluster, free of what another Slurm cluster may have put into ours."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "SBATCH_"))}
    return inherited | {
        "SLURM_CONF": f"{directory}/slurm.conf",
        "MYSQL_UNIX_PORT": f"{directory}/sql/s",
        MARKER: str(directory),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One daemon of a cluster.

    Attributes:
        name: What users call it: slurmctld, sshd, munge, n1, ...
        command: Program, found on PATH, and its arguments.
        address: TCP port or path of the unix socket that it listens on once it has started.
        directory: The cluster's directory.
    """

    name: str
    command: Sequence[str]
    address: int | str
    directory: Path

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.directory / "logs" / f"{self.name}.log"

    @property
    def record(self) -> Path:
        """File with the daemon's pid and start time."""
        return self.directory / "run" / f"{self.name}.process"

    @property
    def pid(self) -> int | None:
        """Pid of the living daemon."""
        try:
            pid, start = map(int, self.record.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if started_at(pid) == start else None

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the daemon without waiting for it to listen."""
        program = find_program(self.command[0]) or self.command[0]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [program, *self.command[1:]],
                cwd=self.directory,
                env=environment(self.directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.record.write_text(f"{process.pid} {started_at(process.pid)}\n")
        return process

    def wait_until_listening(self) -> None:
        """Raise an error with the end of the log if the daemon dies or does not listen in time."""
        wait_until(lambda: self.pid is None or listens(self.address), START_SECONDS)
        if self.pid is None:
            raise self.failure("ended at its start")
        if not listens(self.address):
            raise self.failure(f"does not listen on {self.address} after {START_SECONDS:.0f} s")

    def failure(self, what: str) -> SandboxError:
        """An error that says what happened to this daemon and what it said last."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return SandboxError("\n  ".join([f"{self.name} {what}. The end of {self.log}:", *lines]))


def stop(daemons: Iterable[Daemon]) -> None:
    """Ask daemons to end, then kill those that have not and what they left: their descendants, their logs' writers."""
    daemons = list(daemons)
    running = {pid for daemon in daemons if (pid := daemon.pid) is not None}
    family = tree(running)

    def kill_the_rest() -> bool:
        # A child that sshd forked at the last moment is no descendant any more, but it still writes to sshd's log.
        rest = tree(family | writing_to(daemon.log for daemon in daemons))
        send(signal.SIGKILL, rest)
        return not rest

    # Ask again and again: mariadbd loses a signal that comes early in its start.
    for _ in range(STOP_SECONDS):
        send(signal.SIGTERM, running & tree(running))
        if wait_until(lambda: not tree(running), seconds=1):
            break
    wait_until(kill_the_rest, STOP_SECONDS)


def daemons(settings: Settings) -> dict[str, Daemon]:
    """All daemons of a cluster by name, in the order of their start."""
    directory, ports = settings.directory, settings.ports
    munge, sql = directory / "munge", directory / "sql"
    accounting: dict[str, tuple[list[str], int | str]] = {
        "mariadb": (
            [
                *[
                    "mariadbd",
                    "--no-defaults",
                    f"--user={settings.user}",
                    f"--datadir={sql}/data",
                    f"--tmpdir={sql}/tmp",
                ],
                *[f"--socket={sql}/s", f"--pid-file={directory}/run/mariadb.pid", "--skip-networking"],
            ],
            f"{sql}/s",
        ),
        "slurmdbd": (["slurmdbd", "-D"], ports.get("slurmdbd", 0)),
    }
    commands: dict[str, tuple[list[str], int | str]] = {
        "munge": (
            [
                *["munged", "--foreground", "--force", f"--socket={munge}/s", f"--key-file={munge}/key"],
                *[f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"],
            ],
            f"{munge}/s",
        ),
        **(accounting if settings.accounting else {}),
        "slurmctld": (["slurmctld", "-D"], ports["slurmctld"]),
        **{node: (["slurmd", "-D", "-N", node], ports[node]) for node in settings.node_names},
        "sshd": (["sshd", "-D", "-e", "-f", f"{directory}/ssh/sshd_config"], ports["sshd"]),
    }
    return {
        name: Daemon(name=name, command=command, address=address, directory=directory)
        for name, (command, address) in commands.items()
    }
