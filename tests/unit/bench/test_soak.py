"""What counts as growth, and the sweeps that a soak runs."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.sweep.spec import parse_sweep
from bench.soak import SWEEPS, growths, main


def test_growth_is_of_medians_and_history_may_grow() -> None:
    samples = [
        {"MiB of triggerer": 100.0 + (number == 3) * 500, "rows of xcom": number, "rows of trigger": 4.0 + number // 20}
        for number in range(50)
    ]
    found = {each.name: each for each in growths(samples)}
    assert found["MiB of triggerer"].ratio == 0, "one sample is no growth"
    assert found["rows of xcom"].is_history
    assert not found["rows of xcom"].is_too_much
    assert (found["rows of trigger"].first, found["rows of trigger"].last) == (4, 6)
    assert found["rows of trigger"].is_too_much


def test_what_was_not_there_before_has_grown() -> None:
    (found,) = growths([{}, {}, {}, {}, {"locks in run directories": 1.0}])
    assert found.is_too_much


@pytest.mark.parametrize("name", SWEEPS)
def test_the_sweeps_can_be_read(name: str) -> None:
    assert parse_sweep(SWEEPS[name], source=name).space.size == 4


def test_less_than_a_quarter_of_an_hour_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--minutes", "14"])
    assert "at least 15" in capsys.readouterr().err
