"""A job of a minute, submitted as sweeps submit theirs: what compute nodes lack, no login node can tell."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from shlex import quote

from airflow_slurm_sweep.check.findings import Add, Grade, Verdict
from airflow_slurm_sweep.check.job_needs import why_not_found
from airflow_slurm_sweep.check.questions import LOOKED, Subject
from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.names import CHECK
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.shell import Shell, script
from airflow_slurm_sweep.tasks.secrets import with_secrets

_WAIT = 600.0  # seconds, in the queue and on the node
_LINES = 3  # of a failed job's log
_INTERVAL = 2.0  # seconds between two squeues


async def try_job(shell: Shell, subject: Subject, add: Add) -> None:
    """Submit a job that looks for the command's program, wait for its end, and remove all that it leaves."""
    if subject.job is None:
        add("job", Grade.SKIPPED, "settings are missing")
        return
    name = f"{CHECK}_{token_hex(4)}"
    request = replace(
        subject.job,
        name=name,
        run_dir=f"{subject.log}/{name}",
        time="0:10:0" if subject.job.batch_script else "0:1:0",  # ray.sub needs minutes to begin
        array=False,
        max_parallel_jobs=None,
    )
    try:
        add("job", *await _run(shell, subject, await asyncio.to_thread(with_secrets, request)))
    except SlurmSweepError as error:
        add("job", Grade.FAILED, str(error))
    finally:
        with suppress(SlurmSweepError):
            await shell.run(subject.site.script(_remove(request)))


async def _run(shell: Shell, subject: Subject, request: JobRequest) -> Verdict:
    client, name = SlurmClient(shell, site=subject.site), request.name
    attempt = Attempt(dag_id=CHECK, run_id=name, task_id="job", map_index=-1, try_number=1, id=name, installation=CHECK)
    job = await client.submit(request, attempt)
    try:
        async with asyncio.timeout(_WAIT):
            status = await Monitor(client, interval=_INTERVAL, patience=_WAIT).wait(job)
    except TimeoutError:
        last = (await client.queue()).get(job.job_id)
        state = f"; squeue says {last}" if last else ""
        return Grade.WARNING, f"job {job.job_id} did not end within {_WAIT / 60:.0f} minutes{state}. It is cancelled"
    ran = f"job {job.job_id} on {status.nodes or 'no node'}"
    if status.state.is_success:
        found = f" has {subject.program}, and" if subject.program else ""
        return Grade.OK, f"{ran}{found} wrote its log in {subject.log}"
    said = await client.log_tail(job, status)
    if said.rpartition("\n")[2].startswith(("setup ", LOOKED)):
        return Grade.FAILED, f"{ran}: {why_not_found(subject, said)}"
    tail = " / ".join(said.splitlines()[-_LINES:])
    return Grade.FAILED, (
        f"{ran} ended as {status}, exit code {status.exit_code}: {tail}. Where there is no log, compute nodes do not "
        f"see {subject.log}"
    )


def _remove(request: JobRequest) -> str:
    """Return the script that cancels the job, waits until it is gone, and removes its run directory."""
    jobs = f'--name={quote(request.name)} --user="$(id -un)"'
    return script(
        f"scancel {jobs}",
        f'for second in 1 2 3 4 5 6 7 8 9; do [ -n "$(squeue --noheader {jobs})" ] || break; sleep 1; done',
        f"rm -rf -- {quote(request.run_dir)}",
    )
