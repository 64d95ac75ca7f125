"""Hostile values in every place that reaches a shell, in real shells: they arrive as they are, and nothing else runs.

Slurm's commands are small recorders here, since what counts is what the shell makes of our text; real Slurm gets
hostile values in tests/integration/test_jobs.py. 12,000 values, and 300 whole scripts.
"""

from __future__ import annotations

import os
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_sweep.slurm import commands
from slurm_sweep.slurm.job import Attempt, JobRequest

NASTY = st.sampled_from(
    [
        "$(touch x)",
        "`touch x`",
        "'; touch x; '",
        '"; touch x; "',
        "\\",
        "\n touch x\n",
        "-rf",
        "*",
        "~",
        "!x",
        "%j",
        "a|b",
        "\r",
        "é\u2028",
    ]
)
TEXT = st.lists(
    NASTY | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12), max_size=3
).map("".join)
# A directory's name: no slash, and none of the two that every directory has.
FOLDER = TEXT.map(lambda text: text.replace("/", "").replace("\n", "")[:40]).filter(
    lambda name: name not in ("", ".", "..")
)
BATCH = 100  # values handed to one shell: what counts are values, not processes
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
some = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(shell: str, script: str, folder: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    path = f"{folder}/bin:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-s"],
        input=script.encode(),
        cwd=folder,
        capture_output=True,
        check=False,
        env={"PATH": path, "HOME": folder, "LC_ALL": "C.UTF-8", **environment},
    )
    assert not (Path(folder) / "x").exists(), "something was executed"
    return done


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    with TemporaryDirectory(prefix="h") as folder:
        programs = Path(folder) / "bin"
        programs.mkdir()
        for name, prints in {"sbatch": "echo 7", "squeue": ":", "scancel": ":", "sacct": ":", "scontrol": ":"}.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nprintf "%s\\0" "$COMMAND" "$MINE" "$@" > "$HOME/{name}.args"\n{prints}\n')
            program.chmod(0o755)
        yield folder


@many
@given(values=st.lists(TEXT, min_size=BATCH, max_size=BATCH))
def test_a_quoted_value_is_one_word_and_itself(shell: str, folder: str, values: list[str]) -> None:
    """Through `shlex.quote`, inside our brace group, the only way by which values reach a shell."""
    done = run(shell, commands.script("printf '%s\\0' " + " ".join(map(quote, values))), folder)
    assert done.stdout.decode() == f"{commands.MARKER}\n" + "".join(f"{value}\0" for value in values)


def attempt(run_id: str = "r", task_id: str = "t") -> Attempt:
    return Attempt(dag_id="d", run_id=run_id, task_id=task_id, map_index=0, generation=0, try_number=1, id="01-1")


@some
@given(value=TEXT, name=FOLDER)
def test_a_submission_hands_on_what_it_was_given(shell: str, folder: str, value: str, name: str) -> None:
    with TemporaryDirectory(dir=folder) as parent:
        job = JobRequest(
            ssh_conn_id="c",
            name="n",
            command=value,
            run_dir=f"{parent}/{name}",
            script=value,
            env={"MINE": value},
            options={"comment": value},
        )
        done = run(shell, commands.submit(job, attempt(value, value)), folder)
        assert done.stdout.decode() == f"{commands.MARKER}\n7 submitted\n", done.stderr.decode()
        command, mine, *arguments = (Path(folder) / "sbatch.args").read_bytes().decode().split("\0")[:-1]
        assert (command, mine) == (value, value)
        assert arguments == commands.sbatch_argv(job)[1:]
        assert [path.name for path in Path(parent).iterdir()] == [name]
        again = run(shell, commands.submit(job, attempt(value, value)), folder)
        assert again.stdout.decode() == f"{commands.MARKER}\n7 again\n", again.stderr.decode()
        other = run(shell, commands.submit(job, replace(attempt(value + "_", value), id="02-1")), folder)
        assert other.returncode == commands.REFUSED, "another Dag run is never taken for it"


@some
@given(name=FOLDER, text=TEXT)
def test_files_are_read_by_any_name(shell: str, folder: str, name: str, text: str) -> None:
    with TemporaryDirectory(dir=folder) as parent:
        (Path(parent) / name).write_bytes(text.encode())
        done = run(shell, commands.read_files(parent, [f"./{name}", name]), folder)
        lines = done.stdout.decode().splitlines()[1:]
        assert [b64decode(line).decode() for line in lines] == [text, text]
        tail = run(shell, commands.tail(f"{parent}/{name}", 1000), folder)
        assert tail.stdout == f"{commands.MARKER}\n".encode() + text.encode()


@some
@given(job_ids=st.lists(TEXT, min_size=1, max_size=3), name=FOLDER)
def test_job_ids_and_run_directories_in_questions(shell: str, folder: str, job_ids: list[str], name: str) -> None:
    for script in (
        commands.sacct(job_ids),
        commands.scontrol(job_ids),
        commands.cancel(job_ids[0]),
        commands.outputs([f"/r/{name}"]),
        commands.exit_files([(job_id, f"/r/{name}") for job_id in job_ids]),
    ):
        assert run(shell, script, folder).stdout.decode().startswith(f"{commands.MARKER}\n")
    assert (Path(folder) / "scancel.args").read_bytes().decode().split("\0")[2:4] == ["--", job_ids[0]]


@pytest.mark.parametrize("name", ["A B", "A;touch x", "A=b", "1A", "", "A\n", "$(touch x)"])
def test_names_of_variables_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=r"^env: expected names of letters, digits and _, got"):
        JobRequest(ssh_conn_id="c", name="n", command="", run_dir="/r/a", env={name: ""})
    with pytest.raises(ValueError, match=r"^secrets: expected names of letters, digits and _, got"):
        JobRequest(ssh_conn_id="c", name="n", command="", run_dir="/r/a", secrets={name: "variable:a"})


@pytest.mark.parametrize(
    "name", ["output", "parsable", "array", "wrap", "job-name", "test-only", "Q", "a b", "", "a=b"]
)
def test_options_that_would_break_the_record_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^options: "):
        JobRequest(ssh_conn_id="c", name="n", command="", run_dir="/r/a", options={name: "1"})


@pytest.mark.parametrize("run_dir", ["r/a", "", "/", "/a\nb", "/a\0b", "/r/"])
def test_run_directories_are_absolute_and_one_line(run_dir: str) -> None:
    with pytest.raises(ValueError, match=r"^run_dir: expected an absolute path"):
        JobRequest(ssh_conn_id="c", name="n", command="", run_dir=run_dir)
