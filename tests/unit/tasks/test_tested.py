"""Canaries in `airflow dags test`, whose tasks come in any order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.tasks import tested

REQUEST = JobRequest(ssh_conn_id="c", name="a_1", run_dir="/r/a_1", command="true", canaries=1)
JOB = SubmittedJob(ssh_conn_id="c", job_id="7", job_name="a_1", run_dir="/r/a_1", log_path="/r/a_1/log")
JOBS = [REQUEST.to_json(), REQUEST.to_json()]


class Instance(SimpleNamespace):
    """A task instance of the first run; ``left`` is what the canary's has left."""

    left: Any = None

    def xcom_pull(self, **_: Any) -> Any:
        return self.left


def instance(index: int, left: Any = None) -> Instance:
    ids = {"dag_id": "d", "run_id": "r", "task_id": "submit", "try_number": 1, "id": f"0{index}"}
    return Instance(**ids, map_index=index, left=left)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the answers to come of sbatch, which each submission takes from."""
    answers: list[Any] = []

    def submit(*_: Any) -> SubmittedJob:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return JOB

    monkeypatch.setattr(tested, "_submit", submit)
    monkeypatch.setattr(tested, "_submitted", {})
    monkeypatch.setattr(tested, "installation", lambda: "i")
    monkeypatch.setattr(tested, "_await_end", lambda *_: SimpleNamespace(status=SimpleNamespace(state=DONE)))
    monkeypatch.setattr(tested, "_ended", {})
    return answers


DONE = SimpleNamespace(is_success=True)


def test_a_canary_that_another_combination_has_submitted_is_submitted_once_and_in_the_next_run_again(
    asked: list[Any],
) -> None:
    asked += [JOB, JOB]
    assert tested.failed_canary(instance(1), JOBS, None, None) == ""
    assert tested.submit(instance(0), REQUEST, None) == JOB
    assert len(asked) == 1
    assert tested.submit(instance(0), REQUEST, None) == JOB
    assert asked == []


def test_a_canary_that_sbatch_refused_stays_refused(asked: list[Any]) -> None:
    asked += [ClusterRefusedError("no"), JOB]
    assert tested.failed_canary(instance(1), JOBS, None, None) == "a_1"
    with pytest.raises(ClusterRefusedError):
        tested.submit(instance(0), REQUEST, None)
    assert tested.failed_canary(instance(2), JOBS, None, None) == "a_1"
    assert asked == [JOB], "it is submitted once"


def test_the_order_of_the_two_makes_no_difference(asked: list[Any]) -> None:
    asked += [ClusterRefusedError("no"), JOB]
    with pytest.raises(ClusterRefusedError):
        tested.submit(instance(0), REQUEST, None)
    assert tested.failed_canary(instance(1), JOBS, None, None) == "a_1"
    assert asked == [JOB]


def test_a_job_that_is_no_canarys_may_be_submitted_again_in_the_same_process(asked: list[Any]) -> None:
    asked += [ClusterRefusedError("no"), JOB]
    alone = JobRequest(ssh_conn_id="c", name="b", run_dir="/r/b", command="true")
    with pytest.raises(ClusterRefusedError):
        tested.submit(instance(0), alone, None)
    assert tested.submit(instance(0), alone, None) == JOB
