"""The task that waits for a person. What Airflow does with it, integration/test_consent.py shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.budget import Consent
from airflow_slurm_sweep.tasks import approve
from airflow_slurm_sweep.tasks.approve import ApproveOperator, narrowed, question

NEEDED = {"why": "above_gpu_hours is 1 (a.yaml)", "by": ["lead"], "within": "2-0"}
REQUESTS = [
    JobRequest(
        ssh_conn_id="c",
        name=f"a_sweep_{n}",
        command="true",
        run_dir=f"/r/{n}",
        label=f"mode=a|b{n}",
        index=n,
        gpus_per_node=1,
        time="60",
    )
    for n in (2, 5, 7)  # as the run's own `only` leaves them
]
JOBS = [request.to_json() for request in REQUESTS]


class TaskInstance:
    """What approve reads of Airflow and leaves there."""

    id, dag_id, run_id = "ti", "d", "r"

    def __init__(self, consent: dict[str, Any] | None) -> None:
        self.of_plan = {"return_value": JOBS, "consent": consent, "script": "#!/bin/sh\n", "attempt": "1"}
        self.left: dict[str, Any] = {"asked": "1"}

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return {"plan": self.of_plan, "approve": self.left}[task_ids][key]

    def xcom_push(self, key: str, value: Any) -> None:
        self.left[key] = value


def context(ti: TaskInstance, **conf: Any) -> Any:
    return {"ti": ti, "dag_run": SimpleNamespace(conf=conf)}


def answer(option: str, user: str | None = "lead", only: object = None) -> dict[str, Any]:
    who = user and {"id": user, "name": user}
    return {"chosen_options": [option], "params_input": {"only": only}, "responded_by_user": who, "timedout": not user}


@pytest.fixture
def task() -> ApproveOperator:
    return ApproveOperator(task_id="approve")


def test_a_run_that_needs_no_approval_passes(task: ApproveOperator) -> None:
    ti = TaskInstance(None)
    assert task.execute(context(ti)) == JOBS
    assert ti.left == {"attempt": "ti", "asked": "1", "script": "#!/bin/sh\n"}


@pytest.mark.parametrize(
    ("only", "numbers", "words"),
    [
        (None, [2, 5, 7], "approved by lead"),
        ("", [2, 5, 7], "approved by lead"),
        ("2, 7", [2, 7], "approved by lead, only 2, 7: 2 of 3 combinations"),
    ],
)
def test_who_approves_chooses_by_the_numbers_in_the_sweep(
    task: ApproveOperator, only: str | None, numbers: list[int], words: str
) -> None:
    ti = TaskInstance(NEEDED)
    chosen = task.execute_complete(context(ti), answer("Approve", only=only))
    assert [job["index"] for job in chosen] == numbers
    assert ti.left["consent"] == words


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("lead", "rejected by lead; nothing was submitted"),
        (None, "not approved by anybody in time; nothing was submitted"),
    ],
)
def test_rejected_or_not_answered_the_task_is_skipped_and_says_by_whom(
    task: ApproveOperator, user: str | None, words: str
) -> None:
    ti = TaskInstance(NEEDED)
    with pytest.raises(AirflowSkipException):
        task.execute_complete(context(ti), answer("Reject", user, only="no numbers"))
    assert ti.left["consent"] == words


@pytest.mark.parametrize("only", ["3", "2-5", "8", "x", ["2"]])
def test_an_answer_that_cannot_be_followed_is_asked_for_again(
    task: ApproveOperator, only: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def ask_again(_: ApproveOperator, context: Any) -> list[dict[str, Any]]:
        asked.append(context)
        return []

    monkeypatch.setattr(ApproveOperator, "execute", ask_again)
    ti = TaskInstance(NEEDED)
    assert task.execute_complete(context(ti), answer("Approve", only=only)) == []
    assert len(asked) == 1
    assert "consent" not in ti.left


@pytest.mark.parametrize(
    ("only", "problem"), [("3", "the run has no combination 3"), ("9", "expected indices from 1 to 7")]
)
def test_numbers_that_the_run_does_not_have(only: str, problem: str) -> None:
    with pytest.raises((SettingsError, ValueError), match=problem):
        narrowed(JOBS, only)


def test_the_question_shows_all_jobs_and_their_cost() -> None:
    text = question(REQUESTS, Consent(**NEEDED))  # type: ignore[arg-type]
    assert text.startswith(
        "**3 jobs, at most 3 GPU-hours.** The run waits because above_gpu_hours is 1 (a.yaml). lead may approve it. Not "
        "approved within 2-0, it submits nothing."
    )
    assert "| 5        | mode=a\\|b5    | a_sweep_5 | at most 1 GPU-hours |" in text
    assert question(REQUESTS[:2], Consent(**NEEDED)) != text  # type: ignore[arg-type]


@pytest.mark.parametrize("here", [True, False])
def test_a_runs_conf_approves_only_in_the_process_of_whoever_runs_the_dag(
    task: ApproveOperator, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def refuse(*_: object) -> Any:
        raise AskedError

    monkeypatch.setattr(approve, "is_tested", lambda: here)
    monkeypatch.setattr(approve, "kept_question", refuse)
    ti = TaskInstance(NEEDED)
    if here:
        assert task.execute(context(ti, approved=True)) == JOBS
        assert ti.left["consent"].endswith(" on the command line")
        with pytest.raises(AskedError):
            task.execute(context(ti, approved="yes"))
    else:
        with pytest.raises(AskedError):
            task.execute(context(ti, approved=True))
        assert "consent" not in ti.left


@pytest.mark.parametrize("says_yes", [True, False])
def test_the_person_at_the_terminal_is_asked(
    task: ApproveOperator, says_yes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(approve, "is_tested", lambda: True)

    def say(cost: str) -> bool:
        asked.append(cost)
        return says_yes

    monkeypatch.setattr(approve, "ask", say)
    ti = TaskInstance(NEEDED)
    if says_yes:
        assert task.execute(context(ti)) == JOBS
    else:
        with pytest.raises(AirflowSkipException, match=r"rejected by .* on the command line"):
            task.execute(context(ti))
    assert asked == ["d r: 3 jobs, at most 3 GPU-hours"]


def test_a_question_that_airflow_does_not_show_is_not_asked(
    task: ApproveOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        approve, "kept_question", lambda *_: ("d r: 3 jobs, at most 3 GPU-hours", "an older plan", ["lead"])
    )
    with pytest.raises(Exception, match="the plan has changed since this run first asked for approval"):
        task.execute(context(TaskInstance(NEEDED)))


def test_an_answer_counts_only_for_the_plan_that_was_shown(task: ApproveOperator) -> None:
    """Somebody may clear plan alone while approve waits."""
    ti = TaskInstance(NEEDED)
    ti.of_plan["attempt"] = "2"
    with pytest.raises(Exception, match="the plan has changed since this run first asked for approval"):
        task.execute_complete(context(ti), answer("Approve"))
    with pytest.raises(AirflowSkipException):
        task.execute_complete(context(ti), answer("Reject"))
