"""A sweep with ``submit: array`` through all of Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.airflow import Standalone
from tests.integration.test_contract import Run

pytestmark = pytest.mark.sandbox


def test_one_array_and_each_task_its_element(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    script = 'sleep $((INDEX * 3)); echo "this is $SLURM_JOB_NAME"; [ "$INDEX" != 2 ] || { seq 100; exit 7; }'
    run = Run(airflow, cluster, sweeps, "one", script, 5, "array")
    assert run.wait_for_end() == "failed"
    tasks = run.tasks()
    assert [tasks["submit", index] for index in range(5)] == ["success"] * 5
    assert [tasks["wait", index] for index in range(5)] == ["success", "failed", *["success"] * 3]
    arrays: list[str] = []
    for index in range(5):
        job = run.xcom("combination.submit", index)
        run_dir = f"{cluster.profile['log']}/nemo-rl/one_array_sweep_{index + 1}"
        assert job["run_dir"] == run_dir
        arrays.append(job["job_id"].removesuffix(f"_{index + 1}"))
        assert f"this is one_array_sweep_{index + 1}\n" in Path(job["log_path"]).read_text()
        status = run.xcom("combination.wait", index, "status" if index == 1 else "return_value")
        assert (status["job_id"], status["state"]) == (job["job_id"], "FAILED" if index == 1 else "COMPLETED")
    last = "\n".join(str(number) for number in range(51, 101))
    assert all(array.isdecimal() for array in arrays)
    # One, unless the machine is so busy that Airflow starts the five triggers many seconds apart.
    assert len(set(arrays)) < 5
    assert f"Job {run.xcom('combination.submit', 1)['job_id']} (one_array_sweep_2) ended as FAILED" in run.log(
        "wait", 1
    )
    assert f"The log's last 50 lines:\n{last}" in run.log("wait", 1)
    rows = run.xcom("report", -1, "rows")
    assert [row["state"] for row in rows] == ["COMPLETED", "FAILED", *["COMPLETED"] * 3]
