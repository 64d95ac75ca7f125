"""plugins/ is replaced under live sweeps, as docs/operations.md says; and what an operator sees of them meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.airflow import PROJECT, Standalone, airflow_environment, merge
from sandbox.postgres import temporary_postgres
from sandbox.processes import wait_until
from tests.integration.collectors import Figures, OtelCollector
from tests.integration.test_contract import Run

pytestmark = [pytest.mark.sandbox, pytest.mark.all]

JOBS = 3
NEW_VERSION = "99.0.0"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A plugins folder that may be replaced."""
    folder = tmp_path / "plugins"
    shutil.copytree(PROJECT / "plugins", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def collected() -> Iterator[OtelCollector]:
    """Where Airflow sends its metrics."""
    with OtelCollector() as collector:
        yield collector


@pytest.fixture
def own_airflow(
    cluster: Sandbox, sweeps: Path, plugins: Path, collected: OtelCollector, tmp_path: Path
) -> Iterator[Standalone]:
    """An Airflow of our own, running, with that plugins folder."""
    environment = merge(
        airflow_environment(tmp_path / "home", cluster, sweeps=sweeps),
        **collected.settings,
        CORE__PLUGINS_FOLDER=plugins,
        SLURM_SWEEP__INTERVAL=2,
        CORE__PARALLELISM=2 * JOBS,
    )
    environment.pop("PYTHONPATH", None)  # it could name the project's own plugins
    with temporary_postgres() as postgres:
        if postgres:
            environment = merge(environment, DATABASE__SQL_ALCHEMY_CONN=postgres.url)
        subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
        airflow = Standalone(environment, tmp_path / "airflow.log")
        airflow.patience = 120
        with airflow.running():
            yield airflow


def upgrade(plugins: Path) -> None:
    """Replace the folder by a newer release: another version, and a new module that old ones import."""
    new = plugins.with_name("new")
    shutil.copytree(plugins, new, ignore=shutil.ignore_patterns("__pycache__"))
    package = new / "airflow_slurm_sweep"
    (package / "release.py").write_text(f'"""New in this release."""\n\nRELEASE = "{NEW_VERSION}"\n')
    waiter = package / "slurm" / "waiter.py"
    old_text = waiter.read_text()
    text = old_text.replace(
        "from airflow_slurm_sweep.slurm.job import",
        "from airflow_slurm_sweep.release import RELEASE\nfrom airflow_slurm_sweep.slurm.job import",
        1,
    )
    text = text.replace('"Job %s is %s", ', '"Job %s is %s in release " + RELEASE, ', 1)
    assert text.count("RELEASE") == old_text.count("RELEASE") + 2, "both places are there"
    waiter.write_text(text)
    plugins.rename(plugins.with_name("old"))
    new.rename(plugins)


def test_sweeps_go_on_through_an_upgrade(
    own_airflow: Standalone, cluster: Sandbox, sweeps: Path, plugins: Path, collected: OtelCollector
) -> None:
    script = 'until [ -e "end$INDEX" ]; do sleep 0.2; done'
    workdir = Path(str(cluster.profile["workdir"]))
    runs = [Run(own_airflow, cluster, sweeps, "upgrade", script, JOBS, submit) for submit in ("each", "array")]
    for run in runs:
        run.wait_for({("wait", index): "deferred" for index in range(JOBS)})
    assert wait_until(lambda: all(run.jobs(index) for run in runs for index in range(JOBS)))
    before = [run.jobs(index).keys() for run in runs for index in range(JOBS)]
    figures = collected.figures
    assert wait_until(lambda: seen_running(figures) == 2 * JOBS), ours(figures)

    own_airflow.stop()
    (workdir / "end1").touch()  # the first jobs end while there is no Airflow
    assert wait_until(lambda: not any(run.live(0) for run in runs))
    upgrade(plugins)
    own_airflow.start()
    own_airflow.wait_until_healthy()
    for run in runs:
        run.wait_for({("wait", 0): "success"})
        assert run.live(1), "the others go on meanwhile"
    for index in range(1, JOBS):
        (workdir / f"end{index + 1}").touch()

    assert [run.wait_for_end() for run in runs] == ["success", "success"]
    assert [run.jobs(index).keys() for run in runs for index in range(JOBS)] == before, "the same jobs, and no others"
    assert {len(jobs) for jobs in before} == {1}
    for run in runs:
        assert set(run.tasks().values()) == {"success"}
        assert f"is RUNNING in release {NEW_VERSION}" in run.log("wait", JOBS - 1), "the new code waited for it"
    of = "slurm_sandbox"
    assert figures.counters[f"airflow.slurm_sweep.jobs_submitted.{of}"] == 2 * JOBS
    assert figures.counters[f"airflow.slurm_sweep.jobs_ended.completed.{of}"] == 2 * JOBS
    assert figures.counters[f"airflow.slurm_sweep.logins.{of}"] >= 2, "once before, once behind"
    assert figures.timers[f"airflow.slurm_sweep.squeue.{of}"] >= 2
    assert wait_until(lambda: figures.gauges[f"airflow.slurm_sweep.jobs.running.{of}"][-1] == 0)


def ours(figures: Figures) -> dict[str, object]:
    """Return all figures of ours that arrived, as text would be too long with Airflow's own."""
    kinds: list[Any] = [figures.counters, figures.gauges, figures.timers]
    return {name: value for kind in kinds for name, value in kind.items() if ".slurm_sweep." in name}


def seen_running(figures: Figures) -> int:
    """Return how many jobs were running at the last tick that was told of."""
    time.sleep(0.2)
    return int((figures.gauges["airflow.slurm_sweep.jobs.running.slurm_sandbox"] or [0])[-1])
