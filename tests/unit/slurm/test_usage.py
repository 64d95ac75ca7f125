"""What jobs used, as sacct tells it."""

from __future__ import annotations

import asyncio
import time

import pytest
from fake_shell import FakeShell

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.usage import UNKNOWN, Hours

ANSWER = """\
welcome to the cluster
7|3600|billing=4,cpu=4,gres/gpu=2,gres/gpu:a100=2,mem=8G,node=1
8|1800|billing=4,cpu=4,gres/gpu=2,mem=8G,node=1
9|7200|billing=16,cpu=16,mem=8G,node=1
10_3|0|
11+0|3600|cpu=1,node=1
11+1|3600|cpu=2,node=1
12|60|
"""


@pytest.mark.parametrize(
    ("jobs", "hours"),
    [
        (["7"], Hours(2, 4)),
        (["7", "8"], Hours(3, 6)),  # a chain
        (["9"], Hours(None, 32)),  # GPUs are not accounted for
        (["10_3"], Hours(0, 0)),  # it never began
        (["11"], Hours(None, 3)),
        (["12"], UNKNOWN),
        (["7", "99"], UNKNOWN),
    ],
)
def test_hours_are_those_of_all_jobs_of_a_chain(jobs: list[str], hours: Hours) -> None:
    assert asyncio.run(SlurmClient(FakeShell(sacct=ANSWER)).hours([jobs, ["9"]])) == [hours, Hours(None, 32)]


def test_without_accounting_nothing_is_known() -> None:
    assert asyncio.run(SlurmClient(FakeShell(sacct="")).hours([["7"], ["8"]])) == [UNKNOWN, UNKNOWN]


def test_a_site_without_accounting_is_asked_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = FakeShell(sacct="Slurm accounting storage is disabled\n")
    client = SlurmClient(shell)
    assert [asyncio.run(client.hours([["7"]])) for _ in range(3)] == [[UNKNOWN]] * 3
    assert len(shell.asked) == 1
    shell.answers["sacct"] = ANSWER
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    assert asyncio.run(client.hours([["9"]])) == [Hours(None, 32)]
