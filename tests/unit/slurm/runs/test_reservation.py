"""The names of runs, reserved by the script on the login node, in real shells."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from login_shell import SHELLS

from airflow_slurm_sweep.names import RECORD, RESERVATIONS
from airflow_slurm_sweep.slurm.runs.reservation import BASE, NUMBER, RunNames, reserve
from airflow_slurm_sweep.slurm.shell import Completed, Site, output

SITE = Site(ssh_conn_id="c")


class LoginNode:
    """Reserves names below a folder whose path means something to shells."""

    def __init__(self, folder: Path, argv: list[str]) -> None:
        self.log = folder / "it's [a-z]* $HOME"
        self._argv = argv
        self.names = RunNames(base="g", run_dirs=(f"{self.log}/{BASE}", f"{self.log}/{BASE}_sweep_{NUMBER}"))

    def ask(self, run: str, *, only_base: bool = False) -> subprocess.CompletedProcess[str]:
        text = SITE.script(reserve(self.names, run, only_base=only_base))
        return subprocess.run(self._argv, input=text, capture_output=True, text=True, check=False)

    def reserve(self, run: str) -> str:
        done = self.ask(run)
        return output(Completed(exit_status=done.returncode, stdout=done.stdout, stderr=done.stderr)).strip()

    def record(self, name: str, run: str) -> None:
        file = self.log / name / RECORD
        file.parent.mkdir(parents=True)
        file.write_text(f"run {run}\ntask t 0\nattempt 1 01-1\njob 7\njobs \nwithdrawn \nend\n")


@pytest.fixture(params=[pytest.param("dash"), pytest.param("bash", marks=pytest.mark.all)])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoginNode]:
    node = LoginNode(tmp_path, SHELLS[request.param])
    yield node
    left = [path.name for path in (node.log / RESERVATIONS).glob(".*")]
    assert left == [], "temporary files"


def test_each_dag_run_has_a_name_of_its_own_and_keeps_it(node: LoginNode) -> None:
    runs = ["a d r1", "a d r2", "b d r1", "a d2 r1"]
    assert [node.reserve(run) for run in runs] == ["g", "g_run2", "g_run3", "g_run4"]
    assert [node.reserve(run) for run in reversed(runs)] == ["g_run4", "g_run3", "g_run2", "g"]
    (node.log / RESERVATIONS / "g").unlink()
    assert node.reserve("a d r2") == "g_run2", "also where an earlier name is free again"


def test_simultaneous_dag_runs_never_share_a_name(node: LoginNode) -> None:
    with ThreadPoolExecutor(12) as pool:
        names = list(pool.map(node.reserve, [f"a d r{number // 2}" for number in range(24)]))
    assert names[::2] == names[1::2], "two plans of one Dag run, as where Airflow gave one up that lives"
    assert set(names) == {"g", *(f"g_run{number}" for number in range(2, 13))}


@pytest.mark.parametrize("name", ["g", "g_sweep_3"])
def test_run_directories_of_earlier_versions_are_taken_unless_they_are_this_runs(node: LoginNode, name: str) -> None:
    node.record(name, "a d r1")
    assert node.reserve("a d r2") == "g_run2"
    assert node.reserve("a d r1") == "g"


def test_a_directory_of_another_tool_is_taken_and_a_longer_name_is_not(node: LoginNode) -> None:
    (node.log / "g_sweep_big").mkdir(parents=True)
    assert node.reserve("a d r1") == "g"
    (node.log / "g_run2_sweep_1").mkdir()
    assert node.reserve("a d r2") == "g_run3"


def test_a_damaged_reservation_is_taken_unless_its_run_directories_are_this_runs(node: LoginNode) -> None:
    assert node.reserve("a d r1") == "g"
    (node.log / RESERVATIONS / "g").write_text("")
    assert node.reserve("a d r2") == "g_run2"
    node.record("g_sweep_1", "a d r1")
    assert node.reserve("a d r1") == "g"


def test_refuse_names_the_owner_of_the_base(node: LoginNode) -> None:
    assert node.ask("a d r1", only_base=True).returncode == 0
    assert node.ask("a d r1", only_base=True).returncode == 0
    for run, owner in [("a d r2", "another Dag run (d r1)"), ("b d r2", "a Dag run (d r1) of another Airflow (a)")]:
        done = node.ask(run, only_base=True)
        expected = f"the name g belongs to {owner}; set existing to new or resume, or choose another job name\n"
        assert (done.returncode, done.stderr) == (90, expected)


def test_the_folder_of_reservations_is_as_open_as_the_folder_around_it(node: LoginNode) -> None:
    node.log.mkdir()
    node.log.chmod(0o2775)
    node.reserve("a d r1")
    assert (node.log / RESERVATIONS).stat().st_mode & 0o7777 == 0o2775


def test_a_folder_that_cannot_be_made_is_refused(node: LoginNode) -> None:
    node.log.write_text("a file")
    done = node.ask("a d r1")
    assert (done.returncode, done.stderr) == (90, f"{done.stderr.splitlines()[0]}\ncannot make {node.log}\n")
    node.log.unlink()


@pytest.mark.parametrize("path", ["/log/x", f"/log/{NUMBER}"])
def test_a_preset_without_names_in_its_run_directories_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="so that each run has its own"):
        RunNames(base="g", run_dirs=(path, path))


def test_the_root_is_the_folder_above_all_that_has_a_name() -> None:
    assert RunNames(base="g", run_dirs=(f"/l/x-{BASE}/{BASE}", f"/l/{BASE}/{BASE}")).root == "/l"
