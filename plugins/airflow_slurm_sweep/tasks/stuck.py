"""Notifications about jobs that Slurm will not start, from the triggerer, once for each Dag run and reason."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from airflow.sdk import Context
from airflow.sdk.bases.xcom import BaseXCom
from asgiref.sync import sync_to_async

from airflow_slurm_sweep.names import PLAN, STUCK_KEY_PREFIX
from airflow_slurm_sweep.slurm.reasons import explained
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.notify import Notification
from airflow_slurm_sweep.tasks.orphans import Siblings

Notifications: TypeAlias = Sequence[Mapping[str, Any]]  # the notifier and the arguments of each

log = logging.getLogger(__name__)


async def notify_stuck(siblings: Siblings, notifications: Notifications, reason: str, job_id: str) -> None:
    """Notify that Slurm will not start jobs of a Dag run for this reason, unless a triggerer has done so before.

    Args:
        siblings: The run's tasks.
        notifications: Whom to notify.
        reason: Slurm's.
        job_id: The first such job.
    """
    run: dict[str, Any] = {"dag_id": siblings.dag_id, "run_id": siblings.run_id}
    place = {
        **run,
        "task_id": PLAN,
        "map_index": -1,
        "key": f"{STUCK_KEY_PREFIX}{re.sub(r'[^A-Za-z0-9]+', '_', reason)[:100]}",
    }
    text = (
        f"{siblings.dag_id} {siblings.run_id}: jobs will not start without help ({explained(reason)}). "
        f"The first of them is job {job_id}"
    )
    try:
        await wait_for_slot()
        if await sync_to_async(BaseXCom.get_one)(**place) is not None:
            return
        await sync_to_async(BaseXCom.set)(value=job_id, **place)
        for each in notifications:
            send = Notification(each["notifier"], each["arguments"], lambda _: text)
            await asyncio.to_thread(send, cast("Context", {"ti": siblings}))
    except Exception as error:  # of anybody's code
        log.warning("The notification that jobs will not start (%s) was not sent: %s", reason, error)
