"""Airflow for the tests: a home of its own, no settings of the machine's."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
pytest_plugins = ["tests.processes", "tests.groups", "tests.fixtures", "tests.faults.lines"]

for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
_home = tempfile.TemporaryDirectory(prefix="airflow-")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__SLURM_SWEEP__INSTALLATION": "tests",  # where no Airflow is there to keep the Variable
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


@pytest.fixture
def include(tmp_path: Path) -> Path:
    """An empty include folder; sweep files are read from there."""
    folder = tmp_path / "include"
    (folder / "sweeps").mkdir(parents=True)
    (folder / "clusters").mkdir()
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long scripts/test took, linters and all."""
    if began := os.environ.get("TESTS_BEGAN"):
        terminalreporter.write_sep("=", f"scripts/test took {time.time() - int(began):.0f} s", bold=True)
