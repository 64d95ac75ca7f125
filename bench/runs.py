"""One Dag run, from its trigger to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text

from bench.logs import EndedJob
from bench.numbers import percentile
from bench.observe import Observation, Observed, ended
from bench.say import say
from bench.stage import ENDED, WARM, Stage
from sandbox import SandboxError

FIXED_SECONDS = 180.0  # that a run may take, and:
SECONDS_EACH = 3.0  # for each of its combinations
LOOK = 2.0  # seconds between two looks at a run's state
_CONNECTION_STAYS = 25.0  # seconds after the last use, and a little more
_PAGE = 1000
_SAY = 10.0  # seconds between two lines of progress
EMPTY = "empty"  # `Subject.what`
_FAILED = ("failed", "upstream_failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a Dag run of jobs took.

    Attributes:
        what: Whose Dag.
        size: Combinations.
        state: How the Dag run ended.
        jobs: Number of jobs that ended.
        failed_tasks: Task instances in state failed or upstream_failed, each at its last try.
        submitted: Seconds from the trigger to the last job's SubmitTime; nan if there are no jobs.
        finished: Seconds from the trigger to the last job's EndTime; likewise.
        ended: Seconds from the trigger to the end of the Dag run.
        lag_median: Seconds from a job's EndTime, whole ones, to the end of its task; of all combinations.
        lag_p95: Likewise: 95 % of the combinations had at most this.
        observed: What happened meanwhile.
    """

    what: str
    size: int
    state: str
    jobs: int
    failed_tasks: int
    submitted: float
    finished: float
    ended: float
    lag_median: float
    lag_p95: float
    observed: Observed

    @property
    def closing(self) -> float:
        """Seconds from the last job's EndTime, whole ones, to the end of the Dag run."""
        return self.ended - self.finished

    @property
    def seconds_each(self) -> float:
        """Seconds for a combination."""
        return self.ended / self.size

    @property
    def cpu_each(self) -> float:
        """Processor seconds of Airflow and the cluster for a combination."""
        return sum(usage.cpu_seconds for usage in self.observed.usage.values()) / self.size

    @property
    def went_well(self) -> bool:
        """Whether each combination had one job and no task failed."""
        return self.state == "success" and self.jobs == self.size and not self.failed_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A Dag that is measured.

    Attributes:
        what: A name for the reader.
        dag_id: The names of its jobs end with ``_1``, ``_2``, ..., as their map indices begin with 0.
        wait_task: The task that ends when its job has ended.
        conf: For the Dag run.
        held: Its jobs are submitted held, and are to be released once a task waits for each.
    """

    what: str
    dag_id: str
    wait_task: str
    conf: dict[str, object] = field(default_factory=dict)
    held: bool = False


def measure(stage: Stage, subject: Subject, size: int) -> Run:
    """Trigger a Dag that runs so many jobs, wait for the end of its run, and measure.

    Raises:
        SandboxError: The run did not end in time.
    """
    stage.wait_for_dag(subject.dag_id)
    with Observation(stage) as observation:
        began = time.time()
        path = trigger(stage, subject.dag_id, subject.conf)
        if subject.held:
            wait(
                lambda: observation.submitted >= size, lambda: f"{observation.submitted} of {size} submitted", 60 + size
            )
            wait_until_all_wait(stage, size)
            stage.box.slurm(
                "scontrol", "release", ",".join(stage.box.slurm("squeue", "--noheader", "--format=%i").split())
            )
        run = _wait_for_the_end(stage, path, observation, size)
        observed = observation.end()
    tasks = list(_tasks(stage, path))
    jobs = ended(stage)
    ends = {
        task["map_index"]: task["end_date"]
        for task in tasks
        if task["task_id"] == subject.wait_task and task["end_date"]
    }
    lags = _lags(jobs, ends)
    return Run(
        what=subject.what,
        size=size,
        state=run["state"],
        jobs=len(jobs),
        failed_tasks=sum(task["state"] in _FAILED for task in tasks),
        submitted=max((job.submitted for job in jobs), default=math.nan) - began,
        finished=max((job.ended for job in jobs), default=math.nan) - began,
        ended=_seconds(run["end_date"]) - began,
        lag_median=percentile(lags, 50),
        lag_p95=percentile(lags, 95),
        observed=observed,
    )


def warm_up(stage: Stage, dag_id: str = WARM, conf: dict[str, object] | None = None) -> None:
    """Run a Dag with one job, which no measurement shall show.

    Airflow's processes import at their first use what they need; a triggerer's interface for requests alone takes four
    seconds of a processor and 80 MiB.

    Raises:
        SandboxError: It has not ended in time. How it ended is no matter: the plain way may fail at one job too.
    """
    say("a first job, not measured")
    stage.wait_for_dag(dag_id)
    path = trigger(stage, dag_id, conf or {})

    def state() -> str:
        with suppress(OSError):
            return str(stage.airflow.call("GET", path)["state"])
        return ""

    if not wait(lambda: state() in ("success", "failed"), state, FIXED_SECONDS):
        raise SandboxError(f"the first run of {dag_id} has not ended after {FIXED_SECONDS:.0f} s")
    time.sleep(_CONNECTION_STAYS)
    (stage.box.directory / ENDED).write_text("")  # slurmctld appends


def trigger(stage: Stage, dag_id: str, conf: dict[str, object]) -> str:
    """Trigger a Dag; return the path of its run in Airflow's REST interface."""
    runs = f"/api/v2/dags/{dag_id}/dagRuns"
    return f"{runs}/{stage.airflow.call('POST', runs, {'logical_date': None, 'conf': conf})['dag_run_id']}"


def waiting_tasks(stage: Stage) -> int:
    """Return how many tasks ``wait`` are in the triggerer; 0 where Airflow is too busy to answer."""
    path = "/api/v2/dags/~/dagRuns/~/taskInstances?state=deferred&task_display_name_pattern=wait&limit=1"
    with suppress(OSError):
        return int(stage.airflow.call("GET", path)["total_entries"])
    return 0


def wait_until_all_wait(stage: Stage, size: int) -> None:
    """Return once every job has a task that waits for it in the triggerer, or some minutes have passed."""

    def progress() -> str:
        return f"{waiting_tasks(stage)} of {size} tasks wait in the triggerer"

    if not wait(lambda: waiting_tasks(stage) >= size, progress, 60 + size):
        say(f"only {progress()}")


def wait(condition: Callable[[], bool], progress: Callable[[], str], seconds: float) -> bool:
    """Look now and then, and tell; False if the condition did not come true in time."""
    began = told = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now - began > seconds:
            return False
        if now - told > _SAY:
            told = now
            say(f"{now - began:5.0f} s: {progress()}")
        time.sleep(LOOK)
    return True


def _wait_for_the_end(stage: Stage, path: str, observation: Observation, size: int) -> dict[str, Any]:
    began, told = time.monotonic(), time.monotonic()
    limit = FIXED_SECONDS + SECONDS_EACH * size
    while time.monotonic() - began < limit:
        time.sleep(LOOK)
        if _state(stage, path) in ("success", "failed"):
            with suppress(OSError):  # too busy to answer: the next time then
                return dict(stage.airflow.call("GET", path))
        if time.monotonic() - told > _SAY:
            told = time.monotonic()
            counts = f"{observation.submitted} of {size} submitted, {len(ended(stage))} ended"
            say(f"{told - began:5.0f} s: {counts}")
    raise SandboxError(f"the run {path} has not ended after {limit:.0f} s; {len(ended(stage))} of {size} jobs have")


def _state(stage: Stage, path: str) -> str:
    """Return a run's state, out of the database: for its answer, Airflow reads all tasks of the run."""
    query = text("SELECT state FROM dag_run WHERE run_id = :run_id")
    with stage.database.connect() as connection:
        return str(connection.execute(query, {"run_id": path.rpartition("/")[2]}).scalar())


def _tasks(stage: Stage, path: str) -> Iterator[dict[str, Any]]:
    """All task instances of a run, page by page."""
    offset = 0
    while True:
        page = stage.airflow.call("GET", f"{path}/taskInstances?limit={_PAGE}&offset={offset}&order_by=id")
        yield from page["task_instances"]
        offset += len(page["task_instances"])
        if not page["task_instances"] or offset >= page["total_entries"]:
            return


def _lags(jobs: list[EndedJob], ends: dict[int, str]) -> list[float]:
    """Seconds between the end of a job and that of its task."""
    return [_seconds(ends[job.map_index]) - job.ended for job in jobs if job.map_index in ends]


def _seconds(date: str) -> float:
    return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()
