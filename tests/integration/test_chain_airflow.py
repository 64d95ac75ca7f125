"""Chains with all of Airflow running, and by `airflow dags test`: one task, several jobs."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_slurm_sweep.names import RECORD
from sandbox import Sandbox
from sandbox.airflow import PARTS, launch
from sandbox.processes import send, tree, wait_until
from tests.fixtures import Airflow
from tests.integration.test_airflow import dags_test, run_dir
from tests.integration.test_contract import Run

pytestmark = pytest.mark.sandbox

# Each job makes one step of three. In the second one, all combinations but the first wait until the file `go` is there.
STEP = """\
cd "$BASE_LOG_DIR" || exit
step=$(($(sed 's/[^0-9]//g' metrics.json 2> /dev/null || echo 0) + 1))
while [ "$step" -eq 2 ] && [ "$INDEX" -gt 1 ] && ! [ -e go ]; do sleep 0.2; done
echo "{\\"total_steps\\": $step}" > metrics.json
"""
CHAIN = "chain: {jobs: 4, until: {total_steps: 3}}"


def folder(cluster: Sandbox, run: Run, index: int) -> Path:
    return run_dir(cluster, f"{run.name}_sweep_{index + 1}")


def jobs(run: Run, index: int) -> list[str]:
    return sorted(run.jobs(index), key=int)


def wait_for_second(run: Run, *indices: int) -> dict[int, list[str]]:
    """Wait until the second job of each combination runs; return the ids of both."""

    def run_all() -> bool:
        return all(sorted(run.jobs(index).values()) == ["COMPLETED", "RUNNING"] for index in indices)

    assert wait_until(run_all), [run.jobs(index) for index in indices]
    return {index: jobs(run, index) for index in indices}


def test_a_chain_and_what_people_do_to_it(cluster: Sandbox, sweeps: Path, airflow: Airflow) -> None:
    run = Run(airflow, cluster, sweeps, "chained", STEP, 4, slurm=CHAIN)
    before = wait_for_second(run, 1, 2, 3)
    run.wait_for({("wait", 0): "success"})
    assert len(run.jobs(0)) == 3

    run.set("wait", 1, "failed")
    run.clear("wait", 2, downstream=False)
    run.clear("submit", 3, downstream=True)
    assert wait_until(lambda: not run.live(1))
    assert wait_until(lambda: len(run.jobs(3)) == 3 and len(run.live(3)) == 1)
    assert run.live(2) == before[2][1:], "the second job of a cleared wait is waited for"
    for index in (2, 3):
        (folder(cluster, run, index) / "go").touch()
    assert run.wait_for_end() == "failed"
    assert (jobs(run, 1), run.live(1)) == (before[1], []), "no job came after the task was marked"
    assert len(run.jobs(2)) == 3
    assert (run.tasks()["wait", 2], run.tasks()["wait", 3]) == ("success", "success")

    end = run.xcom("combination.wait", 0)
    first, *_, last = jobs(run, 0)
    assert (end["earlier"][0][0], end["job_id"], end["chain"]) == (first, last, "3 of 4 jobs, total_steps 3")
    assert f"Job {first} ended as COMPLETED (1 of 4 jobs, total_steps 1); job " in run.log("wait", 0)
    rows = {row["index"]: row for row in run.xcom("report", -1, "rows")}
    assert [(rows[1]["job_id"], rows[1]["chain"]), rows[1]["succeeded"]] == [(last, "3 of 4 jobs, total_steps 3"), True]
    assert rows[2]["succeeded"] is False
    shown = airflow.call("GET", f"/slurm_sweep/run?dag_id={run.name}&run_id={quote(run.id)}")["combinations"][0]
    assert (shown["job_id"], shown["chain"], shown["stage"]) == (last, "3 of 4 jobs, total_steps 3", "succeeded")
    assert shown["log_path"].endswith(f"/logs/slurm-{last}.out")


@pytest.mark.all
def test_a_triggerer_that_is_killed_as_a_job_ends(cluster: Sandbox, sweeps: Path, airflow: Airflow) -> None:
    run = Run(airflow, cluster, sweeps, "orphaned_chain", STEP, 2, slurm=CHAIN)
    wait_for_second(run, 1)
    place = list(PARTS).index("triggerer")
    send(signal.SIGKILL, tree([airflow.pids[place]]))
    airflow._processes[place].wait()
    (folder(cluster, run, 1) / "go").touch()
    assert wait_until(lambda: not run.live(1))
    assert len(run.jobs(1)) == 2
    with airflow.log.open("ab") as file:
        airflow._processes[place] = launch(PARTS["triggerer"], airflow.environment, file)
    assert run.wait_for_end() == "success"
    assert len(run.jobs(1)) == 3


@pytest.mark.all
def test_dags_test(cluster: Sandbox, environment: dict[str, str], sweeps: Path) -> None:
    (Path(str(cluster.profile["workdir"])) / "step.sh").write_text(f"#!/bin/bash\nINDEX=1\n{STEP}")
    (sweeps / "tested_chain.yaml").write_text(
        "script_path: examples/train_grpo.py\nseed: [1, 2]\n"
        f"slurm: {{jobname: tested_chain, nodes: 1, gpus_per_node: 0, batch_script: step.sh, max_parallel_jobs: 1, {CHAIN}}}\n"
    )
    exit_code, log = dags_test(environment, "tested_chain")
    assert exit_code == 0, log
    assert "2 of 2 combinations succeeded" in log
    for index in (1, 2):
        place = run_dir(cluster, f"tested_chain_sweep_{index}")
        assert json.loads((place / "metrics.json").read_text()) == {"total_steps": 3}
        record = dict(line.partition(" ")[::2] for line in (place / RECORD).read_text().splitlines())
        assert len(record["links"].split()) == 2
    assert "COMPLETED, 3 of 4 jobs, total_steps 3" in log
