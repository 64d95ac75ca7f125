"""`sweep.stop`: jobs that are behind are stopped early."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_slurm_sweep.names import STOP
from airflow_slurm_sweep.page import PREFIX
from airflow_slurm_sweep.slurm.stopping import Stop
from airflow_slurm_sweep.tasks.cluster import ClusterSession
from airflow_slurm_sweep.tasks.orphans import Siblings
from airflow_slurm_sweep.tasks.stopping import stopping
from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.fixtures import Airflow
from tests.integration.login import FIRST, Login
from tests.integration.test_search import Searched

pytestmark = pytest.mark.sandbox

# The later combinations are the better ones, so that it depends on the moment how many are stopped.
SWEEP = """\
command: |
  for step in $(seq 60); do
    awk -v step="$step" -v x="$SWEEP_X" 'BEGIN {{ printf "{{\\"step\\": %d, \\"loss\\": %g}}\\n", step, 9 - x + 1 / step }}'
    sleep 0.4
  done > {run_dir}/metrics.jsonl
x: [1, 2, 3, 4, 5, 6, 7, 8]
slurm: {gpus_per_node: 0, jobname: stopped, existing: resume}
sweep:
  metrics: metrics.jsonl
  objective: {metric: loss, goal: minimize}
  stop: {rule: asha, from_step: 4, factor: 2}
"""
COMBINATIONS = 8


def test_those_behind_are_stopped_once_and_are_no_failures(airflow: Airflow, cluster: Sandbox, sweeps: Path) -> None:
    run = Searched(airflow, cluster, sweeps, "stopped", SWEEP)
    assert run.wait_for_end() == "success"
    rows: list[dict[str, Any]] = run.xcom("report", -1, "rows")
    by_x = {row["parameters"]["x"]: row for row in rows}
    stopped = {x for x, row in by_x.items() if row["stopped"]}
    assert by_x[8]["succeeded"], "the best goes on to its end"
    assert rows[0] == by_x[8]
    assert 2 <= len(stopped) < COMBINATIONS
    assert all(row["stopped"] or row["succeeded"] for row in rows)
    folder = next(Path(str(cluster.profile["log"])).rglob("stopped_sweep_1")).parent
    for x in stopped:
        state = by_x[x]["state"]
        assert state.startswith("STOPPED_EARLY (asha: loss "), state
        note = json.loads((folder / f"stopped_sweep_{x}" / STOP).read_text())
        assert note["job"] == by_x[x]["job_id"]
        assert note["number"] >= 2
        assert note["place"] > max(1, note["number"] // 2), "the rule would stop it"
        assert "JobState=CANCELLED" in cluster.slurm("scontrol", "show", "job", note["job"])
    shown = airflow.call("GET", f"/{PREFIX}/run?{urlencode({'dag_id': run.name, 'run_id': run.id})}")
    assert shown["counts"] == {"succeeded": COMBINATIONS - len(stopped), "stopped early": len(stopped)}
    again = Searched(airflow, cluster, sweeps, "stopped", SWEEP)
    assert again.wait_for_end() == "success"
    states = {row["parameters"]["x"]: row["state"] for row in again.xcom("report", -1, "rows")}
    assert states == {x: "stopped early in an earlier run" if x in stopped else "done in an earlier run" for x in by_x}


# Each job of a chain does a few steps more, from where the one before it ended.
CHAINED = """\
command: |
  file={run_dir}/metrics.jsonl; touch "$file"
  from=$(($(wc -l < "$file") + 1))
  for step in $(seq "$from" $((from + 14))); do
    awk -v step="$step" -v x="$SWEEP_X" 'BEGIN {{ printf "{{\\"step\\": %d, \\"loss\\": %g}}\\n", step, 9 - x }}' >> "$file"
    sleep 0.4
  done
  [ "$step" -ge 60 ]
x: [1, 2, 3, 4]
slurm: {gpus_per_node: 0, jobname: links, chain: {jobs: 4, on: [FAILED]}}
sweep:
  metrics: metrics.jsonl
  objective: {metric: loss, goal: minimize}
  stop: {rule: asha, from_step: 20, factor: 2}
"""


@pytest.mark.all
def test_a_chain_is_stopped_with_its_second_job(airflow: Airflow, cluster: Sandbox, sweeps: Path) -> None:
    run = Searched(airflow, cluster, sweeps, "links", CHAINED)
    assert run.wait_for_end() == "success"
    rows = {row["parameters"]["x"]: row for row in run.xcom("report", -1, "rows")}
    assert (rows[4]["succeeded"], rows[4]["chain"]) == (True, "4 of 4 jobs")
    stopped = [row for row in rows.values() if row["stopped"]]
    assert 1 <= len(stopped) < len(rows)
    for row in stopped:
        assert row["state"].startswith("STOPPED_EARLY (asha: loss "), row
        assert row["chain"] in ("2 of 4 jobs", "3 of 4 jobs", "4 of 4 jobs")
        assert row["metrics"]["step"] >= 20
    shown = airflow.call("GET", f"/{PREFIX}/run?{urlencode({'dag_id': run.name, 'run_id': run.id})}")
    assert shown["counts"]["stopped early"] == len(stopped)


@pytest.mark.all
def test_a_stopped_combination_that_is_run_again_is_judged_by_its_own_file(
    airflow: Airflow, cluster: Sandbox, sweeps: Path
) -> None:
    text = SWEEP.replace("jobname: stopped, existing: resume", "jobname: again").replace("seq 60", "seq 30")
    run = Searched(airflow, cluster, sweeps, "again", text)
    assert run.wait_for_end() == "success"
    worst = min(row["parameters"]["x"] for row in run.xcom("report", -1, "rows") if row["stopped"])
    folder = next(Path(str(cluster.profile["log"])).rglob("again_sweep_1")).parent / f"again_sweep_{worst}"
    before = json.loads((folder / STOP).read_text())
    run.clear("submit", worst - 1, downstream=True)
    assert run.wait_for_end() == "success"
    after = json.loads((folder / STOP).read_text())
    assert after["job"] != before["job"], "it is stopped again, since it is behind"
    log = (folder / "metrics.jsonl").read_text().splitlines()
    assert len(log) >= 4, "but only after its own fourth step"


def test_a_job_that_is_written_down_as_stopped_is_cancelled_by_the_next_triggerer(
    cluster: Sandbox, tmp_path: Path
) -> None:
    login = Login(box=cluster, folder=tmp_path)
    stop = {"from_step": 4, "factor": 2, "maximize": False}
    siblings = Siblings("a", FIRST.dag_id, FIRST.run_id, "s", "w", str(tmp_path))

    async def check() -> None:
        session = ClusterSession(login.client, interval=1, patience=60)
        write = """printf '{"step": 5, "loss": 1}\\n' > "$BASE_LOG_DIR"/metrics.jsonl; sleep 600"""
        request = login.request(write, "noted", index=1, objective="loss", stop=stop, metrics=("metrics.jsonl",))
        job = await login.client.submit(request, replace(FIRST))
        await session.run.leave_stops([(job, Stop(step=4, value=1, place=2, number=2))])  # and the triggerer dies
        async with session.metrics.following(job) as reader, stopping(session, siblings, job, reader):
            status = await session.monitor.wait(job)
        assert status.text.startswith("CANCELLED")

    asyncio.run(check())
    assert wait_until(lambda: not cluster.slurm("squeue", "-h", "-n", "noted"))
