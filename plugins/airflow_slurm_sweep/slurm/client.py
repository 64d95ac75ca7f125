"""A cluster as its user sees it: submit, look, cancel. Knows which question to ask, not how it travels."""

import asyncio
import random
import re
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from typing import TypeAlias, TypeVar

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError, CrowdedError, SlurmSweepError
from airflow_slurm_sweep.slurm import files, job_logs, queue, results, traces, usage
from airflow_slurm_sweep.slurm.arrays.script import submit_array
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.batching import batches
from airflow_slurm_sweep.slurm.ended import NO_ACCOUNTING, has_failed
from airflow_slurm_sweep.slurm.exit_files import exit_files, read_exit_files, with_exit_status
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import Piece, Question
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.refusals import is_too_many
from airflow_slurm_sweep.slurm.results import Results
from airflow_slurm_sweep.slurm.revision import Revision, read_revision, revision
from airflow_slurm_sweep.slurm.runs import reservation
from airflow_slurm_sweep.slurm.runs.earlier import EarlierJob, read_runs
from airflow_slurm_sweep.slurm.runs.reservation import RunNames
from airflow_slurm_sweep.slurm.shell import Completed, Shell, Site, error_text, output, output_of_success, printable
from airflow_slurm_sweep.slurm.sources import ACCOUNTED_AT_ONCE, Sources
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.submit.answer import ExitStatus, SubmissionAnswer, job_of_answer, read_answers
from airflow_slurm_sweep.slurm.submit.record import Record, read_records, records
from airflow_slurm_sweep.slurm.submit.script import Submission, cancel, submit_all, withdraw
from airflow_slurm_sweep.slurm.telemetry import NO_METRICS, Metrics
from airflow_slurm_sweep.slurm.traces import NO_TRACE, Trace

Answer = TypeVar("Answer")
_CANCELLED_AT_ONCE = 500  # 5,000 in one scancel take 3 s, in which it may reach its limit of time
_ASK_AGAIN = 600.0  # seconds after which a site without accounting may have it
_HAS_ENDED = re.compile("Invalid job id|[Jj]ob.* already complet")
Owner: TypeAlias = tuple[str, str]  # `Attempt.run` and `Attempt.task`


class SlurmClient:
    """Speaks to one cluster of a site, and counts submissions and cancellations in ``metrics``.

    All methods raise `ClusterUnavailableError` if there is no answer now, `ClusterRefusedError` if it is "no".
    """

    def __init__(self, shell: Shell, metrics: Metrics = NO_METRICS, site: Site | None = None) -> None:
        self._shell = shell
        self._site = site or Site(ssh_conn_id="")
        self.metrics = metrics
        self._has_no_accounting_until = 0.0
        self._sources = Sources(self._run)

    async def submit(self, job: JobRequest, attempt: Attempt) -> SubmittedJob:
        """Submit a job; for an attempt that has one already, return that one.

        A call that first has to cancel an earlier job raises `ClusterUnavailableError` until that job is gone, one that
        finds ``max_parallel_jobs`` live jobs `NotYetError`.
        """
        (answer,) = await self.submit_all([(job, attempt)])
        if isinstance(answer, SlurmSweepError):
            raise answer
        return answer

    async def submit_all(self, submissions: Sequence[Submission]) -> list[SubmissionAnswer]:
        """Submit in one round trip; return for each what `submit` returns or raises."""
        said = output(await self._run(submit_all(submissions, mark := f"m{token_hex(8)}")))
        return self._answers(submissions, read_answers(said, mark))

    async def submit_array(self, submissions: Sequence[Submission]) -> list[SubmissionAnswer]:
        """Do what `submit_all` does, with one sbatch for a whole group of `arrays.script.grouped`.

        The answer of a submission that cannot go with the others is an `AloneError`. The method itself raises
        `CrowdedError` where a limit on the number of jobs was met.
        """
        mark = f"m{token_hex(8)}"
        completed = await self._run(submit_array(submissions, mark))
        answers = read_answers(output(completed), mark)
        for exit_status, text in answers.values():
            if exit_status == ExitStatus.SBATCH_REFUSED and is_too_many(text):
                raise CrowdedError(f"{len(submissions)} jobs in one array were not submitted: {printable(text)}")
        return self._answers(submissions, answers)

    async def withdraw(self, job: JobRequest, attempt: Attempt) -> None:
        """Cancel the job of an attempt whose task is killed, even a job that sbatch is just about to make."""
        output(await self._run(withdraw(job, attempt)))
        self.metrics.count("submissions_withdrawn")

    async def queue(self, *, elements: bool = False) -> dict[str, JobStatus]:
        """Return all of the user's jobs that squeue shows, by job id; ``elements`` as in `queue.squeue`."""
        return await self.ask(queue.squeue(elements=elements), queue.read_squeue)

    async def live_jobs(self, run: str, folder: str, known: dict[str, Owner] | None = None) -> dict[str, str]:
        """Return the live jobs of a Dag run, `Attempt.run`: `Attempt.task` by job id.

        All whose run directories are in ``folder`` are found, others only where their paths are no longer. ``known``
        holds the owners that earlier calls found; this call updates it.
        """
        known = {} if known is None else known
        outputs = await self.ask(queue.outputs(folder), queue.read_outputs)
        live = {job_id: path for job_id, (state, path) in outputs.items() if not state.is_final}
        new = {
            job_id: run_dir
            for job_id, path in live.items()
            if job_id not in known and (run_dir := queue.run_dir_of(job_id, path))
        }
        if new:
            found = await self.ask(records(new), read_records)
            known |= {job_id: record[:2] for job_id, record in found.items()}
        for job_id in known.keys() - live.keys():
            del known[job_id]
        return {job_id: task for job_id, (owner, task) in known.items() if owner == run}

    async def recorded_jobs(self, run_dirs: Sequence[str]) -> list[Record | None]:
        """Return the records of run directories, in their order; None where there is none."""
        found = await self.ask(records({str(number): each for number, each in enumerate(run_dirs)}), read_records)
        return [found.get(str(number)) for number in range(len(run_dirs))]

    async def reserve(self, names: RunNames, run: str, *, only_base: bool = False) -> str:
        """Return the name of a Dag run, `Attempt.run`: the first free one, or the one that it has already.

        ``only_base``: `ClusterRefusedError` if another Dag run has the base.
        """
        completed = await self._run(reservation.reserve(names, run, only_base=only_base))
        if completed.exit_status == ExitStatus.REFUSED:
            raise ClusterRefusedError(error_text(completed))
        return self._read(completed, str.strip)

    async def earlier_jobs(self, names: RunNames, dag: str) -> list[EarlierJob]:
        """Return what the runs of a Dag, which `Attempt.run` begins with, left in their run directories."""
        return await self.ask(reservation.list_runs(names, dag), read_runs)

    async def look_up(self, jobs: Sequence[SubmittedJob]) -> tuple[dict[str, JobStatus], str]:
        """Find out what became of jobs that squeue does not show; those that no source knows are left out.

        The accounting database, the controller, and the exit files of job.sh are asked in turn. If the controller calls
        a job active, it lives, whatever an older file says. A number may be another job's by now: then only the exit
        file is this job's. It also has the whole exit status of a job that failed by sacct.

        Returns:
            The states by job id, and why some are not known yet: what sacct said in place of an answer, that it has a
            job but not its end, or that the controller is too slow to be asked for all; empty if both answered.
        """
        by_id = {job.job_id: job for job in jobs}
        accounted, trouble = await self._sources.accounting(by_id)
        # The database is believed only about ends: it may have missed one.
        found = {key: each for key, each in accounted.items() if key in by_id and each.state.is_final_once_gone}
        # A cluster of a federation calls a job revoked that ran in another: the exit file knows.
        doubtful = (JobState.REVOKED, JobState.LOST)
        named = {key for key, each in found.items() if queue.has_name(by_id[key], each) and each.state not in doubtful}
        if wanted := by_id.keys() - named:
            # A slow controller is asked for the others next time.
            controlled, unasked = await self._sources.controller(random.sample([*wanted], len(wanted)))
            for job_id, status in controlled.items():
                if job_id in wanted and queue.writes_log(by_id[job_id], status):
                    found[job_id] = status
                else:
                    found.pop(job_id, None)
            trouble = trouble or (f"scontrol is slow, {unasked} jobs are still to be asked for" if unasked else "")
        sure = named | {key for key, each in found.items() if each.source == "scontrol"}
        failed = {key: found[key] for key in named if has_failed(found[key])}
        if left := [(job.job_id, job.run_dir) for job in jobs if job.job_id not in sure - failed.keys()]:
            files = await self.ask(exit_files(left), read_exit_files)
            found |= files | {key: with_exit_status(failed[key], files[key]) for key in failed.keys() & files.keys()}
        late = accounted.keys() & by_id.keys() - found.keys()
        if any(queue.has_name(by_id[key], accounted[key]) for key in late):
            trouble = trouble or "sacct does not have the end of every job yet"
        return found, trouble

    async def with_exit_codes(self, ended: Sequence[JobStatus], chained: Collection[str] = ()) -> dict[str, JobStatus]:
        """Return final states that squeue gave, by job id, with exit codes: of the controller, or of sacct, or none.

        Of successes, it is asked about those in ``chained`` only: whether they were preempted.
        """
        found = {each.job_id: replace(each, exit_code="0:0") for each in ended if each.state.is_success}
        failed = {each.job_id: each for each in ended if not each.state.is_success}
        asked = failed | {job_id: found[job_id] for job_id in found.keys() & {*chained}}

        def take(answers: dict[str, JobStatus]) -> None:
            for job_id, status in answers.items():
                known = asked.get(job_id)
                if known and status.state in (known.state, JobState.OUT_OF_MEMORY, JobState.PREEMPTED):
                    found[job_id] = status

        with suppress(ClusterUnavailableError):  # squeue has answered, so that scontrol alone may hang
            if asked:
                take((await self._sources.controller(asked))[0])
        if left := [job_id for job_id in failed if job_id not in found]:
            take((await self._sources.accounting(left))[0])
        return failed | found

    async def cancel(self, job: SubmittedJob) -> None:
        """Cancel a job; one that has ended already is fine, and so is a number that is another job's by now."""
        if await self.ask(cancel(job), str.strip) == "cancelled":
            self.metrics.count("jobs_cancelled")

    async def cancel_found(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs that `live_jobs` found a moment ago."""
        await self._scancel(job_ids, queued=False)

    async def cancel_queued(self, job_ids: Sequence[str]) -> None:
        """Cancel those of the jobs that have not started. Whether they are gone, the next `queue` tells."""
        await self._scancel(job_ids, queued=True)

    async def log_tail(self, job: SubmittedJob, status: JobStatus) -> str:
        """Return the last lines of the log of a job that has ended, or why there are none."""
        return job_logs.shown((await self.traces([traces.question(job, status)]))[0].log)

    async def read_metrics(self, readers: Sequence[MetricsReader], *, ended: bool = False) -> list[bool]:
        """Let the readers of jobs read what is new; return for each whether it has read all.

        ``ended`` says that the jobs have.
        """
        asked = [reader.question(ended=ended) for reader in readers]
        pieces = await self.ask(results.results(asked), lambda output: results.read_results(output, len(asked)))
        are_read = []
        for reader, question, piece in zip(readers, asked, pieces, strict=True):
            # At the job's end the follower asks, too: the answer to an older question would be read as another file.
            are_read.append(question == reader.question(ended=ended) and reader.take(piece, ended=ended))
            await asyncio.sleep(0)  # others go on: a piece may have a thousand lines
        return are_read

    async def results(self, readers: Sequence[MetricsReader]) -> list[Results]:
        """Return what jobs that have ended left in their run directories, in the order of their readers."""
        left = list(readers)
        while left:
            are_read = await self.read_metrics(left, ended=True)
            left = [reader for reader, is_read in zip(left, are_read, strict=True) if not is_read]
        return [reader.results for reader in readers]

    async def traces(self, jobs: Sequence[traces.Question]) -> list[Trace]:
        """Return what jobs that have ended left beside their results, in their order."""
        found = await self.ask(traces.traces(jobs), traces.read_traces)
        return [found.get(number, NO_TRACE) for number in range(len(jobs))]

    async def hours(self, jobs: Sequence[Sequence[str]]) -> list[usage.Hours]:
        """Return what jobs used that have ended, each given as the ids of its chain.

        Where there is no accounting, a batch of ended jobs in ten minutes asks for it.
        """
        found: dict[str, usage.Hours] = {}
        if time.monotonic() >= self._has_no_accounting_until:
            for some in batches([job_id for ids in jobs for job_id in ids], ACCOUNTED_AT_ONCE):
                said = await self.ask(usage.usage(some), str)
                found |= usage.read_usage(said)
                if NO_ACCOUNTING in said:
                    self._has_no_accounting_until = time.monotonic() + _ASK_AGAIN
                    break
        return [usage.total(found.get(job_id, usage.UNKNOWN) for job_id in ids) for ids in jobs]

    async def new_output(self, logs: Sequence[Question]) -> list[Piece | None]:
        """Return what is new in logs; None if no room."""
        found = await self.ask(job_logs.new_output(logs), job_logs.read_new_output)
        return [found.get(number, Piece(known, b"", inode)) for number, (_, inode, known) in enumerate(logs)]

    async def read_files(self, directory: str | None, paths: Sequence[str]) -> dict[str, str | None]:
        """Return the text of small files by path, None for one that cannot be read; see `files.files`."""
        completed = await self._run(files.files(directory, paths))
        printed, error = output(completed), error_text(completed)
        if completed.exit_status != 0 and error:  # of cd
            raise ClusterRefusedError(error)
        return files.read_files(printed, paths)

    async def revision(self, directory: str | None) -> Revision | None:
        """Return the commit that a working directory has; None where it is no git repository."""
        return await self.ask(revision(directory), read_revision)

    async def _run(self, script: str) -> Completed:
        return await self._shell.run(self._site.script(script))

    async def _scancel(self, job_ids: Sequence[str], *, queued: bool) -> None:
        """Run scancel for all; it may complain of jobs that have ended, and of nothing else."""
        complaints = []
        for some in batches(job_ids, _CANCELLED_AT_ONCE):
            completed = await self._run(queue.scancel(some, queued=queued))
            said = [line for line in output(completed).splitlines() if line.strip()]
            was_cut_off = completed.exit_status >= 124  # by timeout, or by a signal
            if completed.exit_status and (was_cut_off or not said or not all(map(_HAS_ENDED.search, said))):
                complaints.append(printable("\n".join(said)) or error_text(completed) or "it was cut off")
            elif not queued:
                self.metrics.count("jobs_cancelled", len(some))
        if complaints:
            raise ClusterUnavailableError(f"scancel: {complaints[0]}")

    def _answers(
        self, submissions: Sequence[Submission], answers: dict[int, tuple[int, str]]
    ) -> list[SubmissionAnswer]:
        jobs = enumerate(submissions, start=1)
        return [job_of_answer(job, answers.get(number), self.metrics) for number, (job, _) in jobs]

    async def ask(self, question: str, read: Callable[[str], Answer]) -> Answer:
        """Return the answer to a script, as ``read`` reads it."""
        return self._read(await self._run(question), read)

    def _read(self, completed: Completed, read: Callable[[str], Answer]) -> Answer:
        return read(output_of_success(completed))
