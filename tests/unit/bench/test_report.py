"""The tables, the figures in JSON, the picture, and the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench.__main__ import main, parser
from bench.flight import Flight
from bench.loops import Loop
from bench.observe import Observed
from bench.plot import plot
from bench.report import Results, machine, table, tables
from bench.runs import Run
from bench.usage import Usage


def observed(**changes: object) -> Observed:
    values: dict[str, object] = {
        "connections": 1,
        "job_queries": 15,
        "sacct_calls": 0,
        "sbatch_calls": 100,
        "remote_calls": {"REQUEST_JOB_INFO": 15},
        "stalls": [0.25, 1.5],
        "usage": {"triggerer": Usage(peak_bytes=250 * 2**20, cpu_seconds=20.0)},
        "machine_cpu_seconds": 100.0,
        "own_cpu_seconds": 1.0,
    }
    return Observed(**{**values, **changes})  # type: ignore[arg-type]


def run(**changes: object) -> Run:
    values: dict[str, object] = {
        "what": "sweep",
        "size": 100,
        "state": "success",
        "jobs": 100,
        "failed_tasks": 0,
        "submitted": 10.0,
        "finished": 20.0,
        "ended": 25.0,
        "lag_median": 3.0,
        "lag_p95": 6.0,
        "observed": observed(),
    }
    return Run(**{**values, **changes})  # type: ignore[arg-type]


FLIGHT = Flight(
    what="sweep",
    size=5000,
    first_bytes=150 * 2**20,
    submitted=300.0,
    held=60.0,
    starting=observed(),
    waiting=observed(job_queries=12, stalls=[]),
    marking=30.0,
    cancelled=50.0,
    left=0,
    cancelling=observed(),
)


def results() -> Results:
    return Results(
        machine={"cores": "2", "airflow": "3.3.2", "slurm": "22.05.8"},
        sweeps=[run(), run(size=1000, ended=250.0, jobs=1000)],
        plain=[run(what="plain", lag_median=math.nan)],
        loops=[Loop(what="shell loop", size=100, seconds=20.0)],
        flights=[FLIGHT],
    )


def test_table() -> None:
    assert table(["a", "b"], [("seconds", ["1", "2"])]) == "|  | a | b |\n|---|---|---|\n| seconds | 1 | 2 |"


@pytest.mark.parametrize(
    "line",
    [
        "|  | plain 100 | sweep 100 | sweep 1000 |",
        "| seconds for a combination | 0.250 | 0.250 | 0.250 |",
        "| end of a job to end of its task, median, s |  | 3.0 | 3.0 |",
        "| stalls of the triggerer, longest | 2, 1.5 s | 2, 1.5 s | 2, 1.5 s |",
        "| peak MiB of triggerer | 250 | 250 | 250 |",
        "| peak MiB of scheduler |  |  |  |",
        "| CPU s for a combination | 0.200 | 0.200 | 0.020 |",
        "| shell loop | 100 | 20.0 | 0.2000 |",
        "|  | sweep 5000, in flight |",
        "| KiB of the triggerer for a job, beyond its first | 20 |",
        "| squeue calls per tick | 1.00 |",
        "| stalls of the triggerer meanwhile, longest | 0 |",
        "| peak MiB of triggerer meanwhile | 250 |",
        "Measured on: cores 2, airflow 3.3.2, slurm 22.05.8.",
    ],
)
def test_lines_of_the_tables(line: str) -> None:
    assert line in tables(results()).splitlines()


def test_growth_is_told() -> None:
    assert "From 100 to 1000 combinations the time grows with the size to the power of 1.00" in tables(results())


def test_a_failure_is_told() -> None:
    assert tables(Results(machine={}, failures=["plain: no end"])).endswith("Not measured: plain: no end")


def test_json_holds_the_raw_figures() -> None:
    figures = json.loads(json.dumps(results().to_json()))
    assert figures["sweeps"][0]["observed"]["usage"]["triggerer"]["peak_bytes"] == 250 * 2**20
    assert figures["growth"]["seconds"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("changed", "well"),
    [({}, True), ({"jobs": 101}, False), ({"failed_tasks": 1}, False), ({"state": "failed"}, False)],
)
def test_a_run_went_well_if_each_combination_had_one_job(changed: dict[str, object], well: bool) -> None:
    assert Results(machine={}, sweeps=[run(**changed)]).went_well is well


def test_the_plain_way_may_fail() -> None:
    assert Results(machine={}, plain=[run(state="failed")]).went_well


def test_machine() -> None:
    facts = machine()
    assert facts["airflow"].startswith("3.")
    assert int(facts["cores"]) >= 1


def test_plot(tmp_path: Path) -> None:
    plot(results(), tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")
    plot(Results(machine=results().machine), tmp_path / "empty.png")


def test_sizes_are_sorted_and_said_once() -> None:
    options = parser().parse_args(["--combinations", "30, 5,30", "--in-flight", "0"])
    assert options.combinations == [5, 30]
    assert options.in_flight == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--combinations", "0"], "from 1 to 20000, got '0'"),
        (["--combinations", "10,many"], "got 'many'"),
        (["--combinations", ""], "got ''"),
        (["--combinations", "20001"], "got '20001'"),
        (["--in-flight", "-1"], "got '-1'"),
        (["--json", "/no/such/folder/f.json"], "expected a file in a folder that is there"),
    ],
)
def test_nonsense_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_code:
        main(arguments)
    assert exit_code.value.code == 2
    assert message in capsys.readouterr().err
