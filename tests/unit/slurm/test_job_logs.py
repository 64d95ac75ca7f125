"""What is shown of running jobs' logs, and how it is asked for: real files, through a real shell."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from shlex import quote

import pytest
from login_shell import SHELLS, Login
from test_results import LoginShell

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import (
    LINE_LENGTH,
    NEW_BYTES,
    NEW_BYTES_IN_ALL,
    NEW_LINES,
    Piece,
    lines_of,
    log_words,
    shown,
)
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.traces import question


def job(path: Path, *, stream_log: bool = True) -> SubmittedJob:
    return SubmittedJob(
        ssh_conn_id="c", job_id="7", job_name="a", run_dir="/r/a", log_path=str(path), stream_log=stream_log
    )


@pytest.mark.parametrize(
    ("data", "lines", "end"),
    [
        (b"a\nb\n", ["| a", "| b"], 4),
        (b"a\n\nb\r\n", ["| a", "| ", "| b"], 6),
        (b"a\nnot yet", ["| a"], 2),
        (b"not yet", [], 0),
        (b"10%\r20%\r30%", ["| 20%"], 8),
        (b"\r10%\r20%\nx\r", ["| 20%"], 9),
        (b"\x1b[31mred\x1b[0m \0\x07\x1b]0;title\x07\n", ["| red "], 26),
        ("grüße\n".encode(), ["| grüße"], 8),
        (b"\xff\xc3\n", ["| \ufffd\ufffd"], 3),
        (b"::group::x\n", ["| ::group::x"], 11),
    ],
)  # fmt: skip
def test_lines_shown_of_a_piece_of_a_log(data: bytes, lines: list[str], end: int) -> None:
    assert lines_of("/l", 0, 0, data, ended=False) == (lines, end)


def test_at_the_end_an_incomplete_line_is_shown() -> None:
    assert lines_of("/l", 10, 10, b"a\nb", ended=True) == (["| a", "| b"], 13)


def test_a_line_states_how_much_is_left_out() -> None:
    shown, end = lines_of("/l", 100, 5 * 1024 + 100, b"half a line\nwhole\n", ended=False)
    assert shown == ["… 5 KiB left out; all of it, on the cluster: /l", "| whole"]
    assert end == 5 * 1024 + 100 + 18
    shown, end = lines_of("/l", 0, 0, b"\n" * NEW_BYTES, ended=False)
    assert (len(shown), end) == (NEW_LINES + 1, NEW_BYTES)
    shown, end = lines_of("/l", 0, 0, b"x" * NEW_BYTES, ended=False)
    assert (shown, end) == (["| " + LINE_LENGTH * "x" + "…"], NEW_BYTES)


def test_a_log_that_was_cut_is_read_from_its_beginning() -> None:
    assert lines_of("/l", 9, 0, b"a\n", ended=False) == (["… the log was cut meanwhile; from its beginning:", "| a"], 2)


@pytest.mark.parametrize("shell", SHELLS)
def test_only_files_are_read_and_only_so_much(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "it's $(touch ran)"
    folder.mkdir()
    paths = {name: folder / name for name in ("known", "new", "long", "short", "link", "folder", "fifo", "none")}
    paths["known"].write_text("abc")
    paths["new"].write_bytes(b"abc\xff\0d")
    paths["long"].write_bytes(b"x" * 100_000 + b"end")
    paths["short"].write_text("ab")
    paths["link"].symlink_to("new")
    paths["folder"].mkdir()
    os.mkfifo(paths["fifo"])
    client = SlurmClient(LoginShell(Login(argv=SHELLS[shell], folder=tmp_path / "login")))
    inodes = {name: str(path.stat().st_ino) if path.exists() else "" for name, path in paths.items()}
    answer = asyncio.run(client.new_output([(quote(str(path)), inodes[name], 3) for name, path in paths.items()]))
    news = {"new": (3, b"\xff\0d"), "long": (100_003 - NEW_BYTES, b"x" * (NEW_BYTES - 3) + b"end"), "short": (0, b"ab")}
    assert dict(zip(paths, answer, strict=True)) == {
        name: Piece(*news[name], inodes[name], str(path)) if name in news else Piece(3, b"", inodes[name])
        for name, path in paths.items()
    }
    many = NEW_BYTES_IN_ALL // NEW_BYTES
    answer = asyncio.run(client.new_output([(quote(str(paths["long"])), "", 0)] * (many + 3)))
    assert [piece is None for piece in answer] == [False] * many + [True] * 3


HOSTILE = "it's $(touch ran) [ab] *"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("patterns", "names", "chosen"),
    [
        (["{job_id}-logs/driver.log"], ["7-logs/driver.log", "logs/own"], "7-logs/driver.log"),
        (["{job_id}-logs/driver.log"], ["8-logs/driver.log", "logs/own"], "logs/own"),
        (["{job_id}-logs*/d.log"], ["7-logs/d.log", "7-logs-1/d.log", "logs/own"], "7-logs-1/d.log"),
        (["{job_id}-logs*/d.log"], ["7-logs-1/d.log", "7-logs/d.log", "logs/own"], "7-logs/d.log"),
        (["{run_dir}/a[0-9].log", "b ?.log"], ["a1.log", "b $.log", "ab.log", "logs/own"], "b $.log"),
        ([f"{HOSTILE}/x.log"], [f"{HOSTILE}/x.log", "it's $(touch ran) a b/x.log", "logs/own"], "it's $(touch ran) a b/x.log"),
        (["[$(touch ran)]", "`touch ran`", "; touch ran", "*.log"], ["a\n= 0 0 1 x\nQUJD\n.log", "logs/own"], "logs/own"),
        (["*.log"], ["-n.log", "logs/own"], "-n.log"),
    ],
)  # fmt: skip
def test_the_newest_match_of_log_file_is_the_log(
    shell: str, patterns: list[str], names: list[str], chosen: str, tmp_path: Path
) -> None:
    run_dir = tmp_path / HOSTILE
    for age, name in enumerate(names):
        path = run_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"wandb: View run at https://w.org/runs/{age}\n")
        os.utime(path, (1e9 + age, 1e9 + age))
    os.mkfifo(run_dir / "fifo.log")
    (run_dir / "link.log").symlink_to("logs/own")
    (run_dir / "folder.log").mkdir()
    submitted = replace(job(run_dir / "logs" / "own"), run_dir=str(run_dir), log_file=patterns)
    client = SlurmClient(LoginShell(Login(argv=SHELLS[shell], folder=tmp_path / "login")))
    (piece,) = asyncio.run(client.new_output([(log_words(submitted), "", 0)]))
    assert piece is not None
    assert piece.path == str(run_dir / chosen)
    (left,) = asyncio.run(client.results([MetricsReader(submitted)]))
    assert left.wandb == f"https://w.org/runs/{names.index(chosen)}"
    failed = JobStatus(job_id="7", text="FAILED", exit_code="1:0", source="sacct")
    lines = asyncio.run(client.log_tail(submitted, failed)).splitlines()
    assert lines == [*([f"{run_dir / chosen}:"] if chosen != "logs/own" else []), f"wandb: View run at {left.wandb}"]
    of_setup = asyncio.run(client.log_tail(submitted, replace(failed, exit_code="78:0")))
    assert of_setup == f"wandb: View run at https://w.org/runs/{names.index('logs/own')}"
    assert not list(tmp_path.rglob("ran"))


def test_the_ends_of_many_logs_come_in_one_answer(tmp_path: Path) -> None:
    """Of jobs that failed more than of others; none of a job whose lines are in the task's log already."""
    failed, good = (JobStatus(job_id="7", text=text, source="squeue") for text in ("FAILED", "COMPLETED"))
    path = tmp_path / "log"
    path.write_text("".join(f"{number:0999}\n" for number in range(100)))
    jobs = [job(path, stream_log=False), job(path, stream_log=False), job(path), job(tmp_path / "none")]
    login = LoginShell(Login(argv=SHELLS["dash"], folder=tmp_path / "login"))
    asked = [question(each, status) for each, status in zip(jobs, (failed, good, good, failed), strict=True)]
    found = [trace.log for trace in asyncio.run(SlurmClient(login).traces(asked))]
    numbers = [[int(line) for line in lines[1:]] for lines in found[:3]]
    assert numbers == [[34, *range(35, 100)], [83, *range(84, 100)], []]
    assert shown(found[0]).splitlines() == [f"{number:0999}" for number in range(50, 100)]
    assert found[3][-1].endswith(f"tail: cannot open '{tmp_path / 'none'}' for reading: No such file or directory")


@pytest.mark.parametrize("stream_log", [True, False])
def test_stream_log_is_in_the_json_only_where_it_is_true(stream_log: bool) -> None:
    submitted = job(Path("/l"), stream_log=stream_log)
    assert ("stream_log" in submitted.to_json()) == stream_log
    assert SubmittedJob.from_json(submitted.to_json()) == submitted
