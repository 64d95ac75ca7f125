"""Trials of a search: each gets its parameters when its turn comes, from the results that lie on the cluster.

Nothing is remembered here that the files there do not say. So it does not matter which triggerer proposes, or how often
it dies: a proposal counts if it knew all proposals before it, which submit.sh checks under the run's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from airflow_slurm_sweep.errors import StaleError
from airflow_slurm_sweep.search.trial import State, Trial
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.proposals import Proposals
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.recipe import Search
from airflow_slurm_sweep.tasks.cluster import ClusterSession, Resolve
from airflow_slurm_sweep.tasks.loop_resources import LoopResources

# Ends that say nothing of the parameters.
_LEFT_OUT = {
    JobState.CANCELLED,
    JobState.LOST,
    JobState.NODE_FAIL,
    JobState.PREEMPTED,
    JobState.BOOT_FAIL,
    JobState.REVOKED,
}


@asynccontextmanager
async def _turnstile(run: str) -> AsyncIterator[asyncio.Lock]:
    del run
    yield asyncio.Lock()


_turnstiles = LoopResources(_turnstile)


async def submit_trial(
    cluster: ClusterSession, job: JobRequest, attempt: Attempt, *, search: Search, resolve: Resolve
) -> SubmittedJob:
    """Submit a trial as soon as there is a place for it, with the parameters that are proposed then.

    The trials of a Dag run come one after the other: each knows those before it. One that has its parameters already,
    after a clear or in another triggerer, keeps them.
    """
    async with _turnstiles.use(attempt.run) as turn, turn:

        async def ask() -> SubmittedJob:
            known = await cluster.run.proposals(job, attempt)
            proposed = await asyncio.to_thread(_proposed, search, known, job)
            return await cluster.submissions((await resolve(proposed), attempt))

        async def ask_twice() -> SubmittedJob:
            try:
                return await ask()
            except StaleError:  # another triggerer was faster
                return await ask()

        return await cluster.retry_until_answered(ask_twice)


async def as_proposed(cluster: ClusterSession, search: Search | None, job: JobRequest, attempt: Attempt) -> JobRequest:
    """Return a trial's job with the parameters that it was submitted with; any other job as it was planned.

    A trial whose parameters cannot be read any more has no chain: nobody could say what its next job is to run.
    """
    if search is None:
        return job
    known = await cluster.retry_until_answered(lambda: cluster.run.proposals(job, attempt), even_if_refused=True)
    parameters = known.of(job.run_dir)
    return replace(job, chain={}) if parameters is None else replace(job, **search.arguments(parameters, job))


async def leave_result(
    cluster: ClusterSession, job: SubmittedJob, status: JobStatus, stopped_at: float | None = None
) -> None:
    """Tell the trials to come how a trial ended, and the step at which it was stopped early; its place is free then."""
    leave = partial(cluster.run.leave_result, job, status, stopped_at)
    await cluster.retry_until_answered(leave, even_if_refused=True)


async def leave_cancelled(cluster: ClusterSession, job: SubmittedJob) -> None:
    """Tell the trials to come that somebody ended a trial's task: its end says nothing of its parameters."""
    await leave_result(cluster, job, JobStatus(job_id=job.job_id, text=JobState.CANCELLED.value, source="Airflow"))


def _proposed(search: Search, known: Proposals, job: JobRequest) -> JobRequest:
    from airflow_slurm_sweep.search.tpe import propose  # noqa: PLC0415  # for those who search

    parameters = known.of(job.run_dir)
    if parameters is None:
        assert job.trial is not None
        trials = [_trial(each.parameters, each.result) for each in known.found]
        parameters = propose(search.space, trials, job.trial, maximize=search.maximize)
    return replace(job, **search.arguments(parameters, job), proposals=known.number)


def _trial(parameters: Mapping[str, Any], result: Mapping[str, Any] | None) -> Trial:
    if result is None:
        return Trial(parameters=parameters, state=State.RUNNING)
    state = JobState.parse(str(result["state"]))
    if state is JobState.STOPPED_EARLY:
        return Trial(parameters=parameters, state=State.STOPPED, value=result["value"], step=result["step"])
    if state in _LEFT_OUT:
        return Trial(parameters=parameters, state=State.LEFT_OUT)
    return Trial(parameters=parameters, state=State.ENDED, value=result["value"] if state.is_success else None)
