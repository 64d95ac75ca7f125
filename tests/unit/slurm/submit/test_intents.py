"""Intents that lead to no job, and tasks that are killed while Slurm does not answer.

The shell is real; Slurm's commands are recorders (`login_shell`).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from login_shell import SHELLS
from run_directory import SUBMITTING, Node, eventually

from airflow_slurm_sweep.names import STATE_DIR
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.submit.answer import ExitStatus
from airflow_slurm_sweep.slurm.submit.script import withdraw

OTHER = replace(SUBMITTING, map_index=4, id="03-1")


@pytest.fixture(params=SHELLS)
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    return Node(argv=SHELLS[request.param], folder=tmp_path / "login")


def one_at_a_time(node: Node, number: int = 1) -> JobRequest:
    run_dir = str(node.run_dir.with_name(f"s_{number}"))
    return node.request(max_parallel_jobs=1, chain={}, index=number, run_dir=run_dir)


def sbatch(node: Node, said: str, status: int = 1) -> None:
    (node.folder / "bin" / "sbatch").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")


def accept(node: Node, job: str) -> None:
    (node.folder / "bin" / "sbatch").write_text(f"#!/bin/sh\necho {job}\n")


def lose_answer(node: Node) -> None:
    """Leave an intent whose job may be there or not."""
    for name in ("squeue", "job_0"):  # Slurm shows no job at all
        node.answer(name, "")
    sbatch(node, "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    assert node.submit(one_at_a_time(node), SUBMITTING)[0] == ExitStatus.UNCLEAR


def show_only_job_7(node: Node) -> None:
    node.show(job_7="PENDING")
    node.answer("squeue", f"7 PENDING {node.run_dir}/logs/slurm-7.out\n")
    node.answer("job_0", "")


def silence(node: Node) -> None:
    """Let squeue fail as many times as a withdrawal asks in its first two rounds, then show job 7."""
    path = node.folder / "bin" / "squeue"
    answer = path.read_text()
    path.write_text(f"""#!/bin/sh
echo x >> '{node.folder}/asked'
[ "$(/usr/bin/wc -l < '{node.folder}/asked')" -gt 6 ] || {{ echo 'slurm_load_jobs error: no answer' >&2; exit 1; }}
{answer}""")


def test_the_job_of_a_killed_task_is_cancelled_once_squeue_answers_again(node: Node) -> None:
    lose_answer(node)
    silence(node)
    show_only_job_7(node)
    asyncio.run(node.client.withdraw(one_at_a_time(node), SUBMITTING))
    eventually(lambda: node.cancelled() == ["7"])


def test_a_killed_task_submits_nothing_even_while_slurm_does_not_answer(node: Node) -> None:
    lose_answer(node)
    (node.folder / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    asyncio.run(node.client.withdraw(one_at_a_time(node), SUBMITTING))
    attempt = f"{SUBMITTING.run} {SUBMITTING.task} {SUBMITTING.try_number} {SUBMITTING.instance}"
    eventually(lambda: node.words()["withdrawn"] == attempt)


def test_a_withdrawal_that_is_slow_leaves_the_mark_of_a_later_one(node: Node) -> None:
    node.answer("sbatch", "7\n")
    assert node.submit(node.request(), SUBMITTING) == (0, "7 submitted")
    hold, held = node.folder / "hold", node.folder / "held"
    hold.touch()
    sleep = node.folder / "bin" / "sleep"  # the first one takes long
    sleep.write_text(f"#!/bin/sh\n/usr/bin/mv {hold} {held} 2> /dev/null || exit 0\nwhile [ -e {held} ]; do :; done\n")
    newer = replace(SUBMITTING, try_number=2, id="01-2")
    in_front = withdraw(node.request(), newer).replace(" 2>&1 &", " 2>&1")
    slow = threading.Thread(target=node.run, args=(in_front,))
    slow.start()
    eventually(held.exists)
    asyncio.run(node.client.withdraw(node.request(), SUBMITTING))
    eventually(lambda: node.cancelled() == ["7"])
    held.unlink()
    slow.join()
    assert node.submit(node.request(), SUBMITTING)[0] == ExitStatus.REFUSED


def test_a_withdrawn_intent_that_led_to_no_job_takes_no_place(node: Node) -> None:
    lose_answer(node)
    asyncio.run(node.client.withdraw(one_at_a_time(node), SUBMITTING))
    eventually(lambda: node.words()["withdrawn"] != "")
    accept(node, "8")
    assert node.submit(one_at_a_time(node, 2), OTHER) == (0, "8 submitted")


def test_a_refusal_may_be_because_of_the_job_whose_answer_was_lost(node: Node) -> None:
    lose_answer(node)
    sbatch(node, "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy")
    assert node.submit(one_at_a_time(node), SUBMITTING)[0] == ExitStatus.SBATCH_REFUSED
    show_only_job_7(node)
    accept(node, "8")
    assert node.submit(one_at_a_time(node), SUBMITTING) == (0, "7 again")


def test_an_intent_takes_a_place_while_its_job_may_come_and_not_for_ever(node: Node) -> None:
    lose_answer(node)
    accept(node, "8")
    assert node.submit(one_at_a_time(node, 2), OTHER)[0] == ExitStatus.FULL
    old = time.time() - 700
    os.utime(node.run_dir / STATE_DIR, (old, old))
    node.show(job_7="PENDING")
    assert node.submit(one_at_a_time(node, 2), OTHER)[0] == ExitStatus.FULL, "its job lives"
    node.show(job_7="CANCELLED")
    assert node.submit(one_at_a_time(node, 2), OTHER) == (0, "8 submitted")
