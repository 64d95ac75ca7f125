"""Jobs that Slurm will not start, with all of Airflow: one notification for each reason, and what the page shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until
from tests.integration.test_contract import Run

pytestmark = pytest.mark.sandbox


@pytest.mark.all
@pytest.mark.parametrize(
    ("limit", "attempts"),
    [
        pytest.param(12, 1, id="notified"),
        pytest.param(40, 2, id="as after a restart"),  # only Airflow's database remembers
    ],
)
def test_people_are_notified_once_of_jobs_that_will_not_start(
    airflow: Standalone, cluster: Sandbox, sweeps: Path, tmp_path: Path, limit: int, attempts: int
) -> None:
    file = tmp_path / "told"
    text = "{{ dag_id }} {{ run_id }} | {{ summary }}"
    notify = f'notify: [{{on: stuck, notifier: told.FileNotifier, arguments: {{path: {file}, text: "{text}"}}}}]'
    slurm = f"partition: debug, time: '0:10:0', queue_limit: 0:0:{limit}"
    run = Run(airflow, cluster, sweeps, f"stuck{attempts}", "sleep 300", 3, dag=notify, slurm=slurm)
    query = urlencode({"dag_id": run.name, "run_id": run.id})

    def page() -> dict[str, Any]:
        time.sleep(0.5)
        return airflow.call("GET", f"/slurm_sweep/run?{query}")

    words = "its time limit is longer than the partition allows"
    sentence = f"3 jobs will not start without help (PartitionTimeLimit): {words}"
    assert wait_until(lambda: page()["stuck"] == [sentence]), page()
    assert {(row["state"], row["reason"], row["why"]) for row in page()["combinations"]} == {
        ("PENDING", "PartitionTimeLimit", words)
    }
    assert wait_until(file.exists)
    for index in range(3) if attempts == 2 else ():
        run.clear("wait", index, downstream=False)
    assert run.wait_for_end() == "failed"
    told = file.read_text().splitlines()
    start = f"{run.name} {run.id} | {run.name} {run.id}: jobs will not start without help (PartitionTimeLimit: {words})"
    assert [line.partition(". The first")[0] for line in told] == [start]
    for index in range(3):
        log = run.log("wait", index, attempts)
        assert "PENDING (PartitionTimeLimit): its time limit is longer" in log
        assert f"(queue_limit: PENDING for more than 0:00:{limit}; PartitionTimeLimit: {words})" in log
