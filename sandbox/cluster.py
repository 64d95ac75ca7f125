"""The cluster as a whole: its start, its end and what its users ask it for."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import config, layout
from sandbox.config import ACCOUNT, CLUSTER, Settings
from sandbox.daemons import Daemon, daemons, environment, find_program, require_programs, stop
from sandbox.processes import SandboxError, belonging_to, send, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

READY_SECONDS = 60.0
READY_STATES = ("idle", "mix", "alloc", "comp")
STORAGE = ("slurmdbd", "mariadb", "munge")


class Sandbox:
    """A real Slurm cluster in one directory; as a context manager it runs inside the ``with`` block.

    The options are those of the next start: a cluster that already runs keeps its own. A start in the same directory
    continues where the last one ended, with the same keys and, if they are still free, ports; batch jobs that ran at
    the end are requeued, as after a power cut.

    Args:
        directory: Where everything is kept; made if it does not exist. At most 72 bytes long.
        nodes: Number of virtual nodes, each with 16 CPUs and 8 GPUs.
        accounting: Run slurmdbd and MariaDB too, and refuse jobs of unknown accounts.
        min_job_age: Seconds that a finished job stays visible to squeue.
        slurm_conf: Further lines of slurm.conf; a setting given here replaces the sandbox's own.

    Attributes:
        directory: As above, absolute.
        ssh_address: Address and port for sshd at the next start; by default a free port of the loopback address.

    Raises:
        SandboxError: The directory's path or a number cannot be used.
    """

    def __init__(
        self,
        directory: str | Path,
        nodes: int = 8,
        accounting: bool = False,
        min_job_age: int = 300,
        slurm_conf: Sequence[str] = (),
    ) -> None:
        self.directory = Path(directory).resolve()
        self.ssh_address: tuple[str, int] | None = None
        self._nodes = nodes
        self._accounting = accounting
        self._min_job_age = min_job_age
        self._slurm_conf = slurm_conf
        # Children of this very process have to be waited for after their end.
        self._children: list[subprocess.Popen[bytes]] = []
        layout.check_directory(self.directory)
        if nodes < 1 or min_job_age < 2:
            raise SandboxError(
                f"expected at least 1 node and a min_job_age of at least 2 s, got {nodes}, {min_job_age}"
            )

    def __enter__(self) -> Sandbox:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()

    @property
    def connection(self) -> dict[str, object]:
        """The sshd as an Airflow connection, in Airflow's JSON form."""
        settings = self._settings
        kind, key = (self.directory / "ssh" / "host_key.pub").read_text().split()[:2]
        return config.connection(settings, f"{kind} {key}")

    @property
    def profile(self) -> dict[str, object]:
        """The values of a cluster profile for this cluster."""
        return config.profile(self._settings)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point any Slurm command at this cluster."""
        return self._settings.environment

    def status(self) -> dict[str, int | None]:
        """Pid of each daemon, None for one that does not live; empty if there never was a start."""
        return {name: daemon.pid for name, daemon in self._daemons.items()}

    def slurm(self, *command: str, check: bool = True) -> str:
        """Run a Slurm command of this cluster on this machine, in DIR/workspace, and return its standard output.

        Raises:
            SandboxError: The command failed, with its standard error; not if ``check`` is False.
        """
        result = self._run(command)
        if check and result.returncode:
            raise SandboxError(f"{' '.join(command)}: exit code {result.returncode}: {result.stderr.strip()}")
        return result.stdout

    def start(self, name: str) -> None:
        """Start one daemon and wait until it listens; a node may need another second to become idle."""
        self._start(self._daemon(name))

    def stop(self, name: str) -> None:
        """Stop one daemon: sshd with its sessions, a node's slurmd without its jobs."""
        stop([self._daemon(name)])
        self._reap()

    def up(self) -> bool:
        """Start whatever does not run yet and wait until every node is idle and a login over SSH works.

        Returns:
            Whether there was anything to start.

        Raises:
            SandboxError: A daemon failed, with the end of its log. Everything is stopped again.
        """
        pids = self.status()
        if pids and all(pids.values()):
            return False
        require_programs(accounting=self._accounting)
        try:
            if not any(pids.values()):
                self.down()
                settings = layout.new_settings(
                    self.directory,
                    nodes=self._nodes,
                    accounting=self._accounting,
                    min_job_age=self._min_job_age,
                    slurm_conf=self._slurm_conf,
                )
                if self.ssh_address:
                    settings = layout.with_ssh_address(settings, *self.ssh_address)
                layout.prepare(settings)
            self._start_all()
        except BaseException:
            self.down()
            raise
        return True

    def down(self) -> bool:
        """Stop the daemons, however many are left, and kill what jobs and SSH sessions left behind.

        Returns:
            Whether there was anything to stop.
        """
        runs = bool(belonging_to(self.directory))
        if runs:
            known = self._daemons
            stop(daemon for name, daemon in known.items() if name not in STORAGE)
            for name in STORAGE:
                stop([known[name]] if name in known else [])
            if not wait_until(self._kill_the_rest, seconds=10):
                raise SandboxError(f"processes that outlive SIGKILL: {sorted(belonging_to(self.directory))}")
        self._reap()
        return runs

    @property
    def _settings(self) -> Settings:
        settings = layout.load(self.directory)
        if settings is None:
            raise SandboxError(f"{self.directory}: no sandbox was started here")
        return settings

    @property
    def _daemons(self) -> dict[str, Daemon]:
        settings = layout.load(self.directory)
        return {} if settings is None else daemons(settings)

    def _daemon(self, name: str) -> Daemon:
        known = self._daemons
        if name not in known:
            raise SandboxError(f"daemon {name!r}: expected one of {', '.join(known)}")
        return known[name]

    def _start_all(self) -> None:
        known = self._daemons
        self._start(known.pop("munge"))
        if "slurmdbd" in known:
            self._start(known.pop("mariadb"))
            self._start(known.pop("slurmdbd"))
            self._add_account()
        self._start(known.pop("slurmctld"))
        self._start(*known.values())
        self._wait_until_ready()
        self._log_in()

    def _start(self, *wanted: Daemon) -> None:
        missing = [daemon for daemon in wanted if daemon.pid is None]
        for daemon in missing:
            self._children.append(daemon.launch())
        for daemon in missing:
            daemon.wait_until_listening()

    def _add_account(self) -> None:
        """Make the cluster, its account and its user known to slurmdbd; what is known already is no error."""
        user = self._settings.user
        self.slurm("sacctmgr", "-i", "add", "cluster", CLUSTER, check=False)
        self.slurm("sacctmgr", "-i", "add", "account", ACCOUNT, check=False)
        self.slurm("sacctmgr", "-i", "add", "user", user, f"account={ACCOUNT}", check=False)
        self.slurm("sacctmgr", "-i", "modify", "user", user, "set", f"defaultaccount={ACCOUNT}")

    def _wait_until_ready(self) -> None:
        """Raise an error with the log of the first node that takes no jobs in time."""
        if not wait_until(lambda: not self._unready_nodes(), READY_SECONDS):
            node, state = next(iter(self._unready_nodes().items()))
            raise self._daemon(node).failure(f"takes no jobs after {READY_SECONDS:.0f} s, sinfo says: {state}")

    def _unready_nodes(self) -> dict[str, str]:
        """State and its reason of each node that neither is idle nor runs jobs."""
        lines = self.slurm("sinfo", "--partition=batch", "--Node", "--noheader", "--format=%N %t %E", check=False)
        states = dict(line.split(maxsplit=1) for line in lines.splitlines())
        listed = {node: states.get(node, "unknown") for node in self._settings.node_names}
        return {node: state for node, state in listed.items() if state.split()[0] not in READY_STATES}

    def _log_in(self) -> None:
        """Raise an error with the log of sshd if a login over SSH does not reach the cluster."""
        command = ["ssh", "-F", f"{self.directory}/ssh/config", "-o", "BatchMode=yes", "sandbox", "sinfo"]
        result = self._run(command)
        if result.returncode:
            raise self._daemon("sshd").failure(
                f"refuses the login of {self._settings.user} ({result.stderr.strip()}). A locked account, '!' in "
                "/etc/shadow, cannot log in: usermod --password '*' unlocks it without a password"
            )

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [find_program(command[0]) or command[0], *command[1:]],
            cwd=self.directory / "workspace",
            env=environment(self.directory),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _kill_the_rest(self) -> bool:
        """Kill what still belongs to the cluster; whether nothing does any more."""
        pids = belonging_to(self.directory)
        send(signal.SIGKILL, pids)
        return not pids

    def _reap(self) -> None:
        """Forget this process's ended children."""
        self._children = [child for child in self._children if child.poll() is None]
