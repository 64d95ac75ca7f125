"""`sweep: {canary: 2}`: two combinations end before the others are submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.fixtures import Airflow
from tests.integration.test_airflow import dags_test, run_dir
from tests.integration.test_contract import EACH_AND_ARRAYS, Run

pytestmark = [pytest.mark.sandbox, pytest.mark.all]

# The second job fails until somebody has mended it; each one from the third on fails if a canary has not ended.
SCRIPT = """\
cd "$BASE_LOG_DIR" || exit
sleep 2
if [ "$INDEX" -gt 2 ]; then
  [ -e ../"$NAME"_sweep_1/ended ] && [ -e ../"$NAME"_sweep_2/ended ]
  exit
fi
[ "$INDEX" -eq 1 ] || [ -e mended ] || exit 3
touch ended
"""


@EACH_AND_ARRAYS
def test_others_are_skipped_until_the_canary_is_mended(
    airflow: Airflow, cluster: Sandbox, sweeps: Path, submit: str
) -> None:
    name = f"canary_{submit}"
    run = Run(airflow, cluster, sweeps, "canary", f"NAME={name}\n{SCRIPT}", 5, submit, sweep="canary: 2")
    assert run.wait_for_end() == "failed"
    tasks = run.tasks()
    assert [tasks["submit", index] for index in range(5)] == ["success"] * 2 + ["skipped"] * 3
    assert [tasks["wait", index] for index in range(5)] == ["success", "failed"] + ["skipped"] * 3
    assert [len(run.jobs(index)) for index in range(5)] == [1, 1, 0, 0, 0]
    why = f"the canary {name}_sweep_2 did not succeed"
    assert f"{name}_sweep_4 is not submitted: {why}" in run.log("submit", 3)
    assert f"1 of 5 combinations succeeded; failed: {name}_sweep_2; skipped because of a canary: 3" in run.log(
        "report", -1
    )
    assert [row["state"] for row in run.xcom("report", -1, "rows")][2:] == [f"skipped ({why})"] * 3

    (run_dir(cluster, f"{name}_sweep_2") / "mended").touch()
    run.clear("submit", 3, downstream=True)  # its canary has failed: it is skipped again
    run.wait_for({("submit", 3): "skipped", ("wait", 3): "skipped"})
    assert why in run.log("submit", 3, 2)
    for index in (2, 1, 4, 3):
        run.clear("submit", index, downstream=True)
    assert run.wait_for_end() == "success"
    assert [len(run.jobs(index)) for index in range(5)] == [1, 2, 1, 1, 1]
    assert set(run.tasks().values()) == {"success"}


def sweep(sweeps: Path, cluster: Sandbox, name: str, **slurm: Any) -> None:
    workdir = Path(str(cluster.profile["workdir"]))
    (workdir / f"{name}.sh").write_text(f"#!/bin/bash\nINDEX=${{BASE_LOG_DIR##*_}} NAME={name}\n{SCRIPT}")
    settings = {"jobname": name, "gpus_per_node": 0, "batch_script": f"{name}.sh", **slurm}
    (sweeps / f"{name}.yaml").write_text(
        f"script_path: examples/train_grpo.py\nseed: [1, 2, 3, 4]\nslurm: {settings}\nsweep: {{canary: 2}}\n".replace(
            "'", ""
        )
    )


def test_airflow_dags_test_waits_for_the_canaries(cluster: Sandbox, environment: dict[str, str], sweeps: Path) -> None:
    sweep(sweeps, cluster, "tested")
    exit_code, log = dags_test(environment, "tested")
    assert exit_code == 1, log
    assert "2 of them run to their end before the others are submitted" in log
    assert "tested_sweep_3 is not submitted: the canary tested_sweep_2 did not succeed" in log
    assert "1 of 4 combinations succeeded; failed: tested_sweep_2; skipped because of a canary: 2" in log
    assert not run_dir(cluster, "tested_sweep_3").exists()

    (run_dir(cluster, "tested_sweep_2") / "mended").touch()
    (run_dir(cluster, "tested_sweep_2") / "ended").touch()  # the third one is a canary now, and runs beside the second
    exit_code, log = dags_test(environment, "tested", conf={"dry_run": False, "existing": "resume"})
    assert exit_code == 0, log
    assert "4 of 4 combinations succeeded" in log


def test_chains_are_canaries_too(cluster: Sandbox, environment: dict[str, str], sweeps: Path) -> None:
    name = "chained_canary"
    sweep(sweeps, cluster, name, chain="{jobs: 2, until: {step: 2}}", max_parallel_jobs=1)
    text = (Path(str(cluster.profile["workdir"])) / f"{name}.sh").read_text()
    steps = 'step=$(($(sed "s/[^0-9]//g" metrics.json 2> /dev/null || echo 0) + 1))\necho "{\\"step\\": $step}" > metrics.json\n'
    text = (
        text.replace('[ "$INDEX" -eq 1 ] || [ -e mended ] || exit 3\n', "")
        .replace("touch ended", '[ "$step" -lt 2 ] || touch ended')
        .replace("sleep 2\n", f"sleep 2\n{steps}")
    )
    (Path(str(cluster.profile["workdir"])) / f"{name}.sh").write_text(text)
    exit_code, log = dags_test(environment, name)
    assert exit_code == 0, log
    assert "4 of 4 combinations succeeded" in log
    assert all(
        len([*(run_dir(cluster, f"{name}_sweep_{index}") / "logs").glob("slurm-*.out")]) == 2 for index in (1, 4)
    )
