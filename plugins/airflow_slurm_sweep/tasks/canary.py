"""Canaries: the first combinations of a Dag run, which end before any other is submitted.

Airflow's states of a canary's two tasks tell its end, whatever ended it: the cluster refused its job, the job or its
chain failed, or a person marked a task. One question each few seconds serves all tasks of the run that wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks.cancel import OVER
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot
from airflow_slurm_sweep.tasks.loop_resources import LoopResources, repeat, running
from airflow_slurm_sweep.tasks.orphans import Siblings

INTERVAL = 5.0

log = logging.getLogger(__name__)


def has_succeeded(states: Mapping[str, Any], pair: Siblings, index: int) -> bool | None:
    """Return whether a canary has succeeded, by the answer of `states_of`; None while that is open.

    A task that Airflow has not made yet has no state.
    """
    for task_id in (pair.submit, pair.wait):
        state = states.get(f"{task_id}_{index}")
        if state != "success":
            return False if state in OVER else None
    return True


def skipped(request: JobRequest, canary: str) -> dict[str, Any]:
    """Return the XCom of a combination that is skipped because a canary, a job's name, did not succeed."""
    return {"index": request.index, "why": f"the canary {canary} did not succeed"}


class _Verdict(NamedTuple):
    is_open: bool
    failed: int | None = None  # the map index of a canary that did not succeed


class CanaryWatch:
    """Looks at the canaries of one Dag run, in a triggerer."""

    def __init__(self, pair: Siblings, canaries: Sequence[int]) -> None:
        self._pair, self._canaries = pair, canaries
        self._next = asyncio.get_running_loop().create_future()  # the verdict of the look that comes
        self._warned = False

    async def look(self) -> None:
        """Look, and tell those who came before."""
        # A caller that arrives during a look waits for the next one: somebody may have cleared the tasks meanwhile.
        verdict, self._next = self._next, asyncio.get_running_loop().create_future()
        verdict.set_result(await self._verdict())

    async def failed(self) -> int | None:
        """Wait for the canaries; return the map index of one that did not succeed, None if all have succeeded."""
        while True:
            verdict: _Verdict = await asyncio.shield(self._next)
            if not verdict.is_open:
                return verdict.failed

    async def _verdict(self) -> _Verdict:
        try:
            found = [has_succeeded(await self._pair.states(index), self._pair, index) for index in self._canaries]
        except Exception:
            if not self._warned:
                log.exception("The states of the canaries are unknown, asking again")
            self._warned = True
            return _Verdict(is_open=True)
        if False in found:
            return _Verdict(is_open=False, failed=self._canaries[found.index(False)])
        return _Verdict(is_open=None in found)


@asynccontextmanager
async def _watching(key: tuple[Siblings, tuple[int, ...]]) -> AsyncIterator[CanaryWatch]:
    watch = CanaryWatch(*key)
    async with running(repeat(watch.look, INTERVAL)):
        yield watch


_watches = LoopResources(_watching)


async def failed_canary(pair: Siblings, canaries: Sequence[int]) -> int | None:
    """Wait for the canaries of a Dag run, by their map indices, as `CanaryWatch.failed` does."""
    async with _watches.use((pair._replace(folder=""), tuple(canaries))) as watch:  # one for all folders
        return await watch.failed()


async def why_skipped(request: JobRequest, pair: Siblings, canaries: Mapping[int, str]) -> dict[str, Any] | None:
    """Wait for canaries, given as job names by map index; return what `skipped` does, None for a job to submit."""
    await wait_for_slot()
    log.info("Waiting until %s ended", " and ".join(canaries.values()))
    if (failed := await failed_canary(pair, [*canaries])) is None:
        return None
    found = skipped(request, canaries[failed])
    await wait_for_slot()
    log.warning("%s is not submitted: %s", request.name, found["why"])
    return found
