"""Values that try to be more than values: every one arrives as it was given, and nothing else is executed.

The shells are real; Slurm's commands are recorders (`login_shell`). Where it makes no difference, one shell takes
thousands of scripts, each in a subshell. `pytest tests/unit/slurm/test_hostile.py --hypothesis-show-statistics` counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st
from login_shell import SHELLS, Login, Shell

from airflow_slurm_sweep.names import COMBINATION, RECORD, STATE_DIR
from airflow_slurm_sweep.names import PARAMETERS as PARAMETERS_FILE
from airflow_slurm_sweep.slurm import ended, files, job_logs, queue
from airflow_slurm_sweep.slurm.arrays.script import submit_array
from airflow_slurm_sweep.slurm.attempt import Attempt, run_name
from airflow_slurm_sweep.slurm.exit_files import exit_files, read_exit_files
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.parameters import variable
from airflow_slurm_sweep.slurm.shell import END, MARKER, script
from airflow_slurm_sweep.slurm.submit import sbatch
from airflow_slurm_sweep.slurm.submit.answer import ExitStatus
from airflow_slurm_sweep.slurm.submit.script import SHELL_FUNCTIONS, submit_all, withdraw
from airflow_slurm_sweep.slurm.validation import OUR_OPTIONS
from airflow_slurm_sweep.sweep.settings import JobSettings
from tests.full import examples

CONTEXT = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)

NASTY = [
    "$(touch x)", "`touch x`", "'; touch x; '", '"; touch x; "', "& touch x &", "| touch x", "> x", "\\", "'", '"', "$", "`", "*",
    "?", "[!a]", "~", "-", "--", "-n", "--wrap=touch x", "%j", "%%", "%", "!", "#", "=", ";", "{", "}", "(", ")", "${HOME}", "$PWD",
    "$((1+1))", "END_OF_BATCH_SCRIPT", MARKER, "x withdrawn y", "job 1", "\x7f", "\x01", "\x81", "é", "雪", "\u2028", "\u202e",
    " ", "  ", "|", ",",
]  # fmt: skip
NASTY_TEXT = [
    *NASTY,
    "\n",
    "\r\n",
    "\ntouch x\n",
    "\nEND_OF_BATCH_SCRIPT\ntouch x\n",
    "\t",
    "\x1b[2J",
    "\nEOF\n",
    "\\\n",
]
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=8)
TEXT = st.builds("".join, st.tuples(st.sampled_from(NASTY_TEXT), ANY, st.sampled_from(["", *NASTY_TEXT])))
LINE = st.builds("".join, st.tuples(st.sampled_from([text for text in NASTY if text.isprintable()]), PRINTABLE))
FILE = LINE.map(lambda text: text.replace("/", "_")).filter(lambda name: name not in (".", ".."))
FOLDER = st.builds(lambda *names: "/" + "/".join(names).replace("\\", "_"), FILE, FILE)
ATTEMPTS = st.builds(
    lambda name, other, third, number: Attempt(
        dag_id=name, run_id=other, task_id=third, map_index=number - 1, try_number=number, id=name, installation=other
    ),
    *(TEXT, TEXT, TEXT, st.integers(0, 9)),
)
# Values as a sweep file can hold them: numbers, lists and mappings keep their types.
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
PARAMETERS = st.dictionaries(
    TEXT,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)),
    max_size=4,
).filter(lambda parameters: len(set(map(variable, parameters))) == len(parameters))
OPTIONS = ["comment", "qos", "constraint", "mail-user", "x"]


def job_of(
    texts: list[str], lines: list[str], parameters: dict[str, Any], run_dir: str, has_file: bool, number: int
) -> JobRequest:
    """Return a job with hostile values in all its fields."""
    return JobRequest(
        ssh_conn_id="c",
        name=lines[0].replace("/", "_"),
        command=texts[0],
        run_dir=run_dir,
        folders=("checkpoints", "wandb"),
        index=number or None,
        parameters=parameters,
        overrides=texts,
        workdir=lines[1] if number % 3 else None,
        inputs=lines[:number],
        script=texts[1],
        batch_script=lines[0] if has_file else None,
        time=lines[1],
        account=lines[1] + lines[0],
        partition=lines[0],
        container=texts[2],
        mounts=texts[1] + texts[2],
        env={"MINE": texts[0] + texts[1], f"MINE_{number}": texts[2]},
        options={OPTIONS[number]: lines[1], OPTIONS[number - 1]: has_file, OPTIONS[number - 2]: number},
        resume=has_file,
        max_parallel_jobs=number or None,
    )


JOBS = st.builds(
    job_of,
    *(st.lists(TEXT, min_size=3, max_size=3), st.lists(LINE, min_size=2, max_size=2), PARAMETERS),
    *(FOLDER, st.booleans(), st.integers(0, 4)),
)

# In place of the commands: each says what it was called with. `timeout` runs what follows its own three words.
FUNCTIONS = r"""
note() { printf '%s\0' "$#" "$@"; }
for_slurm() { note "$@"; }
scancel() { note "$@"; }
sacct() { note "$@"; }
scontrol() { note "$@"; }
squeue() { note "$@"; }
mkdir() { note mkdir "$@"; }
cd() { note cd "$@"; }
timeout() { shift 3; "$@"; }
sbatch() { note sbatch "$@"; /usr/bin/env -0; printf 'STDIN\0'; /usr/bin/cat; }
"""
# In place of record.sh: its variables.
STUB = r"""
refuse() { note refuse "$@"; }
begin() { :; }
make_folders() { :; }
open_record() { note "$run_dir" "$escaped_dir" "$output_format" "$run" "$task" "$try" "$ti" "$resume" "$parallel" "$gate"; }
decide() { :; }
submit() { call_sbatch; }
each() { m_1; }
"""

GOOD: dict[str, Any] = {"ssh_conn_id": "c", "name": "n", "command": "true", "run_dir": "/r"}
ATTEMPT = Attempt(dag_id="d", run_id="r", task_id="t", map_index=0, try_number=1, id="01-1", installation="a")


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(SHELLS[request.param], tmp_path_factory.mktemp("shell") / "home")
    yield shell
    shell.close()


@pytest.fixture(params=SHELLS)
def login(request: pytest.FixtureRequest, tmp_path: Path) -> Login:
    return Login(argv=SHELLS[request.param], folder=tmp_path / "login")


_numbers = count()


@pytest.fixture(scope="module", params=SHELLS)
def logins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make a new login node for each example."""
    root = tmp_path_factory.mktemp("logins")
    return lambda: Login(argv=SHELLS[request.param], folder=root / str(next(_numbers)))


def after_marker(said: str) -> str:
    marker, _, rest = said.partition("\n")
    assert marker == MARKER
    return rest


def notes(said: str) -> tuple[list[list[str]], str]:
    """Split what `note` printed into calls, and the rest behind them."""
    calls = []
    while said:
        width, _, rest = said.partition("\0")
        if not width.isdecimal():
            break
        *words, said = rest.split("\0", int(width))
        calls.append(words)
        if words[0] == "sbatch":
            break
    return calls, said


def check_sbatch(job: JobRequest, call: list[str], rest: str) -> None:
    assert call == sbatch.sbatch_argv(job)
    assert f"--output={job.run_dir.replace('%', '%%')}/logs/slurm-%j.out" in call
    entries, _, script = rest.partition("STDIN\0")
    environment = dict(entry.partition("=")[::2] for entry in entries.split("\0"))
    expected = {**job.env, "COMMAND": job.command, "BASE_LOG_DIR": job.run_dir, "WANDB_DIR": job.run_dir}
    expected |= {"CONTAINER": job.container or "", "MOUNTS": job.mounts or ""}
    assert {name: environment.get(name) for name in expected} == expected
    assert script == ("" if job.batch_script else job.script.removesuffix("\n") + "\n")


# One shell, thousands of scripts


@settings(CONTEXT, max_examples=examples(60))
@given(values=st.lists(TEXT, min_size=100, max_size=100))
def test_a_quoted_value_is_one_word_and_itself(shell: Shell, values: list[str]) -> None:
    """Through `shlex.quote`, inside our brace group, the only way by which values reach a shell."""
    text = script("printf '%s\\0' " + " ".join(map(quote, values)))
    assert after_marker(shell.run(text)) == "".join(f"{value}\0" for value in values)


@settings(CONTEXT, max_examples=examples(500))
@given(value=TEXT)
def test_cancel(shell: Shell, value: str) -> None:
    assert notes(after_marker(shell.run(queue.scancel([value]), FUNCTIONS)))[0] == [["--", value]]


@settings(CONTEXT, max_examples=examples(500))
@given(value=TEXT.map(lambda text: text.rstrip("\n")))
def test_lookups(shell: Shell, value: str) -> None:
    ids = ["7", value]
    (call,) = notes(after_marker(shell.run(ended.sacct(ids), FUNCTIONS)))[0]
    fields = ended.SACCT_FIELDS
    assert call == ["-X", "-n", "-P", "-o", fields, "-j", ",".join(ids)]
    # A variable cannot hold NUL: what is called is written with newlines around here.
    functions = f"""{FUNCTIONS}
scontrol() {{ [ "$#" = 4 ] && printf '%s' "<$1 $2 $3 $4>"; }}"""
    said = after_marker(shell.run(ended.scontrol(ids), functions))
    assert said == "".join(f"<--details show job {job_id}>\n\nasked {job_id}\n" for job_id in ids)


@settings(CONTEXT, max_examples=examples(100))
@given(folder=FOLDER)
def test_outputs(shell: Shell, folder: str) -> None:
    (call,) = notes(after_marker(shell.run(queue.outputs(folder), FUNCTIONS)))[0]
    assert call[:-1] == ["--array", "--me", "--all", "--states=all", "--noheader"]
    width = int(call[-1].removeprefix("--Format=JobArrayID:20,State:20,StdOut:"))
    assert width > len(f"{folder}/{255 * 'x'}/logs/slurm-%j.out".encode())


@settings(CONTEXT, max_examples=examples(300))
@given(job=JOBS)
def test_preview(shell: Shell, job: JobRequest) -> None:
    calls, rest = notes(shell.run(sbatch.preview(job), FUNCTIONS))
    folders = [f"{job.run_dir}/{name}" for name in ("logs", "checkpoints", "wandb", ".slurm_sweep")]
    assert calls[0] == ["mkdir", "-p", "--", *folders]
    assert calls[1:-1] == ([["cd", "--", arrived(job.workdir)]] if job.workdir else [])
    check_sbatch(job, calls[-1], rest)


def arrived(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


@settings(CONTEXT, max_examples=examples(300))
@given(job=JOBS, attempt=ATTEMPTS)
@example(job=JobRequest(**GOOD, script="END\nEé\nEND雪\n$batch_script\n"), attempt=ATTEMPT)
def test_submit(shell: Shell, job: JobRequest, attempt: Attempt) -> None:
    script = submit_all([(job, attempt)], "m").replace(SHELL_FUNCTIONS, STUB)
    calls, rest = notes(after_marker(shell.run(script, FUNCTIONS)))
    cd, *refused, values, sbatch = calls
    assert cd == (["cd", "--", arrived(job.workdir)] if job.workdir else ["cd"])
    inputs = [*job.inputs, *([job.batch_script] if job.batch_script else [])]
    missing = [
        f"no such file on the cluster: {file} (looked for from {shell.folder})"
        for file in inputs
        if file not in ("/", "~/")
    ]
    assert [text for _, text in refused] == [text for text in missing if not exists(shell, text)]
    run_dir, escaped, _, run, task, number, instance, resume, parallel, gate = values
    assert (run_dir, escaped, run, task) == (job.run_dir, job.run_dir.replace("%", "%%"), attempt.run, attempt.task)
    assert (number, instance) == (str(attempt.try_number), attempt.instance)
    assert (resume, parallel) == ("yes" if job.resume else "", str(job.max_parallel_jobs or ""))
    assert gate.startswith(f"{job.run_dir.rpartition('/')[0]}/.slurm_sweep/")
    check_sbatch(job, sbatch, rest)


def exists(shell: Shell, text: str) -> bool:
    """A path such as ``//`` exists."""
    return (shell.folder / text.removeprefix("no such file on the cluster: ").rpartition(" (looked")[0]).exists()


@settings(CONTEXT, max_examples=examples(200))
@given(job=JOBS, attempt=ATTEMPTS)
def test_withdraw(shell: Shell, job: JobRequest, attempt: Attempt) -> None:
    script = withdraw(job, attempt).replace(SHELL_FUNCTIONS, STUB).replace(") < /dev/null > /dev/null 2>&1 &", ")")
    (values,) = notes(after_marker(shell.run(script, f"{FUNCTIONS}\nwithdraw() {{ open_record; }}")))[0]
    assert (values[0], values[3:7]) == (
        job.run_dir,
        [attempt.run, attempt.task, str(attempt.try_number), attempt.instance],
    )


# Names of real files


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("tree")
    return lambda: root / str(next(_numbers))


@settings(CONTEXT, max_examples=examples(50))
@given(name=FILE, contents=st.dictionaries(FILE, st.binary(max_size=50), min_size=1, max_size=3))
@example(name="-", contents={"-": b"x", "-n": b""})
def test_read_files(shell: Shell, tree: Any, name: str, contents: dict[str, bytes]) -> None:
    root: Path = tree()
    (root / name).mkdir(parents=True)
    for file, content in contents.items():
        (root / name / file).write_bytes(content)
    wanted = [*contents, "not there"] if "not there" not in contents else list(contents)
    for directory, paths in ((str(root / name), wanted), (None, [f"{root}/{name}/{file}" for file in wanted])):
        lines = after_marker(shell.run(files.files(directory, paths))).splitlines()
        assert [None if line == "-" else b64decode(line) for line in lines] == [contents.get(file) for file in wanted]


@settings(CONTEXT, max_examples=examples(100))
@given(name=FILE, content=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_tail(shell: Shell, tree: Any, name: str, content: str) -> None:
    root: Path = tree()
    root.mkdir()
    (root / name).write_bytes(content.encode())
    words = f"65536 200 {quote(str(root / name))}"
    said = after_marker(shell.run(script(job_logs.TAIL, f"tail_log {words}")))
    assert b64decode(said).decode() == f"\n{content}"


@settings(CONTEXT, max_examples=examples(100))
@given(
    names=st.lists(FILE.map(lambda name: name.replace("\\", "_")), min_size=1, max_size=3, unique=True), content=TEXT
)
def test_exit_files_speak_for_their_own_job_only(shell: Shell, tree: Any, names: list[str], content: str) -> None:
    root: Path = tree()
    for number, name in enumerate(names):
        (root / name / ".slurm_sweep").mkdir(parents=True)
        text = "0 -\n" if number else content + "\r1 0 -\u20281 0 -\x851 0 -"
        (root / name / ".slurm_sweep" / f"{number}.exit").write_bytes(text.encode())
    asked = [(str(number), str(root / name)) for number, name in enumerate(names)]
    found = read_exit_files(after_marker(shell.run(exit_files(asked))))
    assert [found[job_id].exit_code for job_id, _ in asked[1:]] == ["0:0"] * (len(names) - 1)
    assert found.keys() <= {job_id for job_id, _ in asked}


# The whole of record.sh, with every command that it calls written down


def combination_files(job: JobRequest, attempt: Attempt) -> set[str]:
    """Check what the run directory says of the combination; return the names of the files."""
    if job.index is None:
        return set()
    parameters, combination = (
        json.loads((Path(job.run_dir) / name).read_bytes()) for name in (PARAMETERS_FILE, COMBINATION)
    )
    assert list(parameters.items()) == list(job.parameters.items()), "in the order of the sweep file"
    assert parameters == combination["parameters"] == job.parameters
    assert repr(parameters) == repr(job.parameters), "1 is no True, 1.0 no 1"
    assert combination["index"] == job.index
    assert combination["run"] == {
        "airflow": attempt.installation,
        "dag_id": attempt.dag_id,
        "run_id": attempt.run_id,
    }
    assert combination["task"] == {"task_id": attempt.task_id, "map_index": attempt.map_index}
    assert combination["overrides"] == list(job.overrides)
    return {PARAMETERS_FILE, COMBINATION}


@settings(CONTEXT, max_examples=examples(25))
@given(job=JOBS, attempt=ATTEMPTS, other=ATTEMPTS, names=st.tuples(FILE, FILE, FILE, FILE, FILE))
def test_a_record_is_read_back_and_never_taken_for_another_attempts(
    logins: Any, job: JobRequest, attempt: Attempt, other: Attempt, names: tuple[str, ...]
) -> None:
    assume((attempt.run, attempt.task) != (other.run, other.task))
    login: Login = logins()
    above, run_dir, workdir, file, script = names
    root = login.folder / "work"
    (root / workdir).mkdir(parents=True)
    for name in (file, script):
        (root / workdir / name).touch()
    folders = f"{login.folder}/runs/{above}/{run_dir}".replace("\\", "_")
    batch_script = None if job.batch_script is None else script
    job = replace(
        job, run_dir=folders, workdir=str(root / workdir), inputs=[file], batch_script=batch_script, resume=False
    )
    for answer in ("submitted", "again"):
        assert login.submit(job, attempt) == (0, f"7 {answer}")
    record = (Path(folders) / RECORD).read_text().split("\n")
    assert record[:4] == [
        f"run {attempt.run}",
        f"task {attempt.task}",
        f"attempt {attempt.try_number} {attempt.instance}",
        "job 7",
    ]
    status, text = login.submit(job, other)
    assert status == ExitStatus.REFUSED
    if attempt.installation != other.installation:
        whose = "a Dag run"
    else:
        whose = "another Dag run" if attempt.run != other.run else "another task of this Dag run"
    assert f"the run directory {folders} belongs to {whose} (" in text
    assert login.calls("sbatch") == [sbatch.sbatch_argv(job)[1:]], "once"
    expected = sbatch.environment(job)
    assert {name: login.environment[name] for name in expected} == expected
    assert (login.folder / "stdin").read_bytes().decode() == (
        "" if batch_script else job.script.removesuffix("\n") + "\n"
    )
    made = {str(path.relative_to(folders)) for path in Path(folders).rglob("*")}
    expected_files = combination_files(job, attempt)
    assert made == {"checkpoints", "logs", "wandb", ".slurm_sweep", ".slurm_sweep/record"} | expected_files


@settings(CONTEXT, max_examples=examples(8))
@given(job=JOBS, attempt=ATTEMPTS, name=FILE)
def test_withdrawing_cancels_that_attempts_job_only(logins: Any, job: JobRequest, attempt: Attempt, name: str) -> None:
    login: Login = logins()
    folder = f"{login.folder}/cluster/{name}".replace("\\", "_")
    job = replace(job, run_dir=folder, workdir=None, inputs=(), batch_script=None)
    assert login.submit(job, attempt) == (0, "7 submitted")
    other = replace(attempt, try_number=attempt.try_number + 1, id=f"{attempt.id} 2")
    for withdrawn, expected in ((other, []), (attempt, [["--", "7"]])):
        assert login.run(withdraw(job, withdrawn)).stdout == f"{MARKER}\n{END}\n"
        line = f"withdrawn {withdrawn.run} {withdrawn.task} {withdrawn.try_number} {withdrawn.instance}\n"
        end = time.monotonic() + 10
        while line not in (Path(folder) / RECORD).read_text() or login.calls("scancel") != expected:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert login.submit(job, attempt) == (ExitStatus.REFUSED, "this attempt was withdrawn: its task was killed")


# Arrays


@settings(CONTEXT, max_examples=examples(15))
@given(job=JOBS, attempt=ATTEMPTS, names=st.tuples(FILE, FILE), comment=LINE)
def test_each_element_of_an_array_finds_its_own_values_and_sbatch_sees_none(
    logins: Any, job: JobRequest, attempt: Attempt, names: tuple[str, str], comment: str
) -> None:
    login: Login = logins()
    folder = f"{login.folder}/runs/{'/'.join(names)}".replace("\\", "_")
    changes: dict[str, Any] = {"workdir": None, "inputs": (), "batch_script": None, "max_parallel_jobs": None}
    script = f"#!/bin/sh -u\n\n # {comment}\n#{comment}\nenv -0\n# {comment}\n"
    group = []
    for number in (3, 12):
        env = {**job.env, "KEY": f"s3cret\n{job.command}{number}"}
        each = replace(job, **changes, name=f"n_{number}", run_dir=f"{folder}_{number}", script=script, env=env)
        group.append((each, replace(attempt, map_index=number)))
    for answer in ("submitted", "again"):
        done = login.run(submit_array(group, "m"))
        assert (done.stderr, done.stdout) == (
            "",
            f"{MARKER}\nm 1 0\n7_3 {answer}\nm 2 0\n7_12 {answer}\n{END}\n",
        )
    (argv,) = login.calls("sbatch")
    assert argv[-1] == "--array=3,12"
    assert f"--output={folder.replace('%', '%%')}_%a/logs/slurm-%A_%a.out" in argv
    batch = (login.folder / "stdin").read_bytes()
    assert batch.endswith(f"\nenv -0\n# {comment}\n".encode())
    assert batch.startswith(f"#!/bin/sh -u\n\n # {comment}\n#{comment}\n# From here".encode())
    assert "s3cret" not in f"{login.calls()} {login.environment} {batch!r}"
    for each, element_attempt in group:
        environment = {"PATH": "/usr/bin:/bin", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": each.name[2:]}
        ran = subprocess.run(login.argv, input=batch, capture_output=True, cwd=login.folder / "home", env=environment)  # noqa: PLW1510
        assert (ran.returncode, ran.stderr) == (0, b"")
        found = dict(entry.partition("=")[::2] for entry in ran.stdout.decode().split("\0"))
        expected = {**sbatch.environment(each), "SLURM_JOB_NAME": each.name}
        assert {name: found.get(name) for name in expected} == expected
        made = {str(path.relative_to(each.run_dir)) for path in Path(each.run_dir).rglob("*")}
        assert made == {
            "checkpoints",
            "logs",
            "wandb",
            *(f".slurm_sweep{name}" for name in ("", "/record", "/environment")),
            *combination_files(each, element_attempt),
        }
    assert os.listdir(login.folder / "home") == []  # noqa: PTH208


def test_an_elements_file_is_made_anew_never_through_a_link(login: Login) -> None:
    victim = login.folder / "victim"
    victim.write_text("mine")
    jobs = [
        JobRequest(**{**GOOD, "name": f"n{n}", "run_dir": f"{login.folder}/runs/n{n}", "script": "#!/bin/sh\n"})
        for n in (1, 2)
    ]
    state = Path(jobs[0].run_dir) / STATE_DIR
    state.mkdir(parents=True)
    (state / "environment").symlink_to(victim)
    login.run(submit_array([(job, replace(ATTEMPT, map_index=n)) for n, job in enumerate(jobs)], "m"))
    assert victim.read_text() == "mine"
    assert not (state / "environment").is_symlink()
    assert (state / "environment").stat().st_mode & 0o777 == 0o600


# Plain Python


@settings(CONTEXT, max_examples=examples(500))
@given(data=st.data())
@example(data=None)
def test_two_attempts_never_have_the_same_name(data: Any) -> None:
    letters = st.text(st.sampled_from(" ab%2\n\t0/é\u2028"), min_size=1, max_size=4)
    one, two = (
        (("a b", "c", "d"), ("a", "b c", "d"))
        if data is None
        else data.draw(st.tuples(*[st.tuples(letters, letters, letters)] * 2))
    )
    names = [run_name(*ids) for ids in (one, two)]
    assert (names[0] == names[1]) is (one == two)
    assert all(len(name.split(" ")) == 3 and name.isascii() and name.isprintable() for name in names)
    assert not names[0].startswith(f"{names[1]} "), "no name begins with another"


def test_ordinary_names_stay_as_they_are() -> None:
    assert (
        run_name("node-1a2b3c", "grpo-a.b_c", "manual__2026-01-31T00:00:00.5+00:00")
        == "node-1a2b3c grpo-a.b_c manual__2026-01-31T00:00:00.5+00:00"
    )


# What is refused where a job is built, and with it what comes as JSON


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "a\nb"}, r"^name: expected printable text without slashes, got 'a\\nb'$"),
        ({"name": "../a"}, r"^name: "),
        ({"name": ""}, r"^name: "),
        *[({"run_dir": path}, r"^run_dir: expected an absolute path") for path in ("r", "", "/", "/r/", "/a\n", "/a\0", "/a\\b", "/a\u2028")],
        ({"workdir": "a\n"}, r"^workdir: "),
        ({"batch_script": ""}, r"^batch_script: "),
        ({"inputs": ["a", "b\n"]}, r"^inputs: expected printable paths, got 'b\\n'$"),
        ({"script": "a\0"}, r"^script: "),
        ({"command": "a\0"}, r"^env: COMMAND: expected UTF-8 text without NUL"),
        ({"command": "\ud800"}, r"^env: COMMAND: "),
        ({"command": "x" * 2**17}, r"^env: COMMAND: .*at most 131071 bytes"),
        ({"nodes": "1; touch x"}, r"^nodes: expected a whole number from 1, got '1; touch x'$"),
        ({"gpus_per_node": -1}, r"^gpus_per_node: "),
        ({"max_parallel_jobs": 0}, r"^max_parallel_jobs: expected a whole number from 1, or None, got 0$"),
        *[({"env": {name: "x"}}, rf"^expected the name of an environment variable, got {name!r}$") for name in ("1A", "A B", "A;touch", "")],
        ({"env": {"A=$(touch x)": "x"}}, r"^expected the name of an environment variable"),
        ({"env": {"SBATCH_EXPORT": "NONE"}}, r"^the variable 'SBATCH_EXPORT' is reserved"),
        ({"secrets": {"A;B": "variable:x"}}, r"^expected the name of an environment variable, got 'A;B'$"),
        *[({"secrets": {"A": reference}}, r"^secrets: A: expected variable:NAME") for reference in ("x", "variable:", "variable:a\ntouch x")],
        *[({"options": {name: "x"}}, r"^expected the long name of an sbatch option") for name in ("", "-x", "a b", "A", "a=b", "a\n")],
        *[({"options": {name: "x"}}, rf"^options: expected an option other than {name}") for name in sorted(OUR_OPTIONS)],
        *[({"options": {name: "x"}}, r"^options: expected an option other than ") for name in ("arr", "wra", "outp", "cluster", "pars", "t")],
        ({"options": {"comment": "a\n   JobState=COMPLETED"}}, r"^expected printable text as the value of 'comment'"),
    ],
)  # fmt: skip
def test_a_job_request_with_impossible_values_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        JobRequest.from_json({**GOOD, **values})


def test_the_message_keeps_a_secret() -> None:
    with pytest.raises(ValueError, match=r"^env: A: ") as caught:
        JobRequest(**GOOD, env={"A": "s3cret\0"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [{"job_id": "-u root"}, {"job_id": "7\n8"}, {"job_id": ""}, {"run_dir": "r"}, {"log_path": "-"}]
)
def test_a_submitted_job_with_an_impossible_id_or_path_is_refused(values: dict[str, str]) -> None:
    good = {"ssh_conn_id": "c", "job_id": "7", "job_name": "n", "run_dir": "/r", "log_path": "/r/l"}
    assert SubmittedJob.from_json({**good, "job_id": "7_3"}), "an array's job, from elsewhere"
    with pytest.raises(ValueError, match=f"^{next(iter(values))}: expected "):
        SubmittedJob.from_json({**good, **values})


@pytest.mark.parametrize("name", sorted(OUR_OPTIONS))
def test_a_sweep_file_is_refused_what_a_job_is(name: str) -> None:
    with pytest.raises(ValueError, match=f"the option '{name}' is reserved"):
        JobSettings(sbatch={name: "x"})


# What others may have written


@pytest.mark.parametrize("place", ["job", "jobs", "attempt", "run", "task", "withdrawn"])
@pytest.mark.parametrize("text", ["x/x/;e touch x;#", "x/x/w x", "$(touch x)", "7 -u root", "--user=root", "7\nrun d"])
def test_a_record_that_somebody_else_wrote_is_only_read(login: Login, place: str, text: str) -> None:
    attempt = replace(ATTEMPT, try_number=2)
    job = JobRequest(**{**GOOD, "run_dir": f"{login.folder}/runs/a", "script": "#!/bin/sh\n", "max_parallel_jobs": 1})
    lines = {
        "run": "a d r",
        "task": "t 0",
        "attempt": "1 00-1",
        "job": "3",
        "jobs": "",
        "withdrawn": "",
        "end": "",
        place: text,
    }
    record = Path(job.run_dir) / RECORD
    record.parent.mkdir(parents=True)
    record.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
    login.answer(
        "squeue", f"3 RUNNING {job.run_dir}/logs/slurm-3.out\n4_[1-2] PENDING {job.run_dir}/logs/slurm-%j.out\n"
    )
    login.submit(job, attempt)
    assert all(call == ["--", "3"] for call in login.calls("scancel")), "one's own job in there, and no other words"
    assert not list((login.folder / "runs").rglob("x*"))


def test_a_run_directory_with_blanks_at_its_end_counts_as_a_parallel_job(login: Login) -> None:
    jobs = [
        JobRequest(**{**GOOD, "run_dir": f"{login.folder}/runs/{name}", "max_parallel_jobs": 1}) for name in ("a ", "b")
    ]
    login.submit(jobs[0], ATTEMPT)
    login.answer("squeue", f"7 RUNNING {jobs[0].run_dir}/logs/slurm-7.out\n")
    assert login.submit(jobs[1], replace(ATTEMPT, map_index=1))[0] == ExitStatus.FULL


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_only_files_are_shown_as_logs(login: Login, tmp_path: Path, kind: str) -> None:
    """Or whoever may write into the log directory would be shown the account's other files."""
    (tmp_path / "key").write_text("s3cret")
    log = tmp_path / "slurm-7.out"
    {"link": lambda: log.symlink_to("key"), "fifo": lambda: os.mkfifo(log), "folder": log.mkdir}[kind]()  # type: ignore[no-untyped-call]
    done = login.run(script(job_logs.TAIL, f"tail_log 65536 50 {quote(str(log))}"))
    _, _, said = done.stdout.removesuffix(f"{END}\n").partition(f"{MARKER}\n")
    assert (job_logs.read_tail(said), done.stderr) == (("", f"{log} is no regular file; it is not read"), "")


def test_an_environment_shows_in_no_command_line_and_no_file(login: Login) -> None:
    """Also not for a moment: every command that the script runs was written down."""
    values = {**GOOD, "run_dir": f"{login.folder}/runs/a", "script": "#!/bin/sh\n", "max_parallel_jobs": 1}
    job = JobRequest(**values, env={"KEY": "s3cret"})
    _, text = login.submit(job, ATTEMPT)
    assert login.environment["KEY"] == "s3cret"
    assert {call[0] for call in login.calls()} >= {"timeout", "sbatch", "cat", "mv", "squeue"}
    files = [path.read_text() for path in (login.folder / "runs").rglob("*") if path.is_file()]
    assert "s3cret" not in f"{login.calls()} {files} {text}"
