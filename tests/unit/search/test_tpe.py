"""What a search proposes next."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_slurm_sweep.search.tpe import START, importances, propose
from airflow_slurm_sweep.search.trial import State, Trial
from airflow_slurm_sweep.sweep.spaces import Space
from airflow_slurm_sweep.sweep.spec import parse_sweep

ALL_KINDS = """\
command: t {flags}
u: {uniform: [0, 1]}
s: {uniform: [0, 1], step: 0.25}
l: {loguniform: [1e-5, 1]}
i: {int: [1, 9], step: 2}
g: {logint: [2, 64]}
c: [1, true, "1", 1.0, null, [1, 2]]
"a, b": [[1, x], [2, y]]
k: 7
sweep: {search: tpe, trials: 40, objective: {metric: loss, goal: minimize}MORE}
"""


def space(more: str = "", text: str = ALL_KINDS) -> Space:
    return parse_sweep(text.replace("MORE", more), source="s").space


def ended(own: Space, number: int, loss: Any = lambda each: each["u"]) -> list[Trial]:
    return [Trial(parameters=each, state=State.ENDED, value=loss(each)) for each in own.chosen[:number]]


def mean(trials: list[Trial]) -> float:
    return float(sum(trial.parameters["u"] for trial in trials) / len(trials))


def test_until_ten_trials_have_ended_the_trials_are_those_of_a_random_search() -> None:
    own = space()
    running = [Trial(parameters=each, state=State.RUNNING) for each in own.chosen[START - 1 : 20]]
    assert propose(own, [*ended(own, START - 1), *running], 25, maximize=False) == own.chosen[25]


def test_then_they_are_near_the_good_ones_and_of_the_values_that_the_file_has() -> None:
    own = space()
    known = ended(own, 30)
    for slot in range(30, 40):
        found = propose(own, known, slot, maximize=False)
        assert [*found] == own.keys
        assert found["s"] in (0, 0.25, 0.5, 0.75, 1)
        assert found["i"] in (1, 3, 5, 7, 9)
        assert (type(found["i"]), type(found["g"])) == (int, int)
        assert json.dumps(found["c"]) in ("1", "true", '"1"', "1.0", "null", "[1, 2]")
        assert (found["a"], found["b"]) in ((1, "x"), (2, "y"))
        assert found["k"] == 7
        assert found not in [each.parameters for each in known]
        known.append(Trial(parameters=found, state=State.RUNNING))
    assert mean(known[30:]) < 0.4, "half of a random search's"


@pytest.mark.parametrize("goal", [True, False])
def test_the_goal_counts(goal: bool) -> None:
    own = space()
    found = (propose(own, ended(own, 30), slot, maximize=goal) for slot in range(30, 40))
    assert (mean([Trial(parameters=each, state=State.RUNNING) for each in found]) > 0.5) is goal


def test_the_same_study_gives_the_same_proposal_and_another_slot_another_one() -> None:
    own = space()
    first, again, other = (propose(own, ended(own, 12), slot, maximize=False) for slot in (12, 12, 13))
    assert first == again != other


def test_failed_trials_count_as_the_worst_and_cancelled_ones_not_at_all() -> None:
    own = space()
    known = ended(own, 12)
    same = propose(own, known, 12, maximize=False)
    cancelled = Trial(parameters=own.chosen[20], state=State.LEFT_OUT)
    failed = [Trial(parameters=each, state=State.ENDED) for each in own.chosen[12:24]]
    diverged = [Trial(parameters=each, state=State.ENDED, value=float("nan")) for each in own.chosen[12:24]]
    worst = [
        Trial(parameters=each, state=State.ENDED, value=max(t.value or 0 for t in known)) for each in own.chosen[12:24]
    ]
    answers = [propose(own, [*known, *more], 24, maximize=False) for more in (failed, diverged, worst)]
    assert answers[0] == answers[1] == answers[2]
    assert propose(own, [*known, cancelled], 12, maximize=False) != same, "the seed has the number of trials"


def test_what_is_excluded_or_known_is_not_proposed() -> None:
    text = "command: t {flags}\nx: [1, 2, 3, 4]\ny: [1, 2, 3, 4]\nsweep: {search: tpe, trials: 15, "
    own = space(text=text + "objective: {metric: l, goal: minimize}, exclude: [{x: 1, y: 1}]}")
    known = ended(own, 12, lambda each: each["x"] + each["y"])
    for slot in range(12, 15):
        found = propose(own, known, slot, maximize=False)
        assert found not in [each.parameters for each in known]
        assert found != {"x": 1, "y": 1}
        known.append(Trial(parameters=found, state=State.RUNNING))


@pytest.mark.parametrize("trials", [40, 48])
def test_a_finite_space_runs_whole_and_no_combination_twice(trials: int) -> None:
    text = "command: t {flags}\nx: [1, 2, 3, 4, 5, 6, 7, 8]\ny: [1, 2, 3, 4, 5, 6]\nsweep: {search: tpe, trials: "
    own = space(text=f"{text}{trials}, objective: {{metric: l, goal: minimize}}}}")
    known: list[Trial] = []
    for slot in range(trials):
        found = propose(own, known, slot, maximize=False)
        known.append(Trial(parameters=found, state=State.ENDED, value=float(f"{found['x']}.{found['y']}")))
    assert len({str(each.parameters) for each in known}) == trials


@pytest.mark.parametrize("step", ["0.3333333333333333", "0.3333334", "0.1"])
def test_a_step_that_no_float_divides_is_taken_as_the_file_says(step: str) -> None:
    text = f"command: t {{flags}}\ns: {{uniform: [0, 1], step: {step}}}\nu: {{uniform: [0, 1]}}\nsweep: "
    own = space(text=text + "{search: tpe, trials: 40, objective: {metric: l, goal: minimize}}")
    values = {float(str(each["s"])) for each in own.chosen}
    known = ended(own, 30, lambda each: -each["s"])
    asked = [float(str(propose(own, known, slot, maximize=False)["s"])) for slot in range(30, 40)]
    assert set(asked) <= values
    assert max(values) in asked, "the best is in the study"


def test_the_first_trials_are_those_that_the_file_includes() -> None:
    text = ALL_KINDS.replace("MORE", ", include: [{u: 0.5, s: 0, l: 0.1, i: 3, g: 8, c: 1, a: 1, b: x, k: 7}]")
    own = space(text=text)
    assert propose(own, ended(own, 20)[1:], 0, maximize=False)["u"] == 0.5


def test_values_that_the_space_has_no_more_are_left_out() -> None:
    own = space()
    old = [Trial(parameters={"z": 1}, state=State.ENDED, value=0.0)]
    assert propose(own, [*ended(own, 12), *old], 13, maximize=False)


def test_a_parameter_that_decides_is_the_most_important() -> None:
    own = space(text=ALL_KINDS.replace("trials: 40", "trials: 80"))
    shares = importances(own, ended(own, 80), maximize=False)
    assert next(iter(shares)) == "u"
    assert shares.keys() == {"u", "s", "l", "i", "g", "c", "a, b"}
    assert sum(shares.values()) == pytest.approx(1)


def test_a_stopped_trial_is_worse_than_each_that_has_ended() -> None:
    own = space()
    good = [
        Trial(parameters=each, state=State.STOPPED, value=-float(str(each["u"])), step=9) for each in own.chosen[:15]
    ]
    found = [
        float(propose(own, [*good, *ended(own, 30)[15:]], slot, maximize=False)["u"])  # type: ignore[arg-type]
        for slot in range(30, 40)
    ]
    alone = [float(propose(own, good, slot, maximize=False)["u"]) for slot in range(30, 40)]  # type: ignore[arg-type]
    assert sum(found) / 10 < 0.4, "as those that ended say"
    assert sum(alone) / 10 > 0.5, "without any that ended, as those that were stopped say"
