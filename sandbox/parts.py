"""All parts of Airflow as processes of ours, each of which can be killed, stalled and started again on its own."""

from __future__ import annotations

import secrets
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.airflow import PARTS, Api, api_server_settings, launch, merge
from sandbox.config import LOOPBACK
from sandbox.layout import free_ports
from sandbox.postgres import Postgres, postgres_programs
from sandbox.processes import SandboxError, send, session, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START = 120  # seconds


class Part:
    """One part of Airflow, in a session of its own; ``command`` starts it."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.command = command
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it, and return at once."""
        with self.log.open("ab") as file:
            self._processes.append(launch(self.command, self._environment, file))

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._processes[-1].pid

    @property
    def pids(self) -> set[int]:
        """Its processes, what earlier starts left behind included."""
        return {pid for process in self._processes for pid in session(process.pid)}

    @property
    def lives(self) -> bool:
        """Whether its main process lives."""
        return bool(self._processes) and self._processes[-1].poll() is None

    def kill(self, *, whole: bool) -> None:
        """Kill its main process, or all that it started too, as a power cut would."""
        send(signal.SIGKILL, self.pids if whole else [self._processes[-1].pid])
        self._processes[-1].wait()

    def freeze(self) -> None:
        """Stall it."""
        send(signal.SIGSTOP, self.pids)

    def thaw(self) -> None:
        """Let it go on."""
        send(signal.SIGCONT, self.pids)

    def stop(self) -> None:
        """End it and all that it ever started: by request, after 10 s by force."""
        self.thaw()
        send(signal.SIGTERM, [process.pid for process in self._processes if process.poll() is None])
        wait_until(lambda: all(process.poll() is not None for process in self._processes), 10)
        wait_until(self._kill_the_rest, 10)
        for process in self._processes:
            process.wait()

    def _kill_the_rest(self) -> bool:
        for process in self._processes:
            process.poll()
        pids = self.pids
        send(signal.SIGKILL, pids)
        return not pids


class AirflowParts(Api):
    """Scheduler with LocalExecutor, triggerers, Dag processor and api-server, on Postgres if there is one.

    Args:
        environment: What `sandbox.airflow.airflow_environment` returned.
        folder: For the logs and the database.
        triggerers: How many.
        settings: Further settings of Airflow, as `sandbox.airflow.merge` takes them.
        idle_limit: As for `Postgres`.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        *,
        triggerers: int = 1,
        settings: Mapping[str, object],
        idle_limit: int = 120,
    ) -> None:
        (port,) = free_ports(1)
        super().__init__(f"http://{LOOPBACK}:{port}", Path(environment["AIRFLOW_HOME"]))
        programs = postgres_programs()
        self.folder = folder
        self.postgres = Postgres(folder / "postgres", programs, idle_limit=idle_limit) if programs else None
        database = {"DATABASE__SQL_ALCHEMY_CONN": self.postgres.url} if self.postgres else {}
        self._environment = merge(
            environment,
            **api_server_settings(self.url),
            API__SECRET_KEY=secrets.token_hex(16),
            API_AUTH__JWT_SECRET=secrets.token_hex(32),
            **database,
            **settings,
        )

        def part(name: str, command: Sequence[str]) -> Part:
            return Part(name, command, self._environment, folder / f"{name}.log")

        self.api_server, self.dag_processor, self.scheduler, _ = (part(*item) for item in PARTS.items())
        self.triggerers = [part(f"triggerer-{number + 1}", PARTS["triggerer"]) for number in range(triggerers)]

    @property
    def parts(self) -> list[Part]:
        """All of them, in the order of their start."""
        return [self.api_server, self.dag_processor, self.scheduler, *self.triggerers]

    def start(self) -> None:
        """Start all, wait until they say that they are well, and log in.

        Raises:
            SandboxError: They did not in `START` seconds.
        """
        if self.postgres:
            self.postgres.start()
        # The migration may pause within a transaction for longer than `idle_limit`, where the machine is busy.
        environment = self._environment | {"PGOPTIONS": "-c idle_in_transaction_session_timeout=0"}
        migrated = subprocess.run(
            ["airflow", "db", "migrate"], env=environment, capture_output=True, text=True, check=False
        )
        if migrated.returncode:
            raise SandboxError(f"airflow db migrate: {migrated.stdout[-2000:]}{migrated.stderr[-2000:]}")
        for part in self.parts:
            part.start()
        wait_until(lambda: self.is_healthy() or not all(part.lives for part in self.parts), START)
        if not self.is_healthy():
            ended = [part.name for part in self.parts if not part.lives]
            raise SandboxError(f"Airflow did not start; ended: {ended or 'none'}; see the logs in {self.folder}")
        self.log_in()

    def stop(self) -> None:
        """Stop all."""
        for part in reversed(self.parts):
            part.stop()
        if self.postgres:
            self.postgres.stop()
