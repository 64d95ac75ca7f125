"""What happened, seen from outside: the cluster's list of jobs about once a second, and Airflow's list of tasks."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sandbox.airflow import Api

ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "COMPLETING", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
}
TASK_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
ORPHAN_SECONDS = 45.0  # for which a job may outlive its task: the time that its cancellation may take


@dataclass(slots=True)
class Job:
    """One job of the cluster: the states in which it was seen, each with the times of first and last sight."""

    job_id: str
    name: str
    states: list[tuple[str, float, float]] = field(default_factory=list)

    def see(self, state: str, now: float) -> None:
        """Note a state."""
        if self.states and self.states[-1][0] == state:
            self.states[-1] = (state, self.states[-1][1], now)
        else:
            self.states.append((state, now, now))


class Cluster:
    """The jobs of a cluster, past and present.

    Attributes:
        jobs: By job id.
        doubles: By job name: time and job ids whenever more than one of that name lived.
        live: Job id and name of those that lived when last looked.
    """

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self.jobs: dict[str, Job] = {}
        self.doubles: defaultdict[str, list[tuple[float, list[str]]]] = defaultdict(list)
        self.live: dict[str, str] = {}

    def look(self) -> None:
        """Ask squeue once, past all wrappers; one answer is one moment."""
        answer = self._box.slurm("squeue", "--me", "--states=all", "--noheader", "--format=%i|%j|%T")
        now = time.time()
        live: dict[str, str] = {}
        by_name: defaultdict[str, list[str]] = defaultdict(list)
        for line in answer.splitlines():
            job_id, name, state = line.split("|")
            self.jobs.setdefault(job_id, Job(job_id, name)).see(state, now)
            if state not in ENDED:
                live[job_id] = name
                by_name[name].append(job_id)
        for name, job_ids in by_name.items():
            if len(job_ids) > 1:
                self.doubles[name].append((now, sorted(job_ids)))
        self.live = live

    def of(self, name: str) -> list[Job]:
        """All jobs of a name, in the order of their submission."""
        return sorted((job for job in list(self.jobs.values()) if job.name == name), key=lambda job: int(job.job_id))


class Tasks:
    """The tasks of one Dag run, as REST tells of them, and the jobs that live without one.

    Attributes:
        states: State by task id and map index, when last looked.
        history: Time, state and try of each task at every change.
        orphans: Job id and seconds of each job that lived longer than `ORPHAN_SECONDS` after its task.
    """

    def __init__(self, api: Api, path: str, cluster: Cluster, index_of: dict[str, int]) -> None:
        self._api = api
        self._path = path
        self._cluster = cluster
        self._index_of = index_of
        self._alone_since: dict[str, float] = {}
        self.states: dict[tuple[str, int], str | None] = {}
        self.triggerers: dict[tuple[str, int], int] = {}
        self.history: defaultdict[tuple[str, int], list[tuple[float, str | None, int]]] = defaultdict(list)
        self.orphans: dict[str, float] = {}

    def look(self) -> None:
        """Ask once."""
        rows: list[dict[str, Any]] = self._api.call("GET", f"{self._path}/taskInstances?limit=1000")["task_instances"]
        now = time.time()
        states, triggerers = {}, {}
        for row in rows:
            key = (row["task_id"].rpartition(".")[2], row["map_index"])
            states[key] = row["state"]
            if row["state"] == "deferred" and (row["triggerer_job"] or {}).get("id"):
                triggerers[key] = row["triggerer_job"]["id"]
            seen = (row["state"], row["try_number"])
            if not self.history[key] or self.history[key][-1][1:] != seen:
                self.history[key].append((now, *seen))
        self.states, self.triggerers = states, triggerers
        self._look_for_orphans(now)

    def state(self, task: str, index: int) -> str | None:
        """State of one task when last looked."""
        return self.states.get((task, index))

    def ended(self, index: int) -> bool:
        """Whether nothing of a combination goes on."""
        return all(self.state(task, index) in TASK_ENDED for task in ("submit", "wait"))

    def _look_for_orphans(self, now: float) -> None:
        alone = {
            job_id
            for job_id, name in self._cluster.live.items()
            if name in self._index_of and self.ended(self._index_of[name])
        }
        self._alone_since = {job_id: self._alone_since.get(job_id, now) for job_id in alone}
        for job_id, since in self._alone_since.items():
            if now - since > ORPHAN_SECONDS:
                self.orphans[job_id] = now - since
