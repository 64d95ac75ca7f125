"""The second run of a sweep: a new one, one that resumes, one that refuses; with Airflow and real jobs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.names import RESERVATIONS
from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.fixtures import Airflow
from tests.integration.test_airflow import dags_test

pytestmark = pytest.mark.sandbox

TRAIN = """\
echo "$1" >> "$BASE_LOG_DIR/ran"
echo "{\\"reward\\": $1}" > "$BASE_LOG_DIR/metrics.jsonl"
[ ! -e "fails_$1" ]
"""
DAG = "sweep: {objective: {metric: reward, goal: maximize}}\ndag: {retries: 0}\n"


class Sweep:
    """A sweep file over ``seed`` whose jobs write down their seed in their run directories."""

    def __init__(self, cluster: Sandbox, environment: dict[str, str], sweeps: Path, name: str) -> None:
        self.name = name
        self.log = Path(str(cluster.profile["log"]))
        self.workdir = Path(str(cluster.profile["workdir"]))
        self._environment, self._file = environment, sweeps / f"{name}.yaml"
        (self.workdir / "seed.sh").write_text(TRAIN)

    def run(self, seeds: str, **conf: Any) -> tuple[int, str]:
        self._file.write_text(f"command: bash seed.sh {{seed}}\n{seeds}\n{DAG}")
        return dags_test(self._environment, self.name, conf={"dry_run": False, **conf})

    def ran(self) -> dict[str, str]:
        """Return what ran in which run directory."""
        files = self.log.glob(f"{self.name}*/*/ran")
        return {file.parent.name: file.read_text().replace("\n", " ").strip() for file in files}


def test_resume_skips_what_is_done_goes_on_with_the_rest_and_starts_what_is_new(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path
) -> None:
    sweep = Sweep(cluster, environment, sweeps, "again")
    (sweep.workdir / "fails_2").touch()
    assert sweep.run("seed: [1, 2]")[0] == 1
    (sweep.workdir / "fails_2").unlink()

    exit_code, log = sweep.run("seed: [0, 1, 2]", existing="resume")
    assert exit_code == 0, log
    assert "resume: 1 combinations are done, 1 go on, 1 are new" in log
    assert sweep.ran() == {"again_sweep_1": "1", "again_sweep_2": "2 2", "again_run2_sweep_1": "0"}
    assert json.loads((sweep.log / "again" / "again_sweep_2" / "parameters.json").read_text()) == {"seed": 2}
    (row,) = [line for line in log.splitlines() if "done in an earlier run" in line and "seed=1" in line]
    assert row.split()[0] == "again_sweep_1"
    assert "3 of 3 combinations succeeded" in log
    assert "Best: reward 2 with seed=2 (again_sweep_2)" in log

    exit_code, log = sweep.run("seed: [2, 1, 0]", existing="resume")
    assert exit_code == 0, log
    assert "0 jobs, at most 0 GPU-hours" in log
    assert "Best: reward 2 with seed=2 (again_sweep_2)" in log, "a result of an earlier run"
    assert len(sweep.ran()) == 3
    assert sorted(path.name for path in (sweep.log / RESERVATIONS).glob("again*")) == ["again", "again_run2"]


@pytest.mark.all
def test_refuse_and_a_resume_of_another_sweep_fail_before_the_first_job(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path
) -> None:
    sweep = Sweep(cluster, environment, sweeps, "once")
    assert sweep.run("seed: [1, 2]", existing="refuse")[0] == 0
    exit_code, log = sweep.run("seed: [1, 2]", existing="refuse")
    assert exit_code == 1
    assert "the name once belongs to another Dag run (once manual__" in log
    exit_code, log = sweep.run("seed: [1, 2]\nother: [1, 2]", existing="resume")
    assert exit_code == 1
    assert "existing is resume, but once swept over seed, and this run sweeps over seed, other;" in log
    assert sweep.ran() == {"once_sweep_1": "1", "once_sweep_2": "2"}


@pytest.mark.all
def test_plan_waits_for_a_cluster_that_does_not_answer_for_as_long_as_submit_does(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path
) -> None:
    sweep = Sweep(cluster, environment | {"AIRFLOW__SLURM_SWEEP__PATIENCE": "4"}, sweeps, "silent")
    cluster.stop("sshd")
    try:
        exit_code, log = sweep.run("seed: [1, 2]")
    finally:
        cluster.start("sshd")
    assert exit_code == 1
    assert "Waiting: " in log
    assert "waited 4 s for the cluster" in log
    assert sweep.ran() == {}
    assert sweep.run("seed: [1, 2]")[0] == 0
    assert sweep.ran() == {"silent_sweep_1": "1", "silent_sweep_2": "2"}


def times_run(log: Path, name: str) -> dict[str, int]:
    """Return how many jobs ran in each run directory."""
    return {file.parent.name: len(file.read_text().splitlines()) for file in log.glob(f"{name}*/*/ran")}


def test_simultaneous_runs_have_names_of_their_own_and_a_cleared_plan_keeps_them(
    airflow: Airflow, cluster: Sandbox, sweeps: Path
) -> None:
    name, log = "twice", Path(str(cluster.profile["log"]))
    text = "command: sleep 1; echo {seed} >> {run_dir}/ran\nseed: [1, 2]\ndag: {max_active_runs: 3}\n"
    (sweeps / f"{name}.yaml").write_text(text)
    airflow.wait_for_dag(name)
    path = f"/api/v2/dags/{name}/dagRuns"
    runs = [airflow.call("POST", path, {"logical_date": None, "conf": {}})["dag_run_id"] for _ in range(3)]

    def have_ended() -> bool:
        return all(airflow.call("GET", f"{path}/{run}")["state"] == "success" for run in runs)

    def names(run: str) -> list[str]:
        place = f"{path}/{run}/taskInstances/plan/xcomEntries/return_value?deserialize=true"
        return [job["name"] for job in airflow.call("GET", place)["value"]]

    assert wait_until(have_ended)
    before = {run: names(run) for run in runs}
    bases = [name, f"{name}_run2", f"{name}_run3"]
    assert sorted(before.values()) == sorted([f"{base}_sweep_1", f"{base}_sweep_2"] for base in bases)
    assert times_run(log, name) == {job: 1 for jobs in before.values() for job in jobs}

    airflow.clear_task(name, runs[0], "plan", -1, downstream=True)
    time.sleep(2)
    assert wait_until(have_ended)
    assert {run: names(run) for run in runs} == before
    expected = {job: 2 if run == runs[0] else 1 for run, jobs in before.items() for job in jobs}
    assert times_run(log, name) == expected
