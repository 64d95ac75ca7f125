"""Jobs in `airflow dags test`, whose one process submits all jobs before it waits for the first."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.planned import canaries
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks import cancel
from airflow_slurm_sweep.tasks.chained import Chained
from airflow_slurm_sweep.tasks.installation import installation
from airflow_slurm_sweep.tasks.job_source import read_job
from airflow_slurm_sweep.tasks.loop_resources import run_in_one_loop
from airflow_slurm_sweep.tasks.one_job import JobEnd, attempt_of, await_job, submit_job
from airflow_slurm_sweep.tasks.secrets import with_secrets

_submitted: dict[tuple[str, str], SubmittedJob | SlurmSweepError] = {}  # canaries, or why not, by Dag run and task
_ended: dict[tuple[str, str], JobEnd] = {}  # canaries by connection and job id, until their tasks `wait` come

log = logging.getLogger(__name__)


def submit(ti: Any, request: JobRequest, seconds: float | None) -> SubmittedJob:
    """Submit a task instance's job in at most ``seconds``, unless `failed_canary` has submitted it."""
    attempt = attempt_of(installation(), ti)
    key = (attempt.run, attempt.task)
    found = _submitted.pop(key, None)
    try:
        if isinstance(found, SlurmSweepError):
            raise found
        return found or _submit(request, attempt, seconds)
    except SlurmSweepError as error:
        if request.canaries:
            _submitted[key] = error
        raise


def _submit(request: JobRequest, attempt: Attempt, seconds: float | None) -> SubmittedJob:
    # Tasks run one after the other here: no array comes together.
    # A chain that kept its place would wait for a task that comes after those that wait for the place.
    request = replace(request, array=False, keeps_place=False)
    ready = with_secrets(request)
    with cancel.end_if_interrupted(request, attempt):
        job = run_in_one_loop(submit_job(ready, attempt, seconds=seconds)).of(request)
    cancel.cancel_if_interrupted(job)
    return job


def failed_canary(ti: Any, jobs: Sequence[Any], script: str | None, seconds: float | None) -> str:
    """Wait for the jobs of a run's canaries; return the name of one that did not succeed, empty for none.

    Airflow takes the task instances in any order, so that this call also submits canaries whose turn has not come.

    Args:
        ti: The task instance that submits another job, or a canary's, which waits for none.
        jobs: The run's jobs, each a `JobRequest` as JSON.
        script: The batch script of those that name none.
        seconds: How long a submission may take; None for any time.
    """
    found = canaries(jobs)
    for index in [] if ti.map_index in found else found:
        left = ti.xcom_pull(task_ids=ti.task_id, map_indexes=index)
        request = read_job(JobRequest, jobs[index]).with_script(script)
        job = read_job(SubmittedJob, left) if left else _submit_early(ti, request, index, seconds)
        if job is None:
            return request.name
        key = (job.ssh_conn_id, job.job_id)
        if key not in _ended:
            _ended[key] = _await_end(ti, job)
        if not _ended[key].status.state.is_success:
            return request.name
    return ""


def _submit_early(ti: Any, request: JobRequest, index: int, seconds: float | None) -> SubmittedJob | None:
    attempt = replace(attempt_of(installation(), ti), map_index=index)
    key = (attempt.run, attempt.task)
    if key not in _submitted:
        try:
            _submitted[key] = _submit(request, attempt, seconds)
        except SlurmSweepError as error:
            log.warning("The canary %s is not submitted: %s", request.name, error)
            _submitted[key] = error
    found = _submitted[key]
    return found if isinstance(found, SubmittedJob) else None


def await_end(ti: Any, job: SubmittedJob, seconds: float | None) -> JobEnd:
    """Wait for a job, or its chain, for at most ``seconds``; None for any time."""
    return _ended.pop((job.ssh_conn_id, job.job_id), None) or _await_end(ti, job, seconds)


def _await_end(ti: Any, job: SubmittedJob, seconds: float | None = None) -> JobEnd:
    chained = _chained(ti, job)
    withdrawn = (chained.following(job), chained.attempt) if chained else (None, None)
    with cancel.end_if_interrupted(*withdrawn):
        end = run_in_one_loop(await_job(job, seconds=seconds, chained=chained))
    cancel.forget(end.status.job_id)
    return end


def _chained(ti: Any, job: SubmittedJob) -> Chained | None:
    """Return what submits the jobs that follow this one; None for a single job."""
    if not job.request:
        return None
    request = read_job(JobRequest, job.request)
    ready = with_secrets(request)

    async def resolve(following: JobRequest) -> JobRequest:
        return replace(following, env=ready.env)

    return Chained(request=request, attempt=attempt_of(installation(), ti), resolve=resolve, on_next=cancel.follow)
