"""The list of a search's proposals, whatever becomes of the files: none is lost, and none is accepted twice.

The shell is real; Slurm's commands are recorders (`login_shell`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from login_shell import SHELLS
from run_directory import SUBMITTING, Node

from airflow_slurm_sweep.names import COMBINATION, PARAMETERS, RECORD, RESULT
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.proposals import Proposals, proposals, read_proposals
from airflow_slurm_sweep.slurm.shell import Completed, output
from airflow_slurm_sweep.slurm.submit.answer import ExitStatus
from airflow_slurm_sweep.slurm.submit.script import gate_folder


@pytest.fixture(params=SHELLS)
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    return Node(argv=SHELLS[request.param], folder=tmp_path / "login")


def trial(node: Node, number: int, x: float, known: int, **more: Any) -> tuple[JobRequest, Attempt]:
    run_dir = node.run_dir.with_name(f"s_{number}")
    changes = {"index": number, "trial": number - 1, "max_parallel_jobs": 9, "proposals": known, "chain": {}}
    request = node.request(name=run_dir.name, run_dir=str(run_dir), parameters={"x": x}, **changes)
    return request, replace(SUBMITTING, map_index=number, id=f"01-{number}", **more)


def submit(node: Node, number: int, x: float, known: int, **more: Any) -> int:
    node.answer("sbatch", f"10{number}\n")
    return node.submit(*trial(node, number, x, known, **more))[0]


def ask(node: Node, number: int = 9) -> Proposals:
    request, attempt = trial(node, number, 0, 0)
    done = node.run(proposals(request, attempt))
    return read_proposals(output(Completed(exit_status=0, stdout=done.stdout, stderr="")), attempt)


def run_dir(node: Node, number: int) -> Path:
    return Path(trial(node, number, 0, 0)[0].run_dir)


def gate_list(node: Node) -> Path:
    request, attempt = trial(node, 1, 0, 0)
    return Path(gate_folder(request.shared_folder, attempt.run)) / "proposals"


@pytest.fixture
def two(node: Node) -> Node:
    assert (submit(node, 1, 0.1, 0), submit(node, 2, 0.2, 1)) == (0, 0)
    assert [each.parameters["x"] for each in ask(node).found] == [0.1, 0.2]
    return node


@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_file_that_was_cut_off_holds_up_no_other_trial(two: Node, cut: int) -> None:
    path = run_dir(two, 2) / COMBINATION
    path.write_text(path.read_text()[:-cut] if cut else "")
    assert ask(two).number == 2
    assert submit(two, 3, 0.3, 2) == 0
    # Cleared, the trial itself may get other parameters.
    assert submit(two, 2, 0.25 if cut != 1 else 0.2, ask(two, 2).number, try_number=2) == 0


@pytest.mark.parametrize("run", ['"a run"', "{}", "null"])
def test_a_file_of_another_form_holds_up_no_other_trial(two: Node, run: str) -> None:
    (run_dir(two, 2) / COMBINATION).write_text(f'{{"run": {run}, "parameters": {{"x": 0.2}}}}\n')
    assert submit(two, 3, 0.3, ask(two).number) == 0


def test_a_damaged_result_takes_no_parameters_away(two: Node) -> None:
    (run_dir(two, 2) / RESULT).write_text('{"job": "102", "sta')
    assert [(each.parameters["x"], each.result) for each in ask(two).found] == [(0.1, None), (0.2, None)]


def test_parameters_json_is_the_trainings_own(two: Node) -> None:
    (run_dir(two, 2) / PARAMETERS).write_text("{}")
    assert submit(two, 2, 0.2, 2, try_number=2) == 0
    assert submit(two, 2, 0.3, 2, try_number=3) == ExitStatus.STALE


def test_the_same_attempt_gets_its_job_only_with_the_parameters_that_the_job_has(two: Node) -> None:
    assert submit(two, 2, 0.9, 1) == ExitStatus.STALE
    assert submit(two, 2, 0.2, 1) == 0


def test_a_trial_that_is_listed_and_has_no_parameters_any_more_must_know_the_others(two: Node) -> None:
    (run_dir(two, 1) / COMBINATION).unlink()
    (run_dir(two, 1) / RECORD).unlink()
    assert submit(two, 1, 0.2, 1) == ExitStatus.STALE
    assert submit(two, 1, 0.3, 2) == 0


def test_a_lost_list_is_made_again_of_the_run_directories(two: Node) -> None:
    for lose in (Path.unlink, lambda path: path.write_text("")):
        lose(gate_list(two))
        assert submit(two, 3, 0.1, 0) == ExitStatus.STALE
        assert [each.parameters["x"] for each in ask(two).found] == [0.1, 0.2]
    assert submit(two, 3, 0.3, 2) == 0
    assert gate_list(two).read_text().split() == [str(run_dir(two, number)) for number in (1, 2, 3)]


def test_in_a_shared_folder_others_may_have_places_too(node: Node) -> None:
    folder = node.run_dir.parent
    folder.mkdir()
    folder.chmod(0o2775)
    assert submit(node, 1, 0.1, 0) == 0
    assert gate_list(node).parents[1].stat().st_mode & 0o7777 == 0o2775
