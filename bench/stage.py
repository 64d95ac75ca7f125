"""What one measurement runs on: a cluster with 128 slots, and an Airflow with one process for each of its parts."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from sqlalchemy import Engine, NullPool, create_engine

from bench.say import say
from sandbox import Sandbox, SandboxError
from sandbox.airflow import LARGE_SWEEPS, LARGEST, PROJECT, airflow_environment, merge
from sandbox.parts import AirflowParts
from sandbox.processes import wait_until

INTERVAL = 5  # seconds between two looks at jobs: ours and the plain Dag's
MAX_SIZE = LARGEST
SETTINGS = {**LARGE_SWEEPS, "API__MAXIMUM_PAGE_LIMIT": 1000, "SLURM_SWEEP__INTERVAL": INTERVAL}
NODES = 8  # of 16 processors each
JOB_SECONDS = 5
RELEASED_SECONDS = 10  # of jobs that all wait for their release: 13 end each second
LONG_SECONDS = 7200
KNOWN_SECONDS = 120  # until Airflow knows a Dag
# Below the cluster's directory: what slurmctld writes about each job that has ended, and a line for each call of sacct.
ENDED = "logs/ended.txt"
SACCT = "logs/sacct.calls"
# Accounting is off, and a `wait` may begin after Slurm has forgotten its job: the script leaves what job.sh does.
_SLEEP = """\
#!/bin/bash
sleep {seconds} || exit
[ -z "$BASE_LOG_DIR" ] || printf '0 -\\n%s\\n' "$(date +%s)" > "$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.exit"
"""
STEPS = 1000  # that a job with a history writes, a tenth in each second
_HISTORY = """\
#!/bin/bash
for part in 0 1 2 3 4 5 6 7 8 9; do
  awk -v part="$part" 'BEGIN {
    for (step = part * 100 + 1; step <= part * 100 + 100; step++)
      printf "{\\"step\\": %d, \\"loss\\": %.5f, \\"reward\\": %.5f}\\n", step, 1 / step, sin(step / 50)
  }'
  sleep 1
done > "$BASE_LOG_DIR/metrics.jsonl"
"""
HISTORY = "history.sh"
# One like it counts where Slurm cannot: accounting is off here, and sacct asks nobody.
_COUNTED = '#!/bin/sh\necho >> {calls}\nexec {program} "$@"\n'
_SWEEP = """\
script_path: examples/train_grpo.py
index: [{indices}]
slurm: {{jobname: {name}, gpus_per_node: 0, nodes: 1, batch_script: {script}, sbatch: {{{options}}}}}
"""
WARM = "warm"
TRIGGERERS = ("triggerer", "triggerer-2")  # in `Stage.roots`


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a stage is set up.

    Attributes:
        keep: Leave the folder with all logs.
        triggerers: How many Airflow has.
    """

    keep: bool = False
    triggerers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A cluster and an Airflow, up.

    Attributes:
        folder: Holds both, and their logs.
        database: Airflow's.
    """

    box: Sandbox
    airflow: AirflowParts
    folder: Path
    database: Engine

    @property
    def roots(self) -> dict[str, int]:
        """The first process of each part that is measured."""
        parts = {part.name.removesuffix("-1"): part.pid for part in self.airflow.parts}
        postgres = {"postgres": self.airflow.postgres.pid} if self.airflow.postgres else {}
        daemons = {name: pid for name, pid in self.box.status().items() if pid and name in ("slurmctld", "sshd")}
        return {**parts, **postgres, **daemons}

    def wait_for_dag(self, dag_id: str) -> None:
        """Return once Airflow has read the Dag's file.

        Raises:
            SandboxError: It did not in `KNOWN_SECONDS`.
        """

        def is_known() -> bool:
            return dag_id in [dag["dag_id"] for dag in self.airflow.call("GET", "/api/v2/dags")["dags"]]

        if not wait_until(is_known, KNOWN_SECONDS):
            raise SandboxError(f"Airflow does not know the Dag {dag_id} after {KNOWN_SECONDS} s")


@contextmanager
def cleaned() -> Iterator[ExitStack]:
    """A stack whose clean-up neither Ctrl-C nor SIGTERM disturbs: they take effect after it."""
    with ExitStack() as stack:
        try:
            yield stack
        finally:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            try:
                stack.close()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def cluster(*, keep: bool, accounting: bool = False) -> Iterator[tuple[Sandbox, Path]]:
    """A cluster in a temporary folder, and that folder; the folder is kept, for a look at the logs, if told so."""
    with cleaned() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        if keep:
            stack.callback(say, f"kept: {folder}")
        else:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)  # for Postgres, which is another user where we are root
        box = Sandbox(folder / "c", nodes=NODES, accounting=accounting, slurm_conf=_slurm_conf(folder / "c" / ENDED))
        stack.enter_context(box)
        write_program(
            box.directory / "bin" / "sacct", _COUNTED.format(calls=box.directory / SACCT, program=which("sacct"))
        )
        for seconds in (JOB_SECONDS, RELEASED_SECONDS, LONG_SECONDS):
            write_program(Path(str(box.profile["workdir"])) / script(seconds), _SLEEP.format(seconds=seconds))
        write_program(Path(str(box.profile["workdir"])) / HISTORY, _HISTORY)
        yield box, folder


@contextmanager
def stage(
    setup: Setup,
    *,
    sweeps: Mapping[str, str],
    dags: Path | None = None,
    settings: Mapping[str, object] = {},
) -> Iterator[Stage]:
    """A cluster and an Airflow.

    Args:
        setup: As a user asks for it.
        sweeps: Texts of sweep files, by Dag; one called `WARM` comes with them.
        dags: A folder of Dags that takes the place of the project's.
        settings: Further ones of Airflow.
    """
    began = time.monotonic()
    with cluster(keep=setup.keep) as (box, folder), cleaned() as stack:
        (folder / "sweeps").mkdir()
        options = {"indices": 0, "name": WARM, "script": script(JOB_SECONDS), "options": ""}
        for name, text in {**sweeps, WARM: _SWEEP.format(**options)}.items():
            (folder / "sweeps" / f"{name}.yaml").write_text(text)
        environment = airflow_environment(folder / "airflow", box, sweeps=folder / "sweeps")
        if dags:
            environment = merge(environment, CORE__DAGS_FOLDER=dags) | {"PYTHONPATH": str(PROJECT)}
        airflow = AirflowParts(environment, folder, triggerers=setup.triggerers, settings={**SETTINGS, **settings})
        if not airflow.postgres:
            raise SandboxError("no Postgres is installed; scripts/setup --tests does it")
        stack.callback(airflow.stop)
        airflow.start()
        say(f"a cluster and an Airflow are up after {time.monotonic() - began:.0f} s")
        database = create_engine(airflow.postgres.url, poolclass=NullPool)
        yield Stage(box=box, airflow=airflow, folder=folder, database=database)


def sweep(name: str, size: int, seconds: int, *, held: bool = False, has_histories: bool = False) -> str:
    """The text of a sweep file: jobs that sleep, after their release if they are held, and may write `STEPS` steps."""
    options = "cpus-per-task: 1, hold: true" if held else "cpus-per-task: 1"
    indices = ", ".join(map(str, range(size)))
    program, more = (HISTORY, "sweep: {metrics: metrics.jsonl}\n") if has_histories else (script(seconds), "")
    return _SWEEP.format(indices=indices, name=name, script=program, options=options) + more


def script(seconds: int) -> str:
    """The name of the batch script that sleeps, in the cluster's workspace."""
    return f"sleep{seconds}.sh"


def _slurm_conf(ended: Path) -> list[str]:
    return [f"MaxJobCount={2 * MAX_SIZE}", "JobCompType=jobcomp/filetxt", f"JobCompLoc={ended}"]


def write_program(path: Path, text: str) -> None:
    """Write a file that can be run."""
    path.write_text(text)
    path.chmod(0o755)
