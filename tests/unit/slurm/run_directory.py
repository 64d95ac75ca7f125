"""A run directory on a login node whose shell is real; Slurm's commands are recorders (`login_shell`)."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from login_shell import Login

from airflow_slurm_sweep.names import RECORD
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.shell import Completed

SUBMITTING = Attempt(
    dag_id="d", run_id="r", task_id="combination.submit", map_index=3, try_number=1, id="01-1", installation="a"
)
WAITING = replace(SUBMITTING, task_id="combination.wait", id="02-1")


@dataclass(kw_only=True)
class Node(Login):
    """A login node with one run directory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        (self.folder / "bin" / "date").symlink_to("/usr/bin/date")
        scontrol = f"""#!/bin/sh
cd '{self.folder}/answers'
case $1 in --all) exec /usr/bin/cat job_* ;; esac
/usr/bin/cat "job_$3" 2> /dev/null || {{ echo 'slurm_load_jobs error: Invalid job id specified'; exit 1; }}
"""
        (self.folder / "bin" / "scontrol").write_text(scontrol)
        self.show()

    @property
    def record(self) -> Path:
        return self.run_dir / RECORD

    @property
    def run_dir(self) -> Path:
        return self.folder / "runs" / "s_1"

    def request(self, **changes: Any) -> JobRequest:
        values: dict[str, Any] = {"ssh_conn_id": "c", "name": "s_1", "command": "true", "run_dir": str(self.run_dir)}
        values |= {"script": "#!/bin/sh\n", "index": 1, "parameters": {"lr": 1}, "chain": {"jobs": 6}}
        return JobRequest(**{**values, **changes})

    def show(self, **jobs: str) -> None:
        """Let Slurm show no jobs in the run directory but these, ``job_7="RUNNING"``."""
        for file in (self.folder / "answers").glob("job_*"):
            file.unlink()
        queue = ""
        for name, state in {"job_0": "COMPLETED", **jobs}.items():
            job = name.removeprefix("job_")
            log = f"{self.run_dir}/logs/slurm-{job}.out"
            queue += f"{job} {state} {log}\n"
            owner = f"UserId=me({os.getuid()}) GroupId=x"
            self.answer(
                name, f"JobId={job} JobName=s_1\n   {owner}\n   JobState={state} Reason=None\n   StdOut={log}\n"
            )
        self.answer("squeue", queue)

    def follow(self, job: str, sbatch: str = "0", ended: str = "TIMEOUT,,,", **changes: Any) -> tuple[int, str]:
        """Ask for the job that follows one; sbatch's next id is ``sbatch``."""
        self.answer("sbatch", f"{sbatch}\n")
        return self.submit(self.request(after=job, ended=ended, **changes), WAITING)

    def words(self) -> dict[str, str]:
        """Return the record, without the times of its links."""
        lines = re.sub(r",[0-9]{9,},", ",", self.record.read_text()).splitlines()
        return dict(line.partition(" ")[::2] for line in lines)

    @property
    def client(self) -> SlurmClient:
        return SlurmClient(_Answers(self))

    def cancelled(self) -> list[str]:
        return [words[-1] for words in self.calls("scancel")]


class _Answers:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def run(self, script: str) -> Completed:
        done = await asyncio.to_thread(self._node.run, script)
        return Completed(exit_status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for a script that goes on in the background."""
    end = time.monotonic() + 240  # each recorder is a process, on a machine with other work
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
