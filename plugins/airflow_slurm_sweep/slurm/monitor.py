"""One question per tick for all jobs that anybody waits for on one cluster."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta

from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.patience import PATIENCE, WaitForSlot, no_wait
from airflow_slurm_sweep.slurm.queue import failed_elements, has_name, with_wholes
from airflow_slurm_sweep.slurm.reasons import explained
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.waiter import Waiter

INTERVAL = 10.0  # seconds
GRACE = 120.0  # seconds
_PAUSES = (1.0, 2.0, 3.0, 5.0)  # seconds between two questions, after a change; then the interval
_AT_ONCE = 50  # waiters that are woken before the event loop's other tasks go on
_LOAD = 5  # a pause is never shorter than this many times what the last questions took

log = logging.getLogger(__name__)


class Monitor:
    """Watches the jobs of one cluster; lives in one event loop and asks only while somebody waits.

    Args:
        client: The cluster.
        interval: Seconds between two questions while nothing changes.
        grace: Seconds after which a job that Slurm does not know is lost, and after which a job that was preempted or
            lost its node has ended: until then Slurm may queue it again.
        patience: Seconds without an answer after which all waiters get a `ClusterUnavailableError`.
        wait_for_slot: Awaited before each line about a job: a tick may bring thousands.
    """

    def __init__(
        self,
        client: SlurmClient,
        *,
        interval: float = INTERVAL,
        grace: float = GRACE,
        patience: float = PATIENCE,
        wait_for_slot: WaitForSlot = no_wait,
    ) -> None:
        self._client, self._metrics, self._wait_for_slot = client, client.metrics, wait_for_slot
        self._interval, self._grace, self._patience = interval, grace, patience
        self._waiters: dict[Waiter, None] = {}  # in the order of their coming
        self._ended: dict[Waiter, JobStatus] = {}
        self._task: asyncio.Task[None] | None = None
        self._silence: set[str] = set()  # why there is no answer, each reason once
        self._trouble = ""  # what sacct said in place of an answer
        self._answered = 0.0
        self._changes: dict[Waiter, JobStatus] = {}  # not logged yet; a later one of the same job replaces it
        self._logging: asyncio.Task[None] | None = None
        self._reported: dict[JobState, None] = {}  # states that have a gauge
        self._queue: Mapping[str, JobStatus] = {}
        self._ticked = asyncio.Event()
        self._calm_ticks = 0  # since the last change
        self._job_came = asyncio.Event()

    async def tick(self) -> Mapping[str, JobStatus]:
        """Return what the next squeue says of all of the user's jobs, by job id; never while nobody waits."""
        await self._ticked.wait()
        return self._queue

    async def wait(self, job: SubmittedJob) -> JobStatus:
        """Wait until the job has ended and return how. A cluster that is silent is asked for ``patience`` seconds."""
        waiter = Waiter(job=job, final=asyncio.get_running_loop().create_future(), context=copy_context())
        self._waiters[waiter] = None
        self._calm_ticks = 0
        self._job_came.set()
        if self._task is None or self._task.done():
            self._answered = time.monotonic()
            self._task = asyncio.create_task(self._watch())
        try:
            return await waiter.final
        finally:
            del self._waiters[waiter]
            self._changes.pop(waiter, None)
            if not self._waiters and self._task is not None:
                self._task.cancel()
                self._task = None  # it may take a while to end: the next waiter starts another one
                self._report_counts({})  # nobody asks any more

    async def _watch(self) -> None:
        # After a restart all triggerers begin at once: they shall not ask at the same moments from then on.
        await asyncio.sleep(random.uniform(0, min(_PAUSES[0], self._interval)))  # noqa: S311  # no secret
        took = 0.0
        while True:
            began, before = time.monotonic(), took
            try:
                await self._tick()
                if self._silence:
                    self._log(logging.INFO, "The cluster answers again")
                self._silence.clear()
                self._answered = time.monotonic()
            except (ClusterUnavailableError, LoginRefusedError) as error:  # the jobs live on
                if str(error) not in self._silence:
                    self._log(logging.WARNING, "No answer from the cluster, asking on: %s", error)
                self._silence.add(str(error))
                self._metrics.count("ticks_unanswered")
                if time.monotonic() - self._answered > self._patience:
                    self._give_up(ClusterUnavailableError(f"no answer for {self._patience:.0f} s; {error}"))
                    return
            except Exception as error:  # no caller awaits this task: those who wait for jobs get the error
                self._give_up(error)
                return
            took = time.monotonic() - began
            self._metrics.time("tick", took)
            await self._wake_waiters()
            # One slow answer may be that of a connection that was just made.
            await self._pause(_LOAD * min(took, before))

    async def _pause(self, least: float) -> None:
        """Pause between two questions: shortly after a change, for the interval when all is calm."""
        began = asyncio.get_running_loop().time()
        while True:
            planned = _PAUSES[self._calm_ticks] if self._calm_ticks < len(_PAUSES) else self._interval
            self._job_came.clear()
            try:
                async with asyncio.timeout_at(began + max(least, min(planned, self._interval))):
                    await self._job_came.wait()  # which shortens the pause
            except TimeoutError:
                break
        self._calm_ticks += 1

    def _log(self, level: int, text: str, *arguments: object) -> None:
        """Log what concerns all waiters into the log of the task that has waited longest."""
        for waiter in self._open()[:1]:
            waiter.context.run(log.log, level, text, *arguments)

    def _open(self) -> list[Waiter]:
        return [waiter for waiter in self._waiters if not waiter.final.done()]

    def _give_up(self, error: Exception) -> None:
        for waiter in self._open():
            waiter.final.set_exception(error)

    async def _tick(self) -> None:
        asked = self._open()  # a job that was submitted after squeue's answer is no missing job
        began = time.monotonic()
        self._queue = await self._client.queue(elements=any("_" in waiter.job.job_id for waiter in asked))
        now = time.monotonic()
        ticked, self._ticked = self._ticked, asyncio.Event()
        ticked.set()
        self._metrics.time("squeue", now - began)
        self._report_counts(self._queue)
        # A number may be another job's by now, and a site may rename a job: `look_up` tells them apart.
        shown = with_wholes(self._queue)
        found = {
            waiter: status
            for waiter in asked
            if (status := shown.get(waiter.job.job_id)) and has_name(waiter.job, status)
        }
        failed = failed_elements(self._queue)
        for waiter in found:
            waiter.failed = failed.get(waiter.job.job_id, waiter.failed)
        if ended := [status for waiter, status in found.items() if self._note(waiter, status, now)]:
            self._calm_ticks = 0
            chained = [waiter.job.job_id for waiter in found if waiter.job.request]
            ends = await self._client.with_exit_codes(ended, chained)
            self._ended |= {waiter: ends[waiter.job.job_id] for waiter in found if waiter.job.job_id in ends}
        await self._cancel_overdue({waiter: status for waiter, status in found.items() if waiter.is_overdue(status)})
        if gone := [waiter for waiter in asked if waiter not in found]:
            await self._look_up(gone)
        if self._changes and (self._logging is None or self._logging.done()):
            self._logging = asyncio.create_task(self._log_changes())

    def _note(self, waiter: Waiter, status: JobStatus, now: float) -> bool:
        """Note what squeue shows of a job; return whether the job has ended."""
        waiter.missing_since = None
        if waiter.seen is None or (status.state, status.reason) != (waiter.seen.state, waiter.seen.reason):
            self._changes[waiter] = status
            self._calm_ticks = 0
            waiter.seen_since = now
        elif status.pending and status.pending.starts_in is not None and not waiter.has_start:
            self._changes[waiter] = status
        waiter.seen = status
        if not (status.pending or status.state.is_final):
            waiter.overdue = ""  # it has started after all: scancel spares it
        lasts = now - waiter.seen_since >= self._grace
        has_ended = status.state.is_final or (lasts and status.state.is_final_if_it_lasts)
        if has_ended:
            self._changes.pop(waiter, None)  # the waiting task logs the end
        return has_ended

    def _report_counts(self, queue: Mapping[str, JobStatus]) -> None:
        """Report the numbers of live jobs by state, also of the states that no job is in any more."""
        counts = Counter(status.state for status in queue.values() if not status.state.is_final)
        self._reported |= dict.fromkeys(counts)
        for state in self._reported:
            self._metrics.gauge(f"jobs.{state.value.lower()}", counts[state])

    async def _log_changes(self) -> None:
        """Log the jobs' changes, each in the context of the task that waits."""
        while self._changes:
            await self._wait_for_slot()
            if self._changes:
                waiter = next(iter(self._changes))
                waiter.context.run(waiter.log_change, self._changes.pop(waiter))

    async def _cancel_overdue(self, overdue: Mapping[Waiter, JobStatus]) -> None:
        """Cancel jobs that wait for longer than their ``queue_limit``; squeue tells later whether they are gone."""
        for waiter, status in overdue.items():
            if not waiter.overdue:
                limit = timedelta(seconds=waiter.job.queue_limit or 0)
                waiter.overdue = f"queue_limit: {status.text} for more than {limit}; {explained(status.reason)}"
                await self._wait_for_slot()
                waiter.context.run(log.warning, "Job %s is cancelled by its %s", status.job_id, waiter.overdue)
        try:
            if overdue:
                await self._client.cancel_queued([status.job_id for status in overdue.values()])
        except ClusterUnavailableError as error:  # other jobs are waited for all the same
            text = "Jobs that have reached their queue_limit are not cancelled yet, trying again: %s"
            self._log(logging.WARNING, text, error)

    async def _look_up(self, gone: Sequence[Waiter]) -> None:
        found, trouble = await self._client.look_up([waiter.job for waiter in gone])
        if trouble and trouble != self._trouble and len(found) < len(gone):
            self._log(logging.WARNING, "Not all ended jobs are known yet, asking on: %s", trouble)
        self._trouble = trouble
        for waiter in gone:
            status = found.get(waiter.job.job_id)
            if status is None and waiter.seen is not None and waiter.seen.state.is_final_once_gone:
                status = waiter.seen
            if status is None:
                status = waiter.missing(trouble, grace=self._grace, patience=self._patience)
            if status is not None and status.state.is_final_once_gone:
                self._ended[waiter] = status
            elif status is not None:
                waiter.missing_since = None  # the controller knows it

    async def _wake_waiters(self) -> None:
        """Wake those whose jobs have ended."""
        for state, number in Counter(status.state for status in self._ended.values()).items():
            self._metrics.count(f"jobs_ended.{state.value.lower()}", number)
        for number, waiter in enumerate(list(self._ended), start=1):
            status = self._ended.pop(waiter)
            if status.queued is None and waiter.seen is not None:
                status = replace(status, queued=waiter.seen.queued)
            if waiter.failed and status.state.is_success:
                status = waiter.failed
            if waiter.overdue and status.state is JobState.CANCELLED:
                status = replace(status, reason=waiter.overdue)
            if not waiter.final.done():
                waiter.final.set_result(status)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
