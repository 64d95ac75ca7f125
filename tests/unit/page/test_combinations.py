"""Combinations as the page shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_slurm_sweep.names import RETURN_KEY, SKIPPED_KEY, SUBMIT, WAIT
from airflow_slurm_sweep.page.combinations import (
    Combination,
    Run,
    Task,
    combinations,
    constants,
    expected_end,
    parameters,
    rank,
    value_text,
    view,
)
from airflow_slurm_sweep.page.stages import Stage
from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.snapshot import LiveJob
from airflow_slurm_sweep.sweep.settings import RunOptions
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.sweep.sweep_section import Objective
from tests.layers import make_layers

LAYERS = make_layers({"log": "/lustre/it's log"}, {"ACCOUNT": "a"})


def planned(text: str, **options: Any) -> list[dict[str, Any]]:
    """Return the XCom of plan."""
    sweep = parse_sweep(f"script_path: a.py\nslurm: {{container: null}}\n{text}", source="s.yaml")
    jobs = plan_run(sweep, LAYERS, RunOptions(**options)).jobs
    return [json.loads(json.dumps(job.to_json(), allow_nan=False)) for job in jobs]


def columns(text: str, **options: Any) -> tuple[list[str], list[list[str]]]:
    """Return the keys of the parameters that differ, and each combination's values."""
    plan = planned(text, **options)
    found = combinations(Run(plan, {}, {}, {}))
    keys = [each["key"] for each in parameters(plan, found)]
    return keys, [each["parameters"] for each in found]


def test_each_swept_parameter_is_a_column() -> None:
    names, values = columns('optim.lr: [1e-6, 5e-6]\n++model.name: [a b, "it\'s"]\nseed: [7]\n')
    assert names == ["optim.lr", "model.name"]
    assert values == [["1e-06", "'a b'"], ["1e-06", '"it\'s"'], ["5e-06", "'a b'"], ["5e-06", '"it\'s"']]


def test_the_number_of_nodes_is_a_column_where_it_is_swept() -> None:
    assert columns("cluster.num_nodes: [1, 2]\n") == (["cluster.num_nodes"], [["1"], ["2"]])
    assert columns("seed: [1, 2]\n")[0] == ["seed"]


def test_what_is_the_same_in_all_combinations_is_no_column() -> None:
    plan = planned("optim.lr: [1, 2]\n+seed: [7]\nname: a b\n")
    assert constants(plan) == {"seed": "7", "name": "'a b'"}
    assert constants("s3://elsewhere") == {}


def test_a_swept_log_directory_is_a_column() -> None:
    assert columns("logger.log_dir: [/tmp/a, /tmp/b]\nseed: [1, 2]\n")[0] == ["logger.log_dir", "seed"]


def test_a_parameter_that_an_override_replaces_is_no_column() -> None:
    assert columns("seed: [1, 2]\noptim.lr: [1, 2]\n", overrides=("seed=3",)) == (["optim.lr"], [["1"], ["2"]])


def test_a_single_combination_differs_in_nothing() -> None:
    assert columns("seed: [1]\n") == ([], [[]])


def test_a_parameter_has_its_short_name_and_its_kind() -> None:
    plan = planned("optim.lr: [1, 1e-5]\nmodel.lr: [1, a]\n++seed: ['1', '2']\nflag: [true, false]\n")
    assert parameters(plan, combinations(Run(plan, {}, {}, {}))) == [
        {"key": "optim.lr", "name": "optim.lr", "is_number": True},
        {"key": "model.lr", "name": "model.lr", "is_number": False},
        {"key": "seed", "name": "seed", "is_number": False},
        {"key": "flag", "name": "flag", "is_number": False},
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-6, "1e-06"),
        ("1", "'1'"),
        (None, "null"),
        ([1, "a b"], '[1,"a b"]'),
        ({"1": float("nan"), "ä": 2}, '{"1":"NaN","ä":2}'),  # XComs make text of keys
    ],
)
def test_a_value_is_text_for_people(value: object, text: str) -> None:
    assert value_text(value) == text


def test_numbers_are_those_of_the_sweep_file() -> None:
    plan = planned("seed: [1, 2, 3, 4, 5]\n", only="2,4-5")
    found = combinations(Run(plan, {(SUBMIT, 3): Task("success", None)}, {}, {}))
    assert [(each["index"], each["number"]) for each in found] == [(0, 2), (1, 4), (2, 5), (3, 4)]


def test_what_is_done_in_an_earlier_run_has_its_result_and_a_rank() -> None:
    plan = planned("seed: [1, 2]\n")
    plan[0]["done"] = JobStatus(job_id="7", text="COMPLETED", source="sacct", metrics={"reward": 3}).to_json()
    (first, second) = view(
        Run(plan, {(SUBMIT, 0): Task("skipped", None)}, {}, {}), None, Objective(metric="reward", goal="maximize")
    )["combinations"]
    assert (first["stage"], first["state"], first["job_id"]) == (Stage.SKIPPED, "done in an earlier run", "7")
    assert first["log_path"] == f"{plan[0]['run_dir']}/logs/slurm-7.out"
    assert (first["rank"], first["metrics"]) == (1, {"reward": 3})
    assert (second["state"], second["rank"]) == (Stage.WAITING, None)


def test_what_was_stopped_early_has_a_stage_of_its_own_and_no_rank() -> None:
    plan = planned("seed: [1, 2, 3]\n")
    end = JobStatus(job_id="7", text="STOPPED_EARLY", reason="asha: why", source="sacct", metrics={"loss": 1}).to_json()
    plan[1]["done"] = end
    tasks = {(SUBMIT, 0): Task("success", 1.0), (WAIT, 0): Task("success", 2.0), (SUBMIT, 1): Task("skipped", None)}
    xcoms = {
        (SUBMIT, RETURN_KEY, 0): {"job_id": "7", "job_name": "a", "run_dir": "/r/a"},
        (WAIT, RETURN_KEY, 0): json.dumps(end),
    }
    found = view(Run(plan, tasks, xcoms, {}), None, Objective(metric="loss", goal="minimize"))
    assert found["counts"] == {"stopped early": 1, "skipped": 1, "waiting": 1}
    first, second, _ = found["combinations"]
    assert (first["stage"], first["state"], first["reason"]) == (Stage.STOPPED, "STOPPED_EARLY", "asha: why")
    assert (second["state"], second["is_done_earlier"]) == ("stopped early in an earlier run", False)
    assert (first["rank"], second["rank"]) == (None, None)


def test_a_chain_shows_its_latest_job() -> None:
    plan = planned("seed: [1]\n", chain=3)
    submitted = {"job_id": "7", "job_name": "a", "run_dir": "/r/a"}
    tasks = {(SUBMIT, 0): Task("success", 1.0), (WAIT, 0): Task("deferred", None)}
    # An earlier chain's job may still be there after a clear.
    states = {"6": "RUNNING", "7": "PENDING", "9": "RUNNING"}
    live = {(0, job_id): LiveJob(state=state) for job_id, state in states.items()}
    (shown,) = combinations(Run(plan, tasks, {(SUBMIT, RETURN_KEY, 0): submitted}, live))
    assert (shown["stage"], shown["job_id"], shown["log_path"]) == (Stage.RUNNING, "9", "/r/a/logs/slurm-9.out")
    end = JobStatus(
        job_id="10", earlier=[("7", ""), ("9", "")], text="COMPLETED", source="sacct", chain="3 of 3 jobs"
    ).to_json()
    tasks[WAIT, 0] = Task("success", 2.0)
    xcoms = {(SUBMIT, RETURN_KEY, 0): submitted, (WAIT, RETURN_KEY, 0): end}
    (shown,) = combinations(Run(plan, tasks, xcoms, {}))
    assert (shown["state"], shown["job_id"], shown["chain"]) == ("COMPLETED", "10", "3 of 3 jobs")


def test_what_is_known_of_live_jobs_is_gone_through_once_for_all_chains() -> None:
    class Counted(dict[tuple[int, str], LiveJob]):
        times = 0

        def __iter__(self) -> Iterator[tuple[int, str]]:
            self.times += 1
            return super().__iter__()

    tasks = {(task, at): Task(state, 1.0) for at in range(9) for task, state in ((SUBMIT, "success"), (WAIT, None))}
    live = Counted({(at, str(at + 1)): LiveJob(state="RUNNING") for at in range(9)})
    found = combinations(Run(planned("seed: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n", chain=3), tasks, {}, live))
    assert [each["job_id"] for each in found] == [*"123456789"]
    assert live.times == 1


def ended(*times: float | None) -> list[Combination]:
    """Return combinations that ended at a time, or have not."""
    return [
        {"stage": Stage.PENDING if time is None else Stage.SUCCEEDED, "ended": time, "metrics": {}} for time in times
    ]


@pytest.mark.parametrize(
    ("start", "times", "expected"),
    [
        (100, [110, 120, None, None], 140),  # two in 20 s
        (100, [110, None], None),  # too few
        (100, [110, 120], None),  # all
        (None, [110, 120, None], None),
        (130, [110, 120, None], None),  # the run was cleared
        (100, [50, 60, 70, 110, 120, None], 130),  # three ended before that
    ],
)
def test_the_rest_ends_as_the_combinations_before_did(
    start: float | None, times: list[float | None], expected: float | None
) -> None:
    skipped = [{**each, "stage": Stage.SKIPPED} for each in ended(101, 101)]
    assert expected_end(start, [*skipped, *ended(*times)]) == expected


def result(number: int, stage: Stage = Stage.SUCCEEDED, **metrics: Any) -> Combination:
    return {
        "index": number - 1,
        "number": number,
        "label": f"lr={number}",
        "stage": stage,
        "is_done_earlier": False,
        "metrics": metrics,
    }


@pytest.mark.parametrize(
    ("goal", "places", "best", "text"),
    [
        ("maximize", [2, 1, None, None, 3], 2, "reward 2 with lr=2"),
        ("minimize", [2, 3, None, None, 1], 5, "reward 0 with lr=5"),
    ],
)
def test_combinations_are_ranked_by_the_objective(goal: Any, places: list[int | None], best: int, text: str) -> None:
    found = [
        result(1, loss=3, reward=1),
        result(2, reward=2),
        result(3, Stage.FAILED, reward=9),
        result(4, reward="nan"),
        result(5, reward=0),
    ]
    decided = rank(found, Objective(metric="reward", goal=goal))
    assert [each["rank"] for each in found] == places
    assert decided["best"] == {"index": best - 1, "number": best, "text": text}
    assert decided["metrics"] == [
        {"name": "reward", "is_objective": True, "smaller_is_better": goal == "minimize"},
        {"name": "loss", "is_objective": False, "smaller_is_better": False},
    ]


def test_repeats_are_ranked_by_their_mean() -> None:
    plan = planned("lr: [1, 2, 3]\nsweep: {repeat: {seed: [7, 8]}}\n")
    tasks = {(task, index): Task("success", 0.0) for task in (SUBMIT, WAIT) for index in range(6)}
    tasks[WAIT, 5] = Task("failed", 0.0)
    rewards = [1.0, 5.0, 4.0, 2.5, 9.0, 9.0]
    xcoms: dict[tuple[str, str, int], Any] = {}
    for index, reward in enumerate(rewards):
        xcoms[SUBMIT, RETURN_KEY, index] = {"job_id": "7", "run_dir": "/r"}
        text, key = ("FAILED", "status") if index == 5 else ("COMPLETED", RETURN_KEY)
        xcoms[WAIT, key, index] = {"job_id": "7", "text": text, "metrics": {"reward": reward}}
    found = view(Run(plan, tasks, xcoms, {}), None, Objective(metric="reward", goal="maximize"))
    assert [each["rank"] for each in found["combinations"]] == [2, 2, 1, 1, None, None]
    assert found["best"] == {"index": 2, "number": 3, "text": "reward 3.25 with lr=2, the mean of 2"}
    assert [list(each.values()) for each in found["repeats"]] == [
        ["lr=2", {"lr": "2"}, 2, 2, 2, 3.25, pytest.approx(1.5 / 2**0.5), 1],
        ["lr=1", {"lr": "1"}, 0, 2, 2, 3.0, pytest.approx(4 / 2**0.5), 2],
        ["lr=3", {"lr": "3"}, 4, 1, 2, 9.0, None, None],
    ]


def test_failures_that_are_alike_are_counted_together() -> None:
    plan = planned("seed: [1, 2, 3]\n")
    tasks = {
        (task, index): Task("failed" if task == WAIT else "success", 0.0)
        for task in (SUBMIT, WAIT)
        for index in range(3)
    }
    causes = ["torch.OutOfMemoryError: 2 GiB", "KeyError: 'a'", "torch.OutOfMemoryError: 3 GiB"]
    xcoms: dict[tuple[str, str, int], Any] = {(SUBMIT, "return_value", index): {"job_id": "7"} for index in range(3)}
    for index, cause in enumerate(causes):
        xcoms[WAIT, "status", index] = {"job_id": "7", "text": "FAILED", "cause": cause}
    found = view(Run(plan, tasks, xcoms, {}), None, None)
    assert found["failures"] == ["2 of 3 failed: torch.OutOfMemoryError: 2 GiB", "1 of 3 failed: KeyError: 'a'"]
    assert [each["cause"] for each in found["combinations"]] == causes


def test_without_an_objective_nothing_is_ranked() -> None:
    found = [result(1, reward=1)]
    assert rank(found, None)["best"] is None
    assert found[0]["rank"] is None


def test_a_stage_needs_both_tasks() -> None:
    tasks = {(SUBMIT, 0): Task("success", 5.0), (WAIT, 0): Task("failed", 9.0), (SUBMIT, 1): Task("running", None)}
    found = combinations(Run(planned("seed: [1, 2]"), tasks, {}, {}))
    assert [(each["stage"], each["action"], each["ended"], each["state"]) for each in found] == [
        ("failed", "clear", 9.0, "wait failed"),
        ("submitting", "fail", None, "submitting"),
    ]


def test_a_combination_that_its_canary_skipped_says_why_and_can_be_cleared() -> None:
    tasks = {(task, index): Task("skipped", 5.0) for task in (SUBMIT, WAIT) for index in range(2)}
    why = json.dumps({"index": 1, "why": "the canary a_sweep_1 did not succeed"})  # as triggers leave it
    found = combinations(Run(planned("seed: [1, 2]"), tasks, {(SUBMIT, SKIPPED_KEY, 0): why}, {}))
    assert [(each["stage"], each["action"], each["state"], each["reason"]) for each in found] == [
        ("skipped", "clear", "skipped", "the canary a_sweep_1 did not succeed"),
        ("skipped", None, "skipped", ""),
    ]


def test_a_job_that_waits_says_why_and_when_it_starts_and_those_that_never_start_are_counted() -> None:
    tasks = {
        (task, index): Task(state, 1.0)
        for index in range(3)
        for task, state in ((SUBMIT, "success"), (WAIT, "deferred"))
    }
    xcoms = {(SUBMIT, "return_value", index): {"job_id": str(index)} for index in range(3)}
    held = LiveJob(state="PENDING", reason="JobHeldUser", stuck=True)
    live = {(0, "0"): LiveJob(state="PENDING", reason="Priority", starts=100), (1, "1"): held, (2, "2"): held}
    found = view(Run(planned("seed: [1, 2, 3]\n"), tasks, xcoms, live), None, None)
    first, second, _ = found["combinations"]
    assert (first["why"], first["expected_start"], first["is_stuck"]) == (
        "jobs with a higher priority come first",
        100,
        False,
    )
    assert (second["reason"], second["expected_start"], second["is_stuck"]) == ("JobHeldUser", None, True)
    assert found["stuck"] == [
        "2 jobs will not start without help (JobHeldUser): its user holds it until `scontrol release`"
    ]
