"""What the triggers of `SlurmSubmitOperator` and `SlurmJobSensor` have in common; see `triggers`."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.names import RETURN_KEY
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.tasks.cancel import CANCEL_PATIENCE, is_over, states_of
from airflow_slurm_sweep.tasks.cluster import cluster_session
from airflow_slurm_sweep.tasks.installation import known_installation
from airflow_slurm_sweep.tasks.internals import drop_dag, timeout_after
from airflow_slurm_sweep.tasks.log_slots import take_lines, wait_for_slot, wait_until_read
from airflow_slurm_sweep.tasks.loop_resources import run_to_end
from airflow_slurm_sweep.tasks.operators import TIMEOUT_MARGIN, Json
from airflow_slurm_sweep.tasks.orphans import Siblings, cancelled_with_run
from airflow_slurm_sweep.tasks.requests import ask_airflow, delete_xcoms, read_xcom, set_xcom

_MOST_IDS = 50_000

log = logging.getLogger(__name__)
_ids: dict[int, int] = {}  # hashes of the task instances whose triggers began here, by those of place and try


def _has_another_id(task: Any) -> bool:
    """Return whether a task instance had another id when a trigger of the same try began here.

    Clearing a deferred task gives it another id at once, and its next try when it is deferred again. Until then, which
    may take days where the run waits for approval, Airflow begins its old trigger anew each time that it ends.
    """
    place, own = hash((task.dag_id, task.run_id, task.task_id, task.map_index, task.try_number)), hash(str(task.id))
    has_other = _ids.pop(place, own) != own
    _ids[place] = own
    if len(_ids) > _MOST_IDS:
        del _ids[next(iter(_ids))]
    return has_other


class TaskTrigger(BaseTrigger):
    """Does the whole work of a task instance, and cancels its job if a user ends the task before.

    Args:
        job: The job as it stands in the Dag file, as JSON, with its Jinja templates; None where ``source`` names it.
        source: A `JobSource` as JSON.
        partner: The other task of the pair that submits and waits.
    """

    _arguments: tuple[str, ...] = ("job", "source", "partner")
    _keys: tuple[str, ...] = ()  # of the XComs that it may leave

    def __init__(self, job: Json | str | None = None, source: Json | None = None, partner: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.job, self.source, self.partner = job, source, partner
        self._installation = ""
        self._siblings: Siblings | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in self._arguments}

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the job of the Dag file, if there is one, and release the Dag."""
        if self.job is not None:
            super().render_template_fields(context, jinja_env)
        drop_dag(self, context)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event that ends the task. An exception would send the task to a worker."""
        take_lines()
        try:
            self._installation = await known_installation()
            is_retry, has_another_id = self._task.try_number > 1, _has_another_id(self._task)
            if (is_retry or has_another_id) and not await self._is_deferred():
                log.info("The task was cleared or has ended; this trigger belongs to its earlier try and does nothing")
                await asyncio.Event().wait()  # until Airflow drops it
            if is_retry:  # as Airflow does where a worker starts a task
                await delete_xcoms(self._task, *self._keys)
            event = await self._work()
        except Exception as error:
            await wait_for_slot()
            if isinstance(error, SlurmSweepError):
                log.error("%s%s", error, self._advice(error))
            else:
                log.exception("Unexpected error%s", self._advice(error))
            event = TaskFailedEvent()
        await wait_until_read()
        yield event

    async def on_kill(self) -> None:
        """Cancel the job, unless the task was cleared, or another triggerer took it over."""
        # Airflow cancels this method within about 1 s, so the job is cancelled in a shielded task.
        await asyncio.shield(run_to_end(self._cancel_unless_alive()))

    async def _cancel_unless_alive(self) -> None:
        if await self._has_nothing_to_cancel():
            return
        task_id, map_index = self._task.task_id, self._task.map_index
        try:
            states = await ask_airflow(states_of, self._task, [task_id], map_index, patience=CANCEL_PATIENCE)
            was_ended = "success" in states.values() and await self.has_left(RETURN_KEY)
        except SlurmSweepError as error:
            log.error(
                "Airflow did not say whether the task still runs, so its job is not cancelled: %s%s",
                error,
                self._advice(error),
            )
            return
        if not is_over(states, task_id, map_index):
            log.info("The task lives (%s): its job is left alone", *states.values())
        elif was_ended:
            log.info("Another triggerer has ended the task: its job is left alone")
        else:
            await self._cancel()

    async def has_left(self, key: str) -> bool:
        """Return whether the task ended by itself and left this XCom; a task that a person marked leaves none."""
        task = self._task
        return await read_xcom(task, task.task_id, key, task.map_index, patience=CANCEL_PATIENCE) is not None

    async def _has_nothing_to_cancel(self) -> bool:
        """Return whether there is no job, or it was cancelled with all others because somebody stopped the Dag run."""
        return False

    async def _cancelled_with_run(self, site: Site) -> frozenset[str] | None:
        """Return the jobs that were cancelled together because somebody stopped the Dag run; None if nobody did."""
        if self._siblings is None:
            return None
        try:
            async with cluster_session(site) as cluster:
                return await cancelled_with_run(cluster.client, self._siblings)
        except SlurmSweepError:
            return None  # no answer: each job is cancelled as if it were alone, with patience

    @abstractmethod
    async def _work(self) -> TriggerEvent:
        """Return how the task ended."""

    @abstractmethod
    async def _cancel(self) -> None:
        """Cancel the job, whose task is over."""

    @abstractmethod
    def _advice(self, error: Exception) -> str:
        """Return what to add to an error."""

    async def _is_deferred(self) -> bool:
        task = self._task
        states = await ask_airflow(states_of, task, [task.task_id], task.map_index)
        return "deferred" in states.values()

    @property
    def _task(self) -> Any:
        return self.task_instance

    def _seconds_left(self) -> float | None:
        """Return how long the task may go on; None for any time. A triggerer that takes over keeps the moment."""
        moment = timeout_after(self)
        return None if moment is None else max(0.0, (moment - TIMEOUT_MARGIN - datetime.now(UTC)).total_seconds())

    async def _end(
        self, event: type[TaskSuccessEvent | TaskFailedEvent | TaskSkippedEvent], xcoms: Mapping[str, Any]
    ) -> TriggerEvent:
        """Return the event that ends the task with these XComs.

        Those of a mapped task travel in the event, which costs no request, and their readers get JSON text. A task that
        is not mapped, or whose Airflow has an XCom backend of its own, sets them itself: its readers get values.
        """
        if self._task.map_index not in (None, -1) and XCom is BaseXCom:  # no backend of the site's own, which encodes
            return event(xcoms=dict(xcoms))
        for key, value in xcoms.items():
            await set_xcom(self._task, key, value)
        return event()
