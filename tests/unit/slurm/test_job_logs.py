"""What is shown of running jobs' logs, and how it is asked for: real files, through a real shell."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from login_shell import SHELLS, Login
from test_results import LoginShell

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import LINE_LENGTH, NEW_BYTES, NEW_BYTES_IN_ALL, NEW_LINES, lines_of


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
    answer = asyncio.run(client.new_output([(str(path), 3) for path in paths.values()]))
    nothing = 3, b""
    assert dict(zip(paths, answer, strict=True)) == dict.fromkeys(paths, nothing) | {
        "new": (3, b"\xff\0d"),
        "long": (100_003 - NEW_BYTES, b"x" * (NEW_BYTES - 3) + b"end"),
        "short": (0, b"ab"),
    }
    many = NEW_BYTES_IN_ALL // NEW_BYTES
    answer = asyncio.run(client.new_output([(str(paths["long"]), 0)] * (many + 3)))
    assert [piece is None for piece in answer] == [False] * many + [True] * 3


@pytest.mark.parametrize("stream_log", [True, False])
def test_stream_log_is_in_the_json_only_where_it_is_true(stream_log: bool) -> None:
    submitted = job(Path("/l"), stream_log=stream_log)
    assert ("stream_log" in submitted.to_json()) == stream_log
    assert SubmittedJob.from_json(submitted.to_json()) == submitted
