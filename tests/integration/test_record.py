"""One job per attempt: the table in docs/how_it_works.md, row by row, and what can break between sbatch and the record.

The scripts run in real shells against a real Slurm. What a login node does to them is done by wrappers around
Slurm's commands.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError, NotYetError
from airflow_slurm_sweep.names import COMBINATION, PARAMETERS, RECORD, STATE_DIR
from airflow_slurm_sweep.slurm.shell import ARGUMENT, MARKER
from airflow_slurm_sweep.slurm.submit.script import submit_all
from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.integration.login import CLEARED, FIRST, OTHER_RUN, Login, login_on

pytestmark = pytest.mark.sandbox

# `sh` is dash on Debian and bash elsewhere. The others run in dash alone: test_hostile.py runs all functions in both.


@pytest.fixture(params=["dash", "bash"])  # bash: where a test is for both shells; tests/groups.py
def login(request: pytest.FixtureRequest, cluster: Sandbox, tmp_path: Path) -> Any:
    with login_on(cluster, tmp_path, shell=request.param) as login:
        yield login


# The table


@pytest.mark.both_shells
def test_nothing_was_submitted_yet(login: Login) -> None:
    job = login.submit(login.request())
    assert login.live() == [job]
    assert login.record() == {
        "run": "a d r",
        "task": "t 0",
        "attempt": "1 01-1",
        "job": job,
        "links": "",
        "jobs": "",
        "withdrawn": "",
        "end": "",
    }


def test_the_same_try_gets_its_job_again_also_when_asked_at_once(login: Login) -> None:
    with ThreadPoolExecutor() as pool:
        jobs = set(pool.map(lambda _: login.submit(login.request()), range(6)))
    assert jobs == {login.submit(login.request())} == set(login.jobs())


def test_after_a_clear_the_live_job_is_cancelled_and_gone_before_the_new_one_comes(login: Login) -> None:
    request = login.request()
    first = login.submit(request)
    login.wait_for(first, "RUNNING")
    with pytest.raises(ClusterUnavailableError, match=f"its earlier job {first} is COMPLETING and is being cancelled"):
        login.submit(request, CLEARED)
    second = login.submit_when_possible(request, CLEARED)
    assert login.jobs()[first] == "CANCELLED"
    assert login.live() == [second]
    assert login.record()["jobs"] == first


def test_a_task_that_was_cleared_does_not_get_the_job_that_its_old_trigger_submitted(login: Login) -> None:
    """Clearing a deferred task gives it another id at once, and another try only when it is deferred again."""
    between = replace(FIRST, id=CLEARED.id)
    first = login.submit(login.request(), between)
    second = login.submit_when_possible(login.request(), CLEARED)
    assert second != first
    with pytest.raises(ClusterRefusedError, match="a later try of this task has taken over"):
        login.submit(login.request(), between)
    assert login.live() == [second]


@pytest.mark.parametrize(("command", "state"), [("true", "COMPLETED"), ("exit 3", "FAILED")])
def test_after_a_clear_an_ended_job_is_followed_by_a_new_one(login: Login, command: str, state: str) -> None:
    request = login.request(command)
    first = login.submit(request)
    login.wait_for(first, state)
    second = login.submit(request, CLEARED)
    assert second != first
    assert login.submit(request, CLEARED) == second
    assert login.record()["attempt"] == "2 02-1"


def test_a_worker_that_was_given_up_and_lives_does_not_take_the_job_back(login: Login) -> None:
    request = login.request()
    login.submit(request, FIRST)
    second = login.submit_when_possible(request, CLEARED)
    with pytest.raises(ClusterRefusedError, match="a later try of this task has taken over"):
        login.submit(request, FIRST)
    assert login.live() == [second]


def test_a_dag_run_that_was_deleted_and_made_again_gets_a_job_of_its_own(login: Login) -> None:
    request = login.request("true")
    first = login.submit(request, replace(CLEARED, id="05-1"))
    login.wait_for(first, "COMPLETED")
    assert login.submit(request, replace(FIRST, id="06-1")) != first


def test_another_dag_run_is_refused_unless_it_resumes_and_the_job_has_ended(login: Login) -> None:
    request = login.request()
    first = login.submit(request)
    with pytest.raises(ClusterRefusedError, match=r"belongs to another Dag run \(d r\); resume it"):
        login.submit(request, OTHER_RUN)
    with pytest.raises(ClusterRefusedError, match=rf"another Dag run \(d r\), whose job {first} is .*scancel {first}$"):
        login.submit(replace(request, resume=True), OTHER_RUN)
    login.box.slurm("scancel", first)
    login.wait_for(first, "CANCELLED")
    second = login.submit(replace(request, resume=True), OTHER_RUN)
    assert login.live() == [second]
    with pytest.raises(ClusterRefusedError, match=r"belongs to another Dag run \(d r2\)"):
        login.submit(request)


def test_another_task_of_the_same_run_is_refused(login: Login) -> None:
    login.submit(login.request())
    with pytest.raises(ClusterRefusedError, match=r"belongs to another task of this Dag run \(t 0\)"):
        login.submit(login.request(), replace(FIRST, map_index=1))


# Between sbatch and the record


def cut_off_once(login: Login) -> str:
    """Submit, and kill the script when sbatch has made the job; return the job's id."""
    # Its parent is `timeout`; then come the subshell that reads its output, and the script.
    family = "subshell=$(ps -o ppid= -p $PPID); script=$(ps -o ppid= -p $subshell)"
    wrapper = login.wrap("sbatch", f'{family}; real "$@" > "$BIN/said"; kill -9 $script $subshell $PPID')
    with pytest.raises(ClusterUnavailableError):
        login.submit(login.request())
    wrapper.unlink()
    assert login.record()["job"] == ""
    return (login.folder / "bin" / "said").read_text().strip()


@pytest.mark.both_shells
def test_a_job_whose_id_was_never_written_down_is_found(login: Login) -> None:
    job = cut_off_once(login)
    assert login.submit(login.request()) == job
    assert list(login.jobs()) == [job]


def test_after_a_clear_a_job_without_a_recorded_id_is_found_and_cancelled(login: Login) -> None:
    job = cut_off_once(login)
    second = login.submit_when_possible(login.request(), CLEARED)
    assert login.jobs()[job] == "CANCELLED"
    assert login.live() == [second]


def test_a_job_that_slurm_has_forgotten_is_found_by_its_log(cluster_forgetful: Sandbox, tmp_path: Path) -> None:
    login = Login(box=cluster_forgetful, folder=tmp_path)
    logs = tmp_path / "runs" / "job" / "logs"
    logs.mkdir(parents=True)
    (logs / "slurm-99999.out").touch()  # of another tool, earlier
    login.wrap("sbatch", 'sed "s/sleep 600/true/" | real "$@"; echo "sbatch: error: Socket timed out" >&2; exit 1')
    with pytest.raises(ClusterUnavailableError, match="it is not clear yet whether job was submitted"):
        login.submit(login.request("true"))
    assert wait_until(lambda: len(list(logs.iterdir())) == 2)
    assert wait_until(lambda: not login.jobs()), "forgotten"
    (job,) = {path.name for path in logs.iterdir()} - {"slurm-99999.out"}
    assert f"slurm-{login.submit(login.request('true'))}.out" == job


def test_a_twin_is_cancelled(login: Login) -> None:
    job = cut_off_once(login)
    folder = login.folder / "runs" / "job"
    twin = login.box.slurm("sbatch", "--parsable", f"--output={folder}/logs/slurm-%j.out", "--wrap=sleep 600").strip()
    assert login.submit(login.request()) == job, "the older one"
    login.wait_for(twin, "CANCELLED")
    assert login.live() == [job]


def test_an_unclear_answer_without_a_job_leads_to_one_job(login: Login) -> None:
    wrapper = login.wrap(
        "sbatch",
        'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1',
    )
    with pytest.raises(ClusterUnavailableError, match=r"it is not clear yet .*Socket timed out"):
        login.submit(login.request())
    wrapper.unlink()
    began = time.monotonic()
    job = login.submit(login.request())
    assert time.monotonic() - began > 9, "slurmctld may be slow to take a job whose sbatch gave up"
    assert list(login.jobs()) == [job]


def test_a_refusal_leaves_the_run_directory_to_the_next(login: Login) -> None:
    with pytest.raises(ClusterRefusedError, match="invalid partition specified: nowhere"):
        login.submit(login.request(partition="nowhere"))
    assert not (login.folder / "runs" / "job" / RECORD).exists()
    job = login.submit(login.request(), OTHER_RUN)
    assert login.live() == [job]


@pytest.mark.both_shells
@pytest.mark.parametrize("noise", ["echo 2024; echo Welcome", "echo 12 jobs before you; echo"], ids=["number", "words"])
def test_noise_around_the_job_id(login: Login, noise: str) -> None:
    login.wrap("sbatch", f'{noise}; real "$@"; status=$?; echo "sbatch: warning: low disk" >&2; echo bye; exit $status')
    job = login.submit(login.request())
    assert login.live() == [job]


def test_squeue_that_fails_every_third_time_is_outlasted(login: Login) -> None:
    wrapper = login.wrap("sbatch", "kill -9 $PPID")
    with pytest.raises(ClusterUnavailableError, match="sbatch was cut off"):
        login.submit(login.request())
    wrapper.unlink()
    login.wrap("squeue", 'echo >> "$BIN/calls"; [ $(($(wc -l < "$BIN/calls") % 3)) -ne 0 ] || exit 1; real "$@"')
    job = login.submit_when_possible(login.request(), FIRST)
    assert login.live() == [job]


def test_a_wrapper_of_sbatch_that_fails_after_it(login: Login) -> None:
    login.wrap("sbatch", 'real "$@" > /dev/null; echo "quota: cannot tell your share" >&2; exit 1')
    job = login.submit(login.request())
    assert login.live() == [job]


def test_without_sbatch_nothing_is_waited_for(login: Login) -> None:
    login.wrap(
        "timeout", 'if [ "${4##*/}" = sbatch ]; then echo "timeout: failed to run sbatch" >&2; exit 127; fi; real "$@"'
    )
    with pytest.raises(ClusterRefusedError, match="failed to run sbatch"):
        login.submit(login.request())


@pytest.mark.slow("the script asks four times, with pauses, before it says so")
def test_no_answer_of_squeue_is_not_an_answer(login: Login) -> None:
    job = cut_off_once(login)
    wrapper = login.wrap("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1')
    for attempt in (FIRST, CLEARED):
        with pytest.raises(ClusterUnavailableError, match="Unable to contact slurm controller"):
            login.submit(login.request(), attempt)
    wrapper.unlink()
    assert list(login.jobs()) == [job]
    assert login.submit(login.request()) == job


def test_a_refused_job_that_resumes_puts_the_earlier_combination_back(login: Login) -> None:
    request = login.request("true", index=1, parameters={"a": 1})
    login.wait_for(login.submit(request), "COMPLETED")
    files = [login.folder / "runs" / "job" / name for name in (PARAMETERS, COMBINATION)]
    before = [file.read_text() for file in files]
    login.wrap("mv", 'for path; do [ -n "${path%/*}" ] || exit 1; done; real "$@"')  # not into /, whoever the user is
    with pytest.raises(ClusterRefusedError, match="nowhere"):
        login.submit(replace(request, parameters={"a": 2}, resume=True, partition="nowhere"), OTHER_RUN)
    assert [file.read_text() for file in files] == before


# The lock


def test_the_lock_of_a_zombie_is_broken_at_once(login: Login) -> None:
    """Where init reaps no orphans, as in many containers, a killed submission stays as a zombie."""
    request = login.request()
    with subprocess.Popen(["true"]) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        assert wait_until(lambda: ") Z " in stat.read_text())
        kernel = Path("/proc/sys/kernel")
        holder = [(kernel / name).read_text().strip() for name in ("hostname", "random/boot_id")]
        holder += [str(Path("/proc/self/ns/pid").readlink()), str(process.pid)]
        state = Path(request.run_dir) / STATE_DIR
        state.mkdir(parents=True)
        (state / "lock").write_text(f"{' '.join(holder)}\n")
        began = time.monotonic()
        login.submit(request)
        assert time.monotonic() - began < 60


@pytest.mark.both_shells
def test_the_lock_of_a_dead_submission_is_broken_at_once(login: Login) -> None:
    cut_off_once(login)
    lock = login.folder / "runs" / "job" / STATE_DIR / "lock"
    assert lock.exists()
    began = time.monotonic()
    login.submit(login.request())
    assert time.monotonic() - began < 60
    left = {path.name for path in lock.parent.iterdir()} - {"owner"}  # the job's own
    assert left == {"record"}, "nothing is left over"


def test_the_lock_of_another_login_node_is_waited_for_and_then_broken(login: Login) -> None:
    login.edits = {"patience=1500": "patience=15"}
    request = login.request()
    lock = Path(request.run_dir) / STATE_DIR / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("other-host boot namespace 1\n")
    began = time.monotonic()
    job = login.submit(request)
    assert 3 <= time.monotonic() - began < 60
    assert login.live() == [job]
    assert not lock.exists()


@pytest.mark.parametrize("command", ["true", "sleep 600"])
def test_a_submission_that_lost_the_lock_submits_and_cancels_nothing(login: Login, command: str) -> None:
    """As after minutes in which the login node stood still."""
    request = login.request(command)
    first = login.submit(request)
    login.wait_for(first, "COMPLETED" if command == "true" else "RUNNING")
    lock = Path(request.run_dir) / STATE_DIR / "lock"
    login.wrap("squeue", f'echo other-host boot namespace 1 > {lock}; real "$@"')
    with pytest.raises(ClusterUnavailableError, match="the lock was taken from this submission"):
        login.submit(request, CLEARED)
    assert list(login.jobs()) == [first]
    assert login.live() == ([] if command == "true" else [first])
    assert lock.read_text().startswith("other-host"), "another's lock is left alone"


@pytest.mark.all
def test_a_lock_that_was_made_without_an_answer_is_held(login: Login) -> None:
    """NFS makes the link, loses its answer, and the second request finds a link."""
    login.wrap("ln", 'real "$@"; exit 1')
    login.edits = {"waits_for=$patience": "waits_for=5"}
    assert login.submit(login.request()) in login.live()


# Withdrawal


@pytest.mark.both_shells
def test_an_attempt_withdrawn_before_its_submission_is_never_submitted(login: Login) -> None:
    request = login.request()
    login.withdraw(request)
    assert wait_until((Path(request.run_dir) / RECORD).exists)
    with pytest.raises(ClusterRefusedError, match="this attempt was withdrawn"):
        login.submit(request)
    assert login.jobs() == {}
    job = login.submit(request, CLEARED)
    assert login.live() == [job]


@pytest.mark.parametrize("pause", [0, 3], ids=["after sbatch", "during sbatch"])
def test_a_withdrawn_attempts_job_is_cancelled_and_a_later_try_submits(login: Login, pause: float) -> None:
    login.wrap("sbatch", f'sleep {pause}; real "$@"')
    request = login.request()
    with ThreadPoolExecutor() as pool:
        submission = pool.submit(login.submit, request)
        if not pause:
            submission.result()
        assert wait_until((Path(request.run_dir) / RECORD).exists)
        login.withdraw(request)
        first = submission.result()
    login.wait_for(first, "CANCELLED")
    second = login.submit_when_possible(request, CLEARED)
    assert login.live() == [second]


# The limit of parallel jobs


def test_never_more_parallel_jobs_than_allowed(login: Login) -> None:
    attempts = {f"job{number}": replace(FIRST, map_index=number) for number in range(6)}

    def try_to_submit(name: str) -> str | None:
        try:
            return login.submit(login.request(name=name, max_parallel_jobs=2), attempts[name])
        except NotYetError:
            return None

    with ThreadPoolExecutor() as pool:
        jobs = dict(zip(attempts, pool.map(try_to_submit, attempts), strict=True))
    taken = {name: job for name, job in jobs.items() if job}
    assert len(taken) == 2
    assert try_to_submit(next(iter(taken))) in taken.values(), "one that is in is in"
    login.box.slurm("scancel", *taken.values())
    assert wait_until(lambda: not any(login.live(name) for name in attempts))
    with ThreadPoolExecutor() as pool:
        more = [job for job in pool.map(try_to_submit, attempts.keys() - taken.keys()) if job]
    assert len(more) == 2


@pytest.mark.all
def test_all_submissions_of_a_script_ask_squeue_together_while_the_gate_is_full(login: Login) -> None:
    names = [f"job{number}" for number in range(6)]
    login.submit(login.request(name=names[0], max_parallel_jobs=2))
    group = [
        (login.request(name=name, max_parallel_jobs=2), replace(FIRST, map_index=number))
        for number, name in enumerate(names)
    ]
    login.wrap("squeue", 'echo >> "$BIN/calls"; real "$@"')
    login.edits = {"each m 20": "each m 100"}
    done = asyncio.run(login.run(submit_all(group, "m")))
    statuses = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("m ")]
    assert statuses == ["0", "0", "95", "95", "95", "95"], done
    calls = len((login.folder / "bin" / "calls").read_text())
    assert calls == 3, "before the first, and after each that has a job"
    assert len([name for name in names if login.live(name)]) == 2


# Links and folders


def plant(place: Path, target: Path, user: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir()
    place.symlink_to(target)
    os.lchown(place, user, user)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant another user's link")
@pytest.mark.parametrize("name", ["", "job", "job/.slurm_sweep", "job/logs", "job/checkpoints", "job/wandb"])
def test_a_link_that_another_user_planted_is_not_followed(login: Login, name: str) -> None:
    place, target = login.folder / "runs" / name, login.folder / "target"
    plant(place, target, 65534)
    request = login.request(folders=["checkpoints", "wandb"])
    with pytest.raises(ClusterRefusedError, match="is a symbolic link that another user made; it is not followed"):
        login.submit(request)
    assert list(target.iterdir()) == []
    os.lchown(place, 0, 0)
    assert login.submit(request), "one's own is"


@pytest.mark.parametrize("name", ["record", "lock"])
def test_files_are_made_anew_never_through_a_link(login: Login, name: str) -> None:
    request = login.request()
    victim = login.folder / "victim"
    victim.write_text("mine")
    place = Path(request.run_dir) / STATE_DIR / name
    place.parent.mkdir(parents=True)
    login.edits = {"patience=1500": "patience=5"}
    place.symlink_to(victim)
    login.submit(request)
    assert victim.read_text() == "mine"


@pytest.mark.both_shells
def test_folders_and_record_follow_the_umask(login: Login) -> None:
    earlier = os.umask(0o027)
    try:
        request = login.request()
        login.submit(request)
    finally:
        os.umask(earlier)
    state = Path(request.run_dir) / STATE_DIR
    assert [oct(path.stat().st_mode & 0o777) for path in (state.parent, state, state / "record")] == [
        "0o750",
        "0o750",
        "0o640",
    ]


def test_a_cut_connection_does_not_stop_a_submission(login: Login) -> None:
    login.wrap("sbatch", 'sleep 1; real "$@"')
    request = login.request()
    environment = {**os.environ, **login.box.environment, "PATH": f"{login.folder}/bin:{os.environ['PATH']}"}
    with subprocess.Popen(
        [login.shell, "-s", ARGUMENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    ) as process:
        for pipe, text in ((process.stdin, submit_all([(request, FIRST)], "m")), (process.stdout, "")):
            assert pipe
            if text:
                pipe.write(text.encode())
            else:
                assert pipe.readline().decode() == f"{MARKER}\n"
            pipe.close()
        assert wait_until((Path(request.run_dir) / RECORD).exists)
        process.send_signal(signal.SIGHUP)
        process.wait(30)
    assert login.live() == [login.record()["job"]]
