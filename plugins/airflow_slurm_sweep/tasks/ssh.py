"""The login node behind an Airflow ``ssh`` connection: one kept connection, few channels, nothing assumed.

`SshShell` is the `Shell` of this project. asyncssh is imported when it is needed: Airflow reads the Dag files, and
hence this, in a new process again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError, SlurmSweepError
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.shell import COMMAND, Completed, Site
from airflow_slurm_sweep.tasks.telemetry import AirflowMetrics

if TYPE_CHECKING:
    import asyncssh

CONNECT_TIMEOUT = 30.0  # seconds; the hook has none
COMMAND_TIMEOUT = 300.0  # a submission that takes longer goes on, and its record is found by the next try
_KEEPALIVE = 15.0  # a connection that is silent for three of them is lost
_CHANNELS = 4  # sshd allows 10 on a connection by default, and channels that are just closing count


def import_ssh() -> None:
    """Import what a connection needs.

    Who may have to connect in a signal handler does it before: one that has interrupted the import waits for ever.
    """
    for name in ("asyncssh", "airflow.providers.ssh.hooks.ssh"):
        import_module(name)
    # asyncssh logs several lines per command at INFO; many such lines hang Airflow's triggerer for good.
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


class SshShell:
    """Runs scripts on the login node of one Airflow connection, over one SSH connection that is kept.

    Use it as an asynchronous context manager, in one event loop. Errors: see `Shell`; a refusal of one who was let in
    before is no refusal for good.

    Attributes:
        metrics: Where logins and lost connections are counted; for others who use the cluster, too.
    """

    def __init__(self, ssh_conn_id: str) -> None:
        self.metrics = AirflowMetrics(ssh_conn_id)
        self._ssh_conn_id = ssh_conn_id
        self._connection: asyncssh.SSHClientConnection | None = None
        self._was_let_in = False
        self._connecting = asyncio.Lock()
        self._channels = asyncio.Semaphore(_CHANNELS)

    async def __aenter__(self) -> SshShell:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            await self._connection.wait_closed()
            self._connection = None

    async def run(self, script: str) -> Completed:
        """Run ``script`` in the login node's ``sh``, whatever shell the account has."""
        async with self._channels:
            connection = await self.connect()
            import asyncssh

            try:
                process = await connection.create_process(COMMAND, encoding="utf-8", errors="replace")
                with suppress(BrokenPipeError):  # the login shell has ended; its output says why
                    # The script goes in by standard input: it has no length limit there and no process list shows it.
                    process.stdin.write(script)
                    process.stdin.write_eof()
                done = await process.wait(timeout=COMMAND_TIMEOUT)
            except (TimeoutError, OSError, asyncssh.Error) as error:
                if not isinstance(error, (asyncssh.ChannelOpenError, asyncio.TimeoutError)):
                    self._drop(connection)
                raise self._unavailable(error) from error
        if done.exit_status is None or done.exit_status < 0:  # the channel or the shell was killed
            raise self._unavailable("the command was cut off")
        return Completed(exit_status=done.exit_status, stdout=str(done.stdout), stderr=str(done.stderr))

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Log in, unless we are; `run` does it by itself."""
        async with self._connecting:
            if self._connection is not None and self._connection.is_closed():
                self._drop(self._connection)
            if self._connection is None:
                self._connection = await self._log_in()
            return self._connection

    async def _log_in(self) -> asyncssh.SSHClientConnection:
        try:
            connection = await self._connect()
        except SlurmSweepError as error:
            self.metrics.count("logins_failed")
            if self._was_let_in and isinstance(error, ClusterRefusedError):
                # A login node that has just booted may lack its users and their homes for a while.
                raise ClusterUnavailableError(f"{error}. It let us in before, so we try again") from None
            raise
        self.metrics.count("logins")
        self._was_let_in = True
        return connection

    async def _connect(self) -> asyncssh.SSHClientConnection:
        await asyncio.to_thread(import_ssh)  # which is no half second of the event loop's
        import asyncssh
        from airflow.providers.ssh.hooks.ssh import SSHHookAsync

        name = self._ssh_conn_id
        try:
            connecting = SSHHookAsync(ssh_conn_id=name).get_conn()
            connection: asyncssh.SSHClientConnection = await asyncio.wait_for(connecting, CONNECT_TIMEOUT)
            connection.set_keepalive(_KEEPALIVE, 3)
            return connection
        # `from None` keeps the library's error as the context of ours: check/way_in.py reads it there.
        except AirflowNotFoundException:
            raise ClusterRefusedError(
                f"There is no Airflow connection {name!r}: add one of type ssh (Admin > Connections, or "
                f"`airflow connections add {name} --conn-type ssh ...`)"
            ) from None
        except asyncssh.HostKeyNotVerifiable as error:
            raise ClusterRefusedError(
                f"Connection {name!r}: the login node's host key is not the one we know, or we know none ({error}): "
                f"check it, then put it into the connection's extra field `host_key`"
            ) from None
        except asyncssh.PermissionDenied as error:
            raise ClusterRefusedError(
                f"Connection {name!r}: the login node refuses the login; check user and key ({error})"
            ) from None
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError, FileNotFoundError) as error:
            raise ClusterRefusedError(f"Connection {name!r}: its key or host key cannot be used ({error})") from None
        except (TimeoutError, OSError, asyncssh.Error) as error:
            raise self._unavailable(error) from error

    def _drop(self, connection: asyncssh.SSHClientConnection) -> None:
        connection.abort()
        if self._connection is connection:
            self._connection = None
            self.metrics.count("connections_lost")

    def _unavailable(self, error: object) -> ClusterUnavailableError:
        reason = str(error) or type(error).__name__
        return ClusterUnavailableError(f"Connection {self._ssh_conn_id!r}: no answer from the login node ({reason})")


@asynccontextmanager
async def slurm_client(site: Site) -> AsyncIterator[SlurmClient]:
    """Give a client of a cluster, over a connection of its own."""
    async with SshShell(site.ssh_conn_id) as shell:
        yield SlurmClient(shell, shell.metrics, site)
