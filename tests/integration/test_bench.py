"""The benchmark in small, as its users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.postgres import postgres_programs
from sandbox.processes import belonging_to, wait_until, writing_to

PROJECT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.all,
    pytest.mark.skipif(not postgres_programs(), reason="no Postgres is installed"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """For the benchmark's temporary files. Postgres, which is another user where we are root, cannot enter pytest's."""
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


SMALL = ("bench", "--without-baselines", "--combinations", "3", "--in-flight", "0", "--released", "0")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_small_sweep_is_measured(folder: Path) -> None:
    figures = folder / "figures.json"
    with start(folder, *SMALL, "--json", str(figures)) as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    (run,) = json.loads(figures.read_text())["sweeps"]
    assert (run["state"], run["jobs"], run["failed_tasks"]) == ("success", 3, 0)
    assert 0 < run["submitted"] < run["finished"] < run["ended"]
    assert 0 < run["lag_median"] <= run["lag_p95"] < run["ended"]
    observed = run["observed"]
    assert observed["sbatch_calls"] == 3
    assert observed["connections"] >= 1
    assert observed["job_queries"] >= 1
    assert observed["usage"]["triggerer"]["peak_bytes"] > 50 * 2**20
    assert observed["usage"]["scheduler"]["cpu_seconds"] > 0
    assert "| sweep 3 |" in output
    assert [path.name for path in folder.iterdir()] == ["figures.json"], "the rest is cleared away"


@pytest.mark.parametrize("arguments", [SMALL, ("bench.soak",)], ids=["a sweep", "the soak"])
def test_sigterm_leaves_nothing(folder: Path, arguments: tuple[str, ...]) -> None:
    with start(folder, *arguments) as process:
        assert wait_until(lambda: any(folder.glob("bench-*/scheduler.log")))
        time.sleep(2)
        (place,) = folder.glob("bench-*")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 130, output
    assert "bench: interrupted; everything is stopped" in output
    assert ("Measured on: " in output) == (arguments == SMALL), "what was measured until then"
    assert list(folder.iterdir()) == []
    assert not belonging_to(place / "c")
    assert not writing_to([place]), "no process is left"
