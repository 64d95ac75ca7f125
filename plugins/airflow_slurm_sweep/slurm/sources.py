"""What the accounting database and the controller say of jobs, asked in parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from airflow_slurm_sweep.slurm import ended, queue
from airflow_slurm_sweep.slurm.batching import batches
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.shell import Completed, error_text, output, output_of_success, printable

ACCOUNTED_AT_ONCE = 1000  # in one argument of sacct, which may have 128 KiB
_CONTROLLED_AT_ONCE = 200  # a scontrol each


class Sources:
    """Asks by scripts, which ``run`` runs on the login node."""

    def __init__(self, run: Callable[[str], Awaitable[Completed]]) -> None:
        self._run = run

    async def accounting(self, job_ids: Collection[str]) -> tuple[dict[str, JobStatus], str]:
        """Return states by job id, and what sacct said in place of an answer: no odd answer means "no such job"."""
        found: dict[str, JobStatus] = {}
        for some in batches(job_ids, ACCOUNTED_AT_ONCE):
            answers, odd = await self._account(some)
            found |= queue.with_wholes(answers)
            if odd:
                return found, odd
        return found, ""

    async def controller(self, job_ids: Collection[str]) -> tuple[dict[str, JobStatus], int]:
        """Return states by job id, and for how many jobs the controller was too slow to be asked."""
        found: dict[str, JobStatus] = {}
        asked: set[str] = set()
        for some in batches(job_ids, _CONTROLLED_AT_ONCE):
            said = output_of_success(await self._run(ended.scontrol(some)))
            found |= queue.with_wholes(ended.read_scontrol(said))
            asked |= ended.read_asked(said)
            if not asked.issuperset(some):
                break
        return found, len(set(job_ids) - asked)

    async def _account(self, job_ids: Collection[str]) -> tuple[dict[str, JobStatus], str]:
        completed = await self._run(ended.sacct(job_ids))
        printed = output(completed)
        found, odd = ended.read_sacct(printed)
        if short := [job_id for job_id, status in found.items() if status.reason == ended.NO_TIME_BETWEEN]:
            asked = await self._run(ended.sacct(short, steps=True))
            steps = output(asked)
            if asked.exit_status != 0:  # they may have completed
                known = {job_id: status for job_id, status in found.items() if job_id not in short}
                return known, printable(error_text(asked) or steps.strip())
            found, odd = ended.read_sacct(printed, ended.read_completed_scripts(steps))
        if ended.NO_ACCOUNTING in printed + completed.stderr:
            return found, ""
        if completed.exit_status != 0:
            odd = odd or error_text(completed) or f"exit status {completed.exit_status}, no reason"
        return found, printable(odd)
