"""`SshShell`, the `Shell` of this project: scripts on the login node of one Airflow connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError, SlurmSweepError
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.shell import COMMAND, Completed, Site
from airflow_slurm_sweep.tasks.ssh.login import Login, import_ssh
from airflow_slurm_sweep.tasks.ssh.node import LoginNode, read_login_node
from airflow_slurm_sweep.tasks.ssh.openssh import OpenSshSession
from airflow_slurm_sweep.tasks.ssh.output import TooMuchOutputError, converse
from airflow_slurm_sweep.tasks.ssh.pace import PACE
from airflow_slurm_sweep.tasks.ssh.refusals import (
    CONNECT_TIMEOUT,
    host_key_problem,
    login_problem,
    too_many_keys,
    unreachable,
)
from airflow_slurm_sweep.tasks.telemetry import AirflowMetrics

if TYPE_CHECKING:
    import asyncssh

# Longer than a submission waits for a lock. One that takes longer goes on, and its record is found by the next try.
COMMAND_TIMEOUT = 420.0
_MOST_TIMEOUTS = 3  # then another login node may answer: one that hangs still keeps its connections
_CHANNELS = 4  # sshd allows 10 on a connection by default, and channels that are just closing count


class _Session(Protocol):
    """An open way to a login node."""

    def is_closed(self) -> bool: ...
    async def run(self, script: str) -> Completed: ...
    def abort(self) -> None: ...
    async def close(self) -> None: ...


class _AsyncsshSession:
    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self.is_closed, self.abort = connection.is_closed, connection.abort
        self.connection = connection

    async def run(self, script: str) -> Completed:
        process = await self.connection.create_process(COMMAND, encoding=None)
        try:
            stdout, stderr = await converse(process, script)
            await process.wait_closed()
        finally:
            process.close()
        status = process.exit_status
        return Completed(exit_status=-1 if status is None else status, stdout=stdout, stderr=stderr)

    async def close(self) -> None:
        self.connection.close()
        await self.connection.wait_closed()


class SshShell:
    """Runs scripts on the login node of one Airflow connection, over one SSH connection that is kept.

    Use it as an asynchronous context manager, in one event loop. Errors: see `Shell`; a refusal of one who was let in
    before is no refusal for good.

    Attributes:
        metrics: Where logins and lost connections are counted; for others who use the cluster, too.
        login: The last try to log in; None where there was none.
    """

    def __init__(self, ssh_conn_id: str) -> None:
        self.metrics = AirflowMetrics(ssh_conn_id)
        self.login: Login | None = None
        self._ssh_conn_id = ssh_conn_id
        self._session: _Session | None = None
        self._was_let_in = False
        self._timeouts = 0  # of commands, one after the other
        self._logging_in: asyncio.Task[_Session] | None = None
        self._channels = asyncio.Semaphore(_CHANNELS)

    async def __aenter__(self) -> SshShell:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._logging_in is not None:
            self._logging_in.cancel()
            await asyncio.wait([self._logging_in])
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def run(self, script: str) -> Completed:
        """Run ``script`` in the login node's ``sh``, whatever shell the account has."""
        await self.connect()  # before they queue for channels: all get the answer of one login
        async with self._channels:
            session = await self.connect()
            import asyncssh

            try:
                async with asyncio.timeout(COMMAND_TIMEOUT):
                    done = await session.run(script)
            except (TimeoutError, TooMuchOutputError, OSError, asyncssh.Error) as error:
                self._timeouts += isinstance(error, TimeoutError)
                is_spared = isinstance(error, (asyncssh.ChannelOpenError, TooMuchOutputError, TimeoutError))
                if not is_spared or self._timeouts >= _MOST_TIMEOUTS:
                    self._drop(session)
                raise self._unavailable(error) from error
        self._timeouts = 0
        if done.exit_status < 0:  # the channel or the shell was killed
            raise self._unavailable("the command was cut off")
        return done

    async def connect(self) -> _Session:
        """Log in, unless we are logged in; concurrent callers share one login. `run` does it by itself."""
        if self._session is not None and self._session.is_closed():
            self._drop(self._session)
        if self._session is not None:
            return self._session
        if self._logging_in is None or self._logging_in.done():
            self._logging_in = asyncio.create_task(self._log_in())
            self._logging_in.add_done_callback(lambda task: task.cancelled() or task.exception())  # it is seen
        return await asyncio.shield(self._logging_in)

    async def _log_in(self) -> _Session:
        try:
            self._session = await self._open()
        except SlurmSweepError:
            self.metrics.count("logins_failed")
            raise
        self.metrics.count("logins")
        return self._session

    async def _open(self) -> _Session:
        await asyncio.to_thread(import_ssh)  # which is no half second of the event loop's
        try:
            session = await self._new_session()
        except LoginRefusedError as error:
            if not self._was_let_in:
                raise
            # A login node that has just booted may lack its users and their homes for a while; somebody may have closed
            # the master connection for a moment; without its API server Airflow knows no connection.
            raise ClusterUnavailableError(f"{error}. It let us in before, so we try again") from None
        self._was_let_in = True
        return session

    async def _new_session(self) -> _Session:
        node = await read_login_node(self._ssh_conn_id)
        if not node.control_path:
            return _AsyncsshSession(await self._connect(node))
        session = OpenSshSession(node)
        await session.check()
        return session

    async def _connect(self, node: LoginNode) -> asyncssh.SSHClientConnection:
        import asyncssh

        self.login = login = Login(node)
        await asyncio.sleep(PACE.reserve(f"{node.host}:{node.port}"))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await login.connect()
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
            raise LoginRefusedError(host_key_problem(login, error)) from error
        except asyncssh.PermissionDenied as error:
            raise LoginRefusedError(await login_problem(login)) from error
        except asyncssh.ProtocolError as error:
            if "Too many authentication failures" not in str(error):
                raise ClusterUnavailableError(unreachable(login, error)) from error
            raise LoginRefusedError(too_many_keys(login, error)) from error
        except (TimeoutError, OSError, asyncssh.Error) as error:
            if not login.reached:
                PACE.give_back(f"{node.host}:{node.port}")
            raise ClusterUnavailableError(unreachable(login, error)) from error

    def _drop(self, session: _Session) -> None:
        session.abort()
        self._timeouts = 0
        if self._session is session:
            self._session = None
            self.metrics.count("connections_lost")

    def _unavailable(self, error: object) -> ClusterUnavailableError:
        reason = str(error) or type(error).__name__
        return ClusterUnavailableError(f"Connection {self._ssh_conn_id!r}: no answer from the login node ({reason})")


@asynccontextmanager
async def slurm_client(site: Site) -> AsyncIterator[SlurmClient]:
    """Give a client of a cluster, over a connection of its own."""
    async with SshShell(site.ssh_conn_id) as shell:
        yield SlurmClient(shell, shell.metrics, site)
