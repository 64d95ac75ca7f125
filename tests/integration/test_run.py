"""`airflow-slurm-sweep run`, as somebody types it, in a fresh home of Airflow's: a sweep of an argparse script."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.processes import wait_until

pytestmark = pytest.mark.sandbox

PROJECT = Path(__file__).parents[2]
SECONDS = 240
TRAIN = """\
import argparse, json, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--wait-for")
parser.add_argument("--bad-lr", type=float)
parser.add_argument("--out", required=True)
options = parser.parse_args()
while options.wait_for and not pathlib.Path(options.wait_for).exists():
    time.sleep(0.2)
if options.lr == options.bad_lr:
    raise SystemExit("this rate is bad")
jobs = len(list(pathlib.Path(options.out, "logs").iterdir()))
pathlib.Path(options.out, "metrics.json").write_text(json.dumps({"loss": options.lr, "jobs": jobs}))
"""


class Person:
    """Somebody with a script in a venv, a sweep file with a profile beside it, and a database of Airflow's."""

    def __init__(self, folder: Path, cluster: Sandbox) -> None:
        self.folder, self.cluster, self.home = folder, cluster, folder / "airflow"
        (folder / "train.py").write_text(TRAIN)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        log, workdir = str(cluster.profile["log"]) + f"/{folder.name}", str(folder)
        profile = {**cluster.profile, "ssh_conn_id": "slurm", "log": log, "workdir": workdir}
        del profile["container"], profile["mounts"]
        (folder / "default.yaml").write_text(json.dumps(profile))
        self.environment = {
            "AIRFLOW_HOME": str(self.home),
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(PROJECT / "plugins"),
        }
        self.airflow("db", "migrate")

    def airflow(self, *command: str) -> None:
        subprocess.run(["airflow", *command], env=self.environment, check=True, capture_output=True)

    def knows_the_cluster(self) -> None:
        self.environment["AIRFLOW_CONN_SLURM"] = json.dumps(self.cluster.connection)

    def writes(self, name: str, more: str = "") -> list[str]:
        """Write a sweep file; return the command that runs it."""
        path = self.folder / f"{name}.yaml"
        path.write_text(f"command: venv/bin/python train.py {{flags}} --out {{run_dir}}\nlr: [0.1, 0.01]\n{more}")
        return [sys.executable, "-m", "airflow_slurm_sweep", "run", str(path)]

    def runs(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=SECONDS, check=False
        )  # fmt: skip

    def jobs(self, name: str) -> list[str]:
        """Return the states of all jobs of a sweep that the cluster has seen, when none is about to end."""
        assert wait_until(lambda: "COMPLETING" not in self.cluster.slurm("squeue", "--format=%T"))
        shown = self.cluster.slurm("scontrol", "show", "job")
        return re.findall(rf"JobName={name}_sweep_\d.*?JobState=(\w+)", shown, re.DOTALL)


class Terminal:
    """A command in a terminal, and what somebody types there."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, environment)
        self.shown = ""

    def read_until(self, pattern: str) -> None:
        """Read until the pattern is shown; an empty one: to the end."""
        begin, deadline = len(self.shown), time.monotonic() + SECONDS
        while not (pattern and re.search(pattern, self.shown[begin:])):
            assert time.monotonic() < deadline, self.shown
            try:
                data = os.read(self._file, 4096)
            except OSError:  # Linux: the command has ended
                data = b""
            if not data:
                assert not pattern, self.shown
                return
            self.shown += data.decode()

    def types(self, text: str) -> None:
        os.write(self._file, text.encode())

    def ends(self) -> int:
        """Return the exit code."""
        self.read_until("")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture(scope="module")
def person(cluster: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    person = Person(tmp_path_factory.mktemp("person"), cluster)
    yield person
    (person.folder / "go").touch()


def test_without_a_database_it_says_how_to_make_one(person: Person) -> None:
    person.environment |= {"AIRFLOW_HOME": str(person.folder / "none")}
    try:
        done = person.runs(person.writes("early"))
    finally:
        person.environment |= {"AIRFLOW_HOME": str(person.home)}
    assert done.returncode == 1
    assert done.stderr.endswith("make it, or bring it up to date: airflow db migrate\n")


def test_a_sweep_ends_with_its_table_and_a_connection_of_the_database_is_found(person: Person) -> None:
    person.airflow("connections", "add", "slurm", "--conn-json", json.dumps(person.cluster.connection))
    done = person.runs(person.writes("good", "sweep: {objective: {metric: loss, goal: minimize}}\n"))
    person.knows_the_cluster()
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, table = done.stdout.partition("\n\n")
    assert head.startswith(
        f"Starting a run of {person.folder}/good.yaml; Airflow's log is {person.home}/slurm_sweep/run/good.log\n"
    )
    assert head.splitlines()[-1] == "good: 2 jobs: 2 submitted, 0 running, 2 done, 0 failed"
    assert [line.split()[:2] for line in table.splitlines()[2:4]] == [
        ["good_sweep_2", "lr=0.01"],
        ["good_sweep_1", "lr=0.1"],
    ]
    assert table.endswith("Best: loss 0.01 with lr=0.01 (good_sweep_2)\n2 of 2 combinations succeeded\n")
    assert done.stderr == ""


@pytest.mark.all
def test_progress_counts_combinations_however_many_jobs_a_chain_takes(person: Person) -> None:
    person.knows_the_cluster()
    done = person.runs(person.writes("chain", "slurm: {chain: {jobs: 3, until: {jobs: 2}}}\n"))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"^chain: (.*) submitted, \d running, (\d) done, (\d) failed$", done.stdout, re.MULTILINE)
    assert {(all_, failed) for all_, _, failed in counts} <= {(f"2 jobs: {number}", "0") for number in range(3)}
    assert counts[-1] == ("2 jobs: 2", "2", "0")
    assert person.jobs("chain") == ["COMPLETED"] * 4


@pytest.mark.all
def test_a_failed_job_is_shown_with_its_reason_and_the_exit_code_is_1(person: Person) -> None:
    person.knows_the_cluster()
    done = person.runs(person.writes("bad", "bad-lr: 0.1\n"))
    assert done.returncode == 1
    assert "(bad_sweep_1) ended as FAILED (NonZeroExitCode)" in done.stdout
    assert "\n    this rate is bad\n" in done.stdout
    assert done.stdout.endswith("\n1 of 2 combinations succeeded\n")


def answer_at_ctrl_c(person: Person, command: list[str], answer: str) -> None:
    """Interrupt a command while its two jobs run, and answer its question."""
    terminal = Terminal(command, person.environment)
    terminal.read_until("2 submitted, 2 running")
    terminal.types("\x03")
    terminal.read_until(r"Cancel the 2 jobs that have not ended\? Else they go on\. \[y/N\] ")
    terminal.types(f"{answer}\n")
    assert terminal.ends() == 130


def test_jobs_that_are_left_at_ctrl_c_are_waited_for_by_the_same_command(person: Person) -> None:
    person.knows_the_cluster()
    command = person.writes("left", f"wait-for: {person.folder}/go_left\n")
    answer_at_ctrl_c(person, command, "")
    assert person.jobs("left") == ["RUNNING", "RUNNING"]
    again = Terminal(command, person.environment)
    again.read_until("going on with the run that was left")
    (person.folder / "go_left").touch()
    assert again.ends() == 0, again.shown
    assert "2 of 2 combinations succeeded" in again.shown
    assert person.jobs("left") == ["COMPLETED", "COMPLETED"], "no job was submitted twice"


@pytest.mark.all
def test_jobs_are_cancelled_at_ctrl_c_if_somebody_says_so_and_the_next_run_is_a_new_one(person: Person) -> None:
    person.knows_the_cluster()
    command = person.writes("ended", f"wait-for: {person.folder}/go_ended\n")
    answer_at_ctrl_c(person, command, "y")
    assert person.jobs("ended") == ["CANCELLED", "CANCELLED"]
    (person.folder / "go_ended").touch()
    again = person.runs(command)
    assert "going on" not in again.stdout
    assert again.returncode == 0
    assert "ended_run2_sweep_1" in again.stdout, "the first run's directories are not a new one's"


@pytest.mark.all
def test_an_interrupt_without_a_terminal_cancels_the_jobs(person: Person) -> None:
    person.knows_the_cluster()
    process = interrupted(person, "silent", signal.SIGINT)
    assert process == 130
    assert person.jobs("silent") == ["CANCELLED", "CANCELLED"]


@pytest.mark.all
@pytest.mark.slow("two whole runs, one of which is killed")
def test_a_process_that_was_killed_is_gone_on_with(person: Person) -> None:
    person.knows_the_cluster()
    assert interrupted(person, "killed", signal.SIGKILL) == -signal.SIGKILL
    (person.folder / "go_killed").touch()
    done = person.runs(person.writes("killed", f"wait-for: {person.folder}/go_killed\n"))
    assert done.returncode == 0, done.stdout
    assert person.jobs("killed") == ["COMPLETED", "COMPLETED"]


@pytest.mark.all
def test_one_process_at_a_time_runs_a_sweep(person: Person) -> None:
    person.knows_the_cluster()
    command = person.writes("once", f"wait-for: {person.folder}/go_once\n")
    terminal = Terminal(command, person.environment)
    terminal.read_until("2 submitted, 2 running")
    other = person.runs(command)
    (person.folder / "go_once").touch()
    assert (other.returncode, terminal.ends()) == (1, 0)
    assert "another process runs once already" in other.stderr
    assert person.jobs("once") == ["COMPLETED", "COMPLETED"]


@pytest.mark.all
@pytest.mark.slow("Airflow's scheduler starts")
def test_a_sweep_that_a_scheduler_may_run_is_left_to_it(person: Person) -> None:
    project = person.folder / "project"
    for name in ("dags", "include/sweeps"):
        (project / name).mkdir(parents=True)
    (project / "dags" / "sweeps.py").write_text((PROJECT / "dags" / "sweeps.py").read_text())
    path = project / "include" / "sweeps" / "active.yaml"
    path.write_text("command: train\nlr: [0.1]\n")
    settings = {"DAGS_FOLDER": project / "dags", "DAGS_ARE_PAUSED_AT_CREATION": False, "LOAD_EXAMPLES": False}
    person.environment |= {f"AIRFLOW__CORE__{name}": str(value) for name, value in settings.items()}
    person.airflow("dags", "reserialize")
    check = ["airflow", "jobs", "check", "--job-type", "SchedulerJob"]
    with subprocess.Popen(
        ["airflow", "scheduler"], env=person.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as scheduler:
        try:
            assert wait_until(
                lambda: subprocess.run(check, env=person.environment, check=False).returncode == 0, SECONDS
            )
            done = person.runs([sys.executable, "-m", "airflow_slurm_sweep", "run", str(path)])
        finally:
            scheduler.terminate()
    assert done.returncode == 1
    assert "the Dag active is active in this Airflow" in done.stderr


def interrupted(person: Person, name: str, number: int) -> int:
    """Run a sweep without a terminal until its jobs run, send the process a signal, and return its exit code."""
    command = person.writes(name, f"wait-for: {person.folder}/go_{name}\n")
    with subprocess.Popen(
        command, env=person.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert wait_until(lambda: person.jobs(name) == ["RUNNING", "RUNNING"])
        process.send_signal(number)
        return process.wait(SECONDS)
