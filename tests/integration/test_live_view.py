"""What the page shows of jobs that are in Slurm: with all of Airflow and real Slurm, in both ways and for arrays."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until
from tests.integration.test_contract import EACH_AND_ARRAYS, Run

pytestmark = pytest.mark.sandbox


@EACH_AND_ARRAYS
def test_the_page_follows_jobs_through_slurm(
    airflow: Standalone, cluster: Sandbox, sweeps: Path, tmp_path: Path, submit: str
) -> None:
    script = f"""
        for step in 1 2 3; do echo "{{\\"step\\": $step, \\"reward\\": 0.$INDEX$step}}" >> $BASE_LOG_DIR/metrics.jsonl; done
        while [ ! -e {tmp_path}/end ]; do sleep 0.2; done
        echo '{{"step": 4, "reward": 1}}' >> $BASE_LOG_DIR/metrics.jsonl"""
    objective = {"metric": "reward", "goal": "maximize"}
    sweep = "metrics: metrics.jsonl, objective: {metric: reward, goal: maximize}"
    run = Run(airflow, cluster, sweeps, "live", script, 3, submit, sweep=sweep)
    query = urlencode({"dag_id": run.name, "run_id": run.id})

    def page() -> dict[str, Any]:
        time.sleep(0.5)
        return airflow.call("GET", f"/slurm_sweep/run?{query}")

    def curves() -> dict[str, Any]:
        return dict(airflow.call("GET", f"/slurm_sweep/curves?{query}")["curves"])

    def rewards() -> list[float | None]:
        return [row["metrics"].get("reward") for row in page()["combinations"]]

    def shown() -> list[tuple[str, str]]:
        return [(row["stage"], row["state"]) for row in page()["combinations"]]

    assert wait_until(lambda: shown() == [("running", "RUNNING")] * 3), shown()
    found = page()
    assert found["objective"] == objective
    assert time.time() - 60 < found["live_at"] <= time.time() + 1, "whole seconds"
    for row in found["combinations"]:
        assert time.time() - 60 < row["running_since"] <= time.time() + 1, "Slurm's times are whole seconds"
        assert 0 <= row["queued"] < 60
        assert row["nodes"].startswith("n")
    assert wait_until(lambda: rewards() == [0.13, 0.23, 0.33]), rewards()
    assert curves()["1"] == [[1, 2, 3], [0.21, 0.22, 0.23]]
    left = [row["key"] for row in entries(airflow, run)]
    assert len([key for key in left if key.startswith("slurm_live_")]) == 1, "one for all of them"

    (job_id,) = run.live(1)
    cluster.slurm("scontrol", "requeuehold", job_id)
    assert wait_until(lambda: page()["combinations"][1]["state"] in ("PENDING", "REQUEUE_HOLD")), shown()
    row = page()["combinations"][1]
    assert (row["stage"], row["running_since"], row["queued"], row["nodes"]) == ("pending", None, None, "")
    assert row["state"] == "REQUEUE_HOLD" or row["reason"], "why it waits"
    assert shown()[0] == shown()[2] == ("running", "RUNNING")

    cluster.slurm("scancel", job_id)
    (tmp_path / "end").touch()
    assert run.wait_for_end() == "failed"
    ended = page()["combinations"]
    assert [(row["stage"], row["state"].split()[0]) for row in ended] == [
        ("succeeded", "COMPLETED"),
        ("failed", "CANCELLED"),
        ("succeeded", "COMPLETED"),
    ]
    assert [row["queued"] == run.xcom("combination.wait", row["index"])["queued"] for row in (ended[0], ended[2])]
    assert all(isinstance(row["queued"], int) and row["running_since"] is None for row in (ended[0], ended[2]))
    assert wait_until(lambda: not [row for row in entries(airflow, run) if row["key"].startswith("slurm_live_")])
    assert page()["live_at"] is None
    assert curves() == {
        str(index): [[1, 2, 3, *last], [float(f"0.{index + 1}{step}") for step in (1, 2, 3)] + [1 for _ in last]]
        for index in range(3)
        for last in [[] if index == 1 else [4]]
    }


def entries(airflow: Standalone, run: Run) -> list[dict[str, Any]]:
    """Return the XComs of the tasks that wait."""
    found = airflow.call("GET", f"{run.path}/taskInstances/combination.wait/xcomEntries?limit=100")
    return list(found["xcom_entries"])
