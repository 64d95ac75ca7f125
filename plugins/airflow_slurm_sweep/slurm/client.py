"""A cluster as its user sees it: submit, look, cancel. Knows Slurm's words, not how they get there."""

from __future__ import annotations

import logging
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_hex
from typing import Protocol, TypeAlias, TypeVar

from airflow_slurm_sweep.errors import (
    AloneError,
    ClusterRefusedError,
    ClusterUnavailableError,
    CrowdedError,
    NotYetError,
)
from airflow_slurm_sweep.slurm import commands, elements, parse
from airflow_slurm_sweep.slurm.elements import Submission
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest, JobStatus, Record, SubmittedJob
from airflow_slurm_sweep.slurm.refusals import is_passing, is_too_many
from airflow_slurm_sweep.slurm.results import NO_FILE, Results
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.telemetry import NO_METRICS, Metrics

Answer = TypeVar("Answer")
Owner: TypeAlias = tuple[str, str]  # `Attempt.run` and `Attempt.task`
log = logging.getLogger(__name__)

LOG_LINES = 50

# What a terminal would obey, in a log or an error of the cluster's: sequences such as colours, and control characters.
_ESCAPES = re.compile(r"\x1b(\[[0-9;:<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[^\[\]])")
_CONTROLS = re.compile(r"[^\n\t -~\xa0-\U0010ffff]")

NO_ACCOUNTING = ("Slurm accounting storage is disabled", "sacct: not found", "sacct: command not found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ran to its end: its own exit status and what it printed."""

    exit_status: int
    stdout: str
    stderr: str


class Shell(Protocol):
    """Runs a script in a POSIX shell on the login node."""

    async def run(self, script: str) -> Completed:
        """Run ``script``.

        Raises:
            ClusterUnavailableError: No answer; whether the script ran, in part or whole, is not known.
            ClusterRefusedError: The login node refuses us.
        """


class SlurmClient:
    """Speaks to one cluster.

    All methods raise `ClusterUnavailableError` if there is no answer now, and `ClusterRefusedError` if the cluster
    says no.

    Args:
        shell: Its login node.
        metrics: Where submissions and cancellations are counted.

    Attributes:
        metrics: As above.
    """

    def __init__(self, shell: Shell, metrics: Metrics = NO_METRICS) -> None:
        self._shell = shell
        self.metrics = metrics

    async def submit(self, job: JobRequest, attempt: Attempt) -> SubmittedJob:
        """Submit a job; for an attempt that has one already, return that one.

        Each call goes one step: one that has first to cancel an earlier job raises `ClusterUnavailableError` until that
        job is gone.

        Raises:
            NotYetError: The Dag run has ``max_parallel_jobs`` live jobs.
        """
        completed = await self._shell.run(commands.submit(job, attempt))
        if completed.exit_status != 0:
            _raise_submit_error(job, completed)
        return self._submitted(job, _output(completed))

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Callable[[], SubmittedJob]]:
        """Do for each submission what `submit` does, in one round trip.

        Returns:
            For each, a function that does the rest of `submit`: it logs, and returns or raises. So each one who asked
            does that itself.
        """
        mark = f"m{token_hex(8)}"
        completed = await self._shell.run(commands.submit_all(submissions, mark))
        answers = parse.submissions(_output(completed), mark)
        return [partial(self._answer, job, answers.get(number)) for number, (job, _) in enumerate(submissions, start=1)]

    async def submit_array(self, submissions: Sequence[Submission]) -> list[Callable[[], SubmittedJob]]:
        """Do for each submission of a group of `elements.grouped` what `submit` does, with one sbatch for all of them.

        Returns:
            As `submit_all`; the function raises `AloneError` for one that cannot go with the others.

        Raises:
            CrowdedError: A limit on the number of jobs was met.
        """
        mark = f"m{token_hex(8)}"
        completed = await self._shell.run(elements.submit_array(submissions, mark))
        answers = parse.submissions(_output(completed), mark)
        for exit_status, said in answers.values():
            if exit_status == commands.SBATCH_REFUSED and is_too_many(said):
                raise CrowdedError(f"{len(submissions)} jobs in one array were not submitted: {printable(said)}")
        return [partial(self._answer, job, answers.get(number)) for number, (job, _) in enumerate(submissions, start=1)]

    async def withdraw(self, job: JobRequest, attempt: Attempt) -> None:
        """Cancel the job of an attempt whose task is killed, also one that sbatch is just about to make."""
        _output(await self._shell.run(commands.withdraw(job, attempt)))
        self.metrics.count("submissions_withdrawn")

    async def queue(self, *, elements: bool = False) -> dict[str, JobStatus]:
        """Return all of the user's jobs that squeue shows, by job id; ``elements`` as in `commands.squeue`."""
        return await self._ask(commands.squeue(elements=elements), parse.squeue)

    async def live_jobs(self, run: str, folder: str, known: dict[str, Owner] | None = None) -> dict[str, str]:
        """Return the live jobs of a Dag run: `Attempt.task` by job id.

        Args:
            run: `Attempt.run`.
            folder: Where its run directories lie.
            known: What earlier calls learned, and this one adds to: whose each live job is.
        """
        known = {} if known is None else known
        outputs = await self._ask(commands.outputs(folder), parse.outputs)
        live = {job_id: path for job_id, (state, path) in outputs.items() if not state.is_final}
        new = {
            job_id: run_dir
            for job_id, path in live.items()
            if job_id not in known and (run_dir := commands.run_dir_of(job_id, path))
        }
        if new:
            records = await self._ask(commands.records(new), parse.records)
            known |= dict.fromkeys(new, ("", "")) | {job_id: record[:2] for job_id, record in records.items()}
        for job_id in known.keys() - live.keys():
            del known[job_id]
        return {job_id: task for job_id, (owner, task) in known.items() if owner == run}

    async def recorded_jobs(self, run_dirs: Sequence[str]) -> list[Record | None]:
        """Return what the records of run directories say, in their order; None where there is none."""
        asked = {str(number): run_dir for number, run_dir in enumerate(run_dirs)}
        records = await self._ask(commands.records(asked), parse.records)
        return [records.get(number) for number in asked]

    async def look_up(self, jobs: Sequence[SubmittedJob]) -> dict[str, JobStatus]:
        """Find out what became of jobs that squeue does not show; those that nobody knows are left out.

        Asked in turn, each for all jobs that are still open: the accounting database, the controller, and the
        exit-status files of our batch script. If the controller calls a job active, it lives, whatever an older file
        says. The database is believed only about ends: it may have missed one.
        """
        found: dict[str, JobStatus] = {}
        for source in (self._accounting, self._controller, self._exit_files):
            if wanted := [job for job in jobs if job.job_id not in found]:
                answers = await source(wanted)
                found |= {
                    job_id: status
                    for job_id, status in answers.items()
                    if source != self._accounting or status.state.is_final_once_gone
                }
        return found

    async def final_status(self, job: SubmittedJob) -> JobStatus | None:
        """Return how one job ended; None while it has not, or nobody knows."""
        queued = (await self.queue(elements="_" in job.job_id)).get(job.job_id)
        if queued is None:
            found = (await self.look_up([job])).get(job.job_id)
            return found if found and found.state.is_final_once_gone else None
        if not queued.state.is_final:
            return None
        return (await self.with_exit_codes([(job, queued)]))[job.job_id]

    async def with_exit_codes(self, ended: Sequence[tuple[SubmittedJob, JobStatus]]) -> dict[str, JobStatus]:
        """Return final states that squeue gave, by job id, with the exit codes that it does not give.

        Those of the failed jobs are asked for together, first of the controller, then of the accounting database.
        """
        found = {job.job_id: replace(status, exit_code="0:0") for job, status in ended if status.state.is_success}
        failed = {job.job_id: (job, status) for job, status in ended if not status.state.is_success}
        for source in (self._controller, self._accounting):
            if wanted := [job for job_id, (job, _) in failed.items() if job_id not in found]:
                answers = await source(wanted)
                found |= {key: told for key, told in answers.items() if told.state is failed[key][1].state}
        return {job_id: status for job_id, (_, status) in failed.items()} | found

    async def cancel(self, job_id: str) -> None:
        """Cancel one job; one that has ended already is fine."""
        completed = await self._shell.run(commands.cancel(job_id))
        if completed.exit_status != 0 and "Invalid job id" not in completed.stderr:
            raise ClusterUnavailableError(f"scancel {job_id}: {_said(completed)}")
        if completed.exit_status == 0:
            self.metrics.count("jobs_cancelled")

    async def failure_log(self, job: SubmittedJob, status: JobStatus) -> str:
        """Return the last lines of a failed job's log, or why there are none; of a job that succeeded, nothing."""
        if status.state.is_success:
            return ""
        completed = await self._shell.run(commands.tail(job.log_path, LOG_LINES))
        lines = printable(_output(completed)).rstrip().splitlines()[-LOG_LINES:]
        return "\n".join(lines) or _said(completed) or "(the log is empty)"

    async def results(self, jobs: Sequence[SubmittedJob]) -> list[Results]:
        """Return what jobs left in their run directories, in their order."""
        found = await self._ask(commands.results((job.run_dir, job.log_path) for job in jobs), parse.results)
        return [found.get(number, NO_FILE) for number in range(len(jobs))]

    async def new_output(self, logs: Sequence[tuple[str, int]]) -> parse.NewOutput:
        """Return what is new in logs, by their position: path of each, and the number of bytes known already."""
        return await self._ask(commands.new_output(logs), parse.new_output)

    async def read_files(self, directory: str | None, paths: Sequence[str]) -> dict[str, str | None]:
        """Return the text of small files by path, None for one that cannot be read.

        Args:
            directory: What relative paths start from; None for the login directory.
            paths: The files.
        """
        completed = await self._shell.run(commands.read_files(directory, paths))
        if completed.exit_status != 0:
            raise ClusterRefusedError(_said(completed))
        lines = _output(completed).splitlines()
        if len(lines) != len(paths):
            raise ClusterUnavailableError(f"expected {len(paths)} files, got {len(lines)}")
        return {
            path: None if line == "-" else b64decode(line).decode("utf-8", "replace")
            for path, line in zip(paths, lines, strict=True)
        }

    async def _accounting(self, jobs: Iterable[SubmittedJob]) -> dict[str, JobStatus]:
        try:
            return await self._ask(commands.sacct(job.job_id for job in jobs), parse.sacct)
        except ClusterUnavailableError as error:
            if any(words in str(error) for words in NO_ACCOUNTING):
                return {}
            raise

    async def _controller(self, jobs: Iterable[SubmittedJob]) -> dict[str, JobStatus]:
        return await self._ask(commands.scontrol(job.job_id for job in jobs), parse.scontrol)

    async def _exit_files(self, jobs: Iterable[SubmittedJob]) -> dict[str, JobStatus]:
        return await self._ask(commands.exit_files([(job.job_id, job.run_dir) for job in jobs]), parse.exit_files)

    def _answer(self, job: JobRequest, answer: tuple[int, str] | None) -> SubmittedJob:
        if answer is None:
            raise ClusterUnavailableError(f"{job.name} was not submitted yet: those before it took too long")
        exit_status, said = answer
        if exit_status != 0:
            _raise_submit_error(job, Completed(exit_status=exit_status, stdout="", stderr=said))
        return self._submitted(job, said.rpartition("\n")[2])

    def _submitted(self, job: JobRequest, output: str) -> SubmittedJob:
        job_id, _, origin = output.strip().partition(" ")
        if not parse.is_job_id(job_id):
            raise ClusterUnavailableError(f"expected a job's id, got {job_id[:200]!r}")
        if origin == "adopted":
            log.info("An earlier try submitted job %s, and its answer was lost: it is this task's job", job_id)
        if origin in ("submitted", "adopted"):
            self.metrics.count(f"jobs_{origin}")
        return submitted_job(job, job_id)

    async def _ask(self, script: str, read: Callable[[str], Answer]) -> Answer:
        completed = await self._shell.run(script)
        if completed.exit_status != 0:
            raise ClusterUnavailableError(_said(completed) or f"exit status {completed.exit_status}, no reason")
        return read(_output(completed))


def submitted_job(job: JobRequest, job_id: str) -> SubmittedJob:
    """Return the job that a request led to."""
    return SubmittedJob(
        ssh_conn_id=job.ssh_conn_id,
        job_id=job_id,
        job_name=job.name,
        run_dir=job.run_dir,
        log_path=commands.log_path(job.run_dir, job_id),
        label=job.label,
        index=job.index,
        stream_log=job.stream_log,
    )


def failure_text(job: SubmittedJob, status: JobStatus, log_tail: str) -> str:
    """Say how a job failed: all that is needed to see why without a login."""
    facts = {
        "exit code": status.exit_code,
        "elapsed": status.elapsed,
        "nodes": status.nodes,
        "log": job.log_path,
    }
    known = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    said_by = f" ({status.source})" if status.state is not JobState.LOST else ""
    end = f"The log's last {LOG_LINES} lines:\n{log_tail}"
    return f"Job {job.job_id} ({job.job_name}) ended as {status}{said_by}: {known}\n{end}"


def _output(completed: Completed) -> str:
    _, marker, output = completed.stdout.partition(f"{commands.MARKER}\n")
    if not marker:
        raise ClusterUnavailableError(f"the login shell did not run our script; it said: {_shown(completed)}")
    return output


def _shown(completed: Completed) -> str:
    return (_said(completed) or printable(completed.stdout).strip() or "nothing")[-2000:]


def _said(completed: Completed) -> str:
    return printable(completed.stderr).strip()


def printable(text: str) -> str:
    r"""Return text without what a terminal would obey; ``\r``, as progress bars print it, ends a line."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def _raise_submit_error(job: JobRequest, completed: Completed) -> None:
    said = _said(completed)
    message = f"{job.name} was not submitted: {said}"
    match completed.exit_status:
        case commands.REFUSED:
            raise ClusterRefusedError(message)
        case commands.SBATCH_REFUSED if not is_passing(said):
            raise ClusterRefusedError(message)
        case commands.FULL:
            raise NotYetError(said)
        case commands.BUSY | elements.NOT_IN_ARRAY:
            raise AloneError(message)
        case commands.SBATCH_REFUSED | commands.ENDING:
            raise ClusterUnavailableError(message)
        case commands.UNCLEAR:
            raise ClusterUnavailableError(f"it is not clear yet whether {job.name} was submitted: {said}")
        case _:
            raise ClusterUnavailableError(f"{job.name} was not submitted: {_shown(completed)}")
