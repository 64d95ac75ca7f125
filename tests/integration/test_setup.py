"""Setup lines act on the job's command: a venv, modules, conda, variables, functions. Real jobs on a real cluster."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_slurm_sweep.slurm.failure import failure_cause, failure_text
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from tests.integration.login import FIRST, Login, login_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Sandbox

pytestmark = pytest.mark.sandbox


@pytest.fixture
def login(cluster: Sandbox, tmp_path: Path) -> Iterator[Login]:
    with login_on(cluster, tmp_path) as login:
        yield login


def end(login: Login, job: SubmittedJob) -> tuple[str, str]:
    """Wait for a job as a task does; return state and exit code, and what a failed task shows."""

    async def wait() -> tuple[str, str]:
        status = await asyncio.wait_for(Monitor(login.client, interval=0.5).wait(job), 240)
        log = ["", *(await login.client.log_tail(job, status)).splitlines()]
        text = failure_text(job, replace(status, cause=failure_cause(status, log)), log)
        return f"{status.text} {status.exit_code}", text

    return asyncio.run(wait())


def run(login: Login, command: str, *setup: str, **changes: Any) -> tuple[str, str]:
    """Run a job; return its state and exit code, and what a failed task shows."""
    request = login.request(command, setup=setup, **changes)
    return end(login, submitted_job(request, login.submit(request)))


def test_each_kind_of_setup_acts_on_the_command(login: Login) -> None:
    folder = login.folder / "it's mine"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (folder / "conda.sh").write_text("conda() { CONDA_PREFIX=/envs/$2; export CONDA_PREFIX; }\n")
    profile = login.folder / "profile"
    profile.write_text(
        "PATH=/lost\nEDITION=site\numask 077\nmodule() { export LOADED=$2; }\nexport NEW=1 PATH EDITION\n"
    )
    login.edits = {"/etc/profile": str(profile)}
    state, text = run(
        login,
        'python -c "import sys; print(sys.prefix)" > out; echo "$LOADED $CONDA_PREFIX $EDITION $NEW $# $PWD" >> out; '
        'umask >> out; greet "$HEARD" >> out; exit 7',
        f'cd "{folder}"',
        "module load cuda/12",
        ". ./conda.sh",
        "conda activate torch",
        "source venv/bin/activate",
        "greet() { echo hello $1; }",
        "read -r HEARD <<END\n$(echo 'y \"z\"')\nEND",
        env={"EDITION": "mine"},
    )
    assert state == "FAILED 7:0", text
    assert (folder / "out").read_text().splitlines() == [
        f"{folder}/venv",
        f"cuda/12 /envs/torch mine 1 0 {folder}",
        "0022",
        'hello y "z"',
    ]


def test_etc_profile_is_left_alone_where_module_is_a_function(login: Login) -> None:
    profile = login.folder / "profile"
    profile.write_text("export NEW=1\n")
    login.edits = {"/etc/profile": str(profile)}
    login.shell = "bash"  # dash drops functions of the environment
    login.environment = {"BASH_FUNC_module%%": "() { export LOADED=$2; }"}
    out = login.folder / "out"
    assert run(login, f'echo "$LOADED ${{NEW-none}}" > {out}', "module load cuda")[0] == "COMPLETED 0:0"
    assert out.read_text() == "cuda none\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("module load nothing", "exit status 127: module load nothing"),
        ("if true; then\n  false\nfi\ntrue", "exit status 1: false"),
        ("exec true", "exit status 0: a line replaced the shell, as exec does, and the command did not run"),
        pytest.param("exit 0", "exit status 0: exit 0", marks=pytest.mark.all),
        pytest.param("if true", "exit status 2: if true", marks=pytest.mark.all),
        pytest.param("(exit 3)\n# it's %s $(touch ran)", "exit status 3: (exit 3)", marks=pytest.mark.all),
    ],
)
def test_a_line_that_fails_ends_the_job_and_is_what_its_task_shows_first(login: Login, line: str, said: str) -> None:
    login.edits = {"/etc/profile": "/nowhere"}
    ran = login.folder / "ran"
    state, text = run(login, f"touch {ran}", "true", line, f"touch {ran}")
    assert (state, ran.exists()) == ("FAILED 78:0", False), text
    first, second, *_ = text.splitlines()
    assert first.replace("setup line 2", "setup") == f"setup failed with {said}"
    assert second.startswith("Job ")
    assert " ended as FAILED" in second


def test_a_line_that_takes_the_path_away_fails_no_job(login: Login) -> None:
    assert run(login, ":", "PATH=/nowhere")[0] == "COMPLETED 0:0"


def test_the_command_receives_the_jobs_signals_itself(login: Login) -> None:
    out = login.folder / "out"
    program = (
        f"import signal, sys; signal.signal(15, lambda *_: (print('saved', file=open({str(out)!r}, 'w')), sys.exit())); "
        f"open({str(out)!r}, 'w'); signal.pause()"
    )
    (login.folder / "train.py").write_text(program)
    request = login.request(f"{sys.executable} {login.folder}/train.py", setup=["export A=1"])
    job = submitted_job(request, login.submit(request))
    login.wait_for(job.job_id, "RUNNING")
    while not out.exists():
        asyncio.run(asyncio.sleep(0.2))
    login.box.slurm("scancel", "--batch", "--signal=TERM", job.job_id)
    assert end(login, job)[0] == "COMPLETED 0:0"
    assert out.read_text() == "saved\n"


@pytest.mark.all
def test_a_job_cancelled_during_its_setup_is_cancelled(login: Login) -> None:
    request = login.request("true", setup=["exec 2>&1", "sleep 600"])
    job = submitted_job(request, login.submit(request))
    login.wait_for(job.job_id, "RUNNING")
    asyncio.run(login.client.cancel(job))
    assert end(login, job)[0].startswith("CANCELLED")


def test_elements_of_an_array_have_setup(login: Login) -> None:
    def element(number: int) -> JobRequest:
        name = f"a_{number}"
        return login.request(
            f'echo "$A" > {login.folder}/{name}', name=name, setup=[f"A='{name} \"$\"'"], array=True, index=number
        )

    requests = [element(1), element(2)]
    attempts = [replace(FIRST, map_index=number, id=f"01-{number}") for number in (1, 2)]
    jobs = asyncio.run(login.client.submit_array(list(zip(requests, attempts, strict=True))))
    for number, job in enumerate(jobs, start=1):
        assert isinstance(job, SubmittedJob), job
        assert end(login, job)[0] == "COMPLETED 0:0"
        assert (login.folder / f"a_{number}").read_text() == f'a_{number} "$"\n'


def test_a_batch_script_finds_the_lines_in_setup_command(login: Login) -> None:
    script = login.folder / "ray.sub"
    script.write_text(f'#!/bin/bash\nprintf "%s|%s" "$SETUP_COMMAND" "$COMMAND" > {login.folder}/out\n')
    assert run(login, "train", "it's", "b\nc", batch_script=str(script), script="")[0] == "COMPLETED 0:0"
    assert (login.folder / "out").read_text() == "it's\nb\nc|train"
