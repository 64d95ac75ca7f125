"""Airflow as teams run it: Dag bundles of two teams, and sweep files that vanish or break while a run goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from sandbox import Sandbox
from sandbox.airflow import PROJECT, airflow_environment, merge
from sandbox.processes import wait_until
from tests.fixtures import BUNDLE, Airflow
from tests.integration.test_contract import Run

pytestmark = pytest.mark.sandbox


class Bundles:
    """Two Dag bundles in one Airflow, which only the dag-processor reads: ``one``, and ``two`` with a prefix."""

    def __init__(self, folder: Path, cluster: Sandbox) -> None:
        self.folder = folder
        environment = airflow_environment(folder / "home", cluster)
        bundles = []
        for name in ("one", "two"):
            bundles.append({"name": name, "classpath": BUNDLE, "kwargs": {"path": str(folder / name / "dags")}})
            shutil.copytree(PROJECT / "dags", folder / name / "dags", ignore=shutil.ignore_patterns("__pycache__"))
            self.sweeps(name).mkdir(parents=True)
        for file in (folder / "two" / "dags").iterdir():
            file.write_text(file.read_text().replace('"include")', '"include", prefix="team_")'))
        self.environment = merge(
            {name: value for name, value in environment.items() if not name.endswith("S_FOLDER")},
            CORE__PLUGINS_FOLDER=PROJECT / "plugins",
            DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps(bundles),
        )
        self.airflow("db", "migrate")

    def sweeps(self, bundle: str) -> Path:
        return self.folder / bundle / "include" / "sweeps"

    def write(self, bundle: str, name: str) -> None:
        (self.sweeps(bundle) / f"{name}.yaml").write_text(f"script_path: {bundle}.py\n")

    def airflow(self, *command: str) -> None:
        done = subprocess.run(["airflow", *command], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def read(self) -> tuple[dict[str, str], list[str]]:
        """Have the dag-processor read all files; return the bundle of each Dag, and the import errors."""
        self.airflow("dag-processor", "--num-runs", "1")
        with closing(sqlite3.connect(self.folder / "home" / "airflow.db")) as database:
            dags = dict(database.execute("SELECT dag_id, bundle_name FROM dag"))
            return dags, [text for (text,) in database.execute("SELECT stacktrace FROM import_error")]


@pytest.fixture
def bundles(cluster: Sandbox, tmp_path: Path) -> Bundles:
    return Bundles(tmp_path, cluster)


def test_two_bundles_have_dags_and_folders_of_their_own(bundles: Bundles) -> None:
    bundles.write("one", "a")
    bundles.write("two", "a")
    dags, errors = bundles.read()
    assert errors == []
    own = {"a", "launch", "check_cluster"}
    assert dags == {**dict.fromkeys(own, "one"), **{f"team_{name}": "two" for name in own}}


def test_a_dag_of_two_bundles_stays_with_the_first_and_the_other_has_an_import_error(bundles: Bundles) -> None:
    bundles.write("one", "team_a")
    bundles.read()
    bundles.write("two", "a")
    dags, errors = bundles.read()
    assert dags["team_a"] == "one"
    (error,) = errors
    assert str(bundles.sweeps("two") / "a.yaml") in error
    assert f"and {bundles.sweeps('one') / 'team_a.yaml'} make the same Dag 'team_a'; the latter has it" in error


def test_a_bundle_without_its_include_folder_has_an_import_error(bundles: Bundles) -> None:
    shutil.rmtree(bundles.folder / "one" / "include")
    _, errors = bundles.read()
    (error,) = errors
    assert f"{bundles.sweeps('one')}: the folder of sweep files cannot be read: No such file or directory" in error


@pytest.mark.parametrize("harm", ["missing", pytest.param("broken", marks=pytest.mark.all)])
def test_a_run_goes_on_while_its_sweep_file_is_missing_or_broken(
    cluster: Sandbox, sweeps: Path, airflow: Airflow, harm: str
) -> None:
    """Airflow would freeze the run of a Dag that its file does not make any more: here after 5 s."""
    go = Path(str(cluster.profile["workdir"])) / f"go_{harm}"
    run = Run(airflow, cluster, sweeps, harm, f'until [ -e "{go}" ]; do sleep 0.2; done', 2)
    file = sweeps / f"{run.name}.yaml"
    text = file.read_text()
    page = f"/slurm_sweep/run?{urlencode({'dag_id': run.name, 'run_id': run.id})}"
    said = {"missing": "the file is missing", "broken": "the file has errors"}[harm]

    def is_noticed() -> bool:
        airflow.read_sweeps_again()
        return f"{file.name}: {said}" in airflow.call("GET", page)["notice"]

    run.wait_for({("submit", 0): "success", ("submit", 1): "success"})
    try:
        if harm == "missing":
            file.unlink()
        else:
            file.write_text("script_path: [\n")
        assert wait_until(is_noticed)
        run.clear("wait", 1, downstream=True)
        go.touch()
        assert run.wait_for_end() == "success", run.tasks()
    finally:
        file.write_text(text)


@pytest.mark.all
def test_airflow_tasks_test_is_refused_beside_a_live_run(cluster: Sandbox, sweeps: Path, airflow: Airflow) -> None:
    """Airflow would delete the run, as it has no logical date; the jobs of a deleted run are cancelled."""
    go = Path(str(cluster.profile["workdir"])) / "go_tested"
    run = Run(airflow, cluster, sweeps, "tested", f'until [ -e "{go}" ]; do sleep 0.2; done', 2)
    run.wait_for({("submit", 0): "success"})
    done = subprocess.run(
        ["airflow", "tasks", "test", run.name, "plan"],
        env=airflow.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "refused: this command deletes the Dag's run" in done.stderr
    assert run.live(0), "its jobs run on"
    go.touch()
    assert run.wait_for_end() == "success"
