"""One sweep under fault: triggers it, keeps the time of what is done to it, and collects the evidence at its end."""

from __future__ import annotations

import json
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_slurm_sweep.names import RESERVATIONS, STOP
from airflow_slurm_sweep.slurm.attempt import run_name
from sandbox.processes import wait_until
from sandbox.sampler import Sampler
from tests.faults.airflow_parts import INSTALLATION
from tests.faults.evidence import ORPHAN_SECONDS, Cluster, Tasks
from tests.faults.verdict import Combination, Verdict, describe, judge
from tests.full import FULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Sandbox
    from sandbox.parts import AirflowParts
    from tests.faults.host_names import HostNames
    from tests.faults.login_node import LoginNode

# Combinations by Dag: a short run does with fewer.
SWEEPS = (
    {"airflow_faults": 40, "cluster_faults": 40, "user_faults": 40, "stopped": 10, "refused_logins": 10, "services": 20}
    | {"chained": 20, "retried": 20, "approved": 10, "searched": 30}
    if FULL
    else {
        "airflow_faults": 8,
        "cluster_faults": 14,
        "user_faults": 8,
        "stopped": 4,
        "refused_logins": 10,
        "services": 8,
    }
    | {"chained": 6, "retried": 6, "approved": 4, "searched": 14}
)
# Further settings: the jobs of these sweeps are followed by others where they exit with 75.
FOLLOWED = {
    "chained": """, chain: {jobs: 3, on: [FAILED]}, setup: ['touch "$BASE_LOG_DIR/step$SLURM_JOB_ID"']""",
    "retried": ", retry: [{on: FAILED, times: 2, exit_codes: [75]}]",
}
ASKING = {"approved": "sweep: {approve: {above_cpu_hours: 0}}\n"}  # this one waits for a person
END = 600.0  # seconds that a run may take after the last fault, on a machine with other work


@dataclass(slots=True, kw_only=True)
class Theatre:
    """What all sweeps share: a cluster, its login node and whether Airflow knows its name, and a record of all jobs."""

    box: Sandbox
    login: LoginNode
    names: HostNames | None
    airflow: AirflowParts
    cluster: Cluster
    seed: int
    report: Callable[[str], None]


@dataclass(slots=True)
class Stage:
    """One Dag run.

    Attributes:
        rng: All choices and moments come from it.
        faults: Time and text of what was done, in order.
    """

    theatre: Theatre
    dag_id: str
    jobname: str
    size: int
    rng: random.Random = field(init=False)
    faults: list[tuple[float, str]] = field(default_factory=list)
    combinations: dict[int, Combination] = field(init=False)
    again: set[str] = field(default_factory=set)
    run_id: str = field(init=False)
    began: float = 0.0
    tasks: Tasks = field(init=False)
    _sampler: Sampler = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.theatre.seed} {self.jobname}")
        self.run_id = f"manual__{datetime.now(UTC).isoformat()}"
        self.combinations = {
            index: Combination(index=index, name=f"{self.jobname}_sweep_{index + 1}") for index in range(self.size)
        }

    @property
    def path(self) -> str:
        """The Dag run in Airflow's REST interface."""
        return f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}"

    def name(self, index: int) -> str:
        """The job name of a combination."""
        return self.combinations[index].name

    def excuse(self, index: int, *, marked: bool = False) -> None:
        """A combination may fail, or a user chose its end."""
        combination = self.combinations[index]
        self.combinations[index] = replace(combination, marked=marked or combination.marked, excused=True)

    def note(self, what: str) -> None:
        """Put a fault on record."""
        now = time.time()
        self.faults.append((now, what))
        with (self.theatre.airflow.folder / "faults.log").open("a") as log:
            log.write(f"{datetime.fromtimestamp(now, UTC):%H:%M:%S.%f} {self.jobname} {what}\n")

    def pause(self, least: float, most: float) -> None:
        """Let a random time pass: this is what makes the moments random."""
        time.sleep(self.rng.uniform(least, most))

    def reserve_name(self) -> None:
        """Give the Dag run its name before `plan` asks for it: run directories that are there already would be taken."""
        folder = Path(str(self.theatre.box.profile["log"])) / "nemo-rl" / RESERVATIONS
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.jobname).write_text(f"run {run_name(INSTALLATION, self.dag_id, self.run_id)}\n")

    def trigger(self) -> None:
        """Start the Dag run, under its own job name."""
        self.began = time.time()
        body = {"dag_run_id": self.run_id, "logical_date": None, "conf": {"jobname": self.jobname}}
        self.theatre.airflow.call("POST", f"/api/v2/dags/{self.dag_id}/dagRuns", body)
        index_of = {combination.name: index for index, combination in self.combinations.items()}
        self.tasks = Tasks(self.theatre.airflow, self.path, self.theatre.cluster, index_of)
        self._sampler = Sampler(self.tasks.look, 1.5)
        self._sampler.start()

    def run_dir(self, index: int) -> Path:
        """Where a combination's job runs."""
        return Path(str(self.theatre.box.profile["log"])) / "nemo-rl" / self.name(index)

    def live_jobs(self) -> dict[str, str]:
        """Job id and name of this run's jobs that live."""
        names = {combination.name for combination in self.combinations.values()}
        return {job_id: name for job_id, name in self.theatre.cluster.live.items() if name in names}

    def stops(self) -> dict[str, dict[str, Any]]:
        """Return which jobs were stopped early, by their names: what their run directories say."""
        found = {}
        for combination in self.combinations.values():
            for file in Path(str(self.theatre.box.profile["log"])).rglob(f"{combination.name}/{STOP}"):
                found[combination.name] = json.loads(file.read_text())
        return found

    def wait_for_jobs(self, count: int, seconds: float = 90) -> None:
        """Return once so many combinations have had a job."""
        seen = self.theatre.cluster.of
        assert wait_until(
            lambda: sum(bool(seen(combination.name)) for combination in self.combinations.values()) >= count, seconds
        ), f"no {count} jobs after {seconds} s; logs: {self.theatre.airflow.folder}"

    def finish(self) -> Verdict:
        """Wait for the end of the run and its jobs, judge, and report.

        Raises:
            AssertionError: One of the four numbers is not 0.
        """
        wait_until(self._is_over, END)
        wait_until(lambda: not self.live_jobs(), ORPHAN_SECONDS + 10)
        self._sampler.stop()
        self._clear_up()
        names = {combination.name for combination in self.combinations.values()}
        events = [event for event in self.theatre.login.events() if event.job_name in names]
        combinations = self.combinations.values()
        stopped = {name: str(note["job"]) for name, note in self.stops().items()}
        verdict = judge(combinations, self.theatre.cluster, self.tasks, events, self.again, stopped)
        faults = sorted(
            self.faults + [entry for entry in self.theatre.login.faults if entry[0] >= self.began],
        )
        self.theatre.report(
            f"{self.jobname}: {self.size} combinations, {verdict.jobs} jobs in {time.time() - self.began:.0f} s; "
            + "; ".join(f"{kind}: {number}" for kind, number in verdict.numbers.items())
            + f"; run again without need: {verdict.again}"
        )
        self.theatre.report(f"faults: {len(faults)} injected into {self.jobname}")
        if verdict.offenders:
            by_name = {combination.name: combination for combination in combinations}
            tries = {name: self._tries(by_name[name].index) for name in verdict.offenders}
            told = describe(verdict, by_name, self.theatre.cluster, self.tasks, events, tries, self.began)
            timeline = "\n".join(f"  {moment - self.began:6.1f} {what}" for moment, what in faults)
            raise AssertionError(
                f"{verdict.numbers}, FAULT_SEED={self.theatre.seed}, Dag run {self.dag_id} {self.run_id}, "
                f"logs: {self.theatre.airflow.folder}\n{told}\nfaults (seconds since the Dag run's start):\n{timeline}"
            )
        return verdict

    def _clear_up(self) -> None:
        """Leave nothing of this run to the next one."""
        if not all(self.tasks.ended(index) for index in self.combinations):
            with suppress(OSError):
                self.theatre.airflow.mark_run(self.path, "failed")
        if live := self.live_jobs():
            self.theatre.box.slurm("scancel", *live, check=False)

    def _tries(self, index: int) -> list[str]:
        found: list[str] = []
        for task in ("submit", "wait"):
            rows: list[dict[str, Any]] = []
            with suppress(OSError):  # Airflow may be what is broken
                path = f"{self.path}/taskInstances/combination.{task}/{index}/tries"
                rows = self.theatre.airflow.call("GET", path)["task_instances"]
            found += [
                f"{task} try {row['try_number']}: {row['state']} {row['start_date']} .. {row['end_date']}"
                for row in rows
            ]
        return found

    def _is_over(self) -> bool:
        time.sleep(1)
        with suppress(OSError):
            ended = self.theatre.airflow.call("GET", self.path)["state"] in ("success", "failed")
            return ended and all(self.tasks.ended(index) for index in self.combinations)
        return False
