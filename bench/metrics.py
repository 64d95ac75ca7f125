"""Measure the question for the metrics of a thousand running jobs, as each tick asks it, over SSH to a sandbox.

python -m bench.metrics            # a table in Markdown
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.shell import Completed, Shell
from bench.interrupt import until_interrupted
from sandbox import Sandbox


class Counted:
    """A `Shell` that counts questions, and the bytes of their answers."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.asked = self.answered = 0

    async def run(self, script: str) -> Completed:
        """Run ``script``."""
        done = await self._shell.run(script)
        self.asked += 1
        self.answered += len(done.stdout)
        return done


def line(job: int, step: int) -> str:
    """Return a line of a training's metrics."""
    loss = 2 * math.exp(-step / 300) + math.sin(step * job) / 50
    return json.dumps({"step": step, "loss": loss, "grad_norm": abs(math.sin(step)), "lr": 1e-4}) + "\n"


def write(folder: Path, jobs: int, steps: range) -> list[MetricsReader]:
    """Append lines to each job's file; return readers that know nothing yet."""
    readers = []
    for job in range(jobs):
        run = folder / f"run_{job}"
        run.mkdir(exist_ok=True)
        with (run / "metrics.jsonl").open("a") as file:
            file.writelines(line(job, step) for step in steps)
        readers.append(MetricsReader(reader_job(run)))
    return readers


def reader_job(run: Path) -> SubmittedJob:
    """Return the job of a run directory."""
    patterns = ["metrics.json", "metrics.jsonl", "metrics.csv", "lightning_logs/*/metrics.csv"]
    return SubmittedJob(
        ssh_conn_id="c", job_id="7", job_name="a", run_dir=str(run), log_path=f"{run}/log", metrics=patterns
    )


def login_seconds(sshd: int) -> float:
    """Return the CPU seconds of what the login node has run to its end, and of its sshd."""
    ticks, family = 0, {sshd}
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(process.name) == sshd or int(fields[1]) in family:
            family.add(int(process.name))
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident() -> float:
    """Return the MiB of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(shell: Shell, sshd: int, folder: Path, jobs: int) -> None:
    """Print a table."""
    counted = Counted(shell)
    client = SlurmClient(counted)

    async def told(what: str, ask: Callable[[], Awaitable[object]]) -> None:
        counted.asked = counted.answered = 0
        login, cpu, began = login_seconds(sshd), time.process_time(), time.monotonic()
        await ask()
        took, spent = time.monotonic() - began, time.process_time() - cpu
        row = f"{counted.asked} | {took:.2f} | {counted.answered / 1024:,.0f} | {login_seconds(sshd) - login:.2f}"
        print(f"| {what} | {row} | {spent:.2f} |", flush=True)

    async def once() -> None:
        await client.read_metrics(readers)

    async def to_the_end() -> None:
        left = list(readers)
        while left:
            are_read = await client.read_metrics(left)
            left = [reader for reader, is_read in zip(left, are_read, strict=True) if not is_read]

    print("| what | questions | seconds | KiB | CPU s, login node | CPU s, triggerer |\n|---|---|---|---|---|---|")
    readers = write(folder, jobs, range(1000))
    before = resident()
    await told("all steps so far, to the end (a triggerer has started)", to_the_end)
    await told("a tick without news", once)
    write(folder, jobs, range(1000, 1001))
    await told("a tick with a new line in each file: as many as an answer has room for", once)
    await told("the rest of them", to_the_end)
    points = sum(len(curve[0]) for reader in readers for curve in reader.history.to_json().values())
    memory = f"the process has {resident():.0f} MiB, {resident() - before:.0f} more than before"
    print(f"\n{points:,} points of {jobs:,} jobs are kept; {memory}")


def main() -> int:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    jobs = parser.parse_args().jobs
    from airflow_slurm_sweep.tasks.ssh.shell import SshShell  # noqa: PLC0415  # it imports Airflow

    async def measured(folder: Path, sshd: int) -> None:
        async with SshShell("slurm_sandbox") as shell:
            await measure(shell, sshd, folder, jobs)

    with tempfile.TemporaryDirectory() as name, Sandbox(Path(name) / "c") as box:
        os.environ["AIRFLOW_CONN_SLURM_SANDBOX"] = json.dumps(box.connection)
        os.environ["AIRFLOW_HOME"] = name
        asyncio.run(measured(Path(name), int(box.status()["sshd"] or 0)))
    return 0


if __name__ == "__main__":
    sys.exit(until_interrupted(main))
