"""Run a sweep here, without a scheduler: `airflow dags test`, with a progress line, the table, and an exit code.

It needs Airflow with its database (airflow db migrate) and the connection, in the database or the environment. Ctrl-C
asks whether to cancel the jobs; the same command waits for those that were left. The exit code is 0 if all combinations
succeeded.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from airflow_slurm_sweep.cli.needs_airflow import needs_airflow
from airflow_slurm_sweep.cli.preview import add_run_options
from airflow_slurm_sweep.cli.progress import Progress
from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import APPROVE, OBJECTIVE_KEY, PLAN, REPORT, RETURN_KEY, ROWS_KEY, SUBMIT, WAIT
from airflow_slurm_sweep.plan import read_options
from airflow_slurm_sweep.report import Row, best, causes, failures, outcome
from airflow_slurm_sweep.report_text import best_text, table
from airflow_slurm_sweep.schema import field_schemas
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.files import check_dag_id
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.settings import RunOptions
from airflow_slurm_sweep.sweep.spec import load_sweep, most_combinations
from airflow_slurm_sweep.sweep.sweep_section import Objective

if TYPE_CHECKING:
    from airflow_slurm_sweep.cli.dag_run import LocalRun

_LINES = 5  # of a failed job's log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_run_options(parser)
    existing = field_schemas(RunOptions)["existing"]
    parser.add_argument("--existing", choices=existing["enum"], help=existing["description"])
    text = "show Airflow's log here, too, in place of a file"
    parser.add_argument("-v", "--verbose", action="store_true", help=text)
    text = "approve the run, where its sweep file or cluster profile asks for it, in place of the answer to a question"
    parser.add_argument("--approved", action="store_true", help=text)
    parser.set_defaults(run=_run)


def conf_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the conf of the run that a command line asks for.

    Raises:
        SettingsError: Values are wrong; the message lists all of them.
    """
    entered = vars(options)
    return {name: entered[name] for name in RunOptions.model_fields if name in read_options(entered).model_fields_set}


def _run(options: argparse.Namespace) -> bool:
    path, conf = options.file.absolute(), conf_of(options)
    folders = Folders.around(path)
    dag_id = check_dag_id(path, folders.sweeps, str(options.file))
    # Its errors are known before Airflow is loaded.
    load_sweep(path, source=str(options.file), max_combinations=most_combinations(os.environ))
    os.environ["AIRFLOW__SLURM_SWEEP__SWEEPS_FOLDER"] = str(folders.sweeps)
    if folders.include == folders.sweeps and folders.clusters.is_dir():
        os.environ["AIRFLOW__SLURM_SWEEP__CLUSTERS_FOLDER"] = str(folders.clusters)
    log = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "slurm_sweep" / "run" / f"{dag_id}.log"
    with _only_process(log, dag_id) as file, _Terminal(None if options.verbose else file) as terminal:
        progress = Progress(dag_id, terminal.stream, redraw=False if options.verbose else None)
        progress.say(f"Starting a run of {options.file}" + ("" if options.verbose else f"; Airflow's log is {log}"))
        progress.begin("loading Airflow")
        with needs_airflow("run"):
            from airflow_slurm_sweep.cli.dag_run import LocalRun  # noqa: PLC0415
            from airflow_slurm_sweep.factory import sweep_dag  # noqa: PLC0415
        dag = sweep_dag(path, folders.include)
        conf |= {"dry_run": False, **({"approved": True} if options.approved else {})}
        progress.begin("making the Dag run")
        run = LocalRun(dag, f"run {path}", conf)
        return not _Watched(run, progress, terminal, str(options.file)).play()


@contextmanager
def _only_process(log: Path, dag_id: str) -> Iterator[TextIO]:
    """Give the empty log file of a Dag, to one process at a time: two would run the same tasks."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(f"another process runs {dag_id} already; its log is {log}") from None
        file.truncate(0)
        yield file


class _Terminal:
    """A stream to the terminal, while all else that this process prints goes into a file.

    Args:
        file: None leaves all as it is.
    """

    def __init__(self, file: TextIO | None) -> None:
        self.stream = os.fdopen(os.dup(1), "w")
        self._file, self._kept = file, (os.dup(1), os.dup(2))

    def __enter__(self) -> _Terminal:
        if self._file:
            sys.stdout.flush()
            for number in (1, 2):
                os.dup2(self._file.fileno(), number)
        return self

    def restore(self) -> None:
        """Show what is printed from now on."""
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, number)

    def __exit__(self, *_: object) -> None:
        self.restore()


class _Watched:
    """A run whose progress people see."""

    def __init__(self, run: LocalRun, progress: Progress, terminal: _Terminal, file: str) -> None:
        from airflow_slurm_sweep.tasks import approve, cancel, loop_resources  # noqa: PLC0415  # they import Airflow

        self._run, self._progress, self._terminal, self._file = run, progress, terminal, file
        self._cancel, self._loop = cancel, loop_resources.one_loop().get_loop()
        self._followed: dict[str, asyncio.Task[None]] = {}  # by job id
        self._errors: set[str] = set()
        self._go_on, cancel.follow = cancel.follow, self._follow_next
        cancel.ask_to_leave_jobs = self._ask_to_leave_jobs
        approve.ask = self._ask_for_approval

    def play(self) -> bool:
        """Run all tasks, and print the table; return whether all combinations succeeded."""
        if self._run.is_old:
            self._take_up()
        else:
            self._progress.begin("planning")
        try:
            for task, error in self._run.play():
                self._note(task, error)
        except KeyboardInterrupt:
            self._cancel.end_process()
        self._progress.show(last=True)
        self._show_table()
        return self._run.succeeded

    def _take_up(self) -> None:
        """Note what an earlier process did; its jobs are this one's now."""
        self._progress.say("going on with the run that was left; its jobs are not submitted again")
        self._progress.total = len(self._run.xcom(PLAN, RETURN_KEY) or [])
        ends = {task.map_index: task.state for task in self._run.tasks() if task.task_id == WAIT}
        for task in self._run.tasks():
            if task.task_id == SUBMIT and task.state == "failed":
                self._progress.refused += 1
            elif task.task_id == SUBMIT and task.state == "success":
                job = self._submitted(task.map_index)
                if ends.get(task.map_index) in ("success", "failed"):
                    is_done = ends[task.map_index] == "success"
                    self._progress.note(job.run_dir, JobState.COMPLETED if is_done else JobState.FAILED)
                else:
                    self._cancel.cancel_if_interrupted(job)
        self._follow()

    def _note(self, task: Any, error: BaseException | None) -> None:
        """Show what has changed with the end of a task."""
        if task.task_id in (PLAN, APPROVE) and error is None:
            self._progress.total = len(self._run.xcom(task.task_id, RETURN_KEY) or [])
        elif task.task_id == SUBMIT and error is not None:
            self._progress.refused += 1
        elif task.task_id == WAIT:
            end = JobState.COMPLETED if error is None else JobState.FAILED
            self._progress.note(self._submitted(task.map_index).run_dir, end)
        if error is not None and not (task.task_id == REPORT and self._run.xcom(REPORT, ROWS_KEY)):
            self._show_error(task, str(error) or type(error).__name__)
        self._follow()
        self._progress.show()

    def _submitted(self, map_index: int) -> SubmittedJob:
        return SubmittedJob.from_json(self._run.xcom(SUBMIT, RETURN_KEY, map_index))

    def _show_error(self, task: Any, text: str) -> None:
        """Show why a task failed, with the end of its job's log; the same of many tasks is shown once."""
        if text not in self._errors:
            self._errors.add(text)
            first, *others = text.splitlines()
            again = "; it is tried again" if task.state == "up_for_retry" else ""
            self._progress.say("\n    ".join([f"{first}{again}", *others[-_LINES:]]))

    def _follow(self) -> None:
        """Follow the jobs that are new, beside the task that waits for one of them."""
        for job in self._cancel.tested_jobs():
            if job.job_id not in self._followed:
                self._progress.note(job.run_dir, JobState.PENDING)
                self._followed[job.job_id] = self._loop.create_task(self._follow_job(job))

    def _follow_next(self, job: SubmittedJob) -> None:
        """Follow the next job of a chain, in place of the one before."""
        self._go_on(job)
        self._follow()

    async def _follow_job(self, job: SubmittedJob) -> None:
        from airflow_slurm_sweep.tasks.cluster import cluster_session  # noqa: PLC0415

        async with cluster_session(job.site) as cluster:
            end = asyncio.create_task(cluster.monitor.wait(job))
            while not end.done():
                tick = asyncio.create_task(cluster.monitor.tick())
                await asyncio.wait({end, tick}, return_when=asyncio.FIRST_COMPLETED)
                if tick.done() and (status := tick.result().get(job.job_id)) and not status.state.is_final:
                    self._progress.note(job.run_dir, status.state)
                tick.cancel()
            # Another job may follow one that has a request: how the combination ends, its `wait` tells.
            self._progress.note(job.run_dir, JobState.PENDING if job.request else end.result().state)

    def _ask_to_leave_jobs(self) -> bool:
        """Ask, after Ctrl-C on a terminal, whether the jobs go on; without a terminal they are cancelled."""
        live = self._progress.live
        if self._progress.total and sys.stdin.isatty():
            self._progress.ask(f"Cancel the {live} jobs that have not ended? Else they go on. [y/N]")
            try:
                answer = sys.stdin.readline()
            except KeyboardInterrupt:
                answer = ""
            if answer.strip().lower() not in ("y", "yes"):
                self._run.release()
                again = f"to wait for them again: airflow-slurm-sweep run {self._file}, with the same options"
                print(f"The jobs go on; {again}", file=self._terminal.stream, flush=True)
                return True
        self._progress.total = 0  # no line among those that follow
        self._run.abandon()
        self._terminal.restore()
        return False

    def _ask_for_approval(self, cost: str) -> bool:
        """Ask whether the jobs of a run may be submitted.

        Raises:
            SettingsError: There is no terminal.
        """
        if not sys.stdin.isatty():
            raise SettingsError(f"the run waits for approval ({cost}), and there is no terminal to ask; add --approved")
        self._progress.ask(f"{cost}. Approve it? [y/N]")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _show_table(self) -> None:
        found = self._run.xcom(REPORT, ROWS_KEY)
        if not found:
            return
        rows = [Row(**row) for row in found]
        objective = self._run.xcom(PLAN, OBJECTIVE_KEY)
        objective = objective and Objective(**objective)
        lines = ["", table(rows, objective), "", *failures(causes(rows))]
        if objective and (winner := best(rows, objective)):
            lines.append(best_text(winner, objective))
        lines.append(outcome(rows))
        print("\n".join(lines), file=self._terminal.stream, flush=True)
