"""The jobs of a Dag run in a triggerer: read once for all tasks of the run.

Each request to Airflow takes its triggerer some 50 ms, in which it does nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import APPROVE, ATTEMPT_KEY, CONSENT_KEY, PLAN, RETURN_KEY, SCRIPT_KEY, SEARCH_KEY
from airflow_slurm_sweep.planned import canaries, planned_job
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.recipe import Search
from airflow_slurm_sweep.tasks.job_source import JobSource, read_job
from airflow_slurm_sweep.tasks.loop_resources import LoopResources
from airflow_slurm_sweep.tasks.requests import ask_airflow, read_xcom
from airflow_slurm_sweep.tasks.secrets import with_secrets

LINGER = 60.0  # seconds for which a plan is kept for the run's next task
BURST = 1.0  # seconds for which the plan's attempt is kept; the tasks of a cleared plan start later than that


class _Key(NamedTuple):
    dag_id: str
    run_id: str
    source: JobSource
    attempt: str = ""  # which try of the task left the jobs; another try may leave others


class PlannedJobs:
    """The jobs that a Dag run's tasks submit: a `JobRequest` as JSON for each map index.

    ``script`` is the batch script of those that name none; ``canaries`` has the names of the run's canaries by
    their map indices, ``search`` proposes the parameters of a searched run.
    """

    def __init__(self, jobs: list[Any], script: str | None, search: str | None = None) -> None:
        self._jobs, self._script = jobs, script
        self.search = Search.from_text(search) if search else None
        self.canaries = {index: str(jobs[index].get("name")) for index in canaries(jobs)}
        self._secrets: dict[str, str] = {}
        self._secrets_at = 0.0
        self._asking = asyncio.Lock()

    def request(self, map_index: int) -> JobRequest:
        """Return the job of a map index.

        Raises:
            SettingsError: There is none, or it is no job.
        """
        job = planned_job(self._jobs, map_index)
        if job is None:
            raise SettingsError(f"The plan has {len(self._jobs)} jobs, and none for the map index {map_index}")
        return read_job(JobRequest, job).with_script(self._script)

    async def with_secrets(self, request: JobRequest) -> JobRequest:
        """Return a job with the values of its secrets; Airflow is asked for each once in `LINGER` seconds.

        A plan is in use while any task of its run waits for its turn, and people change secrets meanwhile.
        """
        if not request.secrets:
            return request
        async with self._asking:
            if time.monotonic() - self._secrets_at > LINGER:
                self._secrets, self._secrets_at = {}, time.monotonic()
            if self._secrets.keys() >= set(request.secrets.values()):
                return with_secrets(request, self._secrets)
            return await ask_airflow(with_secrets, request, self._secrets)


@asynccontextmanager
async def _read_plan(key: _Key) -> AsyncIterator[PlannedJobs]:
    task_id, field = key.source.task_id, key.source.field
    jobs = await read_xcom(key, task_id, key.source.key)
    # Airflow takes up a changed sweep file in the middle of a run: `approve` may come or go.
    if task_id == PLAN and await read_xcom(key, PLAN, CONSENT_KEY):
        task_id, jobs = APPROVE, await read_xcom(key, APPROVE, RETURN_KEY)
        if jobs is None:
            raise SettingsError(
                "the run needs approval, but its Dag has no task approve: `approve` was set after Airflow had read the "
                "sweep file, or was removed since. Start the sweep again in a minute"
            )
    elif task_id == APPROVE and jobs is None and not await read_xcom(key, PLAN, CONSENT_KEY):
        task_id, jobs = PLAN, await read_xcom(key, PLAN, RETURN_KEY)
    if not isinstance(jobs, list):
        raise SettingsError(f"The task {task_id!r} left no list of jobs: see its log")
    if field is not None:
        jobs = [job.get(field) if isinstance(job, dict) else None for job in jobs]
    search = await read_xcom(key, PLAN, SEARCH_KEY) if jobs and "trial" in (planned_job(jobs, 0) or ()) else None
    yield PlannedJobs(jobs, await read_xcom(key, task_id, SCRIPT_KEY), search)


@asynccontextmanager
async def _read_attempt(key: _Key) -> AsyncIterator[str]:
    yield str(await read_xcom(key, key.source.task_id, ATTEMPT_KEY) or "")


_plans, _attempts = LoopResources(_read_plan, linger=LINGER), LoopResources(_read_attempt, linger=BURST)


@asynccontextmanager
async def run_plan(task: Any, source: JobSource) -> AsyncIterator[PlannedJobs]:
    """Give the plan that a trigger's task instance belongs to; ``source`` is the list that the group is mapped over.

    If the task ``plan`` is cleared, the old triggers live on for a while, and use the old plan. So a plan's key is the
    Dag run and the attempt that left it: Airflow does not tell a trigger how often ``plan`` was cleared.
    """
    key = _Key(task.dag_id, task.run_id, source)
    async with _attempts.use(key) as attempt:
        pass
    # A list of somebody's own task says nothing of its attempt: each try of the mapped tasks reads it.
    async with _plans.use(key._replace(attempt=attempt or str(task.try_number))) as plan:
        yield plan


async def xcom_of(task: Any, source: JobSource) -> Any:
    """Return the XCom that holds the one job of a task instance.

    Raises:
        SettingsError: There is none.
    """
    found = await read_xcom(task, source.task_id, source.key, task.map_index if source.is_mapped else -1)
    if found is None:
        raise SettingsError(f"The task {source.task_id!r} has left no job: see its log")
    return found
