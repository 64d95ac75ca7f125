"""What it costs to read the Dag files: Airflow does it in a new process for each batch of ended tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
MOST = 0.2  # seconds of CPU above Airflow's own imports

CODE = """
import runpy, sys, time
from airflow.sdk import DAG, Asset, BaseOperator, Param, task_group
began = time.process_time()
runpy.run_path(sys.argv[1])
print(time.process_time() - began)
"""


def test_reading_the_sweeps_costs_little() -> None:
    def seconds() -> float:
        command = [sys.executable, "-W", "ignore", "-c", CODE, str(PROJECT / "dags" / "sweeps.py")]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    took = min(seconds() for _ in range(3))  # the least disturbed one
    print(f"dags/sweeps.py: {took:.2f} s of CPU")
    assert took < MOST
