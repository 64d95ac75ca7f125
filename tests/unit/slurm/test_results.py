"""What is taken of the files with a job's metrics, and what is said of the rest: real files, through a real shell."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from fake_shell import FakeShell
from login_shell import SHELLS, Login

from airflow_slurm_sweep.names import RECORD
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.metrics import MetricsReader
from airflow_slurm_sweep.slurm.results import JSON_BYTES, PIECE_BYTES, Piece, Results, add
from airflow_slurm_sweep.slurm.shell import Completed

JOB = SubmittedJob(ssh_conn_id="c", job_id="7", job_name="a", run_dir="/r/a", log_path="/r/a/logs/slurm-7.out")
_OPEN_EVENT = 0x20  # of inotify
STATUS = JobStatus(job_id="7", text="COMPLETED", source="sacct")


@pytest.mark.parametrize(
    ("text", "metrics", "fault"),
    [
        ('{"reward": 0.5, "steps": 2000, "kl": -1e-9}', {"reward": 0.5, "steps": 2000, "kl": -1e-9}, ""),
        ("{}", {}, ""),
        ('\ufeff{"grüße/雪": 1}', {"grüße/雪": 1}, ""),
        ('{"a": 1, "a": 2}', {"a": 2}, ""),
        ("", {}, "expected JSON such as"),
        ('{"a": 1', {}, "expected JSON such as"),
        ('{"a": "\udcff"}', {}, "expected JSON such as"),
        ("[" * 9999, {}, "expected JSON such as"),
        ("9" * 9999, {}, "expected JSON such as"),
        ('{"a": ' + " " * JSON_BYTES + "1}", {}, "expected at most 1024 KiB, got more; none of it is taken"),
        ("[1]", {}, 'expected numbers by name such as {"reward": 0.9}, got a list; none of it is taken'),
        ("1", {}, 'expected numbers by name such as {"reward": 0.9}, got a int; none of it is taken'),
        ('{"a": 1, "loss": NaN}', {"a": 1}, "loss: expected a finite number, got nan; left out"),
        ('{"a": 1, "b": -Infinity}', {"a": 1}, "b: expected a finite number, got -inf; left out"),
        ('{"a": 1, "b": 1e999}', {"a": 1}, "b: expected a finite number, got inf; left out"),
        ('{"a": 1, "b": ' + "9" * 400 + "}", {"a": 1}, "b: expected a finite number, got 999"),
        ('{"a": 1, "b": "0.5"}', {"a": 1}, "b: expected a finite number, got '0.5'; left out"),
        ('{"a": 1, "b": true}', {"a": 1}, "b: expected a finite number, got True; left out"),
        ('{"a": 1, "b": null}', {"a": 1}, "b: expected a finite number, got None; left out"),
        ('{"a": 1, "b": {"c": 1}}', {"a": 1}, "b: expected a finite number, got {'c': 1}; left out"),
        ('{"a": 1, "": 1}', {"a": 1}, "expected a printable name of at most 100 characters, got ''; left out"),
        (r'{"a": 1, "b\u0000": 1}', {"a": 1}, r"expected a printable name of at most 100 characters, got 'b\x00'; left out"),
        (r'{"a": 1, "\ud800": 1}', {"a": 1}, r"expected a printable name of at most 100 characters, got '\ud800'; left out"),
        ('{"a": 1, "' + "b" * 101 + '": 1}', {"a": 1}, "expected a printable name of at most 100 characters, got 'bbb"),
        (json.dumps(dict.fromkeys("abcde")), {}, "c: expected a finite number, got None, and 2 more such; left out"),
    ],
)  # fmt: skip
def test_numbers_are_taken_and_the_rest_is_a_fault(text: str, metrics: dict[str, float], fault: str) -> None:
    reader, data = MetricsReader(JOB), text.encode("utf-8", "surrogateescape")
    assert reader.take(Piece(path="/r/a/metrics.json", size=len(data), data=data), ended=True)
    found = reader.results
    assert found.metrics == metrics
    assert bool(found.fault) == bool(fault)
    assert fault in found.fault
    assert len(found.fault) < 500
    json.dumps(found.metrics, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/r/a/metrics.json", f'{{"seed": {2**128}, "low": -{2**63}, "a": {2**62}}}'),
        ("/r/a/m.jsonl", f'{{"seed": {2**128}}}\n'),
        ("/r/a/m.csv", f"seed\n{2**128}\n"),
    ],
)
def test_a_huge_whole_number_travels_in_an_event(path: str, text: str) -> None:
    """Airflow's trigger runner, and all triggers with it, would end of one that msgpack cannot hold."""
    reader = MetricsReader(JOB)
    assert reader.take(Piece(path=path, size=len(text), data=text.encode()), ended=True)
    assert reader.results.metrics["seed"] == 2**128
    msgspec.msgpack.encode(reader.results.metrics)


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("/r/a/m.csv", "step;loss\n1;0.5\n", "line 1: expected a comma between the names, got 'step;loss'; left out"),
        ("/r/a/m.csv", "a\tb\n1\t2\n", r"line 1: expected a comma between the names, got 'a\tb'; left out"),
        ("/r/a/m.tsv", "step,loss\n1,0.5\n", "line 1: expected a tab between the names, got 'step,loss'; left out"),
        ("/r/a/m.csv", "loss\n0.5\n", ""),
        ("/r/a/m.csv", "loss\n0.5", ""),
    ],
)
def test_another_separator_is_a_fault(path: str, text: str, fault: str) -> None:
    reader = MetricsReader(JOB)
    assert reader.take(Piece(path=path, size=len(text), data=text.encode()), ended=True)
    found = reader.results
    assert (found.fault.removeprefix(f"{path}: "), bool(found.metrics)) == (fault, not fault)


@pytest.mark.parametrize("parts", [["loss\n0.5\n0.25"], ["loss\n0.5\n", "0.25"]])
def test_the_last_row_of_a_killed_job_may_end_within_a_number(parts: list[str]) -> None:
    reader, text = MetricsReader(JOB), ""
    for part in parts:
        text, start = text + part, len(text)
        piece = Piece(path="/r/a/m.csv", size=len(text), start=start, data=part.encode())
        assert reader.take(piece, ended=part is parts[-1])
    for text, loss in (("COMPLETED", 0.25), ("TIMEOUT", 0.5)):
        assert add(replace(STATUS, text=text), reader.results).metrics == {"loss": loss}


@pytest.mark.parametrize("read", ["", '{"b"'])
def test_a_file_that_cannot_be_read_holds_up_no_end(read: str) -> None:
    body = b64encode(read.encode()).decode()
    unreadable = FakeShell(tail=f"= 0 0 1 100 1 /r/a/m.jsonl\n{body}\n")
    job = replace(JOB, metrics=["m.jsonl"])
    (found,) = asyncio.run(asyncio.wait_for(SlurmClient(unreadable).results([MetricsReader(job)]), 5))
    assert found.fault == "/r/a/m.jsonl: it cannot be read to its end"


def test_a_fault_is_a_warning_that_names_the_file(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert add(STATUS, Results(metrics={"a": 1})).metrics == {"a": 1}
        assert caplog.messages == []
        reader = MetricsReader(JOB)
        lines = b'{"a": 1}\n{"a"\n[]\n{"a": NaN}\n\n{"a": 1, "b": 2, "c": "text"}\n{"b": Infinity}\n'
        assert reader.take(Piece(path="/r/a/m.jsonl", size=len(lines), data=lines), ended=True)
        assert add(STATUS, reader.results).metrics == {"a": 1}
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith('/r/a/m.jsonl: line 2: expected JSON such as {"step": 10, "reward": 0.9}')
    assert (
        "line 3: expected numbers by name, got a list; line 4: a: expected a finite number, got nan" in record.message
    )
    assert record.message.endswith(", and 1 more such; left out")


class LoginShell:
    """A `Shell` that is a real one."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self.asked: list[str] = []

    async def run(self, script: str) -> Completed:
        self.asked.append(script)
        done = self._login.run(script)
        return Completed(exit_status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.mark.parametrize("shell", SHELLS)
def test_many_files_in_one_answer(shell: str, tmp_path: Path) -> None:
    def run(name: str) -> Path:
        folder = tmp_path / "it's $(touch ran)" / name
        folder.mkdir(parents=True)
        return folder / "metrics.json"

    run("small").write_text('{"a": 1}\n')
    run("none")
    run("largest").write_text('{"a": 2}'.ljust(JSON_BYTES))
    run("larger").write_text('{"a": 3}'.ljust(JSON_BYTES + 1))
    run("empty").touch()
    run("link").symlink_to("../small/metrics.json")
    run("dangling").symlink_to("nowhere")
    run("folder").mkdir()
    os.mkfifo(run("fifo"))
    run("binary").write_bytes(bytes(range(256)) * 20)
    run("last").write_text('{"a": 4}')
    names = ["small", "none", "largest", "larger", "empty", "link", "dangling", "folder", "fifo", "binary", "last"]
    jobs = [
        SubmittedJob(ssh_conn_id="c", job_id="7", job_name=name, run_dir=str(run_dir), log_path="/l")
        for name in names
        for run_dir in [tmp_path / "it's $(touch ran)" / name]
    ]
    client = SlurmClient(LoginShell(Login(argv=SHELLS[shell], folder=tmp_path / "login")))
    found = dict(zip(names, asyncio.run(client.results([*map(MetricsReader, jobs)])), strict=True))
    assert found["none"] == Results()
    assert {name: answer.metrics["a"] for name, answer in found.items() if answer.metrics} == {
        "small": 1,
        "largest": 2,
        "last": 4,
    }
    assert "/larger/metrics.json: expected at most 1024 KiB" in found["larger"].fault
    for name in ("link", "dangling", "folder", "fifo"):
        assert f"/{name}/metrics.json: expected a regular file that we may read" in found[name].fault
    for name in ("empty", "binary"):
        assert f"/{name}/metrics.json: expected JSON" in found[name].fault


WANDB = "https://wandb.ai/me/my-project/runs/x1y2z3"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("log", "url"),
    [
        (f"wandb: Syncing run a\nwandb: 🚀 View run at {WANDB}\nwandb: 🚀 View run a at: https://other.org/runs/2\n", WANDB),
        (f"wandb: \x1b[33mView run \x1b[34m\x1b[4m{WANDB}\x1b[0m\r\n", WANDB),
        ("\udcff\0wandb: View run at http://wandb.lan:8080/t/p/runs/q-1", "http://wandb.lan:8080/t/p/runs/q-1"),
        ("wandb: ⭐️ View project at https://wandb.ai/me/my-project\n", ""),
        ("see https://github.com/a/b/actions/runs/1\n", ""),
        ("View run at javascript:alert(1)/runs/1\n", ""),
        (f"{'x' * 262144}\nwandb: View run at {WANDB}\n", ""),
        ("", ""),
        (None, ""),
    ],
)  # fmt: skip
def test_the_wandb_address_is_read_from_the_beginning_of_the_log(
    shell: str, log: str | None, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "slurm-7.out"
    if log is not None:
        path.write_bytes(log.encode("utf-8", "surrogateescape"))
    job = SubmittedJob(ssh_conn_id="c", job_id="7", job_name="a", run_dir=str(tmp_path), log_path=str(path))
    client = SlurmClient(LoginShell(Login(argv=SHELLS[shell], folder=tmp_path / "login")))
    assert asyncio.run(client.results([MetricsReader(job)])) == [Results(wandb=url)]
    (tmp_path / "metrics.json").write_text('{"a": 1}')
    assert (
        asyncio.run(client.results([MetricsReader(job), MetricsReader(job)]))
        == [Results(metrics={"a": 1}, wandb=url)] * 2
    )


def test_a_garbled_answer_gives_no_metrics() -> None:
    file = "0 5 8 9 /r/a/metrics.json"
    answer = f"= x\n= 0 {file}\nA\n= 1 {file}\neyJhIjogMX0=\n= 7 {file}\ne30=\n! 9\n"
    found = asyncio.run(SlurmClient(FakeShell(tail=answer)).results([MetricsReader(JOB) for _ in range(3)]))
    assert [each.metrics for each in found] == [{}, {"a": 1}, {}]
    assert [bool(each.fault) for each in found] == [True, False, False]


def lines_of(path: Path) -> MetricsReader:
    names = {"val_reward": "reward"}
    run = SubmittedJob(
        ssh_conn_id="c",
        job_id="7",
        job_name="a",
        run_dir=str(path),
        log_path="/l",
        metrics=PATTERNS,
        metric_names=names,
    )
    return MetricsReader(run)


PATTERNS = ("metrics.jsonl", "step_*/training_info.json", "logs/*/metrics.csv", "checkpoint-*/trainer_state.json")


class Site:
    """A run directory, and a client that reads it."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.run = folder / "it's a run"
        self.run.mkdir()
        self.client = SlurmClient(LoginShell(Login(argv=SHELLS[shell], folder=folder / "login")))
        self.reader = lines_of(self.run)
        self._time = 1_700_000_000

    @property
    def asked(self) -> int:
        return len(self.client._shell.asked)  # type: ignore[attr-defined]

    def follow(self, objective: str) -> None:
        self.reader = MetricsReader(replace(JOB, run_dir=str(self.run), metrics=["metrics.jsonl"], objective=objective))

    def write(self, name: str, text: str, mode: str = "w") -> None:
        path = self.run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(text)
        self._time += 10
        os.utime(path, (self._time, self._time))

    def read(self) -> tuple[bool, dict[str, float]]:
        (is_read,) = asyncio.run(self.client.read_metrics([self.reader]))
        return is_read, self.reader.latest

    def end(self) -> Results:
        (found,) = asyncio.run(self.client.results([self.reader]))
        return found


@pytest.mark.parametrize("shell", SHELLS)
def test_json_lines_are_read_from_where_the_last_answer_ended(shell: str, tmp_path: Path) -> None:
    site = Site(tmp_path, shell)
    assert site.read() == (True, {})
    site.write("metrics.jsonl", '{"step": 1, "loss": 3, "note": "warm"}\n{"step": 2, "lo')
    assert site.read() == (True, {"step": 1, "loss": 3})
    site.write("metrics.jsonl", 'ss": 2}\n{"global_step": 2, "step": 2, "val_reward": 0.5}\n', "a")
    assert site.read() == (True, {"step": 2, "loss": 2, "reward": 0.5, "global_step": 2})
    site.write("metrics.jsonl", '{"step": 3, "loss": 1}', "a")  # without the end of the line
    assert site.read()[1]["loss"] == 2
    found = site.end()
    assert found.metrics == {"step": 3, "loss": 1, "reward": 0.5, "global_step": 2}
    assert found.history == {"loss": [[1, 2, 3], [3, 2, 1]], "reward": [[2], [0.5]]}
    assert found.fault == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_csv_file_of_lightning_is_read_again_when_its_header_grows(shell: str, tmp_path: Path) -> None:
    site = Site(tmp_path, shell)
    site.write("logs/version_0/metrics.csv", "epoch,step,train_loss\n0,9,0.9\n0,19,0.8\n")
    assert site.read() == (True, {"epoch": 0, "step": 19, "train_loss": 0.8})
    rows = "epoch,step,train_loss,val_acc\n0,9,0.9,\n0,19,0.8,\n0,19,,0.25\n1,29,nan,\n1,39,0.6,\n"
    site.write("logs/version_0/metrics.csv", rows)
    assert site.read()[0] is False
    assert site.read() == (True, {"epoch": 1, "step": 39, "train_loss": 0.6, "val_acc": 0.25})
    site.write("logs/version_1/metrics.csv", "epoch,step,train_loss,val_acc\n2,49,0.5,\n2,59\n")  # after a requeue
    found = site.end()
    assert found.metrics["train_loss"] == 0.5
    assert found.history == {"train_loss": [[9, 19, 39, 49], [0.9, 0.8, 0.6, 0.5]], "val_acc": [[19], [0.25]]}
    assert found.fault.endswith("version_1/metrics.csv: line 3: expected 4 cells as in the header, got 2; left out")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_line_that_was_cut_off_is_left_out_of_a_long_csv_file(shell: str, tmp_path: Path) -> None:
    site = Site(tmp_path, shell)
    site.write("logs/metrics/metrics.csv", "step,loss\n1,0.9\n")
    assert site.read() == (True, {"step": 1, "loss": 0.9})
    site.write("logs/metrics/metrics.csv", "2\n3,0.7\n", "a")
    found = site.end()
    assert found.history == {"loss": [[1, 3], [0.9, 0.7]]}
    assert found.fault.endswith("metrics.csv: line 3: expected 2 cells as in the header, got 1; left out")


def test_blanks_around_names_and_a_column_without_one_do_no_harm() -> None:
    reader, text = MetricsReader(JOB), b"epoch, step , loss\n0, 10, 0.5\n"
    assert reader.take(Piece(path="/r/a/m.csv", size=len(text), data=text), ended=True)
    assert (reader.latest, reader.history.to_json()) == ({"epoch": 0, "step": 10, "loss": 0.5}, {"loss": [[10], [0.5]]})
    reader, text = MetricsReader(JOB), b",step,loss\n0,10,0.5\n1,20,0.25\n"  # as pandas writes it
    assert reader.take(Piece(path="/r/a/m.csv", size=len(text), data=text), ended=True)
    assert reader.results == Results(metrics={"step": 20, "loss": 0.25}, history={"loss": [[10, 20], [0.5, 0.25]]})


def test_of_two_answers_to_one_question_the_second_is_not_read(tmp_path: Path) -> None:
    """When a job ends, the follower of metrics and the task that waits ask at the same time."""
    site = Site(tmp_path, "dash")
    site.write("logs/metrics/metrics.csv", "step,loss\n1,0.9\n")
    site.read()
    site.write("logs/metrics/metrics.csv", "2,0.8\n3,0.7\n", "a")

    async def both() -> tuple[list[bool], list[Results]]:
        return await asyncio.gather(site.client.read_metrics([site.reader]), site.client.results([site.reader]))

    _, (found,) = asyncio.run(both())
    assert found == Results(metrics={"step": 3, "loss": 0.7}, history={"loss": [[1, 2, 3], [0.9, 0.8, 0.7]]})


@pytest.mark.parametrize("shell", SHELLS)
def test_the_newest_match_counts_and_a_json_file_that_changes_becomes_a_history(shell: str, tmp_path: Path) -> None:
    site = Site(tmp_path, shell)
    site.write("step_5/training_info.json", '{"total_steps": 5, "val_reward": 0.1}')
    assert site.read()[1] == {"total_steps": 5, "reward": 0.1}
    site.write("step_10/training_info.json", '{"total_steps": 10, "val_reward": 0.2}')
    assert site.read()[1]["reward"] == 0.2
    assert site.read()[0]
    log = [{"step": 10, "loss": 2.5}, {"step": 20, "loss": 1.5}, {"step": 20, "eval_loss": 1.75}]
    site.write("checkpoint-20/trainer_state.json", json.dumps({"best_metric": None, "log_history": log}))
    found = site.end()
    assert found.metrics == {"step": 20, "loss": 1.5, "eval_loss": 1.75}
    assert found.history == {
        "reward": [[5, 10], [0.1, 0.2]],
        "loss": [[10, 20], [2.5, 1.5]],
        "eval_loss": [[20], [1.75]],
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_the_files_of_ended_jobs_are_opened_before_their_sizes_are_asked(shell: str, tmp_path: Path) -> None:
    """On NFS, the size may be an old one until then."""
    site = Site(tmp_path, shell)
    site.write("metrics.jsonl", '{"step": 1}\n')
    site.read()
    libc = ctypes.CDLL(None)
    opens = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(opens, os.fsencode(site.run / "metrics.jsonl"), _OPEN_EVENT) >= 0
    try:
        site.read()
        with pytest.raises(BlockingIOError):
            os.read(opens, 100)
        site.end()
        assert os.read(opens, 100)
    finally:
        os.close(opens)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_that_grows_faster_than_it_is_read_is_read_at_its_end(shell: str, tmp_path: Path) -> None:
    site = Site(tmp_path, shell)
    count = 5 * PIECE_BYTES // 100
    site.write(
        "metrics.jsonl", "".join(json.dumps({"step": n, "loss": n, "pad": "x" * 60}) + "\n" for n in range(count))
    )
    assert site.read()[0] is False
    assert site.read()[0] is True
    site.write("metrics.jsonl", '{"step": 1e6, "loss": 7}\nno JSON\n', "a")
    found = site.end()
    assert (found.metrics, found.history["loss"][0][-1]) == ({"step": 1e6, "loss": 7}, 1_000_000)
    assert found.fault.startswith(f"{site.run}/metrics.jsonl: a later line: expected JSON")
    assert len(found.history["loss"][0]) <= 200


def test_many_jobs_share_one_answer_and_the_rest_comes_with_the_next(tmp_path: Path) -> None:
    text = "".join(f'{{"step": {step}, "loss": 0.5}}\n' for step in range(1000))
    readers = []
    for number in range(100):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "metrics.jsonl").write_text(text)
        readers.append(lines_of(tmp_path / str(number)))
    client = SlurmClient(LoginShell(Login(argv=SHELLS["dash"], folder=tmp_path / "login")))
    (tmp_path / "5" / "metrics.jsonl").unlink()
    first = asyncio.run(client.read_metrics(readers))
    assert 10 < sum(first) < 60
    assert {len(found.history.get("loss", [[]])[0]) for found in asyncio.run(client.results(readers))} == {0, 100}


def test_the_objective_is_taken_however_many_names_come_before_it() -> None:
    reader = MetricsReader(replace(JOB, objective="acc"))
    data = json.dumps({f"m{number}": number for number in range(250)} | {"acc": 0.5}).encode()
    reader.take(Piece(path="/r/a/metrics.json", size=len(data), data=data), ended=True)
    assert reader.latest["acc"] == 0.5
    assert len(reader.latest) == 201
    assert "expected at most 200 names, got more" in reader.results.fault


def rows(steps: range, **often: int) -> str:
    """Return lines of 100 bytes; a metric of ``often`` is in each line whose step it divides, and has the step's value."""
    lines = []
    for step in steps:
        row = {"step": step, **{name: step for name, every in often.items() if step % every == 0}}
        lines.append(json.dumps(row).removesuffix("}").ljust(98) + "}\n")
    return "".join(lines)


@pytest.mark.parametrize("is_followed", [False, True])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_value_before_a_part_that_is_skipped_is_not_the_last(shell: str, is_followed: bool, tmp_path: Path) -> None:
    site = Site(tmp_path, shell)
    site.follow("acc")
    site.write("metrics.jsonl", '{"seed": 7}\n' + rows(range(1, 15_000), acc=1000, loss=1))
    if is_followed:
        assert site.read() == (False, {"seed": 7, "step": 1310, "loss": 1310, "acc": 1000})
        assert site.read() == (True, {"step": 14_999, "loss": 14_999, "acc": 14_000})
    site.write("metrics.jsonl", rows(range(15_000, 19_999), acc=4000, loss=1), "a")
    if is_followed:
        assert site.read() == (True, {"step": 19_998, "loss": 19_998})
    found = site.end()
    assert found.metrics == {"seed": 7, "step": 19_998, "loss": 19_998, "acc": 16_000}
    assert found.fault == ""


def test_a_value_that_is_not_in_the_end_that_is_read_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_slurm_sweep.slurm.metrics.GAP_BYTES", 1024**2)
    site = Site(tmp_path, "dash")
    site.follow("acc")
    site.write("metrics.jsonl", rows(range(1, 15_000), acc=1000, rare=1200))
    site.write("metrics.jsonl", rows(range(15_000, 20_000), acc=1000), "a")
    site.write("metrics.jsonl", rows(range(20_000, 25_000)), "a")
    found = site.end()
    assert found.metrics == {"step": 24_999, "acc": 19_000}
    assert (
        found.fault
        == f"{site.run}/metrics.jsonl: rare: expected a value in the part of the file that is read, got none; left out"
    )


def test_another_metric_that_a_skipped_part_may_have_costs_the_objective_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, "dash")
    site.follow("loss")
    site.write("metrics.jsonl", '{"params": 5}\n' + rows(range(1, 15_000), loss=1))
    asked = site.asked
    found = site.end()
    assert found.metrics == {"step": 14_999, "loss": 14_999}
    assert "params: expected a value in the part of the file that is read, got none" in found.fault
    assert site.asked - asked <= 3, "of thousands of jobs, none is read again for it"


@pytest.mark.parametrize("shell", SHELLS)
def test_an_earlier_jobs_numbers_go_when_the_new_job_writes_its_file(shell: str, tmp_path: Path) -> None:
    for name, old, new in (
        ("metrics.jsonl", rows(range(100, 1001, 100), acc=1), rows(range(50, 151, 100), loss=1)),
        ("logs/metrics.json", '{"step": 900, "loss": 9}', '{"step": 50, "loss": 50}'),
    ):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        site = Site(folder, shell)
        site.reader = MetricsReader(replace(JOB, run_dir=str(site.run), metrics=[name]))
        site.write(name, old)
        site.write(RECORD, "")
        site.read()
        site.write(name, new)
        site.read()
        found = site.end()
        steps = [int(json.loads(line)["step"]) for line in new.splitlines()]
        assert found.metrics == {"step": steps[-1], "loss": steps[-1]}
        assert found.history == {"loss": [steps, steps]}
