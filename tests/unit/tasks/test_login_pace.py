"""How often a process logs in, by a clock of the test's."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from airflow_slurm_sweep.tasks.ssh.pace import LoginPace

NOISE = 1e-6  # of floating-point sums


def starts(seed: int, give_back: float = 0.0) -> tuple[list[float], list[float]]:
    """Log in at random moments; return when the logins began, and those of them that reached an SSH server."""
    rng, now = random.Random(seed), 0.0
    pace = LoginPace(clock=lambda: now)
    begun: list[float] = []
    reached: list[float] = []
    for _ in range(200):
        now += rng.choice([0, 0, 0.1, 1, 5, 40])
        begun.append(now + pace.reserve("login1"))
        now = begun[-1]
        if rng.random() < give_back:
            pace.give_back("login1")
        else:
            reached.append(begun[-1])
    return begun, reached


def test_at_most_one_login_a_second_and_six_a_minute() -> None:
    for seed in range(20):
        begun, _ = starts(seed)
        assert min(b - a for a, b in pairwise(begun)) >= 1 - NOISE
        assert min(b - a for a, b in zip(begun, begun[6:], strict=False)) >= 60 - NOISE


def test_a_host_that_does_not_answer_is_tried_once_a_second() -> None:
    begun, _ = starts(0, give_back=1.0)
    assert min(b - a for a, b in pairwise(begun)) == pytest.approx(1)
    for seed in range(20):
        _, reached = starts(seed, give_back=0.5)
        assert min(b - a for a, b in zip(reached, reached[6:], strict=False)) >= 60 - NOISE


def test_hosts_are_counted_apart() -> None:
    pace = LoginPace(clock=lambda: 0.0)
    assert [pace.reserve("a"), pace.reserve("b"), pace.reserve("a")] == [0, 0, 1]
