"""What stands between Airflow and the cluster's commands on the login node, and what its jobs do.

The programs in tests/faults/login go into the sandbox's DIR/bin; what they shall do wrong, they read in DIR/faults.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox import Sandbox

PROGRAMS = Path(__file__).parent / "login"
SBATCH_FAULTS = (
    "slow",
    "talkative",
    "reply cut off",
    "script killed before",
    "script killed after",
    "timed out after",
    "failed hook",
    "no controller",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a job wrote down: ``start``, or ``end`` with its exit status."""

    time: float
    job_id: str
    job_name: str
    status: int | None


class LoginNode:
    """The login node of a sandbox that is up, ready to go wrong.

    Args:
        box: The cluster.
        slow: Seconds that a slow sbatch takes.
    """

    def __init__(self, box: Sandbox, slow: int) -> None:
        self._folder = box.directory / "faults"
        for folder in ("sbatch", "jobs", "starts", "events"):
            (self._folder / folder).mkdir(parents=True)
        (self._folder / "slow").write_text(f"{slow}\n")
        (self._folder / "log").touch()
        shutil.copytree(PROGRAMS, box.directory / "bin", dirs_exist_ok=True)
        shutil.copy(PROGRAMS / "work.sh", str(box.profile["workdir"]))
        with (box.directory / "ssh" / "sshd_config").open("a") as config:
            config.write(f"ForceCommand {box.directory}/bin/session\n")
        box.stop("sshd")
        box.start("sshd")

    def break_sbatch(self, job_name: str, *faults: str) -> None:
        """Let sbatch fail for this job, in another way each time it is called."""
        self._write(f"sbatch/{job_name}", "".join(f"{fault}\n" for fault in faults))

    def break_squeue(self, every: int | None) -> None:
        """Let every Nth squeue go wrong: fail, hide jobs, cut its answer off, repeat an old one, be slow; None mends it."""
        self._write("squeue", "" if every is None else f"{every}\n")

    def break_sacct(self, broken: bool) -> None:
        """Let sacct fail."""
        self._write("sacct", "broken\n" if broken else "")

    def set_environment(self, **variables: str) -> None:
        """Set variables for each login."""
        self._write("environment", "".join(f"{name}={quote(value)}\n" for name, value in variables.items()))

    def skew_clock(self, seconds: int) -> None:
        """Set the clock that ``date`` shows."""
        self._write("skew", f"{seconds:+d}\n" if seconds else "")

    def greet(self, banner: str) -> None:
        """Print a text at each login."""
        self._write("banner", banner)

    def plan_job(self, job_name: str, *runs: tuple[float, int]) -> None:
        """Say how many seconds each job of that name takes and its exit status; the last one is repeated."""
        self._write(f"jobs/{job_name}", "".join(f"{seconds} {status}\n" for seconds, status in runs))

    @property
    def faults(self) -> list[tuple[float, str]]:
        """Time and text of each fault that the programs have committed."""
        lines = (line.partition(" ") for line in (self._folder / "log").read_text().splitlines())
        return [(float(time), text) for time, _, text in lines]

    def events(self) -> list[Event]:
        """What the jobs wrote down, in the order of time."""
        found = []
        for path in (self._folder / "events").iterdir():
            for line in path.read_text().splitlines():
                time, name, *rest = line.split()
                status = int(rest[1]) if rest[0] == "end" else None
                found.append(Event(time=float(time), job_id=path.name, job_name=name, status=status))
        return sorted(found, key=lambda event: event.time)

    def _write(self, path: str, text: str) -> None:
        new = self._folder / f"{path}.new"
        new.write_text(text)
        new.replace(self._folder / path)


def write_profile(box: Sandbox, path: Path, programs: Sequence[str] = ("/usr/local/bin", "/usr/bin", "/bin")) -> None:
    """Write the cluster profile whose jobs, and whose sbatch, find the programs in DIR/bin first."""
    environment = {"PATH": ":".join([f"{box.directory}/bin", *programs])}
    path.write_text(json.dumps({**box.profile, "env": environment}, indent=2))
