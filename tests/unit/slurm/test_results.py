"""What is taken of a job's metrics.json, and what is said of the rest. How it travels: real files, through a real shell."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

import pytest
from fake_shell import FakeShell
from login_shell import SHELLS, Login

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.results import MAX_BYTES, NO_FILE, Results, add, read_metrics
from airflow_slurm_sweep.slurm.shell import Completed

JOB = SubmittedJob(ssh_conn_id="c", job_id="7", job_name="a", run_dir="/r/a", log_path="/r/a/logs/slurm-7.out")
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
        ("[" * MAX_BYTES, {}, "expected JSON such as"),
        ("9" * MAX_BYTES, {}, "expected JSON such as"),
        ('{"a": ' + " " * MAX_BYTES + "1}", {}, "expected at most 16 KiB, got more; none of it is taken"),
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
    found = read_metrics(text.encode("utf-8", "surrogateescape"))
    assert found.metrics == metrics
    assert bool(found.fault) == bool(fault)
    assert fault in found.fault
    assert len(found.fault) < 500
    json.dumps(found.metrics, allow_nan=False).encode()


def test_a_fault_is_a_warning_that_names_the_file(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert add(JOB, STATUS, Results(metrics={"a": 1})).metrics == {"a": 1}
        assert caplog.messages == []
        assert add(JOB, STATUS, Results(fault="expected …")) == STATUS
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "/r/a/metrics.json: expected …")
    ]


class LoginShell:
    """A `Shell` that is a real one."""

    def __init__(self, login: Login) -> None:
        self._login = login

    async def run(self, script: str) -> Completed:
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
    run("largest").write_text('{"a": 2}'.ljust(MAX_BYTES))
    run("larger").write_text('{"a": 3}'.ljust(MAX_BYTES + 1))
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
    found = dict(zip(names, asyncio.run(client.results(jobs)), strict=True))
    assert found["none"] == NO_FILE
    assert {name: answer.metrics["a"] for name, answer in found.items() if answer.metrics} == {
        "small": 1,
        "largest": 2,
        "last": 4,
    }
    assert found["larger"].fault.startswith("expected at most 16 KiB")
    for name in ("link", "dangling", "folder", "fifo"):
        assert found[name].fault.startswith("expected a regular file that we may read")
    for name in ("empty", "binary"):
        assert found[name].fault.startswith("expected JSON")


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
    assert asyncio.run(client.results([job])) == [Results(wandb=url)]
    (tmp_path / "metrics.json").write_text('{"a": 1}')
    assert asyncio.run(client.results([job, job])) == [Results(metrics={"a": 1}, wandb=url)] * 2


def test_a_garbled_answer_gives_no_metrics() -> None:
    answer = "= x\n= 0\nA\n= 1\neyJhIjogMX0=\n= 7\ne30=\n"
    found = asyncio.run(SlurmClient(FakeShell(head=answer)).results([JOB] * 3))
    assert [each.metrics for each in found] == [{}, {"a": 1}, {}]
    assert [bool(each.fault) for each in found] == [True, False, False]
