"""What job.sh leaves of a job in its run directory, by which its end is known when Slurm has forgotten it."""

from collections.abc import Iterable
from dataclasses import replace
from shlex import quote

from airflow_slurm_sweep.names import exit_file
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.queue import rows
from airflow_slurm_sweep.slurm.shell import script

EXIT_FILE = "exit-status file"  # the source of a status that job.sh left


def exit_files(run_dirs: Iterable[tuple[str, str]]) -> str:
    """Return the script that reads what job.sh left of jobs, given as job id and run directory.

    The answer has a line for each file that exists: job id, exit status, signal or ``-``.
    """
    return script(
        *(
            f"[ -f {path} ] && printf '%s %s\\n' {quote(job_id)} \"$(head -c 64 -- {path} | head -n 1)\""
            for job_id, run_dir in run_dirs
            for path in [quote(exit_file(run_dir, job_id))]
        ),
        "true",
    )


def read_exit_files(output: str) -> dict[str, JobStatus]:
    """Read the answer to `exit_files`, by job id."""
    found = {}
    for job_id, exit_status, signal in rows(output, " ", 3):
        if exit_status.isdecimal():
            text = "COMPLETED" if (exit_status, signal) == ("0", "-") else "FAILED"
            reason = "" if signal == "-" else f"ended by SIG{signal}: time limit, cancellation or preemption"
            found[job_id] = JobStatus(
                job_id=job_id, text=text, exit_code=f"{exit_status}:0", reason=reason, source=EXIT_FILE
            )
    return found


def with_exit_status(accounted: JobStatus, left: JobStatus) -> JobStatus:
    """Return how a job failed, by sacct, with its whole exit status: before 25.11, sacct prints 137 as 9.

    Source: PRINT_EXITCODE in Slurm's src/sacct/print.c.
    """
    status, _, _ = left.exit_code.partition(":")
    is_cut = accounted.exit_code == f"{int(status) - 128}:0"
    return replace(accounted, exit_code=left.exit_code) if is_cut else accounted
