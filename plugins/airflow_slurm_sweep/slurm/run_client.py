"""What the jobs of one Dag run tell each other through files on the cluster: proposals, results, rungs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from airflow_slurm_sweep.names import place_file
from airflow_slurm_sweep.slurm import files, proposals, rungs
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.proposals import Proposals
from airflow_slurm_sweep.slurm.rungs import Climbed
from airflow_slurm_sweep.slurm.stopping import Rungs, Stop


class RunClient:
    """Speaks to one cluster; its errors are those of `SlurmClient`."""

    def __init__(self, client: SlurmClient) -> None:
        self._client = client

    async def proposals(self, job: JobRequest, attempt: Attempt) -> Proposals:
        """Return what the search of a Dag run has proposed, the job's own parameters among it."""
        read = partial(proposals.read_proposals, attempt=attempt)
        return await self._client.ask(proposals.proposals(job, attempt), read)

    async def leave_result(self, job: SubmittedJob, status: JobStatus, stopped_at: float | None = None) -> None:
        """Write how a trial ended, and the step at which it was stopped early, for those to come; free its place."""
        await self._client.ask(proposals.leave_result(job, status, stopped_at), str.strip)

    async def release_place(self, job: SubmittedJob) -> None:
        """Let the other jobs of its Dag run have the place of a chain that ends with this job."""
        await self._client.ask(files.remove(place_file(job.run_dir, job.job_id)), str.strip)

    async def climb(self, gate: str, jobs: Sequence[tuple[SubmittedJob, Rungs]]) -> Climbed:
        """Add to the rungs of jobs; return those of all jobs of the run, and which of these jobs are stopped."""
        return await self._client.ask(rungs.climb(gate, jobs), rungs.read_climbed)

    async def leave_stops(self, stops: Sequence[tuple[SubmittedJob, Stop]]) -> set[str]:
        """Write down which jobs are about to be stopped; return the ids of those of which it stands there now."""
        return await self._client.ask(rungs.leave_stops(stops), lambda said: set(said.split()))
