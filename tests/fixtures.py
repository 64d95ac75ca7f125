"""The clusters, and the one Airflow, that all tests of a session share."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_slurm_sweep.tasks.ssh import shell
from airflow_slurm_sweep.tasks.ssh.pace import LoginPace
from sandbox import Sandbox
from sandbox.airflow import LARGE_SWEEPS, Standalone, airflow_environment, merge
from sandbox.postgres import Postgres, temporary_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLLOWERS = Path(__file__).parent / "integration" / "followers"  # a Dag that follows a sweep, and a notifier
BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
BUNDLES: dict[str, dict[str, str]] = {"dags-folder": {}, "followers": {"path": str(FOLLOWERS)}}
BELOW = "/air"  # the API server's path, as behind a proxy
USERS = ("admin", "op", "viewer")  # by their roles
# What an ordinary Airflow does within 5 s or 15 s, this one does within one or two.
QUICK: dict[str, object] = {
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": 5,
    "SCHEDULER__JOB_HEARTBEAT_SEC": 2,
    "SCHEDULER__PARSING_CLEANUP_INTERVAL": 2,
    "SLURM_SWEEP__INTERVAL": 1,
    "TRIGGERER__JOB_HEARTBEAT_SEC": 1,
}


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
    """The folder of sweep files that Airflow watches; one is there, by which Airflow can be asked to look again."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "first.yaml").write_text("script_path: examples/train_grpo.py\nseed: [1, 2]\n")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of Airflow's database."""
    with temporary_postgres() as server:
        assert server, "scripts/setup --tests installs Postgres"
        yield server


def home(folder: Path, box: Sandbox, sweeps: Path, **settings: object) -> dict[str, str]:
    """Make an Airflow home with a database, and return the environment of its commands."""
    bundles = [{"name": name, "classpath": BUNDLE, "kwargs": path} for name, path in BUNDLES.items()]
    environment = merge(
        airflow_environment(folder, box, sweeps=sweeps),
        DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps(bundles),
        **LARGE_SWEEPS,
        **QUICK,
        **settings,
    )
    environment["PYTHONPATH"] = os.pathsep.join([str(FOLLOWERS), *filter(None, [environment.get("PYTHONPATH")])])
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture(scope="session")
def environment(cluster: Sandbox, sweeps: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of ``airflow dags test`` and the like: no scheduler is on its database and takes runs over."""
    return home(tmp_path_factory.mktemp("home"), cluster, sweeps)


class Airflow(Standalone):
    """Airflow at a path of its host's, with one user of each role in `USERS`, whose password is the role."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        super().__init__(environment, log, below=BELOW)
        passwords = {role: role for role in USERS}
        (self.home / "simple_auth_manager_passwords.json.generated").write_text(json.dumps(passwords))
        users = ",".join(f"{role}:{role}" for role in USERS)
        self.environment = merge(self.environment, CORE__SIMPLE_AUTH_MANAGER_USERS=users)

    def log_in(self) -> None:
        """Log in as the administrator."""
        self._token = self.call("POST", "/auth/token", {"username": "admin", "password": "admin"})["access_token"]

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run whose jobs have the run's name: no run may use another's directories."""
        self.wait_for_dag(dag_id)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": {"jobname": run_id}}
        self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)


@pytest.fixture(scope="session")
def airflow(
    cluster: Sandbox, sweeps: Path, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    """All of Airflow, running."""
    folder = tmp_path_factory.mktemp("airflow")
    environment = home(folder, cluster, sweeps, DATABASE__SQL_ALCHEMY_CONN=postgres.url)
    with Airflow(environment, folder / "log").running() as airflow:
        yield airflow


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sandbox], None]:
    """Make a cluster the one of the Airflow connection ``slurm_sandbox``.

    The process of the tests stands for hundreds: each may log in at once.
    """
    monkeypatch.setattr(shell, "PACE", LoginPace(per_minute=1000, apart=0))

    def connect(box: Sandbox) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(box.connection))

    return connect
