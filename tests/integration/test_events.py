"""Who is told of a sweep's end, and what follows it; with all of Airflow running."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until

pytestmark = pytest.mark.sandbox

SWEEP = """\
script_path: examples/train_grpo.py
seed: [0, 1]
slurm: {{jobname: told, nodes: 1, gpus_per_node: 0, batch_script: told.sh}}
sweep:
  objective: {{metric: reward, goal: minimize}}
dag:
  notify:
    - {{on: failed, notifier: told.FileNotifier, arguments: {{path: {file}, text: "failed: {{{{ summary }}}}"}}}}
    - {{on: finished, notifier: told.FileNotifier, arguments: {{path: {file}, text: "{{{{ report }}}}"}}}}
    - {{on: finished, notifier: told.FileNotifier, arguments: {{path: /nowhere/file, text: ""}}}}
    - {{on: combination_failed, notifier: told.FileNotifier, arguments: {{path: {file}_each, text: "{{{{ report }}}}"}}}}
"""
JOB = """\
#!/bin/bash
index=${BASE_LOG_DIR##*_}
echo "{\\"reward\\": -$index}" > $BASE_LOG_DIR/metrics.json
[ ! -e $BASE_LOG_DIR/../fails_$index ]
"""
AFTER = """\
script_path: examples/train_grpo.py
slurm: {nodes: 1, gpus_per_node: 0, batch_script: told.sh}
dag: {schedule: {assets: [sweep_told]}}
"""


def test_people_are_told_and_other_dags_follow(
    airflow: Standalone, cluster: Sandbox, sweeps: Path, tmp_path: Path
) -> None:
    file = tmp_path / "told"
    (Path(str(cluster.profile["workdir"])) / "told.sh").write_text(JOB)
    (sweeps / "told.yaml").write_text(SWEEP.format(file=file))
    (sweeps / "after_told.yaml").write_text(AFTER)
    for dag in ("told", "follower", "after_told"):
        airflow.wait_for_dag(dag)
    path = "/api/v2/dags/told/dagRuns"

    def trigger(dag: str, **conf: Any) -> str:
        said = airflow.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})
        return str(said["dag_run_id"])

    def run(**conf: Any) -> tuple[str, str]:
        name = trigger("told", **conf)
        ended = ("success", "failed")
        assert wait_until(lambda: airflow.call("GET", f"{path}/{name}")["state"] in ended)
        return name, airflow.call("GET", f"{path}/{name}")["state"]

    assert run(dry_run=True)[1] == "success"
    assert not file.exists(), "nobody is told of a dry run"

    fails = Path(str(cluster.profile["log"])) / "nemo-rl" / "fails_2"
    fails.parent.mkdir(parents=True, exist_ok=True)
    fails.touch()
    name, state = run()
    assert state == "failed"
    each = Path(f"{file}_each")
    assert wait_until(each.exists)
    line = each.read_text().strip()
    job = r"Job \d+ \(told_sweep_2\) ended as FAILED \(NonZeroExitCode\) \(\w+\): exit code 1:0, .*slurm-\d+\.out"
    assert re.fullmatch(rf"told {re.escape(name)}: seed=1: {job}", line)
    told = file.read_text().split("\n")
    assert told[0] == f"failed: told {name}: 1 of 2 combinations succeeded"
    assert told[1:5] == [told[0].removeprefix("failed: "), "", "Best: reward -1 with seed=0 (told_sweep_1)", ""]
    assert [word.strip() for word in told[5].split("|")][1:6] == ["job", "combination", "job id", "state", "reward"]
    assert "| COMPLETED |" in told[7]
    assert "| FAILED" in told[8]

    file.unlink()
    fails.unlink()
    name, state = run(existing="resume")
    assert state == "success", "whatever a notifier raises"
    assert file.read_text().startswith(f"told {name}: 2 of 2 combinations succeeded\n\nBest: reward -2 with seed=1 (")

    followers = "/api/v2/dags/follower/dagRuns"
    assert wait_until(lambda: airflow.call("GET", followers)["total_entries"] > 0)
    assert wait_until(lambda: airflow.call("GET", followers)["dag_runs"][0]["state"] == "success")
    (follower,) = airflow.call("GET", followers)["dag_runs"]
    look = f"{followers}/{follower['dag_run_id']}/taskInstances/look/xcomEntries/return_value"
    extra = airflow.call("GET", look)["value"]
    assert extra["combinations"] == 2
    assert (extra["best"]["job"], extra["best"]["metrics"]) == ("told_sweep_2", {"reward": -2})

    runs = "/api/v2/dags/after_told/dagRuns"
    assert wait_until(lambda: [run["state"] for run in airflow.call("GET", runs)["dag_runs"]] == ["success"])
    (after,) = airflow.call("GET", runs)["dag_runs"]
    assert after["run_type"] == "asset_triggered"
    date = datetime.fromisoformat(after["run_after"])
    assert (fails.parent / f"after_told_{date:%Y%m%dT%H%M%S}" / "metrics.json").exists()
