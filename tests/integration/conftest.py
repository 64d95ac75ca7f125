"""Real Slurm clusters that the integration tests share."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox
from sandbox.airflow import LARGE_SWEEPS, Standalone, airflow_environment, merge
from sandbox.postgres import temporary_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLLOWERS = Path(__file__).parent / "followers"  # a Dag that follows a sweep, and a notifier
BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
BUNDLES: dict[str, dict[str, str]] = {"dags-folder": {}, "followers": {"path": str(FOLLOWERS)}}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Eight nodes without accounting; finished jobs stay visible to squeue for 300 s."""
    # A short name: the paths of unix sockets are limited to 107 bytes.
    with Sandbox(tmp_path_factory.mktemp("c")) as box:
        yield box


@pytest.fixture(scope="session")
def cluster_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Eight nodes with accounting, and a controller that forgets: sacct works, unknown accounts are refused."""
    with Sandbox(tmp_path_factory.mktemp("a"), accounting=True, min_job_age=2) as box:
        yield box


@pytest.fixture(scope="session")
def cluster_forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Two nodes without accounting that forget a job 2 s after its end."""
    with Sandbox(tmp_path_factory.mktemp("f"), nodes=2, min_job_age=2) as box:
        yield box


@pytest.fixture(scope="session")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of sweep files that Airflow watches."""
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture(scope="session")
def environment(cluster: Sandbox, sweeps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of Airflow's commands."""
    environment = airflow_environment(tmp_path_factory.mktemp("airflow"), cluster, sweeps=sweeps)
    environment = merge(environment, **LARGE_SWEEPS)
    bundles = [{"name": name, "classpath": BUNDLE, "kwargs": path} for name, path in BUNDLES.items()]
    environment = merge(environment, DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps(bundles))
    environment["PYTHONPATH"] = os.pathsep.join([str(FOLLOWERS), *filter(None, [environment.get("PYTHONPATH")])])
    with temporary_postgres() as postgres:
        if postgres:
            environment = merge(environment, DATABASE__SQL_ALCHEMY_CONN=postgres.url)
        subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
        yield environment


@pytest.fixture(scope="session")
def airflow(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """All of Airflow, running."""
    with Standalone(environment, tmp_path_factory.mktemp("standalone") / "airflow.log").running() as airflow:
        yield airflow


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sandbox], None]:
    """Make a cluster the one of the Airflow connection ``slurm_sandbox``."""

    def connect(box: Sandbox) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(box.connection))

    return connect
