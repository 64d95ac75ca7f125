"""Waiting for jobs in `airflow dags test`, whose one process submits all jobs before it waits for the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_slurm_sweep.planned import canaries
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks import cancel
from airflow_slurm_sweep.tasks.chained import Chained
from airflow_slurm_sweep.tasks.installation import installation
from airflow_slurm_sweep.tasks.job_source import read_job
from airflow_slurm_sweep.tasks.loop_resources import run_in_one_loop
from airflow_slurm_sweep.tasks.one_job import JobEnd, attempt_of, await_job
from airflow_slurm_sweep.tasks.secrets import with_secrets

_canaries: dict[tuple[str, str], JobEnd] = {}  # by connection and job id, until their tasks `wait` come


def failed_canary(ti: Any, jobs: Sequence[Any]) -> str:
    """Wait for the jobs of a run's canaries; return the name of one that did not succeed, empty for none.

    Args:
        ti: The task instance that submits another job, or a canary's, which waits for none.
        jobs: The run's jobs, each a `JobRequest` as JSON.
    """
    found = canaries(jobs)
    for index in [] if ti.map_index in found else found:
        left = ti.xcom_pull(task_ids=ti.task_id, map_indexes=index)
        if not left:
            return str(jobs[index]["name"])  # it was not submitted
        job = read_job(SubmittedJob, left)
        key = (job.ssh_conn_id, job.job_id)
        if key not in _canaries:
            _canaries[key] = _await_end(ti, job)
        if not _canaries[key].status.state.is_success:
            return str(jobs[index]["name"])
    return ""


def await_end(ti: Any, job: SubmittedJob, seconds: float | None) -> JobEnd:
    """Wait for a job, or its chain, for at most ``seconds``; None for any time."""
    return _canaries.pop((job.ssh_conn_id, job.job_id), None) or _await_end(ti, job, seconds)


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
