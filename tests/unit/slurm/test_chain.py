"""What comes of a job's end: the table in docs/long_jobs.md, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_slurm_sweep.slurm.chain import MOST_FREE, Chain, End, Link, Outcome, judge, read_links
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.states import JobState

UNTIL = {"until": {"steps": 2000.0}}
RETRIED = {"retry": [{"on": "FAILED", "times": 1, "exit_codes": [75]}]}
DONE, FOLLOWED, FAILED = Outcome.DONE, Outcome.FOLLOWED, Outcome.FAILED


def link(state: str = "TIMEOUT", value: float | None = None) -> Link:
    return Link("7", JobState.parse(state), value, 0)


def end(state: str, signal: str = "", value: float | None = None, *, new: bool = True) -> End:
    return End(
        state=JobState.parse(state),
        signal=signal,
        was_warned=signal not in ("", "TERM"),
        has_new_files=new,
        value=value,
    )


STEP = End(state=JobState.OUT_OF_MEMORY, exit_code="75:0", by_a_step=True)


@pytest.mark.parametrize(
    ("chain", "links", "ended", "outcome", "why"),
    [
        ({}, [], end("COMPLETED"), DONE, ""),
        ({}, [], end("COMPLETED", "USR1"), FOLLOWED, ""),
        ({}, [], end("COMPLETED", "TERM"), FOLLOWED, ""),
        ({}, [], End(state=JobState.COMPLETED, lacks_exit_file=True), FOLLOWED, ""),
        ({"jobs": 0}, [], End(state=JobState.COMPLETED, lacks_exit_file=True), DONE, ""),
        ({}, [], End(state=JobState.COMPLETED, in_grace=True), FOLLOWED, ""),
        ({"jobs": 0}, [], End(state=JobState.COMPLETED, in_grace=True), DONE, ""),
        ({"jobs": 0, "retry": [{"on": "PREEMPTED", "times": 1}]}, [], End(state=JobState.COMPLETED, in_grace=True), FOLLOWED, ""),
        ({**UNTIL, "on": ["TIMEOUT"]}, [], End(state=JobState.COMPLETED, value=2000, in_grace=True), DONE, "steps is reached"),
        ({}, [], end("TIMEOUT", "TERM"), FOLLOWED, ""),
        ({}, [], end("TIMEOUT"), FOLLOWED, ""),
        ({}, [], end("FAILED", "USR1"), FOLLOWED, ""),
        ({}, [], end("FAILED", "TERM"), FAILED, ""),
        ({}, [], replace(end("FAILED", "TERM"), was_warned=True), FOLLOWED, ""),
        ({}, [], end("FAILED"), FAILED, ""),
        ({"on": ["FAILED"]}, [], end("FAILED"), FOLLOWED, ""),
        ({"on": ["PREEMPTED"]}, [], end("TIMEOUT"), FAILED, ""),
        ({}, [], end("OUT_OF_MEMORY"), FAILED, ""),
        ({}, [], STEP, FAILED, ""),
        ({"on": ["FAILED"]}, [], STEP, FOLLOWED, ""),
        ({"on": ["OUT_OF_MEMORY"]}, [], STEP, FOLLOWED, ""),
        ({}, [], replace(STEP, signal="USR1", was_warned=True), FOLLOWED, ""),
        (RETRIED, [], STEP, FOLLOWED, ""),
        (RETRIED, [], replace(STEP, exit_code="1:0"), FAILED, ""),
        ({"retry": [{"on": "OUT_OF_MEMORY", "times": 1}]}, [], replace(STEP, signal="USR1", was_warned=True), FOLLOWED, ""),
        ({"retry": [{"on": "OUT_OF_MEMORY", "times": 1}]}, [link("OUT_OF_MEMORY")], STEP, FAILED, "after 1 retry for this"),
        ({}, [], end("CANCELLED", "USR1"), FAILED, ""),
        ({}, [], end("LOST"), FAILED, ""),
        (UNTIL, [], end("COMPLETED", value=2000), DONE, "steps is reached"),
        (UNTIL, [], end("TIMEOUT", value=2001), DONE, "steps is reached"),
        (UNTIL, [], end("FAILED", value=2001), FAILED, ""),
        (UNTIL, [], end("CANCELLED", value=2001), FAILED, ""),
        (UNTIL, [], end("COMPLETED", value=1999), FOLLOWED, ""),
        (UNTIL, [], end("COMPLETED"), FOLLOWED, ""),
        (UNTIL, [link(value=900)], end("TIMEOUT", value=1000), FOLLOWED, ""),
        (UNTIL, [link(value=1000)], end("TIMEOUT", value=1000), FAILED, "the job made no progress"),
        (UNTIL, [link(value=1000)], end("TIMEOUT"), FAILED, "the job made no progress"),
        (UNTIL, [link(value=900)], end("TIMEOUT", value=1000, new=False), FAILED, "the job made no progress"),
        ({}, [], end("TIMEOUT", new=False), FOLLOWED, ""),
        ({}, [link("NODE_FAIL")], end("TIMEOUT", new=False), FOLLOWED, ""),
        ({}, [link()], end("TIMEOUT", new=False), FAILED, "the job made no progress"),
        ({}, [link()], end("PREEMPTED", new=False), FOLLOWED, ""),
        (UNTIL, [link(value=100), link("PREEMPTED", 180)], end("TIMEOUT", value=170), FOLLOWED, ""),
        (RETRIED, [], end("FAILED", "USR1"), FOLLOWED, ""),
        (RETRIED, [link()] * 5, end("FAILED", "USR1"), FAILED, "the chain is used up"),
        (RETRIED, [], End(state=JobState.FAILED, exit_code="75:0"), FOLLOWED, ""),
        (RETRIED, [], End(state=JobState.FAILED, exit_code="1:0"), FAILED, ""),
        ({"jobs": 1}, [], end("TIMEOUT"), FAILED, "the chain is used up"),
        ({"jobs": 1}, [], end("NODE_FAIL"), FOLLOWED, ""),
        ({"jobs": 2}, [link("PREEMPTED"), link()], end("COMPLETED", "USR1"), FAILED, "the chain is used up"),
        ({}, [link("PREEMPTED")] * (MOST_FREE - 1), end("NODE_FAIL"), FOLLOWED, ""),
        ({}, [link("PREEMPTED")] * MOST_FREE, end("NODE_FAIL"), FAILED, "its jobs were preempted, or lost their nodes, 21 times"),
    ],
)  # fmt: skip
def test_what_comes_of_a_jobs_end(
    chain: dict[str, Any], links: list[Link], ended: End, outcome: Outcome, why: str
) -> None:
    assert judge(Chain(**{"jobs": 6, **chain}), links, ended)[:2] == (outcome, why)


def test_how_far_a_chain_is() -> None:
    chain = Chain(jobs=6, until={"total_steps": 2000})
    assert judge(chain, [link(value=600), link("PREEMPTED")], end("TIMEOUT", value=1240)).so_far == (
        "2 of 6 jobs, total_steps 1,240"
    )
    assert judge(chain, [], end("TIMEOUT")).so_far == "1 of 6 jobs, total_steps unknown"
    assert judge(Chain(jobs=6), [], end("TIMEOUT")).so_far == "1 of 6 jobs"


@pytest.mark.parametrize("word", ["7,x,TIMEOUT,,,n1", "7,1,TIMEOUT,1.2.3,,n1", "7,1", f"7,{'9' * 5000},TIMEOUT,,,n1"])
def test_a_damaged_link_is_skipped(word: str) -> None:
    assert [link.job_id for link in read_links(f"{word} 8,1795700001,TIMEOUT,,,n2")] == ["8"]


def test_the_links_of_a_record() -> None:
    assert read_links("7,1795700000,TIMEOUT,,1-00:00:09,n1 8_1,1795700001,COMPLETED,1e+22,,n[1-2,4] half") == (
        Link("7", JobState.TIMEOUT, None, 1795700000, "1-00:00:09", "n1"),
        Link("8_1", JobState.COMPLETED, 1e22, 1795700001, "", "n[1-2,4]"),
    )


def test_a_time_that_slurm_calls_invalid_travels_to_the_next_job() -> None:
    ended = "TIMEOUT,,INVALID,n1"
    request = JobRequest(ssh_conn_id="c", name="a", command="true", run_dir="/r/a", script="x", after="7", ended=ended)
    (link,) = read_links(f"7,1760000000,{request.ended}")
    assert link.state is JobState.TIMEOUT
