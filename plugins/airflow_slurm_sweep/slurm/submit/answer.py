"""The answers to submissions: a line ``MARK NUMBER STATUS`` each, the number from 1, and then all that it printed.

The last line of a success is the job's id, and ``submitted`` or ``again``: the attempt had that job already.
"""

from dataclasses import fields
from enum import IntEnum
from typing import TypeAlias

from airflow_slurm_sweep.errors import (
    AloneError,
    ClusterRefusedError,
    ClusterUnavailableError,
    NotYetError,
    SlurmSweepError,
    StaleError,
)
from airflow_slurm_sweep.names import log_path
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, Job, JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.queue import is_job_id
from airflow_slurm_sweep.slurm.refusals import is_passing
from airflow_slurm_sweep.slurm.shell import printable
from airflow_slurm_sweep.slurm.telemetry import Metrics

SubmissionAnswer: TypeAlias = SubmittedJob | SlurmSweepError


class ExitStatus(IntEnum):
    """How record.sh and array.sh end a submission, above the exit statuses of sbatch."""

    REFUSED = 90
    BUSY = 91
    SBATCH_REFUSED = 92
    UNCLEAR = 93
    ENDING = 94
    FULL = 95
    NOT_IN_ARRAY = 96
    STALE = 97


def read_answers(output: str, mark: str) -> dict[int, tuple[int, str]]:
    """Read the answer to `submit_all` or `submit_array`: exit status and text of each submission, by its number."""
    found = {}
    for answer in output.split(f"{mark} ")[1:]:
        head, _, text = answer.partition("\n")
        number, _, status = head.partition(" ")
        if number.isdecimal() and status.isdecimal():
            found[int(number)] = (int(status), text.strip())
    return found


def job_of_answer(job: JobRequest, answer: tuple[int, str] | None, metrics: Metrics) -> SubmissionAnswer:
    """Return the job of a submission by its answer, or the error; None is the answer to one that was not begun."""
    if answer is None:
        return ClusterUnavailableError(f"{job.name} was not submitted yet: the submissions before it took too long")
    exit_status, text = answer
    if exit_status != 0:
        return _error(job, exit_status, printable(text).strip() or "nothing")
    job_id, _, origin = text.rpartition("\n")[2].partition(" ")
    if not is_job_id(job_id):
        return ClusterUnavailableError(f"expected a job's id, got {job_id[:200]!r}")
    if origin == "submitted":
        metrics.count("jobs_submitted")
    return submitted_job(job, job_id)


def submitted_job(job: JobRequest, job_id: str) -> SubmittedJob:
    """Return the job that a request led to."""
    same = {each.name: getattr(job, each.name) for each in fields(Job)}
    if job.trial is None:
        del same["parameters"]
    return SubmittedJob(
        **same,
        job_id=job_id,
        job_name=job.name,
        log_path=log_path(job.run_dir, job_id),
        leaves_exit_file=job.script == JOB_SCRIPT,
    )


def _error(job: JobRequest, exit_status: int, reason: str) -> SlurmSweepError:
    if exit_status == ExitStatus.FULL:
        return NotYetError(reason)
    if exit_status == ExitStatus.STALE:
        return StaleError(reason)
    if exit_status == ExitStatus.UNCLEAR:
        return ClusterUnavailableError(f"it is not clear yet whether {job.name} was submitted: {reason}")
    refusal = f"{job.name} was not submitted: {reason[-2000:]}"
    loader = ", ".join(sorted(name for name in job.env if name.startswith("LD_")))
    has_run = job.array or "sbatch: error:" in reason or "sbatch: fatal:" in reason
    if exit_status == ExitStatus.SBATCH_REFUSED and loader and not has_run:
        refusal = f"{refusal}; sbatch itself also runs with {loader} of 'env': export it in 'setup' instead"
    if exit_status in (ExitStatus.BUSY, ExitStatus.NOT_IN_ARRAY):
        return AloneError(refusal)
    if exit_status == ExitStatus.REFUSED or (exit_status == ExitStatus.SBATCH_REFUSED and not is_passing(reason)):
        return ClusterRefusedError(refusal)
    return ClusterUnavailableError(refusal)
