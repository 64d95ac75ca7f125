"""A run directory whose record is damaged or gone: no job is lost by it, and none runs beside the next.

The shell is real; Slurm's commands are recorders (`login_shell`).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from login_shell import SHELLS
from run_directory import SUBMITTING, WAITING, Node, eventually

from airflow_slurm_sweep.names import COMBINATION, PARAMETERS
from airflow_slurm_sweep.slurm.submit.answer import ExitStatus, submitted_job
from airflow_slurm_sweep.tasks.chained import Chained
from airflow_slurm_sweep.tasks.one_job import cancel_awaited


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(argv=SHELLS["dash"], folder=tmp_path / "login")


def half(node: Node) -> None:
    node.record.write_text("run a d r\ntask comb")


def empty(node: Node) -> None:
    node.record.write_text("")


def deleted(node: Node) -> None:
    node.record.unlink()


def gone(node: Node) -> None:
    shutil.rmtree(node.run_dir)


DAMAGES = pytest.mark.parametrize("damage", [half, empty, deleted, gone])


# A task that is killed


@DAMAGES
def test_the_job_of_a_killed_task_that_waits_for_a_chain_is_cancelled(
    node: Node, damage: Callable[[Node], None]
) -> None:
    assert node.submit(node.request(), SUBMITTING) == (0, "7 submitted")
    node.show(job_7="RUNNING")
    damage(node)
    chained = Chained(request=node.request(), attempt=WAITING, resolve=None, on_next=None)  # type: ignore[arg-type]
    asyncio.run(cancel_awaited(node.client, submitted_job(node.request(), "7"), chained))
    assert "7" in node.cancelled()


@pytest.mark.parametrize("damage", [half, empty, deleted])
def test_the_job_of_a_killed_task_that_submits_is_cancelled(node: Node, damage: Callable[[Node], None]) -> None:
    assert node.submit(node.request(), SUBMITTING) == (0, "7 submitted")
    node.show(job_7="RUNNING")
    damage(node)
    asyncio.run(node.client.withdraw(node.request(), SUBMITTING))
    eventually(lambda: node.cancelled() == ["7"])


# The next job of a chain


def begun(node: Node) -> None:
    """Let the first job of a chain have written its log and ended."""
    assert node.submit(node.request(), SUBMITTING) == (0, "7 submitted")
    (node.run_dir / "logs" / "slurm-7.out").touch()


@pytest.mark.parametrize("damage", [half, empty, deleted])
def test_a_chain_goes_on_though_its_record_is_damaged(node: Node, damage: Callable[[Node], None]) -> None:
    begun(node)
    whole = node.words()
    damage(node)
    assert node.follow("7", "8") == (0, "8 submitted")
    words = node.words()
    assert words == {**whole, "attempt": "0 unknown", "job": "8", "jobs": "7", "links": "7,TIMEOUT,,,"}
    assert (node.run_dir / PARAMETERS).exists()


@pytest.mark.parametrize("damage", [half, empty, deleted])
def test_a_limit_of_parallel_jobs_takes_no_chain_away(node: Node, damage: Callable[[Node], None]) -> None:
    other = node.request(max_parallel_jobs=2, chain={}, index=2, run_dir=str(node.run_dir.with_name("s_2")))
    node.answer("sbatch", "5\n")
    assert node.submit(other, replace(SUBMITTING, map_index=4, id="03-1")) == (0, "5 submitted")
    node.answer("sbatch", "7\n")
    begun(node)
    whole = node.words()
    damage(node)
    assert node.follow("7", "8", max_parallel_jobs=2) == (0, "8 submitted")
    assert node.words() == {**whole, "attempt": "0 unknown", "job": "8", "jobs": "7", "links": "7,TIMEOUT,,,"}
    assert node.follow("7", "9", max_parallel_jobs=2) == (0, "8 again")


def test_a_restarted_triggerer_finds_the_live_job_of_a_damaged_record(node: Node) -> None:
    begun(node)
    node.follow("7", "8")
    (node.run_dir / "logs" / "slurm-8.out").touch()
    # Slurm still shows the first job, as one that it may queue again.
    node.show(job_7="NODE_FAIL", job_8="RUNNING")
    empty(node)
    assert node.follow("7") == (0, "8 again")
    assert node.words()["links"] == "7,TIMEOUT,,,"
    node.show(job_8="COMPLETED")
    half(node)
    assert node.follow("8", "9") == (0, "9 submitted")
    assert node.words()["links"] == "8,TIMEOUT,,,"
    assert node.follow("7") == (0, "9 again"), "the damage has lost the link"
    assert len(node.calls("sbatch")) == 3


def test_a_refused_link_with_a_damaged_record_keeps_the_combination(node: Node) -> None:
    begun(node)
    empty(node)
    (node.folder / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    assert node.follow("7")[0] == ExitStatus.SBATCH_REFUSED
    assert (node.run_dir / PARAMETERS).exists()
    assert (node.run_dir / COMBINATION).exists()


def test_a_killed_task_cancels_the_live_job_of_a_damaged_record(node: Node) -> None:
    begun(node)
    node.follow("7", "8")
    node.show(job_8="RUNNING")
    empty(node)
    asyncio.run(node.client.withdraw(node.request(after="7", ended=",,,"), WAITING))
    eventually(lambda: node.cancelled() == ["8"])


def test_a_chain_of_another_dag_run_does_not_go_on(node: Node) -> None:
    assert node.submit(node.request(), replace(SUBMITTING, run_id="other")) == (0, "7 submitted")
    empty(node)
    status, text = node.follow("7")
    assert (status, text) == (ExitStatus.REFUSED, f"another Dag run has taken over the run directory {node.run_dir}")


def test_without_a_record_no_job_follows(node: Node) -> None:
    begun(node)
    gone(node)
    status, text = node.follow("7")
    assert status == ExitStatus.REFUSED
    assert text == f"the record of {node.run_dir} is gone or damaged, so no job was submitted after job 7"
