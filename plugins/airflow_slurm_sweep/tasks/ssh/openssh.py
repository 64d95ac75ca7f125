"""Commands over an OpenSSH master connection that a person has opened: for hosts that want a second factor.

ssh -M -S ~/.ssh/slurm.socket -o ControlPersist=yes -fN me@login.example.org
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress

from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError
from airflow_slurm_sweep.slurm.shell import COMMAND, Completed
from airflow_slurm_sweep.tasks.ssh.node import LoginNode
from airflow_slurm_sweep.tasks.ssh.output import converse
from airflow_slurm_sweep.tasks.ssh.refusals import CONNECT_TIMEOUT

_SSH_ERROR = 255  # the exit status of ssh itself


class OpenSshSession:
    """Runs commands over the master connection behind a socket; it never logs in by itself."""

    def __init__(self, node: LoginNode) -> None:
        # Where there is no master, ssh would log in itself: this proxy does not let it.
        options = ["ControlMaster=no", "BatchMode=yes", "ProxyCommand=false", "LogLevel=ERROR"]
        # Nor does it do what ~/.ssh/config asks for when a person logs in.
        options += ["RemoteCommand=none", "RequestTTY=no", "ClearAllForwardings=yes"]
        port = ["-p", str(node.port)] if node.port else []
        self._ssh = ["ssh", "-S", str(node.control_path), *(f"-o{option}" for option in options), *port]
        self._node = node

    async def check(self) -> None:
        """Raise `LoginRefusedError` if there is no master behind the socket, `ClusterUnavailableError` if it hangs."""
        process = await asyncio.create_subprocess_exec(
            *self._ssh, "-O", "check", self._node.account, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, said = await process.communicate()
        except TimeoutError:
            raise ClusterUnavailableError(
                f"Connection {self._node.conn_id!r}: the OpenSSH connection behind its `control_path` gave no answer "
                f"within {CONNECT_TIMEOUT:.0f} s. If it stays so, end its ssh process and open it anew"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode:
            raise LoginRefusedError(
                f"Connection {self._node.conn_id!r}: no OpenSSH connection is open behind its `control_path` "
                f"({said.decode(errors='replace').strip()}). Open it, on this machine and as this user: "
                f"{self._node.master_command}"
            )

    def is_closed(self) -> bool:
        """Whether nothing more can be run; a socket that is gone is noticed by the next command."""
        return False

    async def run(self, script: str) -> Completed:
        """Run a script."""
        process = await asyncio.create_subprocess_exec(
            *self._ssh, self._node.account, COMMAND, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            stdout, stderr = await converse(process, script)
            status = await process.wait()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        if status == _SSH_ERROR:
            raise ConnectionError(stderr.strip() or "ssh ended")
        return Completed(exit_status=status, stdout=stdout, stderr=stderr)

    def abort(self) -> None:
        """Do nothing: the connection is another's."""

    async def close(self) -> None:
        """Do nothing: the connection is another's."""
