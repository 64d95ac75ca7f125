"""The table that a sweep ends with."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from airflow_slurm_sweep.names import SUBMIT, WAIT
from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.report import Row, best, causes, failures, folded, hours_text, ranked, ranks, report_rows, used
from airflow_slurm_sweep.report_text import best_text, summary, table
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.sweep.sweep_section import Objective
from airflow_slurm_sweep.tasks import report_task
from airflow_slurm_sweep.tasks.report_task import ReportSweepOperator
from tests.layers import make_layers


def request(index: int, **more: Any) -> JobRequest:
    return JobRequest(
        ssh_conn_id="c",
        name=f"a_sweep_{index}",
        command="true",
        run_dir=f"/r/a_sweep_{index}",
        label=f"lr={index}",
        index=index,
        parameters={"optim.lr": float(index)},
        **more,
    )


def submitted(index: int, job_id: str) -> SubmittedJob:
    """Return a job whose name says nothing about its combination."""
    return SubmittedJob(
        ssh_conn_id="c", job_id=job_id, job_name="any", run_dir="/r", log_path=f"/r/{job_id}", index=index
    )


def test_a_row_for_each_combination_in_whatever_order_jobs_and_ends_come() -> None:
    requests = [request(index) for index in (2, 5, 7)]  # as `only` leaves them
    end = JobStatus(
        job_id="12",
        text="CANCELLED by 0",
        elapsed="00:00:03",
        source="sacct",
        metrics={"a": 1},
    )
    rows = report_rows(requests, [submitted(5, "12"), submitted(2, "11")], [end])
    common = {"cause": "", "succeeded": False, "stopped": False, "elapsed": "", "log": "", "metrics": {}, "repeats": 1, "spread": {},
              "chain": "", "gpu_hours": None, "cpu_hours": None}  # fmt: skip
    assert [row.to_json() for row in rows] == [
        common | {"index": 2, "combination": "lr=2", "parameters": {"optim.lr": 2.0}, "job": "a_sweep_2",
                  "job_id": "11", "state": "not waited for", "log": "/r/11"},
        common | {"index": 5, "combination": "lr=5", "parameters": {"optim.lr": 5.0}, "job": "a_sweep_5",
                  "job_id": "12", "state": "CANCELLED by 0", "log": "/r/12", "elapsed": "00:00:03", "metrics": {"a": 1}},
        common | {"index": 7, "combination": "lr=7", "parameters": {"optim.lr": 7.0}, "job": "a_sweep_7",
                  "job_id": "", "state": "not submitted"},
    ]  # fmt: skip
    assert report_rows([request(1, dry_run=True)], [], [])[0].state == "dry run"
    assert report_rows([request(2)], [], [], {2: "the canary a did not succeed"})[0].state == (
        "skipped (the canary a did not succeed)"
    )


def test_a_chain_is_one_row_of_its_last_job() -> None:
    end = JobStatus(job_id="14", earlier=[("12", "")], text="INCOMPLETE", source="sacct", chain="6 of 6 jobs")
    (found,) = report_rows([request(5)], [submitted(5, "12")], [end])
    assert (found.job_id, found.log, found.succeeded) == ("14", "/r/a_sweep_5/logs/slurm-14.out", False)
    assert "INCOMPLETE, 6 of 6 jobs" in table([found])


def row(job: int, state: str = "COMPLETED", /, **metrics: float) -> Row:
    return Row(
        index=job,
        job=f"a_{job}",
        combination=f"lr={job}",
        job_id="1_4",
        state=state,
        succeeded=state == "COMPLETED",
        log="/l",
        metrics=metrics,
    )


@pytest.mark.parametrize(
    ("goal", "order"), [("maximize", ["a_2", "a_5", "a_1", "a_3", "a_4", "a_6"]), ("minimize", ["a_1", "a_2", "a_5", "a_3", "a_4", "a_6"])]
)  # fmt: skip
def test_the_best_come_first_and_those_without_a_result_last(goal: Any, order: list[str]) -> None:
    rows = [row(1, reward=-1), row(2, reward=3), row(3), row(4, "FAILED", reward=9), row(5, reward=3), row(6, loss=1)]
    objective = Objective(metric="reward", goal=goal)
    found = ranked(rows, objective)
    assert [each.job for each in found] == order
    assert best(rows, objective) == found[0]
    assert ranked(rows, None) == rows
    assert best(rows, None) is None
    assert best(rows[2:4], objective) is None


def test_a_metric_that_is_no_finite_number_has_no_rank() -> None:
    values: list[Any] = [float("nan"), 2, "nan", float("inf"), 1, None]
    objective = Objective(metric="loss", goal="minimize")
    assert ranks(((True, {"loss": value}) for value in values), objective) == [None, 2, None, None, 1, None]
    assert ranks([(True, {"loss": 1}), (False, {"loss": 0})], objective) == [1, None]
    assert ranks([(True, {"loss": 1})], None) == [None]


def test_each_metric_is_a_column_the_objective_the_first() -> None:
    rows = [row(1, loss=0.123456789, steps=20), row(2, reward=0.5, loss=1e-9)]
    objective = Objective(metric="reward", goal="maximize")
    lines = [line.split() for line in table(rows, objective).splitlines()]
    assert lines[0] == ["job", "combination", "job", "id", "state", "reward", "loss", "steps", "elapsed", "log"]
    assert lines[2:] == [
        ["a_1", "lr=1", "1_4", "COMPLETED", "0.123457", "20", "/l"],
        ["a_2", "lr=2", "1_4", "COMPLETED", "0.5", "1e-09", "/l"],
    ]
    many = table([replace(row(1), metrics={f"m{n:02}": n for n in range(50)})])
    assert "m07" in many
    assert "m08" not in many, "a table is for reading"


class TaskInstance:
    """What report reads of Airflow and leaves there."""

    dag_id, run_id = "d", "r"

    def __init__(self, ends: list[JobStatus], objective: dict[str, str] | None, search: str | None = None) -> None:
        jobs = [submitted(int(end.job_id), end.job_id) for end in ends]
        self.planned: list[Any] = [request(int(end.job_id)).to_json() for end in ends]
        self._xcoms: dict[tuple[str, str], Any] = {
            ("plan", "return_value"): self.planned,
            ("plan", "objective"): objective,
            ("plan", "search"): search,
            (SUBMIT, "return_value"): [job.to_json() for job in jobs],
            (WAIT, "return_value"): [json.dumps(end.to_json()) for end in ends if end.state.is_success],  # as triggers leave it
            (WAIT, "status"): [end.to_json() for end in ends if not end.state.is_success],
        }  # fmt: skip
        self.states = {f"{SUBMIT}_{place}": "success" for place in range(len(ends))}
        self.states |= {
            f"{WAIT}_{place}": "success" if end.state.is_success else "failed" for place, end in enumerate(ends)
        }
        self.left: dict[str, Any] = {}

    def forget_plan(self) -> None:
        del self._xcoms["plan", "return_value"]

    def xcom_pull(self, task_ids: str | list[str], key: str = "return_value") -> Any:
        return self._xcoms.get(("".join(task_ids), key))

    def xcom_push(self, key: str, value: Any) -> None:
        self.left[key] = value


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ReportSweepOperator:
    monkeypatch.setattr(ReportSweepOperator, "_cancel_orphans", lambda *_: None)
    monkeypatch.setattr(report_task, "states_of", lambda ti, _: ti.states)
    return ReportSweepOperator(task_id="report")


def end(job_id: str, state: JobState = JobState.COMPLETED, **metrics: float) -> JobStatus:
    return JobStatus(job_id=job_id, text=state.value, source="sacct", metrics=metrics)


REWARD = {"metric": "reward", "goal": "maximize"}


def test_the_report_names_the_best_combination_even_if_others_failed(
    report: ReportSweepOperator, capsys: pytest.CaptureFixture[str]
) -> None:
    ti = TaskInstance([end("1", reward=0.1), end("2", reward=0.93), end("3", JobState.FAILED, reward=2)], REWARD)
    with pytest.raises(AirflowFailException, match="2 of 3 combinations succeeded"):
        report.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert "Best: reward 0.93 with lr=2 (a_sweep_2)" in capsys.readouterr().out
    assert [row["job"] for row in ti.left["rows"]] == ["a_sweep_2", "a_sweep_1", "a_sweep_3"]
    assert ti.left["rows"][2]["metrics"] == {"reward": 2}


def test_an_objective_that_no_job_left_is_a_warning(
    report: ReportSweepOperator, capsys: pytest.CaptureFixture[str]
) -> None:
    ti = TaskInstance([end("1", loss=1, steps=2), end("2")], REWARD)
    assert report.execute({"ti": ti}) == {"combinations": 2, "succeeded": 2}  # type: ignore[typeddict-item]
    said = capsys.readouterr().out
    assert "objective: expected the metric reward in the jobs' files, got: loss, steps" in said
    assert "Best" not in said


SEARCH = """\
command: t
optim.lr: {uniform: [0, 100]}
seed: {int: [0, 9]}
slurm: {max_parallel_jobs: 4}
sweep: {search: tpe, trials: 80, objective: {metric: reward, goal: maximize}}
"""


@pytest.mark.parametrize(("number", "spread", "told"), [(64, 1, True), (63, 1, False), (64, 0, False)])
def test_many_results_of_a_search_tell_what_the_parameters_do(
    report: ReportSweepOperator, capsys: pytest.CaptureFixture[str], number: int, spread: float, *, told: bool
) -> None:
    sweep = parse_sweep(SEARCH, source="s.yaml")
    plan = plan_run(sweep, make_layers({"log": "/log"}, preset="plain", command=sweep.command))
    assert plan.search
    ends = [end(str(job), reward=spread * job) for job in range(1, number + 1)]
    ends += [end("70"), end("71", JobState.FAILED, reward=9), end("72", reward=float("nan"))]
    ti = TaskInstance(ends, REWARD, plan.search.to_text())
    jobs = [JobRequest.from_json(job) for job in ti.planned]
    seeds: list[Any] = [{"seed": (job.index or 0) % 3} for job in jobs]
    ti.planned[:] = [
        replace(job, parameters={**job.parameters, **seed}).to_json() for job, seed in zip(jobs, seeds, strict=True)
    ]
    with pytest.raises(AirflowFailException):
        report.execute({"ti": ti})  # type: ignore[typeddict-item]
    lines = [line for line in capsys.readouterr().out.splitlines() if "PED-ANOVA of 64 trials" in line]
    assert len(lines) == told
    assert not told or re.search(r"told of reward, roughly \(.*\): optim.lr \d\d%, seed \d+%", lines[0])


def test_repeats_of_a_combination_are_one_row_with_mean_and_spread() -> None:
    requests = [
        replace(
            request(index),
            parameters={"optim.lr": lr, "tp": 8, "seed": seed},
            swept=["optim.lr", "seed"],
            repeated=["seed"],
        )
        for index, (lr, seed) in enumerate([(0.1, 1), (0.1, 2), (0.1, 3), (0.2, 1), (0.2, 2), (0.2, 3)], start=1)
    ]
    jobs = [submitted(index, str(index)) for index in range(1, 7)]
    ends = [end("1", reward=1), end("2", reward=2), end("3", reward=3, kl=1), end("4", reward=9), end("5", reward=9)]
    rows = report_rows(requests, jobs, [*ends, end("6", JobState.FAILED, reward=99)])
    first, second = folded(rows, ["seed"], ["optim.lr", "seed"])
    assert (first.combination, first.parameters) == ("lr=0.1", {"optim.lr": 0.1, "tp": 8})
    assert (first.repeats, first.metrics, first.spread) == (3, {"reward": 2}, {"reward": 1}), "one job alone has kl"
    assert (first.job, first.job_id, first.state) == ("a_sweep_1, a_sweep_2, a_sweep_3", "1, 2, 3", "COMPLETED")
    assert (second.state, second.succeeded, second.log) == ("2 COMPLETED, 1 FAILED", False, "/r/6")
    assert second.metrics == {"reward": 9}, "of the jobs that succeeded"
    objective = Objective(metric="reward", goal="maximize")
    assert best([second, first], objective) == first, "a failed repeat may hide that the combination diverges"
    assert best_text(first, objective) == (
        "Best: reward 2 with lr=0.1 (a_sweep_1, a_sweep_2, a_sweep_3, the mean of 3)"
    )
    shown = table([first, second], objective).splitlines()
    assert shown[0].split() == ["job", "combination", "job", "id", "state", "n", "reward", "elapsed", "log"]
    assert "a_sweep_1 … a_sweep_3" in shown[2]
    assert "2 ± 1" in shown[2]
    assert folded(rows, [], ["optim.lr", "seed"]) == rows


def test_what_an_earlier_try_left_counts_for_nothing(report: ReportSweepOperator) -> None:
    ti = TaskInstance([end("1", reward=1), end("2", reward=2), end("3", reward=3)], REWARD)
    ti._xcoms[WAIT, "status"] = [end("1", JobState.FAILED).to_json()]
    ti._xcoms[SUBMIT, "skipped"] = [{"index": 3, "why": "the canary a did not succeed"}]
    ti.states |= {f"{WAIT}_1": "failed", f"{SUBMIT}_2": "failed", f"{WAIT}_2": "upstream_failed"}  # marked, cleared
    with pytest.raises(AirflowFailException, match="1 of 3 combinations succeeded; failed: a_sweep_2, a_sweep_3"):
        report.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert [row["state"] for row in ti.left["rows"]] == ["COMPLETED", "not waited for", "not submitted"]
    assert ti.left["best"] == "reward 1 with lr=1"


def test_repeats_that_were_not_submitted_or_are_done_hide_neither_hours_nor_causes(
    report: ReportSweepOperator, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = [end("1"), end("2"), replace(end("3", JobState.FAILED), cause="CUDA out of memory")]
    ti = TaskInstance([replace(each, gpu_hours=3) for each in ends], None)
    done = end("9").to_json()
    jobs = [request(1), request(2), request(8, done=done), request(7), request(3)]
    ti.planned[:] = [
        replace(job, parameters={"lr": at // 3, "seed": at}, repeated=["seed"], swept=["lr"]).to_json()
        for at, job in enumerate(jobs)
    ]
    ti.states = {f"{task}_{at}": "success" for task in (SUBMIT, WAIT) for at in (0, 1)}
    ti.states |= {f"{SUBMIT}_4": "success", f"{WAIT}_4": "failed"}
    with pytest.raises(AirflowFailException, match="1 of 2 combinations succeeded"):
        report.execute({"ti": ti})  # type: ignore[typeddict-item]
    said = capsys.readouterr().out
    assert "Used: 9 GPU-hours" in said
    assert "1 of 2 failed: CUDA out of memory" in said
    assert ti.left["report"].endswith("Used: 9 GPU-hours\n\n1 of 2 failed: CUDA out of memory")
    assert [(row["gpu_hours"], row["cause"]) for row in ti.left["rows"]] == [(6, ""), (3, "CUDA out of memory")]


def test_a_run_with_combinations_that_a_canary_skipped_fails(report: ReportSweepOperator) -> None:
    ti = TaskInstance([end("1")], None)  # the canary, which somebody marked successful afterwards
    ti._xcoms["plan", "return_value"] = [request(index, canaries=1).to_json() for index in (1, 2, 3)]
    why = "the canary a_sweep_1 did not succeed"
    ti.states |= {f"{SUBMIT}_{place}": "skipped" for place in (1, 2)}
    ti._xcoms[SUBMIT, "skipped"] = [json.dumps({"index": 2, "why": why}), {"index": 3, "why": why}]
    with pytest.raises(
        AirflowFailException, match=r"^1 of 3 combinations succeeded; failed: none; skipped because of a canary: 2$"
    ):
        report.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert [row["state"] for row in ti.left["rows"]] == ["COMPLETED", f"skipped ({why})", f"skipped ({why})"]


def test_hours_are_of_gpus_where_a_job_asked_for_them_and_of_cpus_elsewhere() -> None:
    requests = [request(1, gpus_per_node=2), request(2), request(3, gpus_per_node=2), request(4)]
    jobs = [submitted(index, str(index)) for index in range(1, 5)]
    ends = [
        replace(end("1"), gpu_hours=1.5, cpu_hours=9),
        replace(end("2"), gpu_hours=0, cpu_hours=0.25),
        replace(end("3"), cpu_hours=7),  # the site does not account for GPUs
    ]
    rows = report_rows(requests, jobs, ends)
    assert [(row.gpu_hours, row.cpu_hours) for row in rows] == [(1.5, None), (None, 0.25), (None, None), (None, None)]
    assert used(rows) == "1.5 GPU-hours, 0.25 CPU-hours, unknown for 2 jobs"
    assert used(rows[3:]) == "unknown hours"
    assert used(report_rows([request(1, done=ends[0].to_json())], [], [])) == ""
    assert table(rows).splitlines()[0].split()[-4:] == ["elapsed", "GPU-hours", "CPU-hours", "log"]
    assert "Used: 1.5 GPU-hours" in summary("t", rows)
    assert used(folded([rows[0], replace(rows[0], index=2)], ["optim.lr"], [])) == "3 GPU-hours"


REJECTED = "rejected by lead; nothing was submitted"


@pytest.mark.parametrize("approved", [None, [request(2).to_json()]])
def test_a_run_that_nobody_approved_succeeds_without_results(
    report: ReportSweepOperator, approved: list[dict[str, Any]] | None
) -> None:
    ti = TaskInstance([], None)
    ti._xcoms |= {
        ("plan", "return_value"): [request(1).to_json(), request(2).to_json()],
        ("approve", "return_value"): approved,
        ("approve", "consent"): REJECTED if approved is None else "approved by lead, only 2: 1 of 2 combinations",
    }
    report.outlets = [Asset("a")]
    if approved is None:
        assert report.execute({"ti": ti}) == {"combinations": 2, "succeeded": 0}  # type: ignore[typeddict-item]
        assert report.outlets == []
        assert ti.left["report"].startswith(f"d r ({REJECTED}): 0 of 2 combinations succeeded\n\n|")
    else:
        with pytest.raises(AirflowFailException, match="0 of 1 combinations succeeded; failed: a_sweep_2"):
            report.execute({"ti": ti})  # type: ignore[typeddict-item]


def test_a_notification_is_short_and_has_the_failures() -> None:
    rows = [row(n, "FAILED" if n == 90 else "COMPLETED", reward=-n) for n in range(100)]
    objective = Objective(metric="reward", goal="maximize")
    said = summary("grpo r1", ranked(rows, objective), objective).split("\n\n")
    assert said[:2] == ["grpo r1: 99 of 100 combinations succeeded", "Best: reward 0 with lr=0 (a_0)"]
    shown = [line.split("|")[1].strip() for line in said[2].splitlines()[2:]]
    assert shown == [f"a_{n}" for n in [*range(20), 90]]
    assert said[3] == "79 more are in the task's log"
    (line,) = summary("t", [replace(row(1), combination="a=x|y")]).splitlines()[4:]
    assert r" a=x\|y " in line
    assert line.count("|") - line.count(r"\|") == 7


def test_of_a_run_that_goes_on_what_failed_is_counted_without_what_runs_or_was_skipped() -> None:
    rows = [
        replace(row(1, "FAILED"), cause="KeyError: 'a'"),
        replace(row(2, "RUNNING"), over=False),
        row(3, "skipped (the canary failed)"),
    ]
    assert failures(causes(rows)) == ["1 of 1 failed: KeyError: 'a'"]


def test_hours_have_all_their_digits() -> None:
    assert hours_text([(12_800.4, None), (12.345, None)]) == "12,813 GPU-hours"
    assert hours_text([(12.345, None)]) == "12.35 GPU-hours"


def test_what_is_done_in_an_earlier_run_stands_in_the_table_with_its_result() -> None:
    end = JobStatus(job_id="5", text="COMPLETED", source="sacct", elapsed="00:00:09", metrics={"a": 1})
    (row,) = report_rows([request(1, done=end.to_json())], [], [])
    assert (row.state, row.succeeded, row.job_id, row.metrics) == ("done in an earlier run", True, "5", {"a": 1})
    assert (row.log, row.elapsed) == ("/r/a_sweep_1/logs/slurm-5.out", "00:00:09")


def test_what_was_stopped_early_is_no_failure_and_has_no_rank() -> None:
    ends = [
        JobStatus(job_id="1", text="COMPLETED", source="sacct", metrics={"loss": 0.5}),
        JobStatus(job_id="2", text="STOPPED_EARLY", reason="asha: why", source="sacct", metrics={"loss": 0.1}),
    ]
    earlier = replace(ends[1], job_id="3")
    requests = [request(1), request(2), request(3, done=earlier.to_json())]
    objective = Objective(metric="loss", goal="minimize")
    rows = report_rows(requests, [submitted(1, "1"), submitted(2, "2")], ends)
    assert [(row.state, row.succeeded, row.stopped, row.failed) for row in rows] == [
        ("COMPLETED", True, False, False),
        ("STOPPED_EARLY (asha: why)", False, True, False),
        ("stopped early in an earlier run", False, True, False),
    ]
    assert best(rows, objective) == rows[0]
    assert summary("s", rows, objective).startswith("s: 1 of 3 combinations succeeded, 2 stopped early\n")


def test_jobs_of_a_plan_that_was_cleared_and_is_gone_are_looked_for(
    report: ReportSweepOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow deletes the XComs of a plan that runs again; it may fail, or somebody stops the run meanwhile."""
    looked: list[Any] = []
    monkeypatch.setattr(ReportSweepOperator, "_cancel_orphans", lambda *found: looked.extend(found[2]))
    ti = TaskInstance([end("1"), end("2")], None)
    ti.forget_plan()
    with pytest.raises(AirflowFailException, match="There is no plan"):
        report.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert {(site.ssh_conn_id, folder) for site, folder in looked} == {("c", "")}
