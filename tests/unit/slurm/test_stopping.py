"""Which jobs are stopped early, and what the cluster keeps of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from login_shell import SHELLS

from airflow_slurm_sweep.names import RECORD, STOP
from airflow_slurm_sweep.slurm.exit_files import EXIT_FILE
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.results import GAP_BYTES, Piece, read_results, results
from airflow_slurm_sweep.slurm.rungs import Climbed, Note, as_stopped, climb, leave_stops, read_climbed, read_stop
from airflow_slurm_sweep.slurm.shell import Completed, Site, output
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.stopping import SAFE, Asha, Rungs, Stop

RULE = Asha(from_step=10, factor=3, maximize=False)
EACH_SHELL = pytest.mark.parametrize("shell", [pytest.param("dash"), pytest.param("bash", marks=pytest.mark.all)])
NAN, INF = float("nan"), float("inf")


def job(folder: Path, number: int, job_id: str = "7", **more: object) -> SubmittedJob:
    run_dir = str(folder / f"g sweep_{number}")
    values = {"ssh_conn_id": "c", "job_id": job_id, "job_name": "g", "run_dir": run_dir, "log_path": f"{run_dir}/l"}
    return SubmittedJob(**values, index=number, objective="loss", **more)  # type: ignore[arg-type]


def test_a_job_goes_on_while_it_is_among_the_best_third_on_its_highest_rung() -> None:
    every = {number: {0: float(number)} for number in range(1, 3)}
    assert RULE.stops(every, every) == {}, "two say nothing of a third"
    every = {number: {0: float(number)} for number in range(1, 7)}
    assert set(RULE.stops(every, every)) == {3, 4, 5, 6}
    assert RULE.stops(every, [3]) == {3: Stop(step=10, value=3, place=3, number=6)}
    every |= {6: {0: 6.0, 1: 6.0}}
    assert set(RULE.stops(every, every)) == {3, 4, 5}, "alone on its rung"
    assert RULE.stops({**every, 9: {}}, [8, 9]) == {}, "none has reached a rung"


def test_the_best_is_never_stopped_and_equal_ones_share_a_place() -> None:
    every = {number: {0: 0.5} for number in range(9)}
    assert RULE.stops(every, every) == {}
    every |= {9: {0: 0.4}, 10: {0: NAN}, 11: {0: INF}}
    stops = RULE.stops(every, every)
    assert set(stops) == {10, 11}
    assert {stop.place for stop in stops.values()} == {11}
    assert 9 in Asha(from_step=10, factor=3, maximize=True).stops(every, every)


def test_a_rung_has_the_first_value_that_comes_at_its_step_or_later() -> None:
    rungs: dict[int, float] = {}
    for step, value in [(1, 9.0), (9, 8.0), (12, 7.0), (29, 6.0), (95, 5.0), (100, 4.0)]:
        RULE.climb(rungs, step, value)
    assert rungs == {0: 7.0, 1: 5.0, 2: 5.0}
    some: dict[int, float] = {}
    Asha(from_step=10, factor=3, maximize=False, to_step=90).climb(some, 95, 5.0)
    assert some == {0: 5.0, 1: 5.0, SAFE: 5.0}


@pytest.mark.parametrize("change", [{"from_step": 0}, {"factor": 1}, {"maximise": True}])
def test_a_rule_without_end_is_refused(change: dict[str, Any]) -> None:
    stop = {"from_step": 10, "factor": 3, "maximize": False}
    JobRequest(ssh_conn_id="c", name="a", command="true", run_dir="/r/a", script="#!/bin/sh", stop=stop)
    with pytest.raises(ValueError, match=r"^stop: expected the arguments of Asha"):
        JobRequest(ssh_conn_id="c", name="a", command="true", run_dir="/r/a", script="#!/bin/sh", stop=stop | change)


def test_the_reader_climbs_with_all_values_also_those_that_are_not_finite(tmp_path: Path) -> None:
    stop = {"from_step": 10, "factor": 3, "maximize": False}
    reader = MetricsReader(job(tmp_path, 1, stop=stop, metric_names={"val": "loss"}))
    rows = [{"step": step, "val": 1 / step} for step in range(1, 200)]
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    reader.take(Piece(0, 1, len(data), 1, "/m.jsonl", data), ended=False)
    assert reader.rungs == {0: 1 / 10, 1: 1 / 30, 2: 1 / 90}
    reader = MetricsReader(job(tmp_path, 1, stop=stop))
    data = b'{"step": 20, "loss": NaN}\n{"step": 30, "loss": 0.5}\n'
    reader.take(Piece(0, 1, len(data), 1, "/m.jsonl", data), ended=False)
    assert str(reader.rungs) == "{0: nan, 1: 0.5}"
    assert MetricsReader(job(tmp_path, 1)).rungs == {}


def test_a_rung_that_was_passed_while_nobody_looked_has_no_value(tmp_path: Path) -> None:
    reader = MetricsReader(job(tmp_path, 1, stop={"from_step": 10, "factor": 3, "maximize": False}))
    rows = [f'{{"step": {step}, "loss": {1 / step}}}\n'.encode() for step in range(1, 400)]
    begin, end = b"".join(rows[:12]), b"".join(rows[99:])
    reader.take(Piece(0, 1, len(begin), 1, "/m.jsonl", begin), ended=False)
    assert reader.question(ended=False).reach == GAP_BYTES, "an outage of seconds skips nothing"
    whole = sum(map(len, rows))
    reader.take(Piece(whole - len(end) - 1, 1, whole, 2, "/m.jsonl", b"\n" + end), ended=False)
    assert reader.rungs == {0: 1 / 10, 3: 1 / 270}, "not those at step 30 and 90"


class Folder:
    """The files of a Dag run, and a shell that runs our scripts."""

    def __init__(self, path: Path, shell: str) -> None:
        self.path, self.gate, self._shell = path, str(path / "gate it's"), shell

    def record(self, number: int, attempt: str) -> None:
        file = self.path / f"g sweep_{number}" / RECORD
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"run a d r\ntask t {number}\nattempt {attempt}\njob 7\nlinks \njobs \nwithdrawn \nend\n")

    def run(self, script: str, *, is_quiet: bool = True) -> str:
        text = Site(ssh_conn_id="c").script(script)
        done = subprocess.run(SHELLS[self._shell], input=text, capture_output=True, text=True, check=True)
        assert not (is_quiet and done.stderr)
        return output(Completed(exit_status=0, stdout=done.stdout, stderr=""))

    def climb(self, *jobs: tuple[SubmittedJob, dict[int, float]]) -> Climbed:
        return read_climbed(self.run(climb(self.gate, jobs)))


@EACH_SHELL
def test_rungs_are_written_once_for_each_attempt(shell: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path, shell)
    folder.record(1, "1 01-1")
    folder.record(12, "1 01-2")
    assert folder.climb((job(tmp_path, 1), {0: 0.5}), (job(tmp_path, 12), {})).rungs == {1: {0: 0.5}}
    first, other = (job(tmp_path, 1), {0: 0.9, 1: 1e-07}), (job(tmp_path, 12), {0: NAN, 1: INF})
    found = folder.climb(first, other)
    assert str(found.rungs) == "{1: {0: 0.5, 1: 1e-07}, 12: {0: nan, 1: inf}}"
    assert folder.climb().rungs[1] == {0: 0.5, 1: 1e-07}, "another triggerer reads the same"
    folder.record(1, "2 02-1")
    assert 1 not in folder.climb((job(tmp_path, 1), {})).rungs, "after a clear it climbs anew"
    assert folder.climb((job(tmp_path, 1), {0: 0.7})).rungs[1] == {0: 0.7}
    (Path(folder.gate) / "rungs" / "3").write_text("attempt 1 x\n0 0.25\n1 half")
    assert folder.climb().rungs[3] == {0: 0.25}, "what cannot be read is left out"


@EACH_SHELL
def test_a_stop_is_written_once_for_each_job(shell: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path, shell)
    folder.record(1, "1 01-1")
    stop = Stop(step=30, value=0.53, place=7, number=9)
    folder.run(leave_stops([(job(tmp_path, 1), stop)]))
    note = Note("7", 30, "asha: loss 0.53 at step 30 is 7 of 9")
    assert folder.climb((job(tmp_path, 1), {})).stops == {1: note}
    folder.run(leave_stops([(job(tmp_path, 1), Stop(step=90, value=0.4, place=8, number=9))]))
    assert folder.climb((job(tmp_path, 1), {})).stops == {1: note}, "the first reason stays"
    folder.run(leave_stops([(job(tmp_path, 1, "71"), Stop(step=90, value=NAN, place=8, number=9))]))
    text = (tmp_path / "g sweep_1" / STOP).read_text()
    assert read_stop(text) == Note("71", 90, "asha: loss nan at step 90 is 8 of 9")
    assert json.loads(text)["value"] is None, "JSON has no NaN"


def test_only_a_cancelled_job_that_was_noted_is_stopped_early() -> None:
    note = Note("7", 30, "asha: because")

    def end(text: str, job_id: str = "7", signal: str = "", source: str = "squeue") -> JobState:
        return as_stopped(JobStatus(job_id=job_id, text=text, source=source), note, signal).state

    status = JobStatus(job_id="7", text="CANCELLED by 0", source="sacct")
    assert str(as_stopped(status, note, "")) == "STOPPED_EARLY (asha: because)"
    assert end("CANCELLED by 0", "71") is JobState.CANCELLED, "the note is of another job"
    for text in ("COMPLETED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL"):
        assert end(text, signal="TERM") is JobState.parse(text), "it ended by itself before scancel came"
    for text in ("COMPLETED", "FAILED"):
        assert end(text, signal="TERM", source=EXIT_FILE) is JobState.STOPPED_EARLY, "Slurm has forgotten it"
        assert end(text, source=EXIT_FILE) is JobState.parse(text)
    assert as_stopped(status, None, "") is status
    assert read_stop("") is None
    assert read_stop('{"job": 7}') is None


def test_a_job_that_has_reached_to_step_is_stopped_by_none() -> None:
    rule = Asha(from_step=10, factor=3, maximize=False, to_step=90)
    own: dict[int, float] = {}
    for step in (10, 30, 89):
        rule.climb(own, step, 5.0)
    others: dict[int, Rungs] = {2: {0: 1.0, 1: 1.0}, 3: {0: 2.0, 1: 2.0}}
    assert [*rule.stops({1: own, **others}, [1])] == [1]
    rule.climb(own, 90, 5.0)
    assert rule.stops({1: own, **others}, [1]) == {}
    assert [*rule.stops({1: own, 2: {0: 1.0, 1: 6.0}, 3: {0: 2.0, 1: 4.0}}, [2])] == [2], (
        "its values stay on their rungs"
    )


@EACH_SHELL
def test_an_earlier_jobs_file_counts_once_this_job_writes_to_it(shell: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path, shell)
    folder.record(1, "2 02-1")
    record, file = (tmp_path / "g sweep_1" / name for name in (RECORD, "metrics.jsonl"))
    stop = {"from_step": 10, "factor": 3, "maximize": False}
    reader = MetricsReader(job(tmp_path, 1, stop=stop, metrics=("metrics.jsonl",)))

    def read(text: str, how: str, *, seconds: int) -> dict[int, float]:
        with file.open(how) as opened:
            opened.write(text)
        os.utime(file, (1000 + seconds, 1000 + seconds))
        os.utime(record, (1000, 1000))
        (piece,) = read_results(folder.run(results([reader.question(ended=False)])), 1)
        reader.take(piece, ended=False)
        return dict(reader.rungs)

    assert read('{"step": 30, "loss": 9}\n', "w", seconds=-5) == {}
    assert reader.latest == {"step": 30, "loss": 9}, "the page shows it"
    assert read_results(folder.run(results([reader.question(ended=True)])), 1)[0].is_stale, "the job left nothing"
    assert read('{"step": 40, "loss": 8}\n', "a", seconds=5) == {0: 9, 1: 9}, "the job goes on in it"
    reader = MetricsReader(job(tmp_path, 1, stop=stop, metrics=("metrics.jsonl",)))
    assert read('{"step": 30, "loss": 9}\n{"step": 31, "loss": 9}\n', "w", seconds=-5) == {}
    assert read('{"step": 11, "loss": 7}\n', "w", seconds=5) == {0: 7}, "the job writes it anew"


def test_a_number_that_no_float_holds_is_the_worst(tmp_path: Path) -> None:
    reader = MetricsReader(job(tmp_path, 1, stop={"from_step": 10, "factor": 3, "maximize": False}))
    data = f'{{"step": 20, "loss": {10**400}}}\n'.encode()
    reader.take(Piece(0, 1, len(data), 1, "/m.jsonl", data), ended=False)
    assert str(reader.rungs) == "{0: nan}"


@EACH_SHELL
def test_a_folder_that_cannot_be_written_holds_up_nothing(shell: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path, shell)
    folder.record(2, "1 01-1")
    stop = Stop(step=30, value=0.53, place=7, number=9)
    said = folder.run(leave_stops([(job(tmp_path, 1, "6"), stop), (job(tmp_path, 2), stop)]), is_quiet=False)
    assert said.split() == ["7"], "of the other job nothing could be written, so that it goes on"
    Path(folder.gate).write_text("a file where the folder should be")
    found = read_climbed(folder.run(climb(folder.gate, [(job(tmp_path, 2), {0: 0.5})]), is_quiet=False))
    assert found == Climbed({}, {}, f"cannot write into {folder.gate}/rungs")
