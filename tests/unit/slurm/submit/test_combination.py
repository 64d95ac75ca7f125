"""parameters.json and combination.json: which values they hold, and when the script on the login node writes them."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from login_shell import SHELLS, Login

from airflow_slurm_sweep import __version__
from airflow_slurm_sweep.names import COMBINATION, PARAMETERS, RECORD
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.submit.answer import ExitStatus
from airflow_slurm_sweep.slurm.submit.combination import combination_json, parameters_json

ATTEMPT = Attempt(dag_id="d", run_id="r", task_id="t", map_index=3, try_number=1, id="01-1", installation="a")
CLEARED = replace(ATTEMPT, try_number=2, id="02-1")
OTHER_RUN = replace(ATTEMPT, run_id="r2", id="03-1")


def job(run_dir: Path | str = "/r/a", **changes: Any) -> JobRequest:
    values = {
        "ssh_conn_id": "c",
        "name": "a",
        "command": "true",
        "run_dir": str(run_dir),
        "script": "#!/bin/sh\n",
        "index": 4,
        "parameters": {"z.lr": 1e-6, "a": [1, [2.0, None]]},
        "swept": ("a",),
        "overrides": ("++seed=1",),
    }
    return JobRequest(**{**values, **changes})


@pytest.fixture
def login(tmp_path: Path) -> Login:
    """Return a login node with dash; test_hostile.py reads both files in dash and bash."""
    return Login(argv=SHELLS["dash"], folder=tmp_path / "login")


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "a"


def index_of(run_dir: Path) -> int:
    """Return the index that both files agree on."""
    combination = json.loads((run_dir / COMBINATION).read_text())
    assert json.loads((run_dir / PARAMETERS).read_text()) == combination["parameters"]
    index = combination["index"]
    assert isinstance(index, int)
    return index


# The texts


def test_parameters_are_in_the_order_of_the_sweep_file_and_indented() -> None:
    text = parameters_json(job(parameters={"z.lr": 1e-6, "name": "雪", "flag": True}))
    assert text == '{\n  "z.lr": 1e-06,\n  "name": "雪",\n  "flag": true\n}'


def test_combination_names_run_task_overrides_and_version() -> None:
    assert json.loads(combination_json(job(), ATTEMPT)) == {
        "index": 4,
        "name": "a",
        "run": {"airflow": "a", "dag_id": "d", "run_id": "r"},
        "task": {"task_id": "t", "map_index": 3},
        "parameters": {"z.lr": 1e-6, "a": [1, [2.0, None]]},
        "swept": ["a"],
        "overrides": ["++seed=1"],
        "command": "true",
        "versions": {"airflow_slurm_sweep": __version__},
    }


def test_numbers_that_json_lacks_become_text_that_float_reads() -> None:
    values = {"a": math.nan, "b": [math.inf, {"c": -math.inf}]}
    text = parameters_json(job(parameters=values))
    assert json.loads(text) == {"a": "NaN", "b": ["Infinity", {"c": "-Infinity"}]}
    assert float("-Infinity") == -math.inf


def test_half_a_character_survives_as_the_escape_of_json() -> None:
    text = parameters_json(job(parameters={"a": "x\ud800y\x7f\u2028"}))
    assert json.loads(text.encode()) == {"a": "x\ud800y\x7f\u2028"}


def test_a_job_of_no_sweep_has_neither_text() -> None:
    assert parameters_json(job(index=None)) == combination_json(job(index=None), ATTEMPT) == ""


# The files


def test_a_job_of_no_sweep_leaves_a_file_of_the_users_alone(login: Login, run_dir: Path) -> None:
    run_dir.mkdir(parents=True)
    (run_dir / PARAMETERS).write_text("mine")
    assert login.submit(job(run_dir, index=None), ATTEMPT)[0] == 0
    assert (run_dir / PARAMETERS).read_text() == "mine"
    assert not (run_dir / COMBINATION).exists()


def test_both_files_are_there_when_sbatch_is_called(login: Login, run_dir: Path) -> None:
    sbatch = login.folder / "bin" / "sbatch"
    copy = f"cp {run_dir}/{PARAMETERS} {run_dir}/{COMBINATION} {login.folder}\n"
    sbatch.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{copy}echo 7\n")
    assert login.submit(job(run_dir), ATTEMPT)[0] == 0
    for name in (PARAMETERS, COMBINATION):
        assert (login.folder / Path(name).name).read_text() == (run_dir / name).read_text() != ""


def test_an_attempt_that_gets_its_job_again_keeps_the_files(login: Login, run_dir: Path) -> None:
    login.submit(job(run_dir), ATTEMPT)
    assert "again" in login.submit(job(run_dir, index=5), ATTEMPT)[1]
    assert index_of(run_dir) == 4


def test_a_resume_writes_the_values_of_its_own_run(login: Login, run_dir: Path) -> None:
    login.submit(job(run_dir), ATTEMPT)
    assert "submitted" in login.submit(job(run_dir, index=5, parameters={"b": 1}, resume=True), OTHER_RUN)[1]
    assert index_of(run_dir) == 5
    assert not list((run_dir / ".slurm_sweep").glob("*.kept"))


def test_a_resume_that_sbatch_refuses_leaves_the_values_of_the_earlier_run(login: Login, run_dir: Path) -> None:
    login.submit(job(run_dir), ATTEMPT)
    record = (run_dir / RECORD).read_text()
    (login.folder / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    assert (
        login.submit(job(run_dir, index=5, parameters={"b": 1}, resume=True), OTHER_RUN)[0] == ExitStatus.SBATCH_REFUSED
    )
    assert (run_dir / RECORD).read_text() == record
    assert index_of(run_dir) == 4
    assert not list((run_dir / ".slurm_sweep").glob("*.kept"))


def test_a_first_submission_that_sbatch_refuses_leaves_neither_file(login: Login, run_dir: Path) -> None:
    (login.folder / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    assert login.submit(job(run_dir), ATTEMPT)[0] == ExitStatus.SBATCH_REFUSED
    assert not (run_dir / PARAMETERS).exists()
    assert not (run_dir / COMBINATION).exists()


@pytest.mark.parametrize("name", [PARAMETERS, COMBINATION])
@pytest.mark.parametrize("is_folder", [False, True], ids=["to a file", "to a folder"])
def test_a_link_is_replaced_and_never_followed(login: Login, run_dir: Path, name: str, is_folder: bool) -> None:
    victim = login.folder / "victim"
    if is_folder:
        victim.mkdir()
    else:
        victim.write_text("mine")
    (run_dir / name).parent.mkdir(parents=True)
    for attempt in (ATTEMPT, CLEARED):
        (run_dir / name).unlink(missing_ok=True)
        (run_dir / name).symlink_to(victim)
        assert login.submit(job(run_dir), attempt) == (0, "7 submitted")
        assert index_of(run_dir) == 4
        assert not (run_dir / name).is_symlink()
        assert list(victim.iterdir()) == [] if is_folder else victim.read_text() == "mine"


def test_modes_follow_the_umask(login: Login, run_dir: Path) -> None:
    earlier = os.umask(0o027)
    try:
        login.submit(job(run_dir), ATTEMPT)
    finally:
        os.umask(earlier)
    assert [oct((run_dir / name).stat().st_mode & 0o777) for name in (PARAMETERS, COMBINATION)] == ["0o640"] * 2


@pytest.mark.parametrize("name", [PARAMETERS, COMBINATION, RECORD])
def test_a_file_that_cannot_be_written_submits_nothing_and_leaves_the_earlier_runs_files(
    login: Login, run_dir: Path, name: str
) -> None:
    """As on a full disk; here `mv` fails."""
    login.submit(job(run_dir), ATTEMPT)
    kept = [path for path in (PARAMETERS, COMBINATION, RECORD) if path != name]
    texts = [(run_dir / path).read_text() for path in kept]
    move = login.folder / "bin" / "mv"
    move.write_text(f'#!/bin/sh\ncase "$3$4" in *.new*{name}) exit 1 ;; esac\nexec /usr/bin/mv "$@"\n')
    status, _ = login.submit(job(run_dir, index=5, parameters={"b": 1}, resume=True), OTHER_RUN)
    assert (status, len(login.calls("sbatch"))) == (ExitStatus.REFUSED, 1)
    assert [(run_dir / path).read_text() for path in kept] == texts
    assert index_of(run_dir) == 4
