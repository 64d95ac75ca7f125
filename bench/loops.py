"""sbatch in a shell loop: what submitting costs without Airflow."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench.stage import LONG_SECONDS, script
from sandbox import Sandbox, SandboxError
from sandbox.parts import Part
from sandbox.processes import wait_until

_LIMIT = 60.0  # seconds that a loop may take, and for each job:
_EACH = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """How long a loop took.

    Attributes:
        what: Where it ran.
        size: Number of jobs.
        seconds: For all of them.
    """

    what: str
    size: int
    seconds: float

    @property
    def seconds_each(self) -> float:
        """Seconds for a job."""
        return self.seconds / self.size


def over_ssh(box: Sandbox, folder: Path, size: int) -> Loop:
    """Measure ``ssh LOGIN_NODE sbatch ...``, a connection for each job."""
    ssh = f"ssh -F {box.directory}/ssh/config -o BatchMode=yes sandbox"
    return _measure(box, folder, size, "shell loop of `ssh ... sbatch`", f"{ssh} {_sbatch(box)}")


def on_the_login_node(box: Sandbox, folder: Path, size: int) -> Loop:
    """Measure ``sbatch ...`` on the login node itself, as a command-line launcher there does."""
    return _measure(box, folder, size, "shell loop of `sbatch` on the login node", _sbatch(box))


def _sbatch(box: Sandbox) -> str:
    return f"sbatch --quiet --chdir={box.profile['workdir']} {box.profile['workdir']}/{script(LONG_SECONDS)}"


def _measure(box: Sandbox, folder: Path, size: int, what: str, command: str) -> Loop:
    """Run a command so many times, see that there are as many jobs, and cancel them."""
    loop = ["bash", "-c", f"for i in $(seq {size}); do {command} < /dev/null || exit 1; done"]
    part = Part("loop", loop, {**os.environ, **box.environment}, folder / "loop.log")
    began = time.monotonic()
    part.start()
    try:
        wait_until(lambda: not part.lives, _LIMIT + _EACH * size)
        seconds = time.monotonic() - began
    finally:
        part.stop()
    jobs = box.slurm("squeue", "--me", "--noheader", "--format=%i").split()
    box.slurm("scancel", "--me")
    if len(jobs) != size or not wait_until(lambda: not box.slurm("squeue", "--me", "--noheader").strip(), _LIMIT):
        raise SandboxError(f"{what}: {len(jobs)} jobs, expected {size}: {(folder / 'loop.log').read_text()[-1000:]}")
    return Loop(what=what, size=size, seconds=round(seconds, 3))
