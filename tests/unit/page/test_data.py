"""Dag runs as the page gets them, from Airflow's own database."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from airflow.models.dag import DagModel, DagTag
from airflow.models.errors import ParseImportError
from sqlalchemy import event
from sqlalchemy.orm import Session

from airflow_slurm_sweep import results
from airflow_slurm_sweep.__main__ import main
from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import (
    CHECK,
    FAULT_KEY,
    LIVE_KEY_PREFIX,
    PLAN,
    STOPPED_KEY,
    SUBMIT,
    UNREADABLE,
    WAIT,
)
from airflow_slurm_sweep.page import data, listing, xcoms
from airflow_slurm_sweep.slurm.snapshot import LiveJob, view
from airflow_slurm_sweep.slurm.states import JobState
from tests.unit.page.conftest import BEGAN, Run, Sweep, as_text

NAMES = count(1)


@pytest.fixture
def sweep(session: Session) -> Sweep:
    return Sweep(session, f"s{next(NAMES)}")


def row(run: Run, index: int) -> dict[str, object]:
    found = data.run(run.session, run.sweep.dag_id, run.run_id)
    assert found is not None
    return dict(found["combinations"][index])


def test_a_planned_combination_is_waiting(sweep: Sweep) -> None:
    run = sweep.run("r")
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert (found["state"], found["plan"], found["parameters"], found["metrics"]) == (
        "running",
        "success",
        [
            {"key": "seed", "name": "seed", "is_number": True},
            {"key": "kl", "name": "kl", "is_number": True},
        ],
        [],
    )
    assert (found["counts"], found["ended"], found["all"]) == ({"waiting": 4}, 0, 4)
    assert [each["parameters"] for each in found["combinations"]] == [
        ["0", "0.01"],
        ["0", "0.05"],
        ["1", "0.01"],
        ["1", "0.05"],
    ]
    assert {each["stage"] for each in found["combinations"]} == {"waiting"}
    assert [each["number"] for each in found["combinations"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("form", [dict, as_text], ids=["workers", "workerless"])
def test_a_combination_from_submission_to_its_end(sweep: Sweep, form: Callable[[object], object]) -> None:
    run = sweep.run("r")
    run.tasks([("combination.submit", 1, "deferred"), ("combination.wait", 1, None)])
    assert row(run, 1)["stage"] == "submitting"
    run.set("combination.submit", 1, "success")
    run.xcoms([("combination.submit", 1, "return_value", form(run.job(1)))])
    submitted = row(run, 1)
    assert (submitted["stage"], submitted["job_id"], submitted["state"]) == ("in Slurm", "101", "in Slurm")
    assert str(submitted["log_path"]).endswith("/logs/slurm-101.out")
    run.set("combination.wait", 1, "success")
    run.xcoms(
        [("combination.wait", 1, "return_value", form(run.end(1, JobState.COMPLETED) | {"metrics": {"reward": 0.5}}))]
    )
    ended = row(run, 1)
    assert (ended["stage"], ended["state"], ended["reason"], ended["nodes"], ended["ran"], ended["metrics"]) == (
        "succeeded",
        "COMPLETED",
        "",
        "n[1-2]",
        90,
        {"reward": 0.5},
    )
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert [metric["name"] for metric in found["metrics"]] == ["reward"]


def test_a_failed_combination_has_state_reason_and_exit_code(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.tasks([("combination.submit", 0, "success"), ("combination.wait", 0, "failed")])
    failed = run.end(0, JobState.FAILED, "NonZeroExitCode")
    run.xcoms([("combination.submit", 0, "return_value", run.job(0)), ("combination.wait", 0, "status", failed)])
    said = row(run, 0)
    assert (said["stage"], said["task"], said["state"], said["reason"], said["exit_code"]) == (
        "failed",
        "combination.wait",
        "FAILED",
        "NonZeroExitCode",
        "2:0",
    )


@pytest.mark.parametrize(("said", "shown"), [("https://wandb.ai/me/p/runs/1", True), ("javascript:alert(1)", False)])
def test_only_a_web_address_becomes_a_link(sweep: Sweep, said: str, shown: bool) -> None:
    run = sweep.run("r")
    run.tasks([("combination.submit", 0, "success"), ("combination.wait", 0, "success")])
    ended = run.end(0, JobState.COMPLETED) | {"wandb": said, "metrics": {"loss": float("NaN")}}
    run.xcoms(
        [("combination.submit", 0, "return_value", run.job(0)), ("combination.wait", 0, "return_value", as_text(ended))]
    )
    assert row(run, 0)["wandb"] == (said if shown else "")
    assert row(run, 0)["metrics"] == {"loss": "NaN"}, "JSON has no such number"


def test_a_combination_that_was_not_submitted_leads_to_the_log_of_submit(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.tasks([("combination.submit", 0, "failed"), ("combination.wait", 0, "upstream_failed")])
    assert (row(run, 0)["stage"], row(run, 0)["task"], row(run, 0)["job_id"]) == ("failed", "combination.submit", "")
    assert row(run, 0)["state"] == "submit failed"
    run.set("combination.submit", 0, "upstream_failed")
    assert row(run, 0)["state"] == "not submitted"


def test_xcoms_of_an_earlier_attempt_are_not_shown(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.tasks([("combination.submit", 0, "success"), ("combination.wait", 0, "failed")])
    another = run.end(3, JobState.TIMEOUT)
    run.xcoms([("combination.submit", 0, "return_value", run.job(0)), ("combination.wait", 0, "status", another)])
    assert row(run, 0)["state"] == "wait failed", "the end is another job's"
    run.set("combination.wait", 0, "deferred")
    run.set("combination.submit", 0, "queued")
    waiting = row(run, 0)
    assert [waiting[field] for field in ("stage", "state", "reason", "job_id")] == ["waiting", "waiting", "queued", ""]


def test_a_run_without_a_plan_has_no_rows_and_an_unknown_one_is_none(sweep: Sweep) -> None:
    from airflow.models.xcom import XComModel  # noqa: PLC0415
    from sqlalchemy import delete  # noqa: PLC0415

    run = sweep.run("r")
    run.session.execute(delete(XComModel).where(XComModel.dag_id == sweep.dag_id))
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert found["combinations"] == []
    assert data.run(run.session, sweep.dag_id, "other") is None
    assert data.run_version(run.session, sweep.dag_id, "other") is None


def test_states_are_shown_where_xcoms_are_kept_elsewhere(sweep: Sweep) -> None:
    from airflow.models.xcom import XComModel  # noqa: PLC0415
    from sqlalchemy import update  # noqa: PLC0415

    run = sweep.run("r")
    run.tasks([("combination.submit", index, "success") for index in range(2)])
    run.xcoms([("combination.submit", 0, "return_value", run.job(0))])
    run.session.execute(update(XComModel).where(XComModel.dag_id == sweep.dag_id).values(value="s3://bucket/xcom"))
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert [(each["stage"], each["job_id"], each["parameters"]) for each in found["combinations"]] == [
        ("in Slurm", "", [])
    ] * 2


def test_the_version_changes_with_the_run_only(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.tasks([("combination.submit", 0, "success"), ("combination.wait", 0, "queued")])
    seen = [data.run_version(run.session, sweep.dag_id, "r")]

    def changed() -> bool:
        seen.append(data.run_version(run.session, sweep.dag_id, "r"))
        return len(set(seen)) == len(seen)

    run.set("combination.wait", 0, "deferred")
    assert changed()
    run.xcoms([("combination.submit", 0, "return_value", run.job(0))])
    assert changed()
    run.set("combination.submit", 0, "success")  # as before: cleared and ended again between two looks
    assert changed()
    assert not changed()


def test_the_list_has_the_readable_sweeps_and_their_counts(session: Session) -> None:
    first, second = Sweep(session, f"s{next(NAMES)}"), Sweep(session, f"s{next(NAMES)}")
    other = Sweep(session, f"s{next(NAMES)}", tag="no")
    for sweep in (first, second, other):
        run = sweep.run("same")
        run.tasks([("combination.submit", index, "success") for index in range(4)])
        run.tasks([("combination.wait", index, state) for index, state in enumerate(["success", "failed", "deferred"])])
    found = listing.sweeps(session, {first.dag_id, other.dag_id})
    assert [each["dag_id"] for each in found["sweeps"]] == [first.dag_id]
    (listed,) = found["runs"]
    assert (listed["dag_id"], listed["counts"]) == (first.dag_id, {"succeeded": 1, "failed": 1, "in Slurm": 2})
    assert (listed["ended"], listed["all"]) == (2, 4)
    assert listing.sweeps(session, {first.dag_id, second.dag_id}, second.dag_id)["runs"][0]["dag_id"] == second.dag_id


def test_three_thousand_combinations_are_a_few_queries(session: Session, record_property: Callable[..., None]) -> None:
    size = 3000
    sweep = Sweep(session, f"s{next(NAMES)}", size=size)
    run = sweep.run("r")
    run.tasks(
        [(task, index, "success") for task in ("combination.submit", "combination.wait") for index in range(size)]
    )
    run.xcoms([("combination.submit", index, "return_value", as_text(run.job(index))) for index in range(size)])
    run.xcoms(
        [
            ("combination.wait", index, "return_value", as_text(run.end(index, JobState.COMPLETED)))
            for index in range(size)
        ]
    )
    queries: list[str] = []
    event.listen(session.connection(), "before_cursor_execute", lambda *arguments: queries.append(arguments[2]))
    began = time.monotonic()
    found = data.run(session, sweep.dag_id, "r")
    record_property("seconds", time.monotonic() - began)
    assert found is not None
    assert len(found["combinations"]) == size
    assert {each["stage"] for each in found["combinations"]} == {"succeeded"}
    data.run_version(session, sweep.dag_id, "r")
    listing.sweeps(session, {sweep.dag_id})
    assert len(queries) <= 11, queries


def live(run: Run, at: float, jobs: dict[int, LiveJob], key: str = "a", first_id: int = 100) -> None:
    value = view({index: (str(first_id + index), job) for index, job in jobs.items()}, at)
    run.xcoms([("combination.wait", min(jobs), f"{LIVE_KEY_PREFIX}{key}", value)])


def in_slurm(sweep: Sweep) -> Run:
    run = sweep.run("r")
    run.tasks([("combination.submit", index, "success") for index in range(4)])
    run.tasks([("combination.wait", index, "deferred") for index in range(4)])
    run.xcoms([("combination.submit", index, "return_value", run.job(index)) for index in range(4)])
    return run


def test_jobs_in_slurm_show_slurms_latest_state(sweep: Sweep) -> None:
    run, now = in_slurm(sweep), round(time.time())
    running = LiveJob(state="RUNNING", nodes="n[1-2]", started=now - 20, queued=7)
    reason = "ReqNodeNotAvail, UnavailableNodes:n1 (down)"
    pending = LiveJob(state="PENDING", reason=reason)
    live(run, now - 10, {0: pending, 1: pending})
    live(run, now, {0: running, 2: pending}, key="b")  # another triggerer
    live(run, now, {3: running}, key="c", first_id=900)  # an earlier attempt's job
    fields = ("stage", "state", "reason", "nodes", "running_since", "pending_since", "queued")
    submitted = row(run, 0)["submitted"]
    assert [[row(run, index)[field] for field in fields] for index in range(4)] == [
        ["running", "RUNNING", "", "n[1-2]", now - 20, None, 7],
        ["pending", "PENDING", reason, "", None, submitted, None],
        ["pending", "PENDING", reason, "", None, submitted, None],
        ["in Slurm", "in Slurm", "", "", submitted, None, None],
    ]
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert found["live_at"] == now
    assert found["counts"] == {"running": 1, "pending": 2, "in Slurm": 1}

    run.set("combination.wait", 0, "success")
    run.xcoms([("combination.wait", 0, "return_value", run.end(0, JobState.COMPLETED) | {"queued": 8})])
    assert [row(run, 0)[field] for field in fields] == ["succeeded", "COMPLETED", "", "n[1-2]", None, None, 8]


def test_a_stale_live_view_is_not_shown_and_changes_the_version(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    run = in_slurm(sweep)
    live(run, time.time(), {0: LiveJob(state="RUNNING")})
    before = data.run_version(run.session, sweep.dag_id, "r")
    assert row(run, 0)["state"] == "RUNNING"
    for module in (data, xcoms):
        monkeypatch.setattr(module, "STALE", -1.0)  # the time is rounded
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert (found["live_at"], found["combinations"][0]["state"]) == (None, "in Slurm")
    assert data.run_version(run.session, sweep.dag_id, "r") != before


@pytest.mark.parametrize(
    "said",
    [
        "s3://bucket/xcom",
        {},
        {"at": None, "states": {"RUNNING": "0"}},
        {"at": 1, "states": {"RUNNING": "0-999999999999"}},
        {"at": time.time(), "curves": {"loss": {"0": [[1], ["x"]], "x": [[1], [1]], "1": 3}, "acc": 7}},
        ["x"],
    ],
)
def test_a_live_view_that_is_not_ours_is_ignored(sweep: Sweep, said: object) -> None:
    run = in_slurm(sweep)
    run.xcoms([("combination.wait", 0, f"{LIVE_KEY_PREFIX}a", said)])
    assert row(run, 0)["state"] == "in Slurm"
    assert data.curves(run.session, sweep.dag_id, "r")["curves"] == {}


def test_curves_of_running_and_of_ended_jobs(sweep: Sweep) -> None:
    run = in_slurm(sweep)
    assert data.curves(run.session, sweep.dag_id, "r") == {"metrics": [], "metric": "", "curves": {}}
    jobs = {index: (str(100 + index), LiveJob(state="RUNNING")) for index in (0, 1)}
    curves = {"loss": {"0": [[1, 2], [9, 8]], "1": [[1], [7.5]]}, "lr": {"0": [[], [0.1]]}}
    run.xcoms([("combination.wait", 0, f"{LIVE_KEY_PREFIX}a", {**view(jobs, time.time()), "curves": curves})])
    assert [row(run, index)["metrics"] for index in (0, 1)] == [{"loss": 8, "lr": 0.1}, {"loss": 7.5}]
    history = {"loss": [[1, 2, 3], [9, 8, 1]], "acc": [[3], [0.5]]}
    run.xcoms(
        [("combination.wait", 0, "history", as_text(history)), ("combination.wait", 1, "history", as_text(history))]
    )
    live = {"metrics": ["loss"], "metric": "loss", "curves": {0: [[1, 2], [9, 8]], 1: [[1], [7.5]]}}
    assert data.curves(run.session, sweep.dag_id, "r") == live, "what an earlier try left does not count"
    run.set("combination.wait", 0, "failed")
    found = data.curves(run.session, sweep.dag_id, "r", "lr")
    assert found == {
        "metrics": ["loss", "acc"],
        "metric": "loss",
        "curves": {0: [[1, 2, 3], [9, 8, 1]], 1: [[1], [7.5]]},
    }
    run.xcoms([("plan", -1, "objective", {"metric": "acc", "goal": "maximize"})])
    assert data.curves(run.session, sweep.dag_id, "r")["curves"] == {0: [[3], [0.5]]}
    assert data.curves(run.session, sweep.dag_id, "r", "loss")["metric"] == "loss"


def test_rows_for_other_tools_have_types_and_flat_names(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError, match=f"the Dag '{sweep.dag_id}' has no run in Airflow's database"):
        results(sweep.dag_id)
    sweep.run("earlier", "success", began=BEGAN - timedelta(days=1))
    run = in_slurm(sweep)
    run.xcoms([("plan", -1, "objective", {"metric": "loss", "goal": "minimize"})])
    for index, loss in enumerate([0.5, 0.25]):
        run.set("combination.wait", index, "success")
        end = run.end(index, JobState.COMPLETED) | {"metrics": {"loss": loss, "steps": 9}}
        end |= {"gpu_hours": 0.5, "cpu_hours": 2} if index else {}
        run.xcoms([("combination.wait", index, "return_value", as_text(end))])
    live(run, time.time(), {2: LiveJob(state="PENDING", reason="Priority")})
    found = results(sweep.dag_id)
    assert found[0] == {
        "index": 2,
        "combination": "seed=0 kl=0.05",
        "job": "a_sweep_2",
        "job_id": "101",
        "state": "COMPLETED",
        "stopped": False,
        "cause": "",
        "succeeded": True,
        "repeats": 1,
        "chain": "",
        "elapsed": "1:30",
        "gpu_hours": 0.5,
        "cpu_hours": None,
        "log": "/lustre/log/nemo-rl/a_sweep_2/logs/slurm-101.out",
        "parameters.seed": 0,
        "parameters.kl": 0.05,
        "metrics.loss": 0.25,
        "metrics.steps": 9,
    }
    assert [(each["index"], each["state"]) for each in found[1:]] == [
        (1, "COMPLETED"),
        (3, "PENDING (Priority)"),
        (4, "in Slurm"),
    ]
    assert {each["state"] for each in results(sweep.dag_id, "earlier")} == {"waiting"}
    with pytest.raises(SettingsError, match="has no run 'no'; its latest runs: r, earlier"):
        results(sweep.dag_id, "no")

    def printed(*options: str) -> str:
        assert main(["results", sweep.dag_id, *options]) == 0
        return capsys.readouterr().out

    lines = list(csv.DictReader(io.StringIO(printed("--csv"))))
    assert [(line["index"], line["parameters.kl"], line["metrics.loss"]) for line in lines] == [
        ("2", "0.05", "0.25"),
        ("1", "0.01", "0.5"),
        ("3", "0.01", ""),
        ("4", "0.05", ""),
    ]
    assert [each["metrics"] for each in json.loads(printed("--json"))] == [
        {"loss": 0.25, "steps": 9},
        {"loss": 0.5, "steps": 9},
        {},
        {},
    ]
    markdown = printed("--markdown", "--run", "r").splitlines()
    assert markdown[:3] == [
        f"{sweep.dag_id} r: 2 of 4 combinations succeeded",
        "",
        "Best: loss 0.25 with seed=0 kl=0.05 (a_sweep_2)",
    ]
    assert printed().splitlines()[2].startswith("a_sweep_2  seed=0 kl=0.05")


def test_the_table_for_people_has_a_row_for_each_combination_and_the_others_for_each_repeat(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(session, f"s{next(NAMES)}", size=2, more="sweep: {repeat: {try: [1, 2]}}\n")
    run = in_slurm(sweep)
    run.xcoms([("plan", -1, "objective", {"metric": "loss", "goal": "minimize"})])
    for index, loss in enumerate([0.1, 0.9, 0.25, 0.35]):
        run.set("combination.wait", index, "success")
        end = run.end(index, JobState.COMPLETED) | {"metrics": {"loss": loss}, "chain": "3 of 6 jobs"}
        end |= {"gpu_hours": 2} if index else {}
        run.xcoms([("combination.wait", index, "return_value", end)])

    def printed(*options: str) -> str:
        assert main(["results", sweep.dag_id, *options]) == 0
        return capsys.readouterr().out

    assert "Best: loss 0.3 with kl=0.05 (a_sweep_3, a_sweep_4, the mean of 2)" in printed("--markdown")
    assert "Used: 6 GPU-hours, unknown for 1 job" in printed("--markdown"), "of each job"
    best, second = printed().splitlines()[2:]
    assert "0.3 ± 0.071" in best
    assert "COMPLETED, 3 of 6 jobs" in best
    assert "0.5 ± 0.57" in second
    assert len(json.loads(printed("--json"))) == len(results(sweep.dag_id)) == 4


def test_text_in_a_file_for_spreadsheets_is_no_formula(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_slurm(sweep)
    for index, (cause, low) in enumerate([("=HYPERLINK(1)", -0.5), ("@a", "-inf"), ("-1e3", "-x")]):
        run.set("combination.wait", index, "failed")
        end = run.end(index, JobState.FAILED) | {"cause": cause, "metrics": {"low": low}}
        run.xcoms([("combination.wait", index, "status", end)])
    assert main(["results", sweep.dag_id, "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))[:3]
    assert [line["cause"] for line in lines] == ["'=HYPERLINK(1)", "'@a", "-1e3"]
    assert [line["metrics.low"] for line in lines] == ["-0.5", "-inf", "'-x"]


def test_rows_of_a_run_of_which_a_part_was_approved_have_their_own_parameters(sweep: Sweep) -> None:
    run = in_slurm(sweep)
    run.tasks([("approve", -1, "success")])
    run.xcoms([("approve", -1, "return_value", [job.to_json() for job in sweep.jobs[2:]])])
    found = {each["index"]: each["parameters.kl"] for each in results(sweep.dag_id) if "parameters.kl" in each}
    assert found == {3: 0.01, 4: 0.05}


def test_best_and_ranks_follow_the_objective_of_the_plan(sweep: Sweep) -> None:
    run = in_slurm(sweep)
    for index, reward in enumerate([0.5, 0.75]):
        run.set("combination.wait", index, "success")
        end = run.end(index, JobState.COMPLETED) | {"metrics": {"steps": 9, "reward": reward}}
        run.xcoms([("combination.wait", index, "return_value", end)])
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert (found["objective"], found["best"]) == (None, None)
    objective = {"metric": "reward", "goal": "maximize"}
    run.xcoms([("plan", -1, "objective", objective)])
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert found["objective"] == objective
    assert found["best"] == {"index": 1, "number": 2, "text": "reward 0.75 with seed=0 kl=0.05"}
    assert [each["rank"] for each in found["combinations"]] == [2, 1, None, None]
    assert [metric["name"] for metric in found["metrics"]] == ["reward", "steps"]


def test_the_list_tells_jobs_that_were_stopped_early_from_those_that_succeeded(sweep: Sweep) -> None:
    run = sweep.run("r", "success")
    run.tasks([(task, index, "success") for task in (SUBMIT, WAIT) for index in range(4)])
    run.xcoms([(WAIT, index, STOPPED_KEY, True) for index in (1, 2)])
    (found,) = listing.sweeps(sweep.session, {sweep.dag_id})["runs"]
    assert found["counts"] == {"succeeded": 2, "stopped early": 2}
    run.set(WAIT, 1, "running")  # cleared since
    (found,) = listing.sweeps(sweep.session, {sweep.dag_id})["runs"]
    assert found["counts"] == {"succeeded": 2, "stopped early": 1, "in Slurm": 1}


def test_a_plan_that_failed_says_why(sweep: Sweep) -> None:
    run = sweep.run("r", "failed", plan="failed")
    run.xcoms([(PLAN, -1, FAULT_KEY, "s.yaml: lr: wrong")])
    found = data.run(run.session, sweep.dag_id, "r")
    assert found is not None
    assert (found["plan"], found["fault"], found["combinations"]) == ("failed", "s.yaml: lr: wrong", [])


def test_the_list_has_the_best_of_each_run_and_the_faults_of_sweep_files(sweep: Sweep) -> None:
    run = sweep.run("r", "success")
    run.tasks([("report", -1, "success")])
    run.xcoms([("report", -1, "best", "reward 0.75 with seed=0")])
    sweep.run("without")
    found = listing.sweeps(sweep.session, {sweep.dag_id})["runs"]
    assert {each["run_id"]: each["best"] for each in found} == {"r": "reward 0.75 with seed=0", "without": ""}
    traceback = (
        'Traceback:\n  File "x", line 1\nairflow_slurm_sweep.errors.SweepFileError: a.yaml: lr: wrong\nb.yaml: bad\n'
    )
    for file, text in (("sweep_errors.py", traceback), ("other.py", "Traceback:\nValueError: airflow_slurm_sweep\n")):
        sweep.session.add(ParseImportError(filename=file, bundle_name="dags-folder", stacktrace=text))
    sweep.session.commit()
    assert listing.faults(sweep.session) == ["a.yaml: lr: wrong\nb.yaml: bad"]


def test_who_cancelled_a_combination_or_the_run_is_its_state_and_a_note_changes_the_version(sweep: Sweep) -> None:
    run = in_slurm(sweep)
    run.set("combination.wait", 0, "failed")
    run.set("combination.wait", 1, "failed")
    run.xcoms([("combination.wait", 1, "status", run.end(1, JobState.FAILED))])
    before = data.run_version(run.session, sweep.dag_id, "r")
    assert [row(run, index)["state"] for index in range(3)] == ["wait failed", "FAILED", "in Slurm"]
    run.note("combination.wait", 0, "cancelled by ana\ntoo slow")
    after = data.run_version(run.session, sweep.dag_id, "r")
    assert before != after
    assert [row(run, 0)[key] for key in ("state", "note")] == ["cancelled by ana", "cancelled by ana\ntoo slow"]
    run.set("combination.wait", 2, "failed")
    run.note(None, -1, "cancelled by bob")
    assert [row(run, index)["state"] for index in range(4)] == [
        "cancelled by ana",
        "FAILED",
        "cancelled by bob",
        "in Slurm",
    ]


def test_a_live_run_whose_dag_airflow_put_aside_is_listed_and_says_why(sweep: Sweep) -> None:
    sweep.run("over", "success")
    dag = sweep.session.get_one(DagModel, sweep.dag_id)
    dag.is_stale, dag.relative_fileloc = True, "sweeps.py"
    sweep.session.commit()
    assert listing.sweeps(sweep.session, {sweep.dag_id})["runs"] == []
    over = data.run(sweep.session, sweep.dag_id, "over")
    assert over is not None
    assert not over["notice"]

    sweep.run("live")
    assert {run["run_id"] for run in listing.sweeps(sweep.session, {sweep.dag_id})["runs"]} == {"live", "over"}
    live = data.run(sweep.session, sweep.dag_id, "live")
    assert live is not None
    assert live["notice"].startswith(
        f"Airflow finds no Dag {sweep.dag_id} in sweeps.py any more, and schedules nothing"
    )


def test_a_dag_that_stands_in_says_which_file_is_missing(sweep: Sweep) -> None:
    sweep.run("r")
    before = data.run_version(sweep.session, sweep.dag_id, "r")
    sweep.session.add(DagTag(name=UNREADABLE, dag_id=sweep.dag_id))
    sweep.session.get_one(DagModel, sweep.dag_id).description = "include/sweeps/a.yaml: the file is missing"
    sweep.session.commit()
    found = data.run(sweep.session, sweep.dag_id, "r")
    assert found is not None
    assert found["notice"] == "include/sweeps/a.yaml: the file is missing."
    assert data.run_version(sweep.session, sweep.dag_id, "r") != before, "the page asks for the run again"


def test_a_run_that_waits_for_approval_says_so_and_then_what_was_decided(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.tasks([("approve", -1, "awaiting_input"), ("combination.submit", -1, None)])

    def shown() -> dict[str, Any]:
        found = data.run(sweep.session, sweep.dag_id, "r")
        assert found is not None
        return found

    assert shown()["notice"] == "The run waits for approval: see its task approve."
    assert shown()["counts"] == {"waiting": 4}
    run.set("approve", -1, "skipped")
    run.set("combination.submit", -1, "skipped")
    run.xcoms([("approve", -1, "consent", "rejected by lead; nothing was submitted")])
    assert shown()["notice"] == "The run was rejected by lead; nothing was submitted."
    assert shown()["counts"] == {"skipped": 4}
    assert {each["action"] for each in shown()["combinations"]} == {None}


def test_a_run_that_was_approved_in_part_has_the_approved_combinations(sweep: Sweep) -> None:
    run = sweep.run("r")
    run.tasks([("approve", -1, "success")])
    run.xcoms([("approve", -1, "return_value", [job.to_json() for job in sweep.jobs[2:]])])
    found = data.run(sweep.session, sweep.dag_id, "r")
    assert found is not None
    assert [each["number"] for each in found["combinations"]] == [3, 4]


def test_check_cluster_is_no_sweep_whatever_its_bundles_prefix(session: Session) -> None:
    check = Sweep(session, f"team{next(NAMES)}_check_cluster")
    session.add(DagTag(name=CHECK, dag_id=check.dag_id))
    session.commit()
    assert listing.sweeps(session, {check.dag_id})["sweeps"] == []
