"""Other ways to run jobs on Slurm from Python, beside ours: submitit, and Snakemake's executor for Slurm.

scripts/bench --peers [--jobs N]   # installs both into a temporary environment

Each runs the same jobs of some seconds, on the login node of a cluster with accounting, as its manual says, and waits
for their ends. What is counted comes from Slurm and Linux, never from the peer.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from bench.interrupt import until_interrupted
from bench.logs import JOB_QUERIES, SUBMISSIONS, count, ended_jobs, remote_calls
from bench.report import in_words, machine, table
from bench.say import say
from bench.stage import ENDED, JOB_SECONDS, SACCT, cluster, write_program
from bench.usage import Meter, Usage
from sandbox import Sandbox, SandboxError
from sandbox.parts import Part
from sandbox.processes import wait_until

PINS = ("submitit==1.5.4", "snakemake==9.27.1", "snakemake-executor-plugin-slurm==2.8.0")
_LIMIT = 300.0  # seconds that all may take, and for each job:
_EACH = 5.0
_SUBMITIT = """\
import sys, time
import submitit
array, size = sys.argv[1] == "array", int(sys.argv[2])
executor = submitit.SlurmExecutor(folder="submitit/%j")
executor.update_parameters(time=10, cpus_per_task=1, array_parallelism=size)
if array:
    with executor.batch():
        jobs = [executor.submit(time.sleep, {seconds}) for _ in range(size)]
else:
    jobs = [executor.submit(time.sleep, {seconds}) for _ in range(size)]
for job in jobs:
    job.result()
"""
_SNAKEFILE = """\
rule all:
    input: expand("out/{{number}}", number=range(int(config["size"])))
rule job:
    output: "out/{{number}}"
    resources: runtime=10, mem_mb=100, slurm_partition="batch", slurm_account="sandbox"
    shell: "sleep {seconds}; touch {{output}}"
"""
_SRUN = """\
#!/bin/sh
SLURM_CONF={conf} exec {program} "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a peer took for its jobs.

    Attributes:
        what: Its name.
        size: Number of jobs.
        submitted: Seconds, whole ones, until slurmctld had taken all.
        ended: Seconds until the peer had ended.
        after: Seconds from the end of the last job, whole ones, to the end of the peer.
        queries: Calls of squeue and ``scontrol show job``.
        sacct: Calls of sacct.
        sbatch: Calls of sbatch.
        usage: What the peer's own process and its children used.
    """

    what: str
    size: int
    submitted: float
    ended: float
    after: float
    queries: int
    sacct: int
    sbatch: int
    usage: Usage


def commands(programs: Path, folder: Path, size: int) -> dict[str, list[str]]:
    """Write what the peers read, and return their commands."""
    (folder / "peer.py").write_text(_SUBMITIT.format(seconds=JOB_SECONDS))
    (folder / "Snakefile").write_text(_SNAKEFILE.format(seconds=JOB_SECONDS))
    submitit = [str(programs / "python"), "peer.py"]
    snakemake = [str(programs / "snakemake"), "--executor", "slurm", "--jobs", str(size), "--config", f"size={size}"]
    return {
        "submitit": [*submitit, "each", str(size)],
        "submitit, one array": [*submitit, "array", str(size)],
        "Snakemake": snakemake,
    }


def measure(box: Sandbox, what: str, command: Sequence[str], folder: Path, size: int) -> Peer:
    """Run a peer to its end.

    Raises:
        SandboxError: It failed, or not all of its jobs ended well.
    """
    say(what)
    ended, asked = box.directory / ENDED, box.directory / SACCT
    ended.write_text("")
    asked.write_text("")
    box.slurm("sdiag", "--reset")
    environment = {**os.environ, **box.environment}
    path = f"{box.directory}/bin:{Path(command[0]).parent}:{environment['PATH']}"
    log = folder / "peer.log"
    part = Part(what, ["env", "-C", str(folder), *command], environment | {"PATH": path}, log)
    part.start()
    began = time.time()
    meter = Meter({what: part.pid})
    try:
        wait_until(lambda: not part.lives, _LIMIT + _EACH * size)
        took = time.time() - began
        usage = meter.stop()[what]
    finally:
        meter.close()
        part.stop()
    jobs = [job for job in ended_jobs(ended.read_text()) if job.state == "COMPLETED"]
    calls = remote_calls(box.slurm("sdiag"))
    if len(jobs) != size:
        raise SandboxError(f"{what}: {len(jobs)} of {size} jobs completed: {log.read_text()[-3000:]}")
    return Peer(
        what=what,
        size=size,
        submitted=max(job.submitted for job in jobs) - int(began),
        ended=took,
        after=began + took - max(job.ended for job in jobs),
        queries=count(calls, JOB_QUERIES),
        sacct=asked.read_text().count("\n"),
        sbatch=count(calls, SUBMISSIONS),
        usage=usage,
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench --peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100, metavar="N", help="default: %(default)s")
    size = parser.parse_args(arguments).jobs
    peers, failures = [], []
    with tempfile.TemporaryDirectory(prefix="peers-") as name, cluster(keep=False, accounting=True) as (box, folder):
        say(f"installing {', '.join(PINS)}")
        venv.create(name, with_pip=True)
        programs = Path(name) / "bin"
        # Snakemake takes all of Slurm's variables from its job, and with them where this cluster is.
        write_program(programs / "srun", _SRUN.format(conf=box.environment["SLURM_CONF"], program=which("srun")))
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *PINS], check=True)
        for what, command in commands(programs, folder, size).items():
            try:
                peers.append(measure(box, what, command, folder, size))
            except SandboxError as error:
                failures.append(str(error))
    print(f"{in_words(machine())}; {', '.join(PINS)}\n")
    rows = [
        ("seconds until all were submitted", [f"{peer.submitted:.0f}" for peer in peers]),
        ("seconds until it had ended", [f"{peer.ended:.1f}" for peer in peers]),
        ("end of the last job to its end, s", [f"{peer.after:.1f}" for peer in peers]),
        ("sbatch calls", [str(peer.sbatch) for peer in peers]),
        ("squeue and scontrol calls", [str(peer.queries) for peer in peers]),
        ("sacct calls", [str(peer.sacct) for peer in peers]),
        ("CPU seconds for a job", [f"{peer.usage.cpu_seconds / peer.size:.3f}" for peer in peers]),
        ("peak memory, MiB", [f"{peer.usage.peak_bytes / 2**20:.0f}" for peer in peers]),
    ]
    print(table([f"{peer.what} {peer.size}" for peer in peers], rows))
    print("\n".join(failures))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(until_interrupted(main))
