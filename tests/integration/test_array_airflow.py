"""A sweep with ``submit: array`` through all of Airflow: results, clicks, and how often Slurm was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until
from tests.integration.test_array import submit_requests
from tests.integration.test_contract import IN_TIME, LIVE, Run

pytestmark = pytest.mark.sandbox


class ArrayRun(Run):
    """As `Run`, with ``submit: array`` in the sweep's file."""

    def __init__(self, airflow: Standalone, cluster: Sandbox, sweeps: Path, name: str, script: str, jobs: int) -> None:
        self._airflow, self._cluster = airflow, cluster
        self.name = name
        file = Path(str(cluster.profile["workdir"])) / f"{name}.sh"
        file.write_text(f"#!/bin/bash\nINDEX=${{BASE_LOG_DIR##*_}}\n{script}\n")
        (sweeps / f"{name}.yaml").write_text(
            f"script_path: examples/train_grpo.py\nseed: {list(range(jobs))}\n"
            f"slurm: {{jobname: {name}, nodes: 1, gpus_per_node: 0, batch_script: {name}.sh, submit: array}}\n"
        )
        airflow.wait_for_dag(name)
        path = f"/api/v2/dags/{name}/dagRuns"
        self.id = airflow.call("POST", path, {"logical_date": None, "conf": {}})["dag_run_id"]
        self.path = f"{path}/{self.id}"

    def of_run(self, index: int) -> dict[str, str]:
        """Return the states of a combination's jobs, by id: those that write into its run directory."""
        words = (
            "squeue",
            "--array",
            "--me",
            "--states=all",
            "--noheader",
            "--Format=JobArrayID:20,State:20,StdOut:300",
        )
        found = {}
        for line in self._cluster.slurm(*words).splitlines():
            job_id, state, path = line.split()
            path = path.replace("%a", job_id.partition("_")[2])
            if f"/{self.name}_sweep_{index + 1}/logs/" in path:
                found[job_id] = state
        return found

    def live(self, index: int) -> list[str]:
        return [job for job, state in self.of_run(index).items() if state in LIVE]


def test_one_array_and_each_task_its_element(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    before = submit_requests(cluster)
    script = 'sleep $((INDEX * 3)); echo "this is $SLURM_JOB_NAME"; [ "$INDEX" != 2 ] || { seq 100; exit 7; }'
    run = ArrayRun(airflow, cluster, sweeps, "arrays", script, 5)
    assert run.wait_for_end() == "failed"
    assert submit_requests(cluster) == before + 1
    tasks = run.tasks()
    assert [tasks["submit", index] for index in range(5)] == ["success"] * 5
    assert [tasks["wait", index] for index in range(5)] == ["success", "failed", *["success"] * 3]
    array = run.xcom("combination.submit", 0)["job_id"].partition("_")[0]
    for index in range(5):
        job = run.xcom("combination.submit", index)
        run_dir = f"{cluster.profile['log']}/nemo-rl/arrays_sweep_{index + 1}"
        assert (job["job_id"], job["run_dir"]) == (f"{array}_{index + 1}", run_dir)
        assert f"this is arrays_sweep_{index + 1}\n" in Path(job["log_path"]).read_text()
        status = run.xcom("combination.wait", index, "status" if index == 1 else "return_value")
        assert (status["job_id"], status["state"]) == (job["job_id"], "FAILED" if index == 1 else "COMPLETED")
    last = "\n".join(str(number) for number in range(51, 101))
    assert f"Job {array}_2 (arrays_sweep_2) ended as FAILED" in run.log("wait", 1)
    assert f"The log's last 50 lines:\n{last}" in run.log("wait", 1)
    rows = run.xcom("report", -1, "rows")
    assert [row["state"] for row in rows] == ["COMPLETED", "FAILED", *["COMPLETED"] * 3]


def test_who_acts_on_one_task_cancels_one_element(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    run = ArrayRun(airflow, cluster, sweeps, "arrayacts", "exec sleep 600", 5)
    run.wait_for({("wait", index): "deferred" for index in range(5)})
    assert wait_until(lambda: all("is RUNNING" in run.log("wait", index) for index in range(5)), IN_TIME)
    jobs = [run.live(index) for index in range(5)]
    assert [len(job) for job in jobs] == [1] * 5
    run.set("wait", 0, "failed")
    run.set("wait", 1, "success")
    run.clear("wait", 2, downstream=True)
    run.clear("submit", 3, downstream=True)
    assert wait_until(lambda: not run.live(0) and not run.live(1), IN_TIME), "marked"
    assert wait_until(lambda: run.live(3) not in ([], jobs[3]), IN_TIME), "cleared, and submitted again"
    run.wait_for({("wait", index): "deferred" for index in (2, 3, 4)})
    assert run.live(2) == jobs[2], "clearing wait alone keeps the job"
    assert run.live(4) == jobs[4]
    (new,) = run.live(3)
    assert "_" not in new, "one alone is no array"
    run.mark("failed")
    assert wait_until(lambda: not any(run.live(index) for index in range(5)), IN_TIME), "the Dag run failed"
    run.wait_for({("report", -1): "failed"})
