"""Trying again while the cluster says "not now"."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError, NotYetError, SlurmSweepError

PATIENCE = 86400.0
_FIRST_PAUSE = 3.0
_LONGEST_PAUSE = 30.0

Result = TypeVar("Result")
WaitForSlot: TypeAlias = Callable[[], Awaitable[None]]
log = logging.getLogger(__name__)


async def no_wait() -> None:
    """Return at once: the `WaitForSlot` of a log that takes any number of lines."""


async def patiently(
    ask: Callable[[], Awaitable[Result]],
    patience: float,
    wait_for_slot: WaitForSlot = no_wait,
    *,
    even_if_refused: bool = False,
) -> Result:
    """Return what ``ask`` returns, calling it again until it answers; each new reason to wait is logged once.

    Args:
        ask: Raises `ClusterUnavailableError` while the answer is "not now".
        patience: Seconds after which its error is raised; but `NotYetError` is waited out for good.
        wait_for_slot: Awaited before each line of the log: a thousand may wait for the same cluster.
        even_if_refused: Whether a refused login is "not now" too: a job lives, and the login may be mended before it
            ends.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    pause, logged = _FIRST_PAUSE, set[str]()
    not_now: tuple[type[SlurmSweepError], ...] = (ClusterUnavailableError,)
    not_now += (LoginRefusedError,) if even_if_refused else ()
    while True:
        try:
            return await ask()
        except not_now as error:
            if isinstance(error, NotYetError):
                end = loop.time() + patience
            elif loop.time() > end:
                raise ClusterUnavailableError(f"waited {patience:.0f} s for the cluster; {error}") from None
            if (reason := str(error)) not in logged:  # two may take turns
                logged.add(reason)
                await wait_for_slot()
                log.info("Waiting: %s", reason)
        # Not all callers at the same moment.
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  # no secret
        pause = min(_LONGEST_PAUSE, pause * 1.5)
