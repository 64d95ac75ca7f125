"""The wheel in an Airflow of its own: no source tree on the path, no file copied into plugins/.

Airflow and the other dependencies are those of this Python: a .pth file adds them, so nothing is downloaded.
`scripts/versions` installs all of them anew.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib.metadata import Distribution, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from airflow_slurm_sweep import __version__

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "docs" / "package.md").read_text()
SWEEP = "script_path: examples/train.py\noptim.lr: [1e-6, 5e-6]\n"
PROFILE = "log: /scratch/me\naccount: null\ncontainer: null\n"
WHAT_AIRFLOW_SHOWS = """\
import json, sys
from airflow import plugins_manager, settings
from airflow.dag_processing.dagbag import DagBag
import airflow_slurm_sweep
settings.initialize()
bag = DagBag(sys.argv[1], bundle_name="mine")
shown = {
    "package": airflow_slurm_sweep.__file__,
    "plugins": [plugin["name"] for plugin in plugins_manager.get_plugin_info()],
    "plugin errors": list(plugins_manager.get_import_errors().values()),
    "dags": sorted(bag.dags),
    "dag errors": list(bag.import_errors.values()),
}
print("SHOWN", json.dumps(shown))
"""


def build(project: Path, target: str, folder: Path) -> Path:
    """Return the wheel or the sdist."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(PROJECT, "wheel", tmp_path_factory.mktemp("wheel"))


class User:
    """Somebody's Airflow, and the repository beside it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.repository, self.plugins = folder / "repository", folder / "home" / "plugins"
        self.bin = folder / "venv" / "bin"
        environment = {"AIRFLOW_HOME": folder / "home", "AIRFLOW__CORE__DAGS_FOLDER": self.repository / "dags"}
        self.environment = {name: str(value) for name, value in environment.items()} | {
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PATH": f"{self.bin}:/usr/bin:/bin",
        }
        for name in ("dags", "include/sweeps", "include/clusters"):
            (self.repository / name).mkdir(parents=True)
        self.plugins.mkdir(parents=True)
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, self.bin.parent], check=True)
        (packages,) = self.bin.parent.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python"]
        subprocess.run([*install, self.bin / "python", wheel], check=True)

    def run(self, *command: str | Path) -> str:
        """Return what a command of the user's printed; it must succeed."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            env=self.environment,
            cwd=self.repository,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def shown(self) -> dict[str, Any]:
        """Return what Airflow shows of the package and the Dags."""
        printed = self.run("python", "-c", WHAT_AIRFLOW_SHOWS, self.repository / "dags")
        return dict(json.loads(next(line[6:] for line in printed.splitlines() if line.startswith("SHOWN "))))


@pytest.fixture(scope="module")
def user(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> User:
    """The user who has done what docs/package.md says."""
    user = User(tmp_path_factory.mktemp("user"), wheel)
    files = re.findall(r"```python\n# (dags/\w+\.py)(.*?)```", GUIDE, re.DOTALL)
    assert len(files) == 4
    for name, text in files:
        (user.repository / name).write_text(f"# {name}{text}")
    (user.repository / "include" / "sweeps" / "tune.yaml").write_text(SWEEP)
    (user.repository / "include" / "clusters" / "default.yaml").write_text(PROFILE)
    return user


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(PROJECT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / f"airflow_slurm_sweep-{__version__}", "wheel", tmp_path / "wheel")
    assert again.name == wheel.name == f"airflow_slurm_sweep-{__version__}-py3-none-any.whl"
    assert again.read_bytes() == wheel.read_bytes()


def test_what_the_wheel_requires_is_what_the_tests_run_with(user: User) -> None:
    (metadata,) = user.bin.parent.glob("lib/python*/site-packages/airflow_slurm_sweep-*.dist-info")
    requirements = [Requirement(line) for line in Distribution.at(metadata).requires or []]
    assert "apache-airflow" in {requirement.name for requirement in requirements}
    assert [str(r) for r in requirements if not r.specifier.contains(version(r.name))] == []


def test_an_installed_wheel_is_all_that_airflow_needs(user: User) -> None:
    shown = user.shown()
    assert shown.pop("package").startswith(str(user.bin.parent))
    assert shown == {
        "plugins": ["airflow_slurm_sweep"],
        "plugin errors": [],
        "dags": ["check_cluster", "launch", "tune"],
        "dag errors": [],
    }
    user.run("python", "-m", "airflow", "db", "migrate")
    log = user.run("python", "-m", "airflow", "dags", "test", "tune")
    assert "# The batch script of jobs where neither sweep nor profile names one" in log
    assert "Dry run: nothing was submitted" in log


def test_the_commands(user: User) -> None:
    assert "tune.yaml: 2 combinations" in user.run(
        "python", "-m", "airflow_slurm_sweep", "check", "include/sweeps/tune.yaml"
    )
    (block,) = re.findall(r"```bash\n(airflow-slurm-sweep .*?)```", GUIDE, re.DOTALL)
    assert user.run("/bin/sh", "-euc", block) == "include/sweeps/tune.yaml: 2 combinations of examples/train.py\n"
    schemas = {path.name: path.read_text() for path in (user.repository / "include" / "schemas").iterdir()}
    assert schemas == {path.name: path.read_text() for path in (PROJECT / "include" / "schemas").iterdir()}


def test_both_ways_at_once_are_an_import_error(user: User) -> None:
    shutil.copytree(PROJECT / "plugins", user.plugins, dirs_exist_ok=True)
    try:
        shown = user.shown()
    finally:
        shutil.rmtree(user.plugins)
    message = (
        f"airflow_slurm_sweep is in this Airflow twice: {Path(shown['package']).parent} is in use, "
        f"{user.plugins / 'airflow_slurm_sweep'} is not. Keep one"
    )
    assert any(message in error for error in shown["plugin errors"]), shown
    (dag_error,) = shown["dag errors"]
    assert message in dag_error
    assert shown["dags"] == ["check_cluster", "launch", "tune"], "sweeps go on"
