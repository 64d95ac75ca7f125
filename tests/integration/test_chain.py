"""Chains: one next job whatever breaks, the record of all of them, and jobs that are warned. On real Slurm."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError, NotYetError
from airflow_slurm_sweep.names import STATE_DIR, place_file
from airflow_slurm_sweep.slurm.job import JobRequest
from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.integration.login import CLEARED, FIRST, OTHER_RUN, Login, login_on

pytestmark = pytest.mark.sandbox

WAITING = replace(FIRST, task_id="w", id="03-1")  # the task that waits
WAITING_AGAIN = replace(WAITING, try_number=2, id="04-1")
CHAIN = {"jobs": 6}


@pytest.fixture(params=["dash", "bash"])  # bash: where a test is for both shells; tests/groups.py
def login(request: pytest.FixtureRequest, cluster: Sandbox, tmp_path: Path) -> Iterator[Login]:
    with login_on(cluster, tmp_path, shell=request.param) as login:
        yield login


def chained(login: Login, command: str = "sleep 600", name: str = "job", **changes: Any) -> JobRequest:
    return login.request(command, name, chain=CHAIN, **changes)


def after(request: JobRequest, job: str, ended: str = "TIMEOUT,,,") -> JobRequest:
    return replace(request, after=job, ended=ended)


def ended_job(login: Login, request: JobRequest) -> str:
    """Submit the first job of a chain, and return it when it has ended."""
    job = login.submit(request)
    login.box.slurm("scancel", job)
    login.wait_for(job, "CANCELLED", "COMPLETED")
    return job


def links(login: Login, name: str = "job") -> list[str]:
    """Return the links of the record without the times."""
    return re.sub(r",[0-9]{9,},", ",", login.record(name)["links"]).split()


# The compare-and-swap


@pytest.mark.both_shells
def test_of_six_that_ask_at_once_one_submits_the_next_job(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    with ThreadPoolExecutor() as pool:
        jobs = set(
            pool.map(
                lambda _: login.submit(after(request, first, "TIMEOUT,1240.0,1-00:00:00,n[1-2,4]"), WAITING), range(6)
            )
        )
    (second,) = jobs
    assert list(login.jobs()) == [first, second]
    assert login.live() == [second]
    assert links(login) == [f"{first},TIMEOUT,1240.0,1-00:00:00,n[1-2,4]"]
    marks = {path.name for path in (login.folder / "runs" / "job" / STATE_DIR).iterdir()}
    assert marks >= {f"{first}.start", f"{second}.start"}
    record = login.record()
    assert (record["task"], record["attempt"], record["jobs"]) == ("t 0", "1 01-1", first), "still the first task's"
    assert login.submit(request) == second, "the task that began the chain gets its live job"


@pytest.mark.all
def test_a_job_that_lives_has_no_successor(login: Login) -> None:
    request = chained(login)
    first = login.submit(request)
    assert login.submit(after(request, first), WAITING) == first
    assert list(login.jobs()) == [first]


def test_the_third_job_follows_the_second_and_the_first_leads_to_it(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    second = ended_job(login, after(request, first))
    third = login.submit(after(request, second, "COMPLETED,7.0,00:00:07,n1"), WAITING)
    assert login.submit(after(request, first), WAITING_AGAIN) == third, "the task that waits was cleared"
    assert links(login) == [f"{first},TIMEOUT,,,", f"{second},COMPLETED,7.0,00:00:07,n1"]
    assert login.live() == [third]


KILLS = {
    "before the lock": ("open_record\n", "open_record; kill -9 $pid\n"),
    "before the intent": ("  its_job=\n  set --", "  kill -9 $pid\n  set --"),
    "after the intent": ("  for made in ", "  kill -9 $pid\n  for made in "),
    "before sbatch": ("  try_sbatch\n", "  kill -9 $pid\n"),
    "after sbatch": ("  status=$?\n  its_job=${said%%;*}", "  kill -9 $pid"),
    "before the record has the job": ("answer_submitted() {", "answer_submitted() {\n  kill -9 $pid"),
    "after the record has the job": ("  answer submitted\n", "  kill -9 $pid\n"),
}


@pytest.mark.parametrize("phase", KILLS)
def test_one_job_follows_where_a_submission_is_killed(login: Login, phase: str) -> None:
    """Also where another triggerer asks at the same moment."""
    request = chained(login)
    first = ended_job(login, request)
    login.edits = dict([KILLS[phase]])
    with pytest.raises(ClusterUnavailableError):
        login.submit(after(request, first), WAITING)
    login.edits = {}
    with ThreadPoolExecutor() as pool:
        jobs = set(pool.map(lambda _: login.submit_when_possible(after(request, first), WAITING), range(2)))
    assert login.live() == list(jobs)
    assert list(login.jobs()) == [first, *jobs]
    assert links(login) == [f"{first},TIMEOUT,,,"]


def test_a_lost_answer_leads_to_the_same_job(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    login.wrap(
        "sbatch", 'real "$@" > "$BIN/said"; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1'
    )
    with pytest.raises(ClusterUnavailableError, match="not clear yet"):
        login.submit(after(request, first), WAITING)
    login.wrap("sbatch", 'real "$@"')
    second = login.submit(after(request, first), WAITING)
    assert second == (login.folder / "bin" / "said").read_text().strip()
    assert login.live() == [second]


@pytest.mark.all
def test_a_refused_job_leaves_the_chain_where_it_was(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    before = login.record()
    with pytest.raises(ClusterRefusedError, match="invalid partition"):
        login.submit(after(replace(request, partition="nowhere"), first), WAITING)
    assert login.record() == before
    second = login.submit(after(request, first), WAITING)
    assert login.live() == [second]


# Who may


@pytest.mark.all
def test_a_cleared_submission_begins_a_new_chain_which_the_old_one_leaves_alone(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    second = login.submit(after(request, first), WAITING)
    third = login.submit_when_possible(request, CLEARED)
    assert links(login) == []
    for job in (first, second):
        with pytest.raises(ClusterRefusedError, match="a later try of the task has begun a new chain"):
            login.submit(after(request, job), WAITING)
    assert login.live() == [third]


@pytest.mark.all
def test_a_run_that_has_resumed_has_the_directory(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    other = login.submit(replace(request, resume=True), OTHER_RUN)
    with pytest.raises(ClusterRefusedError, match="another Dag run has taken over the run directory"):
        login.submit(after(request, first), WAITING)
    assert login.live() == [other]


@pytest.mark.parametrize("when", ["between two jobs", "while the next one is queued"])
def test_a_killed_task_leaves_no_job_and_no_next_one(login: Login, when: str) -> None:
    request = chained(login)
    first = ended_job(login, request)
    if when != "between two jobs":
        login.submit(after(request, first), WAITING)
    login.withdraw(after(request, first), WAITING)
    time.sleep(3)
    assert login.live() == []
    with pytest.raises(ClusterRefusedError, match="this attempt was withdrawn"):
        login.submit(after(request, first), WAITING)
    assert login.live() == []


@pytest.mark.all
def test_a_killed_task_that_was_cleared_goes_on(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    login.withdraw(after(request, first), WAITING)
    time.sleep(2)
    job = login.submit(after(request, first), WAITING_AGAIN)
    assert login.live() == [job]


@pytest.mark.all
def test_a_late_withdrawal_leaves_a_new_chain_alone(login: Login) -> None:
    request = chained(login)
    first = ended_job(login, request)
    job = login.submit(request, CLEARED)
    login.withdraw(after(request, first), WAITING)
    time.sleep(3)
    assert login.live() == [job]


# The place under max_parallel_jobs


def stop(login: Login, job: str) -> None:
    login.wait_for(job, "RUNNING")
    login.box.slurm("scancel", job)
    login.wait_for(job, "CANCELLED")


def test_a_chain_keeps_its_place_between_two_jobs(login: Login) -> None:
    first, other = (chained(login, name=name, max_parallel_jobs=1) for name in ("job", "other"))
    attempt = replace(FIRST, map_index=1, id="01-9")
    job = login.submit(first)
    for request in (after(first, job), None):
        stop(login, job)
        with pytest.raises(NotYetError, match="max_parallel_jobs is 1"):
            login.submit(other, attempt)
        job = login.submit(request, WAITING) if request else job
    Path(place_file(first.run_dir, job)).unlink()
    job = login.submit(other, attempt)
    assert login.live("other") == [job]


@pytest.mark.all
def test_a_withdrawn_link_without_a_job_leaves_its_place_to_the_next(login: Login) -> None:
    first, other = (chained(login, name=name, max_parallel_jobs=1) for name in ("job", "other"))
    attempt = replace(FIRST, map_index=1, id="01-9")
    link = after(first, ended_job(login, first))
    sbatch = login.wrap("sbatch", 'echo "sbatch: error: Socket timed out" >&2; exit 1')
    with pytest.raises(ClusterUnavailableError):
        login.submit(link, WAITING)
    sbatch.unlink()
    with pytest.raises(NotYetError, match="max_parallel_jobs is 1"):
        login.submit(other, attempt)
    login.withdraw(link, WAITING)
    assert wait_until(lambda: not (Path(first.run_dir) / STATE_DIR / "start").exists())
    job = login.submit(other, attempt)
    assert login.live("other") == [job]


@pytest.mark.all
def test_a_chain_that_nobody_waits_for_loses_its_place(login: Login) -> None:
    first, other = (chained(login, name=name, max_parallel_jobs=1) for name in ("job", "other"))
    stop(login, login.submit(first))
    login.edits = {"-mmin -10": "-mmin -0"}
    assert login.submit(other, replace(FIRST, map_index=1, id="01-9"))
