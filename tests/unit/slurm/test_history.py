"""Histories keep their shape in bounded room."""

from __future__ import annotations

import json
import math
from itertools import pairwise

from airflow_slurm_sweep.slurm.history import METRICS, POINTS, History, fitted, is_curve


def test_a_long_history_keeps_its_extremes_its_ends_and_an_even_density() -> None:
    history = History()
    for step in range(100_000):
        history.add("loss", step, -5.0 if step == 777 else 9.0 if step == 90_001 else math.sin(step / 5000))
    steps, values = history.to_json()["loss"]
    assert len(steps) <= POINTS
    assert (steps[0], steps[-1]) == (0, 99_999)
    assert (values[steps.index(777)], values[steps.index(90_001)]) == (-5, 9)
    assert max(after - before for before, after in pairwise(steps)) < 100_000 / POINTS * 5


def test_values_that_come_again_or_late_find_their_place() -> None:
    history = History()
    for step, value in ((2, 2.0), (1, 1.0), (2, 3.0), (0.5, 0.12345678)):
        history.add("loss", step, value)
    assert history.to_json() == {"loss": [[0.5, 1, 2], [0.123457, 1, 3]]}


def test_the_objective_is_kept_however_late_it_comes() -> None:
    history = History("reward")
    for name in [*"abcdefghij", "reward"]:
        history.add(name, 1, 1)
    assert history.names == ["reward", *"abcdefg"]
    assert len(history.names) == METRICS


def test_a_job_takes_some_kilobytes() -> None:
    history = History()
    for step in range(5000):
        for name in "abcdefgh":
            history.add(name, step * 1000, math.sin(step) / 3)
    assert len(json.dumps(history.to_json(), separators=(",", ":"))) < 16 * 1024


def test_the_curves_of_many_jobs_fit_into_the_room_that_there_is() -> None:
    def job(points: int) -> tuple[History, dict[str, float]]:
        history = History("loss")
        for step in range(points):
            history.add("acc", step, math.cos(step) / 7)
            history.add("loss", step, math.sin(step) / 7)
        return history, {"loss": 0.1, "acc": 0.2, "lr": 0.3}

    few = fitted({0: job(50), 7: job(50)}, 48 * 1024)
    assert {name: sorted(curves) for name, curves in few.items()} == {
        name: ["0", "7"] for name in ("loss", "acc", "lr")
    }
    assert len(few["loss"]["7"][0]) == 50
    assert few["lr"]["0"] == [[], [0.3]]
    for jobs in (100, 1000, 1500):
        room = 48 * 1024
        found = fitted(dict.fromkeys(range(jobs), job(300)), room)
        assert len(found["loss"]) == jobs
        assert len(json.dumps(found)) <= room
    assert fitted(dict.fromkeys(range(5000), job(3)), 48 * 1024) == {}


def test_whole_numbers_have_all_their_digits() -> None:
    history = History()
    history.add("tokens", 1, 1_234_567_890)
    found = fitted({0: (history, {"tokens": 1_234_567_890, "steps": 1_234_567})}, 1024)
    assert found == {"tokens": {"0": [[1], [1_234_567_890]]}, "steps": {"0": [[], [1_234_567]]}}


def test_a_latest_value_that_is_not_the_last_of_the_curve_stands_beside_it() -> None:
    history = History()
    for name in ("diverged", "went_back", "steady"):
        for step in (1, 2, 3):
            history.add(name, step, step / 2)
    jobs = {0: (history, {"went_back": 0.75, "steady": 1.5})}
    whole = [[1, 2, 3], [0.5, 1, 1.5]]
    found = {name: curves["0"] for name, curves in fitted(jobs, 1024).items()}
    assert found == {"diverged": [*whole, []], "went_back": [*whole, [0.75]], "steady": whole}
    assert all(map(is_curve, found.values()))
    assert [is_curve([*whole, last]) for last in (["x"], [1, 2], 1, "x")] == [False] * 4
    short = fitted(dict.fromkeys(range(1000), jobs[0]), 96 * 1024)
    assert short["went_back"]["0"] == [[], [0.75]]
    assert len(json.dumps(short)) <= 96 * 1024
