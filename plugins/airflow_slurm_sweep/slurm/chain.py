"""Whether another job follows one that has ended, in the same run directory. Pure; docs/long_jobs.md has the table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from airflow_slurm_sweep.slurm.retry import Rule, applies
from airflow_slurm_sweep.slurm.states import JobState

# Ends that are nobody's fault use up no job of a chain.
FREE = frozenset({JobState.PREEMPTED, JobState.NODE_FAIL, JobState.BOOT_FAIL})
MOST_FREE = 20
DEFAULT_ON = tuple(
    state.value for state in (JobState.TIMEOUT, JobState.PREEMPTED, JobState.NODE_FAIL, JobState.BOOT_FAIL)
)

_LINK = re.compile(r"([0-9_]+),([0-9]{1,12}),([^,]*),(-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?|),([^,]*),(.*)")


class Link(NamedTuple):
    """A job of a chain that another one followed, as the record has it."""

    job_id: str
    state: JobState
    value: float | None  # of the metric in `Chain.until`
    time: int  # when it was followed, in seconds since 1970 by the login node's clock
    elapsed: str = ""  # run time, ``[days-]hours:minutes:seconds``
    nodes: str = ""


def read_links(words: str) -> tuple[Link, ...]:
    """Read the links of a record, ``ID,TIME,STATE,VALUE,ELAPSED,NODES`` each; words of another form are skipped."""
    rows = (found.groups() for word in words.split() if (found := _LINK.fullmatch(word)))
    return tuple(
        Link(job_id, JobState.parse(state), float(value) if value else None, int(time), elapsed, nodes)
        for job_id, time, state, value, elapsed, nodes in rows
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """How far a combination goes on past the end of its job.

    Attributes:
        jobs: How many jobs there may be, one after the other; 0 for one that may only be tried again.
        until: The metric that has to reach a value, as ``{"total_steps": 2000}``; empty where the job's end tells.
        on: The ends that another job follows.
        progress: A pattern of the files in the run directory that are progress; empty for any file.
        retry: The ends after which the job is run again, with other resources; see `slurm.retry`.
    """

    jobs: int
    until: Mapping[str, float] = field(default_factory=dict)
    on: Sequence[str] = DEFAULT_ON
    progress: str = ""
    retry: Sequence[Rule] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one job ended; `Trace` explains ``signal`` and ``has_new_files``, `Link` explains ``value``.

    ``lacks_exit_file`` says that job.sh left none of exit status 0, as on a full disk: what the job saved is in doubt.
    ``was_warned`` says that ``signal`` can only be the warning before the time limit.
    ``in_grace`` says that it was preempted, and ended within its partition's GraceTime. ``by_a_step`` says that a step
    ran out of memory, and the job itself FAILED.
    """

    state: JobState
    exit_code: str = ""
    signal: str = ""
    was_warned: bool = False
    lacks_exit_file: bool = False
    in_grace: bool = False
    by_a_step: bool = False
    has_new_files: bool = True
    value: float | None = None


class Outcome(Enum):
    """What comes of a job's end."""

    DONE = "done"
    FOLLOWED = "followed"
    FAILED = "failed"


class Verdict(NamedTuple):
    """What comes of a job's end, why, and how far the chain is: ``3 of 6 jobs, total_steps 1,240``."""

    outcome: Outcome
    why: str
    so_far: str


def counted_as(chain: Chain, end: End) -> JobState:
    """Return the state that an end counts as.

    A job that failed of its warning has met its time limit. One that ended in its time of grace was preempted, and one
    of which a step ran out of memory did so itself, where another job may follow that.
    """
    followed = [*(chain.on if chain.jobs > 0 else ()), *(rule["on"] for rule in chain.retry)]
    state = end.state
    if end.by_a_step and state.value not in followed:
        state = JobState.FAILED
    if chain.jobs > 0 and state is JobState.FAILED and end.was_warned:
        return JobState.TIMEOUT
    return JobState.PREEMPTED if end.in_grace and JobState.PREEMPTED.value in followed else state


def judge(chain: Chain, links: Sequence[Link], end: End) -> Verdict:
    """Return what comes of a job's end; ``links`` are the jobs before it."""
    retried = {rule["on"] for rule in chain.retry}
    state = counted_as(chain, end)
    was_warned, end = state is JobState.TIMEOUT and state is not end.state, replace(end, state=state)
    ends = [*(link.state for link in links), end.state]
    # Ends in `retried` use up no job of the chain, also a last one whose exit code no rule names: it fails the chain.
    own = [state for state in ends if state.value not in retried]
    free = sum(state in FREE for state in own)
    used = len(own) - free
    if end.state.value in retried:
        outcome, why = _outcome_of_retry(chain, ends, end)
    else:
        judged = [link for link in links if link.state not in FREE and link.state.value not in retried]
        is_followed = was_warned or end.state is JobState.COMPLETED or end.state.value in chain.on
        outcome, why = _outcome(chain, judged, end, used=used, free=free) if is_followed else (Outcome.FAILED, "")
    tried = sum(link.state.value in retried for link in links)
    parts = [f"{used} of {chain.jobs} jobs"] if chain.jobs else []
    parts += [f"{metric} {'unknown' if end.value is None else f'{end.value:,g}'}" for metric in chain.until]
    parts += [f"{tried} {'retry' if tried == 1 else 'retries'}"] if tried else []
    return Verdict(outcome, why, ", ".join(parts))


def _outcome_of_retry(chain: Chain, ends: Sequence[JobState], end: End) -> tuple[Outcome, str]:
    for rule in chain.retry:
        if applies(rule, end.state, end.exit_code):
            if ends.count(end.state) <= rule["times"]:
                return Outcome.FOLLOWED, ""
            return Outcome.FAILED, f"after {rule['times']} {'retry' if rule['times'] == 1 else 'retries'} for this"
    return Outcome.FAILED, ""


def is_reached(until: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Whether a job left the metric with the value of `Chain.until`, or nothing is asked for."""
    return all((value := metrics.get(metric)) is not None and value >= least for metric, least in until.items())


def _outcome(chain: Chain, judged: Sequence[Link], end: End, *, used: int, free: int) -> tuple[Outcome, str]:
    reached = [metric for metric, target in chain.until.items() if end.value is not None and end.value >= target]
    is_sure = not end.signal and not end.lacks_exit_file
    is_done = end.state is JobState.COMPLETED and not chain.until and (is_sure or not chain.jobs)
    if reached or is_done:
        return Outcome.DONE, "".join(f"{metric} is reached" for metric in reached)
    why = ""
    if end.state in FREE:
        if free > MOST_FREE:
            why = f"its jobs were preempted, or lost their nodes, {free} times"
    elif used >= chain.jobs:
        why = "the chain is used up"
    elif used > 1 and not _has_progress(chain, judged, end):  # the first job may prepare what no file there shows
        why = "the job made no progress"
    return (Outcome.FAILED if why else Outcome.FOLLOWED), why


def _has_progress(chain: Chain, judged: Sequence[Link], end: End) -> bool:
    """Whether a job left new files, and has moved the metric if the chain has one; of a job in FREE, neither counts."""
    before = [link.value for link in judged if link.value is not None]
    has_moved = end.value is not None and (not before or end.value > before[-1])
    return end.has_new_files and (has_moved or not chain.until)
