"""Why a job failed, from its log."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.slurm.failure import cause, failure_cause, groups, kept
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.states import JobState

TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n    main()\n'
HYDRA = """\
Could not override 'lrr'.
To append to your config use +lrr=1
Key 'lrr' is not in struct
    full_key: lrr
    object_type=dict

Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
"""
TORCHRUN = f"""\
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
{"=" * 60}
train.py FAILED
{"-" * 60}
{
    "".join(
        f'''[{rank}]:
  time      : 2026-11-26_10:00:00
  host      : n1
  rank      : {rank} (local_rank: {rank})
  exitcode  : 1 (pid: 7)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
'''
        for rank in range(8)
    )
}{"=" * 60}
"""
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (f"{TRACEBACK}ValueError: expected a number, got 'much'\n", "ValueError: expected a number, got 'much'"),
        (f"{TRACEBACK}AssertionError\nsaved nothing\n", "AssertionError"),
        (f"{TRACEBACK}KeyError: 'a'\n\nDuring handling of the above exception:\n{TRACEBACK}{OOM}\nbye\n", OOM),
        (f"[rank0]: {OOM}\nW1126 torch/elastic: Sending process 7 closing signal SIGTERM\n", OOM),
        ("(Worker pid=77, ip=10.0.0.1) ray.exceptions.RayTaskError: died\n", "ray.exceptions.RayTaskError: died"),
        ("2026-11-26T10:00:00.123Z RuntimeError: NCCL error\n", "RuntimeError: NCCL error"),
        (
            "usage: train.py [-h] --lr LR\ntrain.py: error: the following arguments are required: --lr\n",
            "train.py: error: the following arguments are required: --lr",
        ),
        ("step 1\n/tmp/job.sh: line 3: pythn: command not found\n", "/tmp/job.sh: line 3: pythn: command not found"),
        ("loss 0.1\nKilled\n", "Killed"),
        ("loss 0.1\nI give up\nsrun: error: n1: task 0: Exited with exit code 3\n", "I give up"),
        ("slurmstepd: error: execve(): x: No such file or directory\n", "slurmstepd: error: execve(): x: No such file or directory"),
        (f"{TRACEBACK}KeyError: 'a'\n\nDuring handling of the above exception:\n{TRACEBACK}Exception: no data\nwandb: Find logs at: x\n", "Exception: no data"),
        ("filelock._error.Timeout: The file lock 'x' could not be acquired.\nbye\n", "filelock._error.Timeout: The file lock 'x' could not be acquired."),
        ("Exception ignored in: <x>\nTimeout: 30\nI give up\n", "I give up"),
        (f"3: {OOM}\n0: bye\n", OOM),
        (HYDRA, "Key 'lrr' is not in struct"),
        (f"[rank3]: {TRACEBACK}[rank3]: {OOM}\n{TORCHRUN}", OOM),
        (f"loss 0.1\nI give up\n{'=' * 60}\n", "I give up"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_line_that_says_why(log: str, said: str) -> None:
    assert cause(JobState.FAILED, log.splitlines()) == said


def test_what_slurm_ended_is_not_blamed_on_the_last_line() -> None:
    log = ["step 9 of 10, loss 0.1", "slurmstepd: error: *** JOB 7 ON n1 CANCELLED DUE TO TIME LIMIT ***"]
    assert cause(JobState.TIMEOUT, log) == ""
    assert cause(JobState.OUT_OF_MEMORY, [*log, OOM]) == OOM


def test_causes_that_differ_in_numbers_are_one_kind() -> None:
    causes = [OOM, "KeyError: 'a'", "", OOM.replace("2.00", "14.5"), "address 0x7f", "address 0x8a"]
    assert groups(causes) == [(OOM, 2), ("address 0x7f", 2), ("KeyError: 'a'", 1)]


def test_whole_lines_of_a_log_are_kept() -> None:
    assert kept(["", "a", "b"]) == "a\nb"
    assert kept([""]) == "(the log is empty)"
    assert failure_cause(JobStatus(job_id="7", text="FAILED", source="sacct"), [""]) == "", "nor is that a cause"
    assert kept(["", "first", "x" * 4000, "y" * 90]) == "x" * 4000 + "\n" + "y" * 90
    assert kept(["", "x" * 9000]) == "x" * 4096
    lines = ["/r/train.log:", OOM, *map(str, range(60))]
    assert kept(lines, "59") == "\n".join(["/r/train.log:", *map(str, range(10, 60))])
    assert kept(lines, OOM) == f"{OOM}\n…\n{kept(lines)}"
