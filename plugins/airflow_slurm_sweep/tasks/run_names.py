"""What a Dag run is called on the cluster, and which earlier run directories it goes on in: decided once, by ``plan``.

See `runs.sh` for names, `earlier` for *resume*.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.plan import RunPlan
from airflow_slurm_sweep.slurm.attempt import run_name
from airflow_slurm_sweep.slurm.chain import Chain, Outcome, Verdict, is_reached
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.exit_files import read_exit_files
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.patience import patiently
from airflow_slurm_sweep.slurm.results import add
from airflow_slurm_sweep.slurm.revision import Revision
from airflow_slurm_sweep.slurm.rungs import as_stopped
from airflow_slurm_sweep.slurm.runs.earlier import EarlierJob, differences, match
from airflow_slurm_sweep.slurm.runs.reservation import RunNames
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.traces import NO_TRACE
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.chained import with_verdict
from airflow_slurm_sweep.tasks.ssh.shell import slurm_client

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledNames:
    """The name of a Dag run, and by the combination's number the earlier jobs, and how those ended that are done."""

    base: str
    earlier: Mapping[int, EarlierJob]
    done: Mapping[int, JobStatus]
    first: RunNames  # those that the run would have if it were the only one
    revision: Revision | None = None  # of the working directory

    def added_to(self, planned: RunPlan) -> RunPlan:
        """Return a plan that skips what is done, and whose notes say what else is not as planned at first."""
        ends = {index: status.to_json() for index, status in self.done.items()}
        # The directories of several runs may have several parents; so may those of one, by the preset's run_dir.
        is_spread = self.earlier or len({job.shared_folder for job in planned.jobs}) > 1
        folder = self.first.root if is_spread else ""
        jobs = [replace(job, run_folder=folder, done=ends.get(job.index or 0, {})) for job in planned.jobs]
        notes = [*planned.notes, *differences(jobs, self.earlier)]
        if self.revision:
            notes.append(f"Working directory: {self.revision}")
        if self.base != self.first.base:
            notes.append(f"The name {self.first.base} is another run's; this run is {self.base}")
        if planned.existing == "resume":
            going_on = len(self.earlier) - len(self.done)
            new = len(jobs) - len(self.earlier)
            notes.append(f"resume: {len(self.done)} combinations are done, {going_on} go on, {new} are new")
        revision = str(self.revision) if self.revision else ""
        return replace(planned, jobs=jobs, notes=notes, revision=revision)


async def settle_names(planned: RunPlan, installation: str, ti: Any) -> SettledNames:
    """Reserve the name of the Dag run on the cluster, and find its earlier runs if it resumes them.

    A cleared plan, or another try, gets the same name again.

    Raises:
        ClusterRefusedError: Another Dag run has the name, and ``existing`` is refuse; or the login is refused.
        SettingsError: The earlier runs swept over other parameters.
        ClusterUnavailableError: The cluster was silent for longer than ``patience``.
    """
    names, run = planned.names, run_name(installation, ti.dag_id, ti.run_id)
    earlier, done, base = dict[int, EarlierJob](), dict[int, JobStatus](), names.base
    async with slurm_client(planned.jobs[0].site) as client:
        if planned.existing == "resume":
            found = await _patiently(lambda: client.earlier_jobs(names, run.rpartition(" ")[0]))
            earlier, done = await _choose(client, planned.jobs[0], match(planned.jobs, found))
        if len(earlier) < len(planned.jobs):
            only_base = planned.existing == "refuse"
            base = await _patiently(lambda: client.reserve(names, run, only_base=only_base))
        revision = await _revision(client, planned.jobs[0].workdir)
    return SettledNames(base=base, earlier=earlier, done=done, first=names, revision=revision)


async def _choose(
    client: SlurmClient, like: JobRequest, places: Mapping[int, list[EarlierJob]]
) -> tuple[dict[int, EarlierJob], dict[int, JobStatus]]:
    """Return the directory in which each combination goes on: one whose job is done, or else the latest run's.

    Done are those that have reached what `Chain` calls ``until``, by the metrics of a job ``like`` them.
    """
    every = [job for jobs in places.values() for job in jobs if job.job_id]
    completed = await _patiently(lambda: _completed(client, every, like)) if every else {}
    earlier = {
        index: next((job for job in jobs if job.run_dir in completed), jobs[0]) for index, jobs in places.items()
    }
    return earlier, {index: completed[job.run_dir] for index, job in earlier.items() if job.run_dir in completed}


async def _completed(client: SlurmClient, earlier: Sequence[EarlierJob], like: JobRequest) -> dict[str, JobStatus]:
    """Return the ends of those earlier jobs that are done, by run directory, with what they left.

    Where job.sh left an exit file, that counts, else what Slurm knows. As for a chain, a job that a signal or Slurm
    ended is done if it has reached ``until``.
    """
    known = read_exit_files("".join(f"{job.job_id} {job.exit}\n" for job in earlier))
    jobs = [job.submitted(like) for job in earlier]
    if unknown := {job.job_id: job for job in jobs if job.job_id not in known}:
        known |= (await client.look_up([*unknown.values()]))[0]
    for job in earlier:
        if job.stop and job.stop.job_id == job.job_id in known:
            known[job.job_id] = as_stopped(known[job.job_id], job.stop, job.exit.partition(" ")[2])
    chain = Chain(**{"jobs": 0, **like.chain})
    signalled = {job.job_id for job in earlier if job.exit.partition(" ")[2] not in ("", "-")}

    def may_be_done(job: SubmittedJob) -> bool:
        state = known[job.job_id].state
        if state is JobState.COMPLETED and job.leaves_exit_file and job.job_id in unknown:
            return bool(chain.until)  # it may never have run
        return state.is_success or (bool(chain.until) and (job.job_id in signalled or state.value in chain.on))

    ended = [job for job in jobs if job.job_id in known and may_be_done(job)]
    left = await client.results([MetricsReader(job) for job in ended])
    ends = {job.run_dir: add(known[job.job_id], each) for job, each in zip(ended, left, strict=True)}
    done = Verdict(Outcome.DONE, f"{', '.join(chain.until)} is reached", "")
    return {
        run_dir: end if end.state.is_success else with_verdict(end, done, NO_TRACE)
        for run_dir, end in ends.items()
        if end.state is JobState.STOPPED_EARLY or is_reached(chain.until, end.metrics)
    }


async def _revision(client: SlurmClient, workdir: str | None) -> Revision | None:
    try:
        return await client.revision(workdir)
    except SlurmSweepError:
        return None  # no run waits for it


async def _patiently(ask: Callable[[], Awaitable[Result]]) -> Result:
    return await patiently(ask, configuration.patience())
