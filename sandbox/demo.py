"""The demonstration: one sweep of real jobs, through Airflow, on a real Slurm cluster of this machine.

``scripts/demo`` prepares the machine and runs this.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from sandbox.airflow import LARGE_SWEEPS, PROJECT, Standalone, airflow_environment, merge, stop_trees
from sandbox.cluster import Sandbox
from sandbox.processes import SandboxError

SWEEP = "demo"
STATE = PROJECT / ".demo"  # where --ui notes what it left running
_SUMMARY = re.compile(r"(\d+) of (\d+) combinations succeeded")


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration and return its exit code: 0 only if every combination succeeded."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--ui", action="store_true", help="leave Airflow and the cluster running, and say where to look")
    what.add_argument("--stop", action="store_true", help="stop what --ui left running")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster is stopped then too
    try:
        if options.stop:
            return stop_ui()
        return start_ui() if options.ui else run_once()
    except SandboxError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; everything is stopped")
        return 130


def say(text: str) -> None:
    """Tell the user something."""
    print(f"demo: {text}", flush=True)


def run_once() -> int:
    """Start a cluster, run the sweep, print its table, stop everything."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        began = time.monotonic()
        say("starting a Slurm cluster of 8 nodes with 8 GPUs each (virtual), and an sshd")
        with Sandbox(Path(folder) / "slurm") as box:
            say(f"the cluster is up after {time.monotonic() - began:.0f} s")
            environment = airflow_environment(Path(folder) / "airflow", box)
            log = Path(folder) / "airflow.log"
            say("preparing Airflow's database")
            if run("airflow", "db", "migrate", environment=environment, log=log):
                return failed(log)
            say(f"running include/sweeps/{SWEEP}.yaml: airflow dags test {SWEEP}")
            return run_sweep(environment, log)


def run_sweep(environment: Mapping[str, str], log: Path) -> int:
    """Run the sweep by ``airflow dags test``, show what our tasks say, and count."""
    environment = merge(environment, LOGGING__JSON_LOGS=True)
    summary = None
    with subprocess.Popen(
        ["airflow", "dags", "test", SWEEP, "--conf", '{"dry_run": false}'],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                with log.open("a") as file:
                    file.write(line)
                if text := our_message(line):
                    summary = _SUMMARY.match(text) or summary
                    print("\n".join(f"  {part}" for part in text.strip().splitlines()), flush=True)
        except BaseException:
            process.terminate()
            raise
    if summary is None:
        return failed(log)
    succeeded, total = map(int, summary.groups())
    say(f"{succeeded} of {total} combinations succeeded")
    return 0 if succeeded == total and process.returncode == 0 else 1


def our_message(line: str) -> str | None:
    """Return what a line of Airflow's log in JSON says, if a task of this project said it, or it is an error."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    ours = ".airflow_slurm_sweep." in entry.get("logger", "")
    return str(entry.get("event")) if ours or entry.get("level") in ("error", "critical") else None


def run(*command: str, environment: Mapping[str, str], log: Path) -> int:
    """Run a command, its output into ``log``; return its exit code."""
    with log.open("a") as file:
        return subprocess.run(command, env=environment, stdout=file, stderr=file, check=False).returncode


def failed(log: Path) -> int:
    """Show the end of a log, and return the exit code of a failure."""
    say("failed; the end of Airflow's log:")
    print("\n".join(log.read_text().splitlines()[-40:]))
    return 1


def start_ui() -> int:
    """Start a cluster and Airflow, and leave both running."""
    if STATE.exists():
        say(f"already running; see {STATE}, stop it with: scripts/demo --stop")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    STATE.write_text(json.dumps({"folder": str(folder)}))
    say("starting a Slurm cluster of 8 nodes with 8 GPUs each (virtual), and an sshd")
    box = Sandbox(folder / "slurm")
    try:
        box.up()
    except BaseException:
        stop_ui()
        raise
    say("starting Airflow")
    environment = merge(airflow_environment(folder / "airflow", box), **LARGE_SWEEPS)
    airflow = Standalone(environment, folder / "airflow.log")
    if run("airflow", "db", "migrate", environment=environment, log=airflow.log):
        code = failed(airflow.log)
        stop_ui()
        return code
    airflow.start()
    STATE.write_text(json.dumps({"folder": str(folder), "pids": airflow.pids}))
    try:
        airflow.wait_until_healthy()
    except BaseException:
        stop_ui()
        raise
    say(f"Airflow is at {airflow.url} (user {airflow.user}, password {airflow.password})")
    say(f"trigger the Dag {SWEEP!r} there; the cluster's files are in {box.directory}, Airflow's log is {airflow.log}")
    say("stop both with: scripts/demo --stop")
    return 0


def stop_ui() -> int:
    """Stop what `start_ui` left running, and remove its files."""
    try:
        state = json.loads(STATE.read_text())
    except FileNotFoundError:
        say("nothing is running")
        return 0
    stop_trees(state.get("pids", []))
    folder = Path(state["folder"])
    Sandbox(folder / "slurm").down()
    shutil.rmtree(folder, ignore_errors=True)
    STATE.unlink()
    say("stopped Airflow and the cluster")
    return 0


if __name__ == "__main__":
    sys.exit(main())
