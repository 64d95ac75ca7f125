"""A private Postgres in one folder: the database of any Airflow that is not a trial.

On SQLite, a request of Airflow's REST interface fails now and then with `database is locked` (status 500) while tasks
run; tests that act on a running Airflow therefore take Postgres where it is installed, as it is after
``scripts/setup --tests``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.layout import free_ports
from sandbox.processes import SandboxError, wait_until


def postgres_programs() -> Path | None:
    """The folder of the newest installed Postgres' programs."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return folders[-1] if folders else None


@contextmanager
def temporary_postgres() -> Iterator[Postgres | None]:
    """Run a server in a temporary folder; give None where no Postgres is installed."""
    programs = postgres_programs()
    if programs is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        Path(folder).chmod(0o711)  # the server is another user where we are root
        server = Postgres(Path(folder) / "server", programs)
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Postgres:
    """A server on the loopback address with one empty database, ``airflow``.

    Args:
        folder: Where its data and its log go; made if it is not there.
        programs: What `postgres_programs` found.
        idle_limit: Seconds after which a transaction is ended in which nothing happens. A killed scheduler's workers
            keep its connection open, with its transaction and its locks: all of Airflow stands still until then. An
            Airflow that is merely busy pauses for some seconds, too.
    """

    def __init__(self, folder: Path, programs: Path, *, idle_limit: int = 120) -> None:
        self._idle_limit = idle_limit
        self._programs = programs
        (self._port,) = free_ports(1)
        self._folder = folder
        # Postgres refuses root: Debian's package brings a user that owns nothing else.
        self._as_user = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that all others of the server descend from; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def url(self) -> str:
        """The database for SQLAlchemy."""
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self._port}/airflow"

    def start(self) -> None:
        """Start the server and make the database."""
        data = self._folder / "data"
        self._folder.mkdir(mode=0o755)
        data.mkdir(mode=0o700)
        if self._as_user:
            shutil.chown(self._folder, "postgres")
            shutil.chown(data, "postgres")
        self._run("initdb", "--auth=trust", "--username=airflow", "--no-sync", f"--pgdata={data}")
        self.start_again()
        self._run("createdb", *self._address, "airflow")

    def start_again(self) -> None:
        """Start a server that was stopped, with the data that it has."""
        settings = {
            "port": self._port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
            "idle_in_transaction_session_timeout": f"{self._idle_limit}s",
            "log_line_prefix": "%m [%p] %x ",
            "log_lock_waits": "on",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user, str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not wait_until(self._answers, 30):
            raise SandboxError(f"Postgres does not start: {(self._folder / 'log').read_text()}")

    def stop(self) -> None:
        """Stop the server."""
        if self._process:
            self._process.send_signal(signal.SIGINT)  # fast: it does not wait for its clients
            self._process.wait(timeout=20)

    @property
    def _address(self) -> list[str]:
        return ["--host=127.0.0.1", f"--port={self._port}", "--username=airflow"]

    def _answers(self) -> bool:
        ready = [str(self._programs / "pg_isready"), *self._address]
        return subprocess.run(ready, capture_output=True, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode:
            raise SandboxError(f"{program}: {done.stdout}{done.stderr}")
