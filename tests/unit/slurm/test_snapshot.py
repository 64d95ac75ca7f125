"""How jobs stand, as a small value."""

from __future__ import annotations

import json

import pytest

from airflow_slurm_sweep.slurm import queue, snapshot
from airflow_slurm_sweep.slurm.snapshot import LiveJob, live_job, read, view

AT = 1769860800
RUNNING = LiveJob(state="RUNNING", nodes="n1", started=AT - 5, queued=3)
PENDING = LiveJob(state="PENDING", reason="Priority")


def test_jobs_that_have_something_in_common_stand_together() -> None:
    jobs = {index: (str(4000 + index), RUNNING if index < 128 else PENDING) for index in range(1000)}
    said = view(jobs, AT)
    assert said == {
        "at": AT,
        "ids": {"4000": "0-999"},
        "states": {"PENDING": "128-999", "RUNNING": "0-127"},
        "reason": {"Priority": "128-999"},
        "nodes": {"n1": "0-127"},
        "started": {str(AT - 5): "0-127"},
        "queued": {"3": "0-127"},
    }
    assert read(json.loads(json.dumps(said))) == (AT, jobs)


def test_ids_of_any_order_and_of_elements_survive() -> None:
    jobs = {0: ("9", RUNNING), 1: ("7", PENDING), 5: ("123_1", PENDING), 6: ("123_2", RUNNING), 9: ("1", PENDING)}
    said = view(jobs, AT)
    assert said["ids"] == {"9": "0", "6": "1", "123_-4": "5-6", "-8": "9"}
    assert read(said) == (AT, jobs)


def test_a_job_that_did_not_wait_is_told_from_one_that_nothing_is_known_of() -> None:
    jobs = {0: ("1", LiveJob(state="RUNNING", queued=0)), 1: ("2", LiveJob(state="RUNNING"))}
    assert read(view(jobs, AT)) == (AT, jobs)


def test_a_large_one_goes_without_details_then_without_its_last_jobs() -> None:
    jobs = {
        index: (str(7 * index), LiveJob(state="RUNNING", nodes=f"node{index}", started=index * 3, queued=index))
        for index in range(3000)
    }
    said = view(jobs, AT)
    assert len(json.dumps(said)) <= snapshot.LARGEST
    found = read(said)
    assert found is not None
    assert set(found[1]) == set(range(3000)), "all states"
    assert "nodes" not in said
    found = read(view({index: (str(7**20 + index**2), PENDING) for index in range(20000)}, AT))
    assert found is not None
    assert set(found[1]) == set(range(len(found[1])))


@pytest.mark.parametrize(
    ("elapsed", "seconds"),
    [
        ("0:07", 7),
        ("1:02:03", 3723),
        ("00:01:00", 60),
        ("1-02:03:04", 93784),
        ("INVALID", None),
        ("", None),
        ("7", None),
    ],
)
def test_run_times(elapsed: str, seconds: int | None) -> None:
    assert snapshot.seconds(elapsed) == seconds


def test_a_start_holds_from_tick_to_tick_and_is_another_one_after_a_requeue() -> None:
    (first,) = queue.read_squeue("1|RUNNING|0:10|1000|1060|n1|None|").values()
    job = live_job(first, 2000.2)
    assert (job.started, job.queued, job.nodes) == (1990, 60, "n1")
    assert live_job(first, 2001.4, job) == job, "the answer came late"
    assert live_job(first, 2100, job).started == 2090
    (queued,) = queue.read_squeue("1|PENDING|0:00|1000|9999|||Priority").values()
    assert live_job(queued, 2200, job) == PENDING


def test_an_expected_start_is_news_when_it_moves_by_a_minute() -> None:
    (queued,) = queue.read_squeue("now=2000\n1|PENDING|0:00|1000|2600 batch|||Priority").values()
    job = live_job(queued, 5000)
    assert job == LiveJob(state="PENDING", reason="Priority", starts=5600)
    assert live_job(queued, 5059, job) == job
    assert live_job(queued, 5060, job).starts == 5660
    (stuck,) = queue.read_squeue("now=2000\n1|PENDING|0:00|1000|N/A batch|||JobHeldUser").values()
    jobs = {0: ("1", job), 1: ("2", live_job(stuck, 5000))}
    assert jobs[1][1].stuck
    assert read(view(jobs, 5000)) == (5000, jobs)
