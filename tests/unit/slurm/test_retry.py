"""What a job that is run again is given, and how often it is; the ends that chain and retry share."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_slurm_sweep.slurm.chain import Chain, End, Link, Outcome, judge
from airflow_slurm_sweep.slurm.retry import applies, changes, check
from airflow_slurm_sweep.slurm.states import JobState

MEMORY = {"on": "OUT_OF_MEMORY", "times": 2, "mem": "x2"}
NODE = {"on": "NODE_FAIL", "times": 3, "exclude_node": True}
OOM, LOST_NODE = (JobState.OUT_OF_MEMORY, "n1"), (JobState.NODE_FAIL, "n[2-3]")
FAILED = (JobState.FAILED, "")


@pytest.mark.parametrize(
    ("rules", "ends", "options", "changed"),
    [
        ([MEMORY], [OOM], {"mem": "32G"}, {"mem": "64G"}),
        ([MEMORY], [OOM, LOST_NODE, OOM], {"mem": "32G"}, {"mem": "128G"}),
        ([MEMORY], [OOM], {"mem-per-cpu": 2000}, {"mem-per-cpu": "4000"}),
        ([{**MEMORY, "mem": "500G"}], [OOM, OOM], {}, {"mem": "500G"}),
        ([{**MEMORY, "mem": None, "time": "x1.5"}], [OOM], {}, {"time": "90"}),
        ([NODE], [LOST_NODE, (JobState.NODE_FAIL, "n7")], {"exclude": "n9"}, {"exclude": "n9,n[2-3],n7"}),
        ([NODE], [(JobState.NODE_FAIL, "n[1-2,4],m7")] * 2, {"exclude": "n[4,9]"}, {"exclude": "n[4,9],n[1-2,4],m7"}),
        ([NODE], [(JobState.NODE_FAIL, "Noneassigned")], {}, {}),
        ([MEMORY, NODE], [(JobState.TIMEOUT, "n1")], {"mem": "32G"}, {}),
        ([MEMORY, {"on": "FAILED", "mem": "x3"}], [OOM, FAILED], {"mem": "10G"}, {"mem": "60G"}),
        ([MEMORY, {"on": "FAILED", "mem": "500G"}], [OOM, FAILED, OOM], {"mem": "10G"}, {"mem": "1000G"}),
        (
            [{"on": "FAILED", "time": "x2"}, {**MEMORY, "time": "8:0:0"}],
            [OOM, FAILED],
            {"mem": 1},
            {"mem": "2", "time": "960"},
        ),
        (
            [{"on": "FAILED", "time": "x2"}, {"on": "OUT_OF_MEMORY", "time": "UNLIMITED"}],
            [OOM, FAILED],
            {},
            {"time": "UNLIMITED"},
        ),
        ([{"on": "FAILED", "mem": "0"}, MEMORY], [FAILED, OOM], {"mem": "1G"}, {"mem": "0"}),
        ([{"on": "FAILED", "mem": "x1.2"}], [FAILED, FAILED], {"mem": "1G"}, {"mem": "3G"}),
    ],
)
def test_what_the_next_job_is_given(
    rules: list[dict[str, Any]], ends: list[tuple[JobState, str]], options: dict[str, Any], changed: dict[str, str]
) -> None:
    assert changes(rules, ends, options, "60") == changed


@pytest.mark.parametrize("options", [{}, {"mem": "0"}, {"mem": "all"}])
def test_nothing_is_multiplied_that_is_not_there(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="retry: mem: x2 multiplies the job's mem, which is not set"):
        check([MEMORY], options, None)


def test_a_rule_is_checked_by_itself() -> None:
    rules: list[dict[str, Any]] = [{"on": "FAILED", "mem": "64G"}, MEMORY]
    with pytest.raises(ValueError, match="retry: mem: x2 multiplies the job's mem, which is not set"):
        check(rules, {}, None)


def test_only_some_exit_codes() -> None:
    rule = {"on": "FAILED", "times": 1, "exit_codes": [75]}
    assert applies(rule, JobState.FAILED, "75:0")
    assert not applies(rule, JobState.FAILED, "1:0")


def link(state: str) -> Link:
    return Link("7", JobState.parse(state), None, 0)


@pytest.mark.parametrize(
    ("jobs", "links", "state", "outcome", "so_far"),
    [
        (0, [], "OUT_OF_MEMORY", Outcome.FOLLOWED, ""),
        (0, ["OUT_OF_MEMORY"] * 2, "OUT_OF_MEMORY", Outcome.FAILED, "2 retries"),
        (0, ["OUT_OF_MEMORY"], "COMPLETED", Outcome.DONE, "1 retry"),
        (0, [], "TIMEOUT", Outcome.FAILED, ""),
        (0, [], "PREEMPTED", Outcome.FAILED, ""),
        (2, ["OUT_OF_MEMORY"], "TIMEOUT", Outcome.FOLLOWED, "1 of 2 jobs, 1 retry"),
        (2, ["TIMEOUT", "OUT_OF_MEMORY"], "TIMEOUT", Outcome.FAILED, "2 of 2 jobs, 1 retry"),
        (2, ["TIMEOUT"], "OUT_OF_MEMORY", Outcome.FOLLOWED, "1 of 2 jobs"),
        (2, ["NODE_FAIL"] * 3, "NODE_FAIL", Outcome.FAILED, "0 of 2 jobs, 3 retries"),
    ],
)
def test_chain_and_retry_share_no_end(jobs: int, links: list[str], state: str, outcome: Outcome, so_far: str) -> None:
    chain = Chain(jobs=jobs, on=["TIMEOUT"] if jobs else [], retry=[MEMORY, NODE])
    verdict = judge(chain, [link(each) for each in links], End(state=JobState.parse(state)))
    assert (verdict.outcome, verdict.so_far) == (outcome, so_far)
