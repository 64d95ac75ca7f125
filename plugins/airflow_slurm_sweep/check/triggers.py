"""The login from the triggerer, where sweeps log in: it may have other keys, names and routes than a worker."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

from airflow_slurm_sweep.check.operator import check_login_of
from airflow_slurm_sweep.names import RETURN_KEY
from airflow_slurm_sweep.tasks.log_slots import take_lines, wait_until_read

log = logging.getLogger(__name__)


class CheckLoginTrigger(BaseTrigger):
    """Logs in at the login node of a profile; the event carries the findings.

    Args:
        profile: The profile's name.
        include: The folder that holds clusters/.
    """

    def __init__(self, profile: str, include: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.profile, self.include = profile, include

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"profile": self.profile, "include": self.include}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event that ends the task."""
        take_lines()
        event: TriggerEvent = TaskFailedEvent()
        try:
            found, failed = await check_login_of(self.profile, self.include, log)
            xcoms: dict[str, Any] = {RETURN_KEY: [str(finding) for finding in found]}
            event = TaskFailedEvent(xcoms=xcoms) if failed else TaskSuccessEvent(xcoms=xcoms)
        except Exception as error:  # it would send the task to a worker
            log.exception(str(error))
        await wait_until_read()
        yield event
