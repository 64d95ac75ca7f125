"""Who is told how a sweep ended, by notifiers that a sweep file names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_slurm_sweep.errors import SweepFileError
from airflow_slurm_sweep.factory import sweep_dag
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.tasks.notify import Notification, failure_report, sweep_report

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


def sweep(include: Path, dag: str) -> DAG:
    path = include / "sweeps" / "grpo.yaml"
    path.write_text(f"script_path: a.py\ndag: {{{dag}}}\n")
    return sweep_dag(path, include)


def test_a_sweep_file_names_notifiers_and_when(include: Path) -> None:
    dag = sweep(
        include,
        f"notify: [{{on: failed, notifier: {SMTP}, arguments: {{to: me}}}}, {{on: finished, notifier: {SMTP}, arguments: {{to: us}}}}]",
    )
    report = dag.get_task("report")
    for callbacks, told in ((report.on_failure_callback, ["me", "us"]), (report.on_success_callback, ["us"])):
        assert [callback._arguments["to"] for callback in callbacks] == told  # type: ignore[union-attr]
    assert all(not task.on_failure_callback for task in dag.tasks if task is not report)


def test_each_sweep_is_an_asset(include: Path) -> None:
    (asset,) = sweep(include, "").get_task("report").outlets
    assert (asset.name, asset.uri) == ("sweep_grpo", "sweep_grpo")


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("on: ended, notifier: a.B", "dag.notify.0.on: expected 'combination_failed', 'failed', 'finished' or 'stuck', got 'ended'"),
        ("on: failed, notifier: Mail", "dag.notify.0.notifier: expected the path of a class such as airflow.providers.*SmtpNotifier, got 'Mail'"),
        ("on: failed", "dag.notify.0.notifier: missing; expected the keys on, notifier, arguments"),
        ("on: failed, notifier: a.B, to: me", "dag.notify.0.to: unknown key 'to'. Valid keys: arguments, notifier, on"),
        ("on: failed, notifier: no.such.Class", "dag: notify: no.such.Class cannot be imported: No module named 'no'"),
        (f"on: failed, notifier: {SMTP}s", "dag: notify: .*SmtpNotifiers cannot be imported: module .* has no attribute 'SmtpNotifiers'"),
        ("on: failed, notifier: os.path.join", "dag: notify: expected a notifier of Airflow's, a class, got os.path.join: <function join"),
        ("on: failed, notifier: pathlib.Path", "dag: notify: expected a notifier of Airflow's, a class, got pathlib.Path: <class"),
        (f"on: failed, notifier: {SMTP}, arguments: {{to: me, retries: 3}}", f"dag: notify: {SMTP} does not take these arguments: .*unexpected keyword argument 'retries'"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_notifier_is_a_fault_of_the_file(include: Path, entry: str, fault: str) -> None:
    with pytest.raises(SweepFileError, match=rf"(?m)^include/sweeps/grpo.yaml: {fault}"):
        sweep(include, f"notify: [{{{entry}}}]")


def test_each_failed_combination_if_the_sweep_wants_it(include: Path) -> None:
    dag = sweep(include, f"notify: {{on: combination_failed, notifier: {SMTP}, arguments: {{to: me}}}}")
    told = {task.task_id for task in dag.tasks if task.on_failure_callback}
    assert told == {"combination.submit", "combination.wait"}


def test_the_triggerer_notifies_of_jobs_that_will_not_start(include: Path) -> None:
    wait = sweep(include, f"notify: {{on: stuck, notifier: {SMTP}, arguments: {{to: me}}}}").get_task(
        "combination.wait"
    )
    assert wait.start_trigger_args
    assert wait.start_trigger_args.trigger_kwargs
    assert wait.start_trigger_args.trigger_kwargs["on_stuck"] == [{"notifier": SMTP, "arguments": {"to": "me"}}]
    assert not wait.on_failure_callback


JOB = SubmittedJob(ssh_conn_id="c", job_id="7", job_name="a_2", run_dir="/r", log_path="/r/7.out", label="lr=1")
STATUS = JobStatus(job_id="7", text="FAILED", exit_code="1:0", source="sacct")
LAST = replace(STATUS, job_id="9", chain="2 of 6 jobs", earlier=[["7", "1:00"]])


@pytest.mark.parametrize(
    ("job", "status", "exception", "said"),
    [
        (JOB.to_json(), STATUS.to_json(), None, "d r: lr=1: Job 7 (a_2) ended as FAILED (sacct): exit code 1:0, log /r/7.out"),
        (json.dumps(JOB.to_json()), json.dumps(STATUS.to_json()), None, "d r: lr=1: Job 7 (a_2) ended as FAILED (sacct): exit code 1:0, log /r/7.out"),
        (None, None, ValueError("no such partition"), "d r: combination.submit with the map index 1 failed\nno such partition"),
        (JOB.to_json(), None, None, "d r: combination.submit with the map index 1 failed\nsee its log"),
        (JOB.to_json(), replace(STATUS, cause="KeyError: 'a'").to_json(), None, "d r: lr=1: KeyError: 'a'\nJob 7 (a_2) ended as FAILED (sacct): exit code 1:0, log /r/7.out"),
        (JOB.to_json(), LAST.to_json(), None, "d r: lr=1: Job 9 (a_2) ended as FAILED, 2 of 6 jobs (sacct): exit code 1:0, log /r/logs/slurm-9.out"),
    ],
)  # fmt: skip
def test_what_is_told_of_a_combination(job: Any, status: Any, exception: Exception | None, said: str) -> None:
    xcoms = {("combination.submit", "return_value"): job, ("combination.submit", "status"): status}

    def pull(*, task_ids: str, map_indexes: int, key: str = "return_value") -> Any:
        assert map_indexes == 1
        return xcoms[task_ids, key]

    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="combination.submit", map_index=1, xcom_pull=pull)
    assert failure_report({"ti": ti, "exception": exception}) == said  # type: ignore[typeddict-item]


def context(report: str | None, *, dry_run: bool = False) -> Any:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="report", xcom_pull=lambda **_: report)
    return {"ti": ti, "params": {"dry_run": dry_run}}


def test_its_templates_know_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, Any]] = []
    monkeypatch.setattr(
        "airflow.providers.smtp.notifications.smtp.SmtpNotifier.notify",
        lambda self, _: told.append((self.subject, self.html_content)),
    )
    arguments = {
        "to": "me",
        "subject": "{{ dag_id }} {{ run_id }}: {{ summary }}",
        "html_content": "<pre>{{ report | e }}</pre>",
    }
    notify = Notification(SMTP, arguments, sweep_report)
    notify(context("3 of 4 succeeded\n\n| a<b |"))
    notify(context("4 of 4 succeeded"))
    notify(context(None))
    notify(context("0 of 4 succeeded", dry_run=True))
    nothing = "d r: no report; see the log of the task report"
    assert told == [
        ("d r: 3 of 4 succeeded", "<pre>3 of 4 succeeded\n\n| a&lt;b |</pre>"),
        ("d r: 4 of 4 succeeded", "<pre>4 of 4 succeeded</pre>"),
        (f"d r: {nothing}", f"<pre>{nothing}</pre>"),
    ]
