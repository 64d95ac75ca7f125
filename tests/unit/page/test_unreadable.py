"""One odd XCom takes one row of the page, not the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_slurm_sweep.names import RETURN_KEY, STATUS_KEY, SUBMIT, WAIT
from airflow_slurm_sweep.page.combinations import Run, Task, view
from airflow_slurm_sweep.page.unreadable import UNREADABLE, readable_view
from airflow_slurm_sweep.sweep.sweep_section import Objective

OBJECTIVE = Objective(metric="r", goal="maximize")
JOB = {"name": "a", "run_dir": "/r/a", "parameters": '{"lr": 1}', "label": "lr=1"}
END = {"job_id": "2", "text": "COMPLETED", "metrics": {"r": 0.5}, "elapsed": "00:01:00", "exit_code": "0:0"}


def run(job: dict[str, Any], end: dict[str, Any], state: str) -> Run:
    """Return a run of two combinations, of which the second is as it should be."""
    tasks = {(SUBMIT, 0): Task("success", 1.0), (WAIT, 0): Task(state, 2.0)}
    tasks |= {(SUBMIT, 1): Task("success", 1.0), (WAIT, 1): Task("success", 2.0)}
    xcoms: dict[tuple[str, str, int], Any] = {
        (SUBMIT, RETURN_KEY, 0): {"job_id": "1", "run_dir": "/r/a"},
        (WAIT, STATUS_KEY if state == "failed" else RETURN_KEY, 0): end,
        (SUBMIT, RETURN_KEY, 1): {"job_id": "2", "run_dir": "/r/b"},
        (WAIT, RETURN_KEY, 1): END,
    }
    return Run([job, JOB | {"name": "b", "parameters": '{"lr": 2}'}], tasks, xcoms, {})


@pytest.mark.parametrize("state", ["success", "failed"])
@pytest.mark.parametrize(
    ("job", "end"),
    [
        ({}, {"exit_code": None}),
        ({}, {"elapsed": None}),
        ({}, {"gpu_hours": "3"}),
        ({}, {"earlier": [[]]}),
        ({"parameters": "x"}, {}),
        ({"parameters": 5}, {}),
        ({"done": {"job_id": "1"}, "run_dir": None}, {}),
    ],
)
def test_what_cannot_be_read_takes_one_row(job: dict[str, Any], end: dict[str, Any], state: str) -> None:
    damaged = {key: value for key, value in (JOB | job).items() if value is not None}
    found = readable_view(run(damaged, {"job_id": "1", "text": "FAILED"} | end, state), 0.0, OBJECTIVE)
    json.dumps(found, allow_nan=False)
    odd, sound = found["combinations"]
    assert (odd["state"], odd["number"], odd["metrics"]) == (UNREADABLE, 1, {})
    assert odd["reason"].startswith("its plan or XCom is not as the tasks write it: ")
    assert (sound["state"], sound["job_id"], sound["rank"]) == ("COMPLETED", "2", 1)
    assert found["best"]["number"] == 2


def test_a_run_as_it_should_be_is_the_view() -> None:
    sound = run(JOB, {"job_id": "1", "text": "FAILED"}, "failed")
    assert readable_view(sound, 0.0, OBJECTIVE) == view(sound, 0.0, OBJECTIVE)
