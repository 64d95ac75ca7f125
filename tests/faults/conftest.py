"""One Airflow and one cluster for all faults."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox
from sandbox.airflow import airflow_environment
from sandbox.parts import AirflowParts
from sandbox.processes import wait_until
from sandbox.sampler import Sampler
from tests.faults.airflow_parts import QUICK
from tests.faults.disks import Disks
from tests.faults.evidence import Cluster
from tests.faults.host_names import LOGIN, HostNames
from tests.faults.lines import PROPERTY
from tests.faults.login_node import LoginNode, write_profile
from tests.faults.stage import ASKING, FOLLOWED, SWEEPS, Theatre
from tests.full import FULL

if TYPE_CHECKING:
    from collections.abc import Iterator

_SWEEP = """\
script_path: work.sh
index: [{indices}]
slurm: {{gpus_per_node: 0, nodes: 1, time: 0:10:0, sbatch: {{cpus-per-task: 4}}{more}}}
dag: {{retries: 3}}
{asking}"""
# The jobs write their losses beside what work.sh does.
_SEARCH = """\
command: |
  step=0
  while kill -0 $$ 2> /dev/null; do
    step=$((step + 1))
    echo "{{{{\\"step\\": $step, \\"loss\\": $SWEEP_X}}}}"
    sleep 0.5
  done > {{run_dir}}/metrics.jsonl &
  exec bash work.sh
x: {{uniform: [0, 1]}}
kind: [a, b]
slurm: {{gpus_per_node: 0, nodes: 1, time: 0:10:0, sbatch: {{cpus-per-task: 4}}, max_parallel_jobs: 6}}
sweep:
  search: tpe
  trials: {trials}
  metrics: metrics.jsonl
  objective: {{metric: loss, goal: minimize}}
  stop: {{rule: asha, from_step: 2, factor: 2}}
"""
_lines: list[str] = []
_failed: list[str] = []


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    """A cluster that forgets, a login node of ours, and all parts of Airflow; kept on disk if a test failed."""
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o711)  # for Postgres, which is another user where we are root
    report(f"FAULT_SEED={seed} {'full' if FULL else 'short'}; logs, kept after a failure: {folder}")
    (folder / "sweeps").mkdir()
    for name, size in SWEEPS.items():
        indices = ", ".join(map(str, range(size)))
        text = _SWEEP.format(indices=indices, more=FOLLOWED.get(name, ""), asking=ASKING.get(name, ""))
        text = _SEARCH.format(trials=size) if name == "searched" else text
        (folder / "sweeps" / f"{name}.yaml").write_text(text)
    with Sandbox(folder / "c", nodes=8, min_job_age=2) as box:
        environment = airflow_environment(folder / "airflow", box, sweeps=folder / "sweeps")
        write_profile(box, folder / "airflow" / "clusters" / "default.yaml")
        names = HostNames(folder / "names") if Disks.possible() else None
        if names:
            connection = json.dumps({**box.connection, "host": LOGIN})
            environment["AIRFLOW_CONN_SLURM_SANDBOX"] = connection
        login = LoginNode(box, slow=10 if FULL else 5)
        cluster = Cluster(box)
        sampler = Sampler(cluster.look, 0.8)
        airflow = AirflowParts(environment, folder, triggerers=2, settings=QUICK, idle_limit=6)
        if names:
            for part in airflow.parts:
                part.command = [*names.command, *part.command]
        report(f"Airflow's database: {'Postgres' if airflow.postgres else 'SQLite, as no Postgres is installed'}")
        try:
            airflow.start()
            sampler.start()
            assert wait_until(lambda: SWEEPS.keys() <= _known_dags(airflow)), f"no Dags; see {folder}"
            yield Theatre(box=box, login=login, names=names, airflow=airflow, cluster=cluster, seed=seed, report=report)
        finally:
            if sampler.is_alive():
                sampler.stop()
            airflow.stop()
    if not _failed:
        shutil.rmtree(folder)


def _known_dags(airflow: AirflowParts) -> set[str]:
    return {dag["dag_id"] for dag in airflow.call("GET", "/api/v2/dags")["dags"]}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember failures: their logs are kept."""
    if report.failed and "tests/faults" in report.nodeid:
        _failed.append(report.nodeid)


def pytest_keyboard_interrupt() -> None:
    """Keep the logs of an interrupted run, too."""
    _failed.append("interrupted")


def report(line: str) -> None:
    """Keep a line for the end of the test run."""
    _lines.append(line)


@pytest.fixture(autouse=True)
def lines_with_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hand the lines on with the test's report: the process that runs the test may be one of pytest-xdist's."""
    yield
    request.node.user_properties.extend((PROPERTY, line) for line in _lines)
    _lines.clear()
