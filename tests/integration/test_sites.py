"""What sites do to a login, and what a cluster answers then: docs/sites.md has the list. Real shells, a real Slurm."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError, NotYetError
from airflow_slurm_sweep.names import RECORD, STATE_DIR
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.shell import COMMAND, Completed, Site
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from sandbox.processes import wait_until
from tests.integration.login import CLEARED, FIRST, SITE, Login, login_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

pytestmark = pytest.mark.sandbox

# Each of them alone makes a command of Slurm's do something else.
HABITS = {
    "SBATCH_ARRAY_INX": "0-2",
    "SBATCH_DEBUG": "3",
    "SBATCH_ERROR": "/dev/null",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_GRES": "gpu:3",
    "SBATCH_INPUT": "/nowhere",
    "SBATCH_OPEN_MODE": "append",
    "SBATCH_SIGNAL": "B:KILL@600",
    "SBATCH_WAIT": "1",
    "SCANCEL_INTERACTIVE": "1",
    "SCANCEL_STATE": "PENDING",
    "SCONTROL_FUTURE": "1",
    "SLURM_EXIT_ERROR": "0",
    "SLURM_NTASKS": "64",
    "SLURM_JOB_ID": "1",
    "SQUEUE_NAMES": "other",
    "SQUEUE_PARTITION": "other",
    "SQUEUE_STATES": "FAILED",
}
COMMANDS = (
    "sbatch", "squeue", "scancel", "sacct", "scontrol", "timeout", "base64", "cat", "date", "env", "head", "id", "kill", "ln",
    "mkdir", "mv", "readlink", "rm", "sed", "sleep", "sort", "stat", "sync", "tail", "test", "tr", "cd", "command", "echo",
    "printf", "read", "true", "umask", "wait",
)  # fmt: skip


def variations(name: str, values: dict[str, Any]) -> pytest.MarkDecorator:
    """Test the first one always, the others with scripts/test --all."""
    marks: list[Any] = [(), *[pytest.mark.all] * (len(values) - 1)]
    return pytest.mark.parametrize(
        name,
        [pytest.param(value, id=key, marks=mark) for (key, value), mark in zip(values.items(), marks, strict=True)],
    )


@pytest.fixture
def login(cluster: Sandbox, tmp_path: Path) -> Iterator[Login]:
    with login_on(cluster, tmp_path) as login:
        yield login


def job_of(login: Login, job_id: str, name: str = "job") -> SubmittedJob:
    return submitted_job(login.request(name=name), job_id)


def end_of(login: Login, job_id: str, **settings: Any) -> str:
    """Wait for a job as a task does; return its state, exit code and source."""

    async def wait() -> str:
        status = await Monitor(login.client, interval=0.5, **settings).wait(job_of(login, job_id))
        return f"{status.text} {status.exit_code} {status.source}"

    return asyncio.run(wait())


# The login's environment


def test_variables_of_the_login_change_nothing(login: Login) -> None:
    login.environment = HABITS
    first = login.submit(login.request("touch ran; exit 3"))
    assert end_of(login, first).startswith("FAILED 3:0")
    assert (Path(str(login.box.profile["workdir"])) / "ran").exists() or list(Path.home().glob("ran"))


def test_a_clear_leaves_one_live_job_whatever_the_login_hides(login: Login) -> None:
    login.environment = HABITS
    first = login.submit(login.request())
    second = login.submit_when_possible(login.request(), CLEARED)
    assert second != first
    assert login.live() == [second]
    asyncio.run(login.client.cancel(job_of(login, second)))
    login.wait_for(second, "CANCELLED")


@pytest.mark.parametrize("shell", ["bash"])
def test_functions_and_options_of_the_login_change_nothing(login: Login, shell: str) -> None:
    """Exported functions reach an `sh` that is bash, and so do SHELLOPTS and BASHOPTS."""
    login.shell = shell
    functions = {f"BASH_FUNC_{name}%%": f"() {{ echo {name} of the site; return 3; }}" for name in COMMANDS}
    options = {
        "SHELLOPTS": "errexit:noclobber:noglob:nounset:pipefail:posix",
        "BASHOPTS": "failglob:nocasematch:nullglob:xpg_echo",
        "CDPATH": "/",
        "GLOBIGNORE": "*",
        "POSIXLY_CORRECT": "1",
    }
    login.environment = {**functions, **options, "BASH_FUNC_module%%": "() { echo module; }"}
    first = login.submit(login.request("declare -F module && sleep 600"))
    login.wait_for(first, "RUNNING")
    second = login.submit_when_possible(login.request("true"), CLEARED)
    assert end_of(login, second).startswith("COMPLETED")


STARTUP = {
    "bash": ".bashrc",
    "zsh": ".zshenv",
    "tcsh": ".tcshrc",
    "fish": ".config/fish/config.fish",
    "dash": ".profile",
}


class LoginShell(Login):
    """A login whose account has another shell, as sshd starts it, with a start-up file."""

    def start(self, shell: str, startup: str) -> None:
        self.shell = shell
        file = self.folder / STARTUP[shell]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(startup + "\n")

    async def run(self, script: str) -> Completed:
        env = {**os.environ, **self.box.environment, "HOME": str(self.folder), **self.environment}
        # sshd's bash reads ~/.bashrc where it thinks that a network started it.
        argv = [self.shell, "-c", f". ~/.bashrc; {COMMAND}" if self.shell == "bash" else COMMAND]
        done = subprocess.run(argv, input=script.encode(), env=env, capture_output=True, check=False)
        return Completed(exit_status=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode())


@pytest.fixture
def account(cluster: Sandbox, tmp_path: Path) -> Iterator[LoginShell]:
    login = LoginShell(box=cluster, folder=tmp_path)
    yield login
    cluster.slurm("scancel", *login.live(), check=False)


@pytest.mark.parametrize(
    ("shell", "startup"),
    [
        ("bash", "alias sh=false squeue=false\nsh() { false; }\nset -efu"),
        ("dash", "false"),
        ("zsh", "alias sh=false squeue=false\nsetopt no_nomatch\necho welcome"),
        ("tcsh", "alias sh false\nalias squeue false\nset noglob\necho welcome"),
        ("fish", "function sh; false; end\necho welcome"),
    ],
)
def test_any_shell_of_the_account_will_do(account: LoginShell, shell: str, startup: str) -> None:
    account.start(shell, startup)
    job = account.submit(account.request())
    assert account.live() == [job]


def test_a_start_up_file_that_replaces_the_shell_is_named(account: LoginShell) -> None:
    account.start("bash", "exec zsh")
    with pytest.raises(ClusterRefusedError, match="a start-up file of the login replaces the shell"):
        account.submit(account.request())


# login_setup, and the PATH of jobs


def hide_slurm(login: Login) -> str:
    """Leave Slurm's commands off the login's PATH; return the folder where they are."""
    tools, slurm = login.folder / "tools", login.folder / "opt" / "slurm"
    for folder in (tools, slurm):
        folder.mkdir(parents=True)
    for name in os.listdir("/usr/bin"):  # noqa: PTH208
        is_slurm = name.startswith(("s", "sb")) and name in ("sbatch", "squeue", "scancel", "sacct", "scontrol", "srun")
        ((slurm if is_slurm else tools) / name).symlink_to(f"/usr/bin/{name}")
    login.environment = {"PATH": str(tools)}
    return str(slurm)


def test_login_setup_finds_slurm_and_the_jobs_path_does_not(login: Login) -> None:
    slurm = hide_slurm(login)
    profile = login.folder / "profile"
    profile.write_text("only=(for bash)\n")
    login.edits = {"/etc/profile": str(profile)}
    with pytest.raises(ClusterRefusedError, match="sbatch is not on the PATH of this login; set login_setup"):
        login.submit(login.request())
    login.site = replace(SITE, login_setup=("module() { PATH=$PATH:$2; }", f"module load {slurm}", "set -efu"))
    job = login.submit(login.request("echo $PATH > path; exec sleep 600", env={"PATH": "/usr/bin:/mine"}))
    assert login.live() == [job]


def test_a_line_of_login_setup_that_fails_is_named(login: Login) -> None:
    login.site = replace(SITE, login_setup=("true", "module load nothing"))
    with pytest.raises(ClusterRefusedError, match="login_setup, line 2: exit status 127: module load nothing"):
        login.submit(login.request())
    login.site = replace(SITE, login_setup=("only=(for bash)",))
    with pytest.raises(ClusterRefusedError, match="login_setup, line 1: exit status 2: only="):
        login.submit(login.request())


@pytest.mark.all
def test_a_job_whose_libraries_stop_sbatch_is_refused_with_the_variable(login: Login) -> None:
    (login.folder / "libc.so.6").touch()
    request = login.request(env={"LD_LIBRARY_PATH": str(login.folder)})
    with pytest.raises(ClusterRefusedError, match=r"file too short; sbatch itself also runs with LD_LIBRARY_PATH of"):
        login.submit(request)
    path = f"export LD_LIBRARY_PATH={login.folder}"
    assert login.submit(replace(request, env={}, setup=[path])) in login.live()


# Answers that deserve no trust

SQUEUES = {
    "filtered": "exit 0",
    "cut": "real | head -c 40",
    "stale": '[ "$(find "$BIN/cache" -newermt "-5 seconds" 2>&1)" = "$BIN/cache" ] || real "$@" > "$BIN/cache"; cat "$BIN/cache"',
}


@variations("squeue", SQUEUES)
def test_a_clear_does_not_trust_squeue_alone(login: Login, squeue: str) -> None:
    first = login.submit(login.request())
    login.wait_for(first, "RUNNING")
    login.wrap("squeue", squeue)
    second = login.submit_when_possible(login.request(), CLEARED)
    assert login.live() == [second]


@variations("squeue", SQUEUES)
def test_max_parallel_jobs_does_not_trust_squeue_alone(login: Login, squeue: str) -> None:
    login.submit(login.request(name="a_1", max_parallel_jobs=1))
    login.wrap("squeue", squeue)
    with pytest.raises(NotYetError, match="1 jobs of this run are live, max_parallel_jobs is 1"):
        login.submit(login.request(name="a_2", max_parallel_jobs=1), replace(FIRST, map_index=1, id="01-3"))


def test_a_withdrawn_submission_without_a_job_leaves_its_place_to_the_next(login: Login) -> None:
    first, second = (login.request(name=name, max_parallel_jobs=1) for name in ("a_1", "a_2"))
    sbatch = login.wrap("sbatch", 'echo "sbatch: error: Socket timed out" >&2; exit 1')
    with pytest.raises(ClusterUnavailableError):
        login.submit(first)
    sbatch.unlink()
    with pytest.raises(NotYetError, match="1 jobs of this run are live"):
        login.submit(second, replace(FIRST, map_index=1))
    login.withdraw(first)
    assert wait_until(lambda: bool(login.record("a_1")["withdrawn"]))
    assert login.submit(second, replace(FIRST, map_index=1)) == login.live("a_2")[0]


@pytest.mark.all
def test_a_damaged_record_has_a_place_while_a_job_may_live(login: Login) -> None:
    first, second = (login.request(name=name, max_parallel_jobs=1) for name in ("a_1", "a_2"))
    job = login.submit(first)
    state = login.folder / "runs" / "a_1" / STATE_DIR
    (login.folder / "runs" / "a_1" / RECORD).write_text("")

    def submit_second(age: float) -> str:
        os.utime(state, times=(time.time() - age,) * 2)
        return login.submit(second, replace(FIRST, map_index=1))

    squeue = login.wrap("squeue", "exit 0")
    with pytest.raises(NotYetError, match="1 jobs of this run are live"):
        submit_second(age=1000)
    squeue.unlink()
    login.box.slurm("scancel", job)
    assert wait_until(lambda: not login.live("a_1"))
    with pytest.raises(NotYetError, match="1 jobs of this run are live"):
        submit_second(age=0)
    assert submit_second(age=1000) == login.live("a_2")[0]


def test_an_intent_does_not_trust_squeue_alone(login: Login) -> None:
    """Sbatch was cut off after it had submitted."""
    login.wrap("sbatch", 'real "$@" > "$BIN/id"; kill -9 $PPID')
    with pytest.raises(ClusterUnavailableError):
        login.submit(login.request())
    login.wrap("sbatch", 'real "$@"')
    login.wrap("squeue", "exit 0")
    job = login.submit(login.request())
    assert login.live() == [job]


CUTS = {
    "squeue behind a state": ("squeue", 'real "$@" | head -c 40'),
    "squeue within an id": ("squeue", 'real "$@" | head -c 1'),
    "squeue within a path": ("squeue", 'real "$@" | head -c 60'),
    "scontrol before a path": ("scontrol", 'real "$@" | sed "/StdOut=/{s/=.*/=/;q}"'),
}


@variations("cut", CUTS)
def test_a_row_that_is_cut_off_is_nobodys_job(login: Login, cut: tuple[str, str]) -> None:
    """Sbatch was cut off before it had submitted, and another job of the user lives."""
    other = login.submit(login.request(name="other"))
    login.wrap("sbatch", "kill -9 $PPID")
    with pytest.raises(ClusterUnavailableError):
        login.submit(login.request())
    login.wrap("sbatch", 'real "$@"')
    login.wrap(*cut)
    job = login.submit(login.request())
    assert job != other
    assert (login.live(), login.live("other")) == ([job], [other])


CHATTER = {
    "a number before": 'echo 4200; real "$@"',
    "a number behind": 'real "$@"; echo 4200',
    "words": 'echo "Welcome, 17 users"; echo "sbatch: lua: partition chosen" >&2; real "$@"',
    "without --parsable": 'shift; real "$@"',
    "a failure behind": 'real "$@"; echo "sbatch: lua: hook failed" >&2; exit 1',
    "a failure and no id": 'real "$@" > "$BIN/id"; echo "error in the site\'s hook" >&2; exit 1',
}


@variations("sbatch", CHATTER)
def test_a_chatty_sbatch_leads_to_its_job(login: Login, sbatch: str) -> None:
    login.wrap("sbatch", sbatch)
    job = login.submit(login.request())
    assert login.live() == [job]
    assert login.submit(login.request()) == job


def test_a_refusal_that_is_none_is_looked_up(login: Login) -> None:
    login.wrap("sbatch", 'echo "sbatch: lua: not today"; exit 1')
    with pytest.raises(ClusterRefusedError, match="not today"):
        login.submit(login.request())


# The record


DAMAGES = {
    "empty": lambda file: file.write_text(""),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "without its end": lambda file: file.write_text(file.read_text().removesuffix("end\n")),
    "garbage": lambda file: file.write_bytes(b"\0" * 512),
    "deleted": lambda file: file.unlink(),
}


@variations("damage", DAMAGES)
def test_a_damaged_record_is_an_open_intent(login: Login, damage: Any) -> None:
    request = login.request(index=1, parameters={"lr": 0.1})
    first = login.submit(request)
    damage(login.folder / "runs" / "job" / RECORD)
    second = login.submit_when_possible(request, CLEARED)
    assert second != first
    assert login.live() == [second]


def test_a_damaged_record_of_an_unknown_owner_is_refused_while_a_job_lives(login: Login) -> None:
    first = login.submit(login.request())
    (login.folder / "runs" / "job" / RECORD).write_text("")
    with pytest.raises(ClusterRefusedError, match=rf"is damaged, and job {first}.* scancel {first}"):
        login.submit(login.request(), CLEARED)
    assert login.live() == [first]


def test_a_damaged_record_of_an_unknown_owner_keeps_its_live_job_beside_an_ended_one(login: Login) -> None:
    login.submit(login.request())
    second = login.submit_when_possible(login.request(), CLEARED)
    (login.folder / "runs" / "job" / RECORD).write_text("")
    with pytest.raises(ClusterRefusedError, match=rf"is damaged, and job {second}.* scancel {second}"):
        login.submit(login.request(), replace(CLEARED, try_number=3, id="03-1"))
    assert login.live() == [second]


def test_a_number_that_is_another_jobs_by_now_is_neither_cancelled_nor_believed(login: Login) -> None:
    mine = login.submit(login.request("true"))
    login.wait_for(mine, "COMPLETED")
    other = login.submit(login.request(name="other"))
    record = login.folder / "runs" / "job" / RECORD
    record.write_text(record.read_text().replace(f"job {mine}", f"job {other}"))  # as after slurmctld lost its state
    asyncio.run(login.client.cancel(job_of(login, other)))
    again = login.submit(login.request(), CLEARED)
    assert login.live("other") == [other]
    assert login.live() == [again]
    assert end_of(login, other, grace=1).startswith("LOST")


# Whose run directory


def test_two_airflows_refuse_each_others_directories(login: Login) -> None:
    job = login.submit(login.request())
    staging = replace(FIRST, installation="staging", id="09-1")
    with pytest.raises(ClusterRefusedError, match=r"belongs to a Dag run \(d r\) of another Airflow \(a\)"):
        login.submit(login.request(), staging)
    with pytest.raises(ClusterRefusedError, match=rf"another Airflow \(a\), whose job {job} is"):
        login.submit(login.request(resume=True), staging)
    assert login.live() == [job]
    assert asyncio.run(login.client.live_jobs(staging.run, str(login.folder / "runs"))) == {}


# Accounting

ODD = {
    "refused": "echo 'sacct: error: slurm_persist_conn_open_without_init: Connection refused' >&2; exit 1",
    "not permitted": "echo 'Operation not permitted' >&2; exit 1",
    "localised": "echo 'sacct: Kommando nicht gefunden.' >&2; exit 127",
    "a banner": "echo 'slurmdbd is being upgraded'",
}


@variations("sacct", ODD)
def test_an_odd_answer_of_sacct_leaves_the_exit_file(login: Login, sacct: str) -> None:
    login.wrap("sacct", sacct)
    job = login.submit(login.request("exit 5"))
    login.wait_for(job, "FAILED")
    login.wrap("squeue", "exit 0")
    login.wrap("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert end_of(login, job) == "FAILED 5:0 exit-status file"


def test_an_odd_answer_of_sacct_is_never_no_such_job(login: Login, caplog: pytest.LogCaptureFixture) -> None:
    login.wrap("sacct", ODD["refused"])
    login.wrap("squeue", "exit 0")
    login.wrap("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    (login.folder / "runs" / "job").mkdir(parents=True)
    end = end_of(login, "999", grace=0.1, patience=3)
    assert end.startswith("LOST")
    assert "Not all ended jobs are known yet, asking on: sacct: error" in caplog.text


@pytest.mark.all
def test_a_slow_squeue_holds_nothing_up(login: Login) -> None:
    login.wrap("squeue", 'sleep 25; real "$@"')
    first = login.submit(login.request(max_parallel_jobs=1))
    second = login.submit_when_possible(login.request(max_parallel_jobs=1), CLEARED)
    assert login.live() == [second] != [first]


def test_the_login_speaks_to_one_cluster(login: Login) -> None:
    login.site = Site(ssh_conn_id="x", clusters="elsewhere")
    with pytest.raises((ClusterRefusedError, ClusterUnavailableError), match=r"elsewhere|cluster"):
        login.submit(login.request())
    login.site = SITE
    for several in ("a,b", "All"):
        login.environment = {"SLURM_CLUSTERS": several}
        with pytest.raises(ClusterRefusedError, match=f"SLURM_CLUSTERS={several} names several clusters"):
            login.submit(login.request())
