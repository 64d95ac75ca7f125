"""The plain way in Airflow, to compare with: sbatch through `SSHHook`, and a deferrable sensor that asks squeue itself.

What a careful user writes in an afternoon with the SSH provider: each trigger keeps one connection, as the provider's
own `SSHRemoteJobTrigger` does, looks every few seconds and outlives a connection that fails. Nothing is shared, nothing
is cancelled, and an answer that is lost after sbatch makes a second job.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncssh
from airflow.providers.ssh.hooks.ssh import SSHHook, SSHHookAsync
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, Context, Param, task, task_group
from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

_ACTIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")


class PlainSubmitOperator(BaseOperator):
    """Submits a job and returns its id.

    Args:
        ssh_conn_id: The login node.
        arguments: For sbatch: options and the script.
        number: Of the job.
    """

    template_fields = ("arguments", "number")

    def __init__(self, *, ssh_conn_id: str, arguments: str, number: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ssh_conn_id = ssh_conn_id
        self.arguments = arguments
        self.number = number

    def execute(self, context: Context) -> str:  # noqa: ARG002
        """Submit."""
        hook = SSHHook(ssh_conn_id=self.ssh_conn_id)
        command = f"sbatch --parsable --job-name=plain_{self.number} {self.arguments}"
        with hook.get_conn() as client:
            status, answer, errors = hook.exec_ssh_client_command(client, command, get_pty=False, environment=None)
        if status:
            raise AirflowException(f"{command}: exit code {status}: {errors.decode()}")
        return answer.decode().strip()


class PlainJobSensor(BaseSensorOperator):
    """Waits for a job in the triggerer.

    Args:
        ssh_conn_id: The login node.
        job_id: Slurm's.
    """

    template_fields = ("job_id",)

    def __init__(self, *, ssh_conn_id: str, job_id: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ssh_conn_id = ssh_conn_id
        self.job_id = job_id

    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Wait."""
        trigger = PlainJobTrigger(self.ssh_conn_id, self.job_id, self.poke_interval)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: str) -> None:  # noqa: ARG002
        """End as the job did."""
        if event != "COMPLETED":
            raise AirflowException(f"job {self.job_id}: {event}")


class PlainJobTrigger(BaseTrigger):
    """Asks for the state of one job again and again, over a connection of its own."""

    def __init__(self, ssh_conn_id: str, job_id: str, interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ssh_conn_id = ssh_conn_id
        self.job_id = job_id
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to make it again."""
        arguments = {"ssh_conn_id": self.ssh_conn_id, "job_id": self.job_id, "interval": self.interval}
        return f"{__name__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the final state."""
        while True:
            try:
                async with await SSHHookAsync(ssh_conn_id=self.ssh_conn_id).get_conn() as connection:
                    yield TriggerEvent(await self._end(connection))
                    return
            except (OSError, asyncssh.Error):
                await asyncio.sleep(self.interval)

    async def _end(self, connection: asyncssh.SSHClientConnection) -> str:
        while True:
            command = f"squeue --noheader --states=all --format=%T --jobs={self.job_id}"
            answer = await connection.run(command)
            state = str(answer.stdout).strip()
            if answer.exit_status == 0 and state not in _ACTIVE:
                return state
            await asyncio.sleep(self.interval)


def plain_dag(dag_id: str, ssh_conn_id: str, interval: float) -> DAG:
    """Return the Dag; its runs take ``size`` and sbatch's ``arguments``."""
    params = {"size": Param(1, type="integer"), "arguments": Param("", type="string")}
    with DAG(dag_id, schedule=None, params=params) as dag:

        @task
        def numbers(params: Any = None) -> list[int]:
            return list(range(1, params["size"] + 1))

        @task_group
        def combination(number: int) -> None:
            submit = PlainSubmitOperator(
                task_id="submit", ssh_conn_id=ssh_conn_id, arguments="{{ params.arguments }}", number=number
            )
            PlainJobSensor(task_id="wait", ssh_conn_id=ssh_conn_id, job_id=submit.output, poke_interval=interval)

        combination.expand(number=numbers())
    return dag
