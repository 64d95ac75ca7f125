"""One sbatch --array for many submissions: each has its own record, job, directory and end, whatever breaks meanwhile.

As test_record.py, in real shells against a real Slurm.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.errors import (
    AloneError,
    ClusterRefusedError,
    ClusterUnavailableError,
    CrowdedError,
    SlurmSweepError,
)
from airflow_slurm_sweep.names import COMBINATION, ENVIRONMENT, PARAMETERS, RECORD, STATE_DIR
from airflow_slurm_sweep.slurm.arrays.script import submit_array
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.failure import failure_text
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.submit.answer import SubmissionAnswer
from airflow_slurm_sweep.slurm.submit.script import Submission, submit_all
from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.integration.login import CLEARED, FIRST, OTHER_RUN, SLEEP, Login

pytestmark = pytest.mark.sandbox

FAMILY = "subshell=$(ps -o ppid= -p $PPID); script=$(ps -o ppid= -p $subshell)"  # of sbatch
LIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")


class ArrayLogin(Login):
    """A login node for submissions that come together; ``first`` is the number of the first one."""

    first = 1

    def sweep(self, count: int = 4, command: str = SLEEP, **changes: Any) -> list[JobRequest]:
        names = [f"job_sweep_{number}" for number in range(self.first, self.first + count)]
        return [self.request(command, name, array=True, **changes) for name in names]

    def together(self, requests: Sequence[JobRequest], attempt: Attempt = FIRST) -> list[SubmissionAnswer]:
        """Submit in one script; return each one's job or error."""
        return asyncio.run(SlurmClient(self).submit_array(submissions(requests, attempt)))

    def ids(self, requests: Sequence[JobRequest], attempt: Attempt = FIRST) -> list[str]:
        return [job_of(answer).job_id for answer in self.together(requests, attempt)]

    def ids_when_possible(self, requests: Sequence[JobRequest], attempt: Attempt = FIRST) -> list[str]:
        end = time.monotonic() + 90
        while True:
            try:
                return self.ids(requests, attempt)
            except ClusterUnavailableError:
                assert time.monotonic() < end
                time.sleep(0.5)

    def queue(self) -> dict[str, str]:
        """Return the states of all elements and jobs of this login node, by id."""
        lines = self.box.slurm(
            *("squeue", "--array", "--me", "--states=all", "--noheader", "--Format=JobArrayID:20,State:20,StdOut:300")
        ).splitlines()
        rows = [line.split() for line in lines]
        return {job: state for job, state, log in rows if log.startswith(f"{self.folder}/")}

    def alive(self) -> list[str]:
        return sorted(job for job, state in self.queue().items() if state in LIVE)

    def live_tasks(self) -> dict[str, str]:
        """Return the tasks of the run's live jobs, by id, without those that another test's run of that name leaves."""
        live = asyncio.run(SlurmClient(self).live_jobs("a d r", f"{self.folder}/runs"))
        return {job: live[job] for job in live.keys() & self.queue().keys()}

    def recorded(self, count: int = 4) -> list[str]:
        return [self.record(f"job_sweep_{number}")["job"] for number in range(self.first, self.first + count)]


def job_of(answer: SubmissionAnswer) -> SubmittedJob:
    if isinstance(answer, SlurmSweepError):
        raise answer
    return answer


def submissions(requests: Sequence[JobRequest], attempt: Attempt = FIRST) -> list[Submission]:
    return [(job, replace(attempt, map_index=number)) for number, job in enumerate(requests)]


def array_of(ids: Sequence[str], count: int = 4) -> str:
    """Return the array's id, if these are all its elements."""
    (array,) = {job.partition("_")[0] for job in ids}
    assert ids == [f"{array}_{number}" for number in range(1, count + 1)]
    return array


@pytest.fixture(params=["dash", "bash"])  # bash: where a test is for both shells; tests/groups.py
def login(request: pytest.FixtureRequest, cluster: Sandbox, tmp_path: Path) -> Any:
    login = ArrayLogin(box=cluster, folder=tmp_path, shell=request.param)
    yield login
    cluster.slurm("scancel", *{job.partition("_")[0] for job in login.alive()}, check=False)


# One sbatch, and each element's own


def submit_requests(box: Sandbox) -> int:
    found = re.search(r"REQUEST_SUBMIT_BATCH_JOB .*count:(\d+)", box.slurm("sdiag"))
    return int(found[1]) if found else 0


@pytest.mark.both_shells
def test_one_request_gives_each_element_its_directory_log_name_and_environment(login: ArrayLogin) -> None:
    command = 'touch "$BASE_LOG_DIR/here"; printf "%s\n" "$MINE" "$SLURM_JOB_NAME" "$WANDB_DIR"; sleep 600'
    requests = [
        replace(
            job,
            env={"MINE": f"it's\n$HOME `x` {number} 雪"},
            index=number + 1,
            parameters={"z": 1e-6, "it's": [number, {"$HOME": "`x`\n雪"}]},
        )
        for number, job in enumerate(login.sweep(4, command))
    ]
    before = submit_requests(login.box)
    ids = login.ids(requests)
    assert submit_requests(login.box) == before + 1
    array = array_of(ids)
    assert login.recorded() == ids
    for number, (job, job_id) in enumerate(zip(requests, ids, strict=True)):
        run_dir = Path(job.run_dir)
        log = run_dir / "logs" / f"slurm-{array}_{number + 1}.out"
        said = f"it's\n$HOME `x` {number} 雪\njob_sweep_{number + 1}\n{run_dir}\n"
        assert wait_until(lambda log=log, said=said: log.exists() and log.read_text() == said), job_id  # type: ignore[misc]
        assert sorted(path.name for path in run_dir.iterdir() if path.is_file()) == ["here", PARAMETERS]
        parameters = json.loads((run_dir / PARAMETERS).read_text())
        assert list(parameters.items()) == list(job.parameters.items())
        combination = json.loads((run_dir / COMBINATION).read_text())
        assert (combination["index"], combination["task"]) == (number + 1, {"task_id": "t", "map_index": number})
        assert combination["parameters"] == parameters
        assert (run_dir / ENVIRONMENT).stat().st_mode & 0o777 == 0o600
    names = login.box.slurm("squeue", "--array", "--noheader", f"--jobs={array}", "--format=%i %j").split("\n")
    assert sorted(filter(None, names)) == [f"{job_id} job_sweep_{n}" for n, job_id in enumerate(ids, start=1)]
    assert [path.name for path in (run_dir / ".slurm_sweep").iterdir() if "lock" in path.name] == []


def test_all_locks_are_the_scripts_until_sbatch_has_answered(login: ArrayLogin) -> None:
    runs = login.folder / "runs"
    login.wrap(
        "sbatch", f'{FAMILY}; cat {runs}/*/.slurm_sweep/lock > "$BIN/locks"; echo $script > "$BIN/pid"; real "$@"'
    )
    login.ids(login.sweep())
    held = (login.folder / "bin" / "locks").read_text().splitlines()
    pid = (login.folder / "bin" / "pid").read_text().strip()
    assert [lock.rpartition(" ")[2] for lock in held] == [pid] * 4
    assert list(runs.glob("*/.slurm_sweep/lock")) == []


def test_the_clusters_own_batch_script_keeps_its_header_and_shows_no_secret(login: ArrayLogin) -> None:
    text = '#!/bin/bash -xv\n# mine\n\n  #SBATCH --comment=ignored\n#SBATCH --comment=hello\nset -eu\n#SBATCH --comment=no\nbash -c "$COMMAND"\n'
    (login.folder / "ray.sub").write_text(text)
    changes = {"script": "", "batch_script": "ray.sub", "workdir": str(login.folder), "env": {"KEY": "s3cret"}}
    login.wrap("sbatch", 'printf "%s\n" "$@" > "$BIN/argv"; tee "$BIN/script" | real "$@"')
    ids = login.ids(login.sweep(2, 'sleep 2; echo "${#KEY}"', **changes))
    array = array_of(ids, 2)
    told = login.box.slurm("scontrol", "show", "job", array)
    assert "Comment=hello " in told
    given = (login.folder / "bin" / "argv").read_text() + (login.folder / "bin" / "script").read_text()
    assert "s3cret" not in given
    assert given.endswith(text.partition("set -eu")[2])
    for number in (1, 2):
        log = login.folder / "runs" / f"job_sweep_{number}" / "logs" / f"slurm-{array}_{number}.out"
        assert wait_until(lambda log=log: log.exists() and log.read_text().endswith("\n6\n"))  # type: ignore[misc]
        assert "s3cret" not in log.read_text()
        assert "+ set -eu" in log.read_text(), "its own options hold again"


def test_a_batch_script_that_is_for_no_shell_is_refused(login: ArrayLogin) -> None:
    answers = login.together(login.sweep(2, script="#!/usr/bin/env python3\nprint()\n"))
    assert [type(answer) for answer in answers] == [ClusterRefusedError] * 2
    assert "needs a batch script for a shell, this one is for python3; submit: each takes any" in str(answers[0])
    assert login.queue() == {}


def test_a_missing_file_is_told_to_each(login: ArrayLogin) -> None:
    answers = login.together(login.sweep(2, inputs=["train.py"]))
    assert all("no such file on the cluster: train.py" in str(answer) for answer in answers)
    assert [type(answer) for answer in answers] == [ClusterRefusedError] * 2


# The table: as for single jobs


def test_the_same_attempts_get_their_jobs_again_also_when_asked_at_once(login: ArrayLogin) -> None:
    requests = login.sweep()
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: login.ids_when_possible(requests), range(4)))
    assert answers == [answers[0]] * 4
    array_of(answers[0])
    assert login.alive() == answers[0]


@pytest.mark.both_shells
def test_each_element_is_decided_by_its_own_record(login: ArrayLogin) -> None:
    requests = login.sweep(6)
    has_one = login.submit(requests[0], replace(FIRST, map_index=0))
    login.submit(requests[1], replace(OTHER_RUN, map_index=1))
    first = login.submit(requests[2], replace(FIRST, map_index=2))
    assert wait_until(lambda: login.queue().get(first) == "RUNNING")
    cleared = replace(CLEARED, map_index=2)
    login.withdraw(requests[3], replace(FIRST, map_index=3))
    withdrawn = Path(requests[3].run_dir) / RECORD
    assert wait_until(withdrawn.exists)
    login.wrap("scancel", "exit 0")  # or the job might be gone before the script looks again
    group = [(job, cleared if number == 2 else replace(FIRST, map_index=number)) for number, job in enumerate(requests)]
    told = asyncio.run(SlurmClient(login).submit_array(group))
    assert job_of(told[0]).job_id == has_one
    with pytest.raises(ClusterRefusedError, match=r"belongs to another Dag run \(d r2\)"):
        job_of(told[1])
    with pytest.raises(ClusterUnavailableError, match=f"its earlier job {first} is .* and is being cancelled"):
        job_of(told[2])
    with pytest.raises(ClusterRefusedError, match="this attempt was withdrawn"):
        job_of(told[3])
    five, six = job_of(told[4]).job_id, job_of(told[5]).job_id
    array = five.partition("_")[0]
    assert [five, six] == [f"{array}_5", f"{array}_6"]
    assert {job for job in login.alive() if "_" in job} == {five, six}


def test_a_cleared_element_is_cancelled_and_submitted_again_and_the_others_stay(login: ArrayLogin) -> None:
    requests = login.sweep()
    ids = login.ids(requests)
    assert wait_until(lambda: login.queue().get(ids[1]) == "RUNNING")
    cleared = replace(CLEARED, map_index=1)
    new = login.submit_when_possible(requests[1], cleared)
    assert "_" not in new
    assert login.record("job_sweep_2")["jobs"] == ids[1]
    assert login.queue()[ids[1]] == "CANCELLED"
    assert login.alive() == sorted([*ids[:1], *ids[2:], new])
    wrapper = login.wrap("scancel", "exit 0")  # or a job might be gone before the script looks again
    answers = login.together(requests, CLEARED)
    assert [type(answer) for answer in answers] == [
        ClusterUnavailableError,
        SubmittedJob,
        *[ClusterUnavailableError] * 2,
    ]
    wrapper.unlink()
    again = login.ids_when_possible(requests, CLEARED)
    assert again[1] == new
    assert login.alive() == sorted(again)


@pytest.mark.all
def test_cleared_elements_ask_squeue_together(login: ArrayLogin) -> None:
    requests = login.sweep(command="true")
    first = login.ids(requests)
    assert wait_until(lambda: {login.queue().get(job) for job in first} == {"COMPLETED"})
    login.wrap("squeue", 'echo >> "$BIN/calls"; real "$@"')
    assert not set(login.ids(requests, CLEARED)) & set(first)
    assert (login.folder / "bin" / "calls").read_text() == "\n"


def test_pending_and_running_elements_are_cancelled_one_by_one(login: ArrayLogin) -> None:
    jobs = list(map(job_of, login.together(login.sweep(3, options={"hold": True}))))
    held = [job.job_id for job in jobs]
    client = SlurmClient(login)
    asyncio.run(client.cancel(jobs[1]))
    assert login.alive() == [held[0], held[2]]
    asyncio.run(client.cancel(jobs[1]))
    login.box.slurm("scontrol", "release", held[0])
    assert wait_until(lambda: login.queue().get(held[0]) == "RUNNING")
    asyncio.run(client.cancel(jobs[0]))
    assert wait_until(lambda: login.alive() == [held[2]])
    assert login.live_tasks() == {held[2]: "t 2"}


def test_an_attempt_is_withdrawn_by_its_element(login: ArrayLogin) -> None:
    requests = login.sweep()
    ids = login.ids(requests)
    login.withdraw(requests[2], replace(FIRST, map_index=2))
    assert wait_until(lambda: login.alive() == [*ids[:2], ids[3]])


# Between sbatch and the records


def cut_off(login: ArrayLogin, requests: Sequence[JobRequest], *, submits: bool) -> list[str]:
    """Submit, and kill the script within sbatch; return the ids of its jobs."""
    does = 'real "$@" > "$BIN/said"' if submits else "cat > /dev/null"
    wrapper = login.wrap("sbatch", f"{FAMILY}; {does}; kill -9 $script $subshell $PPID")
    done = asyncio.run(login.run(submit_array(submissions(requests), "m")))
    assert "submitted" not in done.stdout
    wrapper.unlink()
    assert login.recorded() == [""] * 4
    if not submits:
        return []
    array = (login.folder / "bin" / "said").read_text().strip()
    return [f"{array}_{number}" for number in range(1, 5)]


@pytest.mark.both_shells
@pytest.mark.parametrize("options", [{}, {"hold": True}], ids=["running", "pending"])
def test_jobs_whose_ids_were_never_written_down_are_found(login: ArrayLogin, options: dict[str, bool]) -> None:
    requests = login.sweep(options=options)
    ids = cut_off(login, requests, submits=True)
    assert login.ids(requests) == ids
    assert login.alive() == ids


def test_single_submissions_find_their_elements(login: ArrayLogin) -> None:
    requests = login.sweep()
    ids = cut_off(login, requests, submits=True)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda pair: login.submit(*pair), submissions(requests)))
    assert found == ids == login.alive()


@pytest.mark.parametrize(
    ("count", "alone"),
    [(2, False), pytest.param(2, True, marks=pytest.mark.all), pytest.param(1, False, marks=pytest.mark.all)],
    ids=["together", "alone", "one element"],
)
def test_pending_elements_are_found_although_squeue_shows_none(login: ArrayLogin, count: int, alone: bool) -> None:
    """One record of scontrol's stands for all pending elements: their ids and paths are not in it."""
    requests = login.sweep(count, options={"hold": True})
    login.wrap("sbatch", 'echo >> "$BIN/calls"; real "$@"; echo "sbatch: error: Socket timed out" >&2; exit 1')
    with pytest.raises(ClusterUnavailableError):
        login.ids(requests)
    ids = login.alive()
    login.wrap("squeue", "exit 0")
    found = [login.submit(*pair) for pair in submissions(requests)] if alone else login.ids(requests)
    assert found == ids == login.alive()
    assert len(ids) == count
    assert (login.folder / "bin" / "calls").read_text() == "\n", "sbatch was called once"


def test_after_a_clear_they_are_found_and_cancelled(login: ArrayLogin) -> None:
    requests = login.sweep()
    ids = cut_off(login, requests, submits=True)
    new = login.ids_when_possible(requests, CLEARED)
    # One that was cancelled before it began is shown no more.
    assert {login.queue().get(job, "CANCELLED") for job in ids} == {"CANCELLED"}
    assert login.alive() == sorted(new)  # in one array or, where the old ones end one after the other, in more


def test_a_script_that_died_before_sbatch_leads_to_one_array(login: ArrayLogin) -> None:
    requests = login.sweep()
    cut_off(login, requests, submits=False)
    began = time.monotonic()
    ids = login.ids(requests)
    assert 9 < time.monotonic() - began < 30, "looked for together"
    array_of(ids)
    assert login.alive() == ids


@pytest.mark.both_shells
@pytest.mark.parametrize("written", [0, 1, 3])
def test_a_script_that_died_while_it_wrote_the_ids_down(login: ArrayLogin, written: int) -> None:
    requests = login.sweep()
    sbatch = login.wrap("sbatch", 'real "$@" | tee "$BIN/said"')
    kill = "kill -9 $PPID $(ps -o ppid= -p $PPID)"
    moves = login.wrap(
        "mv",
        f'case "$*" in */record) [ ! -e "$BIN/said" ] || echo >> "$BIN/moved" ;; esac; '
        f'[ ! -e "$BIN/moved" ] || [ $(wc -l < "$BIN/moved") -le {written} ] || {{ {kill}; exit; }}; real "$@"',
    )
    asyncio.run(login.run(submit_array(submissions(requests), "m")))
    sbatch.unlink()
    moves.unlink()
    array = (login.folder / "bin" / "said").read_text().strip()
    assert [job != "" for job in login.recorded()] == [number < written for number in range(4)]
    assert array_of(login.ids(requests)) == array
    assert login.alive() == [f"{array}_{number}" for number in range(1, 5)]


@pytest.mark.parametrize(
    "moment",
    [0.06, 0.2, 0.4, *(pytest.param(moment, marks=pytest.mark.all) for moment in (0.02, 0.1, 0.15, 0.25, 0.3, 0.5))],
)
def test_killed_at_any_moment(login: ArrayLogin, moment: float) -> None:
    requests = login.sweep()
    login.wrap("sbatch", 'sleep 0.05; real "$@"; sleep 0.05')
    environment = {**os.environ, **login.box.environment, "PATH": f"{login.folder}/bin:{os.environ['PATH']}"}
    with subprocess.Popen(
        [login.shell, "-s"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdin
        process.stdin.write(submit_array(submissions(requests), "m").encode())
        process.stdin.close()
        time.sleep(moment)
        if moment in (0.1, 0.2, 0.3):
            process.kill()  # the script alone: what it called lives on
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    ids = login.ids_when_possible(requests)
    array_of(ids)
    assert login.alive() == ids
    assert login.recorded() == ids


def test_twins_are_cancelled(login: ArrayLogin) -> None:
    requests = login.sweep()
    ids = cut_off(login, requests, submits=True)
    output = f"--output={login.folder}/runs/job_sweep_%a/logs/slurm-%A_%a.out"
    twin = login.box.slurm("sbatch", "--parsable", "--array=1-4", output, "--wrap=sleep 600").strip()
    found = login.ids(requests)
    assert found in (ids, [f"{twin}_{number}" for number in range(1, 5)])
    assert wait_until(lambda: login.alive() == found)


def test_found_by_their_logs_when_slurm_has_forgotten_them(cluster_forgetful: Sandbox, tmp_path: Path) -> None:
    login = ArrayLogin(box=cluster_forgetful, folder=tmp_path)
    login.wrap("sbatch", 'real "$@" > /dev/null; echo "sbatch: error: Socket timed out" >&2; exit 1')
    requests = login.sweep(command="true")
    with pytest.raises(ClusterUnavailableError, match="it is not clear yet whether job_sweep_1 was submitted"):
        login.ids(requests)
    assert wait_until(lambda: len(list(tmp_path.glob("runs/*/logs/slurm-*"))) == 4)
    assert wait_until(lambda: not login.queue()), "forgotten"
    array_of(login.ids(requests))


def test_a_single_job_whose_script_makes_an_array_of_it_counts_as_a_whole(login: ArrayLogin) -> None:
    """Its own ``#SBATCH --array`` line is its author's; what it makes is found and cancelled all the same."""
    request = login.request(script='#!/bin/bash\n#SBATCH --array=0-1\nbash -c "$COMMAND"\n')
    wrapper = login.wrap("sbatch", f'{FAMILY}; real "$@" > "$BIN/said"; kill -9 $script $subshell $PPID')
    asyncio.run(login.run(submit_all([(request, FIRST)], "m")))
    wrapper.unlink()
    array = (login.folder / "bin" / "said").read_text().strip()
    assert login.submit(request) == array
    assert login.alive() == [f"{array}_0", f"{array}_1"]
    new = login.submit_when_possible(request, CLEARED)
    assert login.alive() == [f"{new}_0", f"{new}_1"]


@pytest.mark.all
def test_among_the_ids_of_a_chatty_sbatch_is_the_whole_array_of_a_script(login: ArrayLogin) -> None:
    login.wrap("sbatch", 'echo hello; real "$@"; sleep 3')  # until its elements run, each with a record of its own
    array = login.submit(login.request(script='#!/bin/bash\n#SBATCH --array=0-1\nbash -c "$COMMAND"\n'))
    assert login.alive() == [f"{array}_0", f"{array}_1"]


def test_an_unclear_answer_leaves_the_intents(login: ArrayLogin) -> None:
    wrapper = login.wrap("sbatch", 'real "$@" > /dev/null; echo "sbatch: error: Socket timed out" >&2; exit 1')
    answers = login.together(login.sweep())
    assert all("it is not clear yet" in str(answer) for answer in answers)
    wrapper.unlink()
    ids = login.ids(login.sweep())
    assert login.alive() == ids
    array_of(ids)


def test_a_refusal_leaves_the_records_as_they_were(login: ArrayLogin) -> None:
    requests = login.sweep(command="true")
    first = login.submit(requests[0], replace(FIRST, map_index=0))
    assert wait_until(lambda: login.queue().get(first) == "COMPLETED")
    nowhere = [replace(job, partition="nowhere") for job in requests]
    answers = login.together(nowhere, CLEARED)
    assert {type(answer) for answer in answers} == {ClusterRefusedError}
    assert all("invalid partition specified: nowhere" in str(answer) for answer in answers)
    assert login.record("job_sweep_1")["job"] == first
    assert not (Path(requests[1].run_dir) / RECORD).exists()
    assert len(login.ids(requests[1:], OTHER_RUN)) == 3


@pytest.mark.parametrize(
    "wrapped",
    [
        'echo 2024; echo Welcome; real "$@"; echo bye',
        'echo 12 jobs before you; echo; real "$@"; echo "sbatch: warning: low disk" >&2',
        'real "$@" > /dev/null; echo "quota: cannot tell your share" >&2; exit 1',
        'real "$@" > /dev/null',
    ],
    ids=["number", "words", "fails", "silent"],
)
def test_a_wrapper_of_sbatch(login: ArrayLogin, wrapped: str) -> None:
    login.wrap("sbatch", wrapped)
    ids = login.ids(login.sweep())
    array_of(ids)
    assert login.alive() == ids


@pytest.mark.slow("the script asks four times, with pauses, before it says so")
def test_no_answer_of_squeue_is_not_an_answer(login: ArrayLogin) -> None:
    requests = login.sweep()
    ids = cut_off(login, requests, submits=True)
    wrapper = login.wrap("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1')
    for attempt in (FIRST, CLEARED):
        answers = login.together(requests, attempt)
        assert all("Unable to contact slurm controller" in str(answer) for answer in answers)
        assert {type(answer) for answer in answers} == {ClusterUnavailableError}
    wrapper.unlink()
    assert login.ids(requests) == ids == login.alive()


def test_an_element_that_lost_its_lock_is_not_in_the_array(login: ArrayLogin) -> None:
    requests = login.sweep()
    lock = Path(requests[1].run_dir) / STATE_DIR / "lock"
    # Called for the limit of arrays, before the locks; then for the second element, after its intent.
    login.wrap("sync", f'case "$*" in *job_sweep_3*) echo other-host boot namespace 1 >| {lock} ;; esac; real "$@"')
    answers = login.together(requests)
    assert isinstance(answers[1], ClusterUnavailableError)
    ids = [answer.job_id for answer in answers if isinstance(answer, SubmittedJob)]
    array = ids[0].partition("_")[0]
    assert ids == [f"{array}_1", f"{array}_3", f"{array}_4"] == login.alive()
    assert lock.read_text().startswith("other-host"), "another's lock is left alone"


@pytest.mark.parametrize("step", ["in_time 60", "in_time 120", "in_time 150"])
def test_a_script_that_is_too_slow_submits_nothing(login: ArrayLogin, step: str) -> None:
    """Before another host could take its locks for given up."""
    requests = login.sweep(command="true")
    first = login.submit(requests[0], replace(FIRST, map_index=0))
    assert wait_until(lambda: login.queue().get(first) == "COMPLETED")
    login.edits = {f"{step};" if step != "in_time 150" else step: "false;" if step != "in_time 150" else "false"}
    answers = login.together(requests, CLEARED)
    assert all("was not submitted yet: the submissions before it took too long" in str(answer) for answer in answers)
    assert list(login.queue()) == [first]
    assert login.record("job_sweep_1")["job"] == first
    assert not (Path(requests[1].run_dir) / RECORD).exists()
    login.edits = {}
    assert login.alive() == []
    assert len(login.ids(requests, CLEARED)) == 4


# Who goes alone


def test_an_element_whose_lock_is_held_goes_alone_and_delays_no_other(login: ArrayLogin) -> None:
    requests = login.sweep()
    lock = Path(requests[1].run_dir) / STATE_DIR / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("other-host boot namespace 1\n")
    began = time.monotonic()
    answers = login.together(requests)
    assert time.monotonic() - began < 60
    assert [type(answer) for answer in answers] == [SubmittedJob, AloneError, SubmittedJob, SubmittedJob]
    lock.unlink()
    login.submit(requests[1], replace(FIRST, map_index=1))
    assert len(login.alive()) == 4


def test_an_element_with_a_damaged_record_goes_alone_and_leaves_its_lock(login: ArrayLogin) -> None:
    requests = login.sweep()
    record = Path(requests[1].run_dir) / RECORD
    record.parent.mkdir(parents=True)
    record.write_text("run d r\ntask")
    answers = login.together(requests)
    assert [type(answer) for answer in answers] == [SubmittedJob, AloneError, SubmittedJob, SubmittedJob]
    assert not (record.parent / "lock").exists()


def test_an_index_above_the_clusters_limit_goes_alone(login: ArrayLogin) -> None:
    login.wrap("scontrol", 'case "$*" in "show config") echo "MaxArraySize            = 3" ;; *) real "$@" ;; esac')
    answers = login.together(login.sweep())
    assert [type(answer) for answer in answers] == [SubmittedJob, SubmittedJob, AloneError, AloneError]
    assert "MaxArraySize is 3" in str(answers[2])


# Numbers from 1000 on: each thousand is an array, whose indices are the last three digits


@pytest.mark.both_shells
def test_numbers_above_any_clusters_limit_are_arrays_by_the_thousand(login: ArrayLogin) -> None:
    login.first = 2001
    command = 'echo "$SLURM_JOB_NAME" > "$BASE_LOG_DIR/name"; sleep 600'
    requests = login.sweep(command=command)
    ids = cut_off(login, requests, submits=True)
    assert login.ids(requests) == ids == login.alive() == login.recorded(), "found by where they write"
    array_of(ids)
    for request, job_id in zip(requests, ids, strict=True):
        name = Path(request.run_dir) / "name"
        assert wait_until(lambda name=name: name.exists() and name.read_text() != "", 60)  # type: ignore[misc]
        assert name.read_text() == f"{request.name}\n"
        assert (name.parent / "logs" / f"slurm-{job_id}.out").exists()
    client = SlurmClient(login)
    assert login.live_tasks() == {job_id: f"t {index}" for index, job_id in enumerate(ids)}

    jobs = [job_of(answer) for answer in login.together(requests)]
    asyncio.run(client.cancel(replace(jobs[1], run_dir=jobs[0].run_dir, log_path=jobs[0].log_path)))
    assert login.alive() == ids, "another element's directory"
    asyncio.run(client.cancel(jobs[1]))
    login.withdraw(requests[2], replace(FIRST, map_index=2))
    assert wait_until(lambda: login.alive() == [ids[0], ids[3]], 60)
    new = login.submit_when_possible(requests[0], replace(CLEARED, map_index=0))
    assert login.alive() == sorted([ids[3], new])
    ends, _ = asyncio.run(client.look_up(jobs))
    assert {job_id: end.state.value for job_id, end in ends.items()} == {
        ids[0]: "CANCELLED", ids[1]: "CANCELLED", ids[2]: "CANCELLED", ids[3]: "RUNNING"
    }  # fmt: skip


def test_so_many_of_an_array_run_at_once_as_the_limit_says(login: ArrayLogin) -> None:
    ids = login.ids(login.sweep(max_parallel_jobs=2))

    def states() -> list[str]:
        return [login.queue()[job_id] for job_id in ids]

    assert wait_until(lambda: states() == ["RUNNING"] * 2 + ["PENDING"] * 2, 60)
    login.box.slurm("scancel", ids[0])
    assert wait_until(lambda: states() == ["CANCELLED", "RUNNING", "RUNNING", "PENDING"], 60)


@pytest.mark.all
def test_elements_that_wait_under_another_name_live(login: ArrayLogin) -> None:
    """Sites rename jobs."""
    login.wrap("sbatch", 'real "$@" --job-name=site')
    jobs = list(map(job_of, login.together(login.sweep(3, options={"hold": True}))))
    found, trouble = asyncio.run(SlurmClient(login).look_up(jobs))
    assert ({job_id: each.state.value for job_id, each in found.items()}, trouble) == (
        {job.job_id: "PENDING" for job in jobs}, ""
    )  # fmt: skip


@pytest.mark.parametrize(
    "limit", ["QOSMaxSubmitJobPerUserLimit", "Batch job submission failed: Invalid job array specification"]
)
def test_a_submit_limit_is_told_as_such(login: ArrayLogin, limit: str) -> None:
    login.wrap("sbatch", f'echo "sbatch: error: {limit}" >&2; exit 1')
    with pytest.raises(CrowdedError, match=f"4 jobs in one array were not submitted: sbatch: error: {limit}"):
        login.together(login.sweep())
    assert not (login.folder / "runs" / "job_sweep_1" / RECORD).exists()


# How they end


@pytest.mark.slow("two clusters forget jobs one after the other")
@pytest.mark.xdist_group("accounting")
def test_the_ends_of_elements_with_and_without_accounting(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    for name in ("cluster", "cluster_accounting", "cluster_forgetful"):
        box: Sandbox = request.getfixturevalue(name)
        login = ArrayLogin(box=box, folder=tmp_path / name)
        command = "case ${BASE_LOG_DIR##*_} in 1) echo fine ;; 2) seq 100; exit 7 ;; *) exec sleep 600 ;; esac"
        accounting = name == "cluster_accounting"
        requests = login.sweep(3, command, account="sandbox" if accounting else None)
        jobs = [answer for answer in login.together(requests) if isinstance(answer, SubmittedJob)]
        array = array_of([job.job_id for job in jobs], 3)
        assert wait_until(lambda login=login, array=array: login.queue().get(f"{array}_3") == "RUNNING")  # type: ignore[misc]
        asyncio.run(check_ends(login, jobs))
        if name != "cluster":
            assert wait_until(lambda login=login: not login.queue()), "forgotten"  # type: ignore[misc]
            ends = ("sacct", "-X", "-n", "-P", "-o", "End", "-j", array)
            while accounting and "Unknown" in box.slurm(*ends):
                time.sleep(0.1)  # slurmdbd gets to know of an end after squeue has forgotten it
            asyncio.run(check_forgotten(login, jobs, accounting=accounting))


async def check_ends(login: ArrayLogin, jobs: list[SubmittedJob]) -> None:
    client = SlurmClient(login)
    monitor = Monitor(client, interval=0.5)

    async def cancel() -> None:
        await asyncio.sleep(2)
        await client.cancel(jobs[2])

    cancelling = asyncio.create_task(cancel())
    good, bad, gone = await asyncio.wait_for(asyncio.gather(*map(monitor.wait, jobs)), 240)
    await cancelling
    assert [status.state.value for status in (good, bad, gone)] == ["COMPLETED", "FAILED", "CANCELLED"]
    text = failure_text(jobs[1], bad, ["", *(await client.log_tail(jobs[1], bad)).splitlines()])
    assert f"Job {jobs[1].job_id} (job_sweep_2) ended as FAILED" in text
    assert "exit code 7:0" in text
    assert text.endswith("\n".join(map(str, range(51, 101))))


async def check_forgotten(login: ArrayLogin, jobs: list[SubmittedJob], *, accounting: bool) -> None:
    client = SlurmClient(login)
    found, _ = await client.look_up(jobs)
    states = [found[job.job_id].state.value for job in jobs]
    assert states == ["COMPLETED", "FAILED", "CANCELLED" if accounting else "FAILED"]
    assert {status.source for status in found.values()} == {"sacct" if accounting else "exit-status file"}
    assert found[jobs[1].job_id].exit_code == "7:0"
