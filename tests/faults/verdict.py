"""Compares the cluster's jobs with Airflow's tasks, once a sweep has ended: four numbers, and what stands behind them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.faults.evidence import Cluster, Tasks
    from tests.faults.login_node import Event

KINDS = ("two live jobs at once", "lost", "wrong end state", "live job without a live task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One combination of a sweep.

    Attributes:
        index: Its map index.
        name: Its jobs' name.
        marked: A user chose its end: Airflow's state says nothing about the job.
        excused: It may fail without a job, as when its disk is full; it may not succeed without one.
    """

    index: int
    name: str
    marked: bool = False
    excused: bool = False


@dataclass(slots=True)
class Verdict:
    """What is wrong: reasons by kind and combination. And for information: jobs, and combinations with several."""

    wrong: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    jobs: int = 0
    again: int = 0

    @property
    def numbers(self) -> dict[str, int]:
        """Number of offending combinations (or jobs) of each kind."""
        return {kind: len(found) for kind, found in self.wrong.items()}

    @property
    def offenders(self) -> dict[str, list[str]]:
        """Reasons by job name."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for kind, reasons in self.wrong.items():
            for name, reason in reasons.items():
                found[name].append(f"{kind}: {reason}")
        return dict(found)


def judge(
    combinations: Iterable[Combination],
    cluster: Cluster,
    tasks: Tasks,
    events: Sequence[Event],
    allowed_again: set[str],
    stopped: Mapping[str, str],
) -> Verdict:
    """Compare.

    Args:
        combinations: All of the sweep's.
        cluster: Its jobs.
        tasks: The Dag run's tasks.
        events: What the jobs wrote down.
        allowed_again: Job names that a user ran again.
        stopped: Ids of the jobs that were stopped early, by their names: their combinations succeed.
    """
    verdict = Verdict()
    started = {event.job_id for event in events if event.status is None}
    exits = {event.job_id: event.status for event in events if event.status is not None}
    for combination in combinations:
        name, index = combination.name, combination.index
        job_ids = [job.job_id for job in cluster.of(name)]
        job_ids += sorted({event.job_id for event in events if event.job_name == name} - set(job_ids), key=int)
        job_ids.sort(key=int)
        verdict.jobs += len(job_ids)
        verdict.again += len(job_ids) > 1 and name not in allowed_again
        if doubles := cluster.doubles.get(name):
            lasted = doubles[-1][0] - doubles[0][0]
            verdict.wrong["two live jobs at once"][name] = f"{' and '.join(doubles[0][1])}, seen for {lasted:.0f} s"
        if orphans := [job_id for job_id in job_ids if job_id in tasks.orphans]:
            told = ", ".join(f"{job_id} for {tasks.orphans[job_id]:.0f} s" for job_id in orphans)
            verdict.wrong["live job without a live task"][name] = told
        if combination.marked:
            continue
        state = tasks.state("wait", index)
        exit_status = exits.get(job_ids[-1]) if job_ids else None
        if job_ids and stopped.get(name) == job_ids[-1] and exit_status != 0 and state == "success":
            continue
        if not tasks.ended(index):
            verdict.wrong["lost"][name] = f"never ended: submit {tasks.state('submit', index)}, wait {state}"
        elif state == "success" and 0 not in {exits.get(job_id) for job_id in job_ids}:
            verdict.wrong["lost"][name] = "Airflow says success, no job completed"
        elif not started & set(job_ids) and not combination.excused:
            verdict.wrong["lost"][name] = f"no job ran, wait is {state}"
        elif (state == "success") != (exit_status == 0) and not (combination.excused and state != "success"):
            said = "did not end by itself" if exit_status is None else f"exited with {exit_status}"
            verdict.wrong["wrong end state"][name] = f"wait is {state}, the last job, {job_ids[-1]}, {said}"
    return verdict


def describe(
    verdict: Verdict,
    combinations: Mapping[str, Combination],
    cluster: Cluster,
    tasks: Tasks,
    events: Sequence[Event],
    tries: Mapping[str, Sequence[str]],
    since: float,
) -> str:
    """Return what is known about each offending combination, times in seconds since the Dag run's start."""
    lines = []
    for name, reasons in verdict.offenders.items():
        lines += [f"{name}", *(f"  {reason}" for reason in reasons)]
        for job in cluster.of(name):
            spans = ", ".join(f"{state} {first - since:.0f}..{last - since:.0f}" for state, first, last in job.states)
            lines.append(f"  job {job.job_id}: seen {spans}")
        for event in events:
            if event.job_name == name:
                what = "started" if event.status is None else f"ended with {event.status}"
                lines.append(f"  job {event.job_id}: {what} at {event.time - since:.1f}")
        for task in ("submit", "wait"):
            history = tasks.history.get((task, combinations[name].index), [])
            changes = ", ".join(f"{state}({tried}) {time - since:.0f}" for time, state, tried in history)
            lines.append(f"  {task}: {changes}")
        lines += [f"  {line}" for line in tries.get(name, ())]
    return "\n".join(lines)
