"""A login node: real shells and a real Slurm, with wrappers around Slurm's commands where a site has its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.names import RECORD
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, JobRequest
from airflow_slurm_sweep.slurm.shell import ARGUMENT, Completed, Site
from sandbox import Sandbox
from sandbox.processes import wait_until

FIRST = Attempt(dag_id="d", run_id="r", task_id="t", map_index=0, try_number=1, id="01-1", installation="a")
CLEARED = replace(FIRST, try_number=2, id="02-1")
OTHER_RUN = replace(FIRST, run_id="r2", id="01-2")
SLEEP = "sleep 600"
SITE = Site(ssh_conn_id="x")
THREADS = ThreadPoolExecutor(64)


@dataclass(kw_only=True)
class Login:
    """A login node: its shell, with folder ``bin`` first on the path."""

    box: Sandbox
    folder: Path
    shell: str = "dash"
    edits: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    site: Site = SITE

    async def run(self, script: str) -> Completed:
        for old, new in self.edits.items():
            assert old in script
            script = script.replace(old, new)
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        environment = {
            **os.environ,
            **self.box.environment,
            "PATH": path,
            "BIN": str(self.folder / "bin"),
            **self.environment,
        }
        command = (self.shell, "-s", ARGUMENT)

        def run_script() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(command, input=script.encode(), capture_output=True, env=environment, check=False)

        # In a thread: a script whose caller is cancelled goes on, as it does on a cluster.
        done = await asyncio.get_running_loop().run_in_executor(THREADS, run_script)
        return Completed(exit_status=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode())

    def request(self, command: str = SLEEP, name: str = "job", **changes: Any) -> JobRequest:
        run_dir = str(self.folder / "runs" / name)
        return JobRequest(
            **{
                "ssh_conn_id": "x",
                "name": name,
                "command": command,
                "run_dir": run_dir,
                "script": JOB_SCRIPT,
                **changes,
            }
        )

    @property
    def client(self) -> SlurmClient:
        return SlurmClient(self, site=self.site)

    def submit(self, request: JobRequest, attempt: Attempt = FIRST) -> str:
        return asyncio.run(self.client.submit(request, attempt)).job_id

    def submit_when_possible(self, request: JobRequest, attempt: Attempt) -> str:
        end = time.monotonic() + 60
        while True:
            try:
                return self.submit(request, attempt)
            except ClusterUnavailableError:
                assert time.monotonic() < end
                time.sleep(0.5)

    def withdraw(self, request: JobRequest, attempt: Attempt = FIRST) -> None:
        asyncio.run(self.client.withdraw(request, attempt))

    def wrap(self, command: str, text: str) -> Path:
        """Put a script before a command; ``real`` in it is the command itself."""
        file = self.folder / "bin" / command
        file.parent.mkdir(exist_ok=True)
        real = subprocess.run(["which", command], capture_output=True, text=True, check=True).stdout.strip()
        file.write_text(f'#!/bin/bash\nreal() {{ {real} "$@"; }}\n{text}\n')
        file.chmod(0o755)
        return file

    def jobs(self, name: str = "job") -> dict[str, str]:
        """Return all jobs whose logs are in the run directory: their states by id."""
        lines = self.box.slurm(
            "squeue", "--me", "--states=all", "--noheader", "--Format=JobID:20,State:20,StdOut:300"
        ).splitlines()
        rows = [line.split() for line in lines]
        return {job: state for job, state, log in rows if log.startswith(f"{self.folder}/runs/{name}/")}

    def live(self, name: str = "job") -> list[str]:
        return [job for job, state in self.jobs(name).items() if state in ("PENDING", "RUNNING", "COMPLETING")]

    def wait_for(self, job: str, *states: str) -> None:
        assert wait_until(lambda: self.jobs().get(job) in states), self.jobs()

    def record(self, name: str = "job") -> dict[str, str]:
        text = (self.folder / "runs" / name / RECORD).read_text()
        return dict(line.partition(" ")[::2] for line in text.splitlines())


@contextmanager
def login_on(box: Sandbox, folder: Path, shell: str = "dash") -> Iterator[Login]:
    """Give a login node whose jobs are cancelled at the end."""
    login = Login(box=box, folder=folder, shell=shell)
    yield login
    for run_dir in (folder / "runs").glob("*"):
        box.slurm("scancel", *login.live(run_dir.name), check=False)
