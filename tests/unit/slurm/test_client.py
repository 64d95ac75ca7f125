"""What is made of a cluster's answers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from fake_shell import FakeShell, Submission, failed, silent

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError, LoginRefusedError
from airflow_slurm_sweep.slurm import ended, queue
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.ended import IN_GRACE
from airflow_slurm_sweep.slurm.exit_files import EXIT_FILE
from airflow_slurm_sweep.slurm.failure import failure_cause, failure_text
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.shell import MARKER, Completed
from airflow_slurm_sweep.slurm.submit.answer import ExitStatus

REQUEST = JobRequest(ssh_conn_id="c", name="one", command="true", run_dir="/r/one", script="#!/bin/sh\n", label="lr=1")
ATTEMPT = Attempt(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, id="01-1", installation="a")
JOB = SubmittedJob(ssh_conn_id="c", job_id="7", job_name="one", run_dir="/r/one", log_path="/r/one/logs/slurm-7.out")
FORGOTTEN = ""
SCONTROL = "JobId=7 JobName=one\n   JobState={} Reason=None Dependency=(null)\n   Requeue=1 ExitCode={}\n   StdOut=/r/one/logs/slurm-7.out\n"
NO_ACCOUNTING = failed("Slurm accounting storage is disabled")
CONTROLLER_DOWN = failed("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")


def submit(shell: FakeShell) -> SubmittedJob:
    return asyncio.run(SlurmClient(shell).submit(REQUEST, ATTEMPT))


def end(shell: FakeShell) -> JobStatus:
    monitor = Monitor(SlurmClient(shell), interval=0.01, grace=0.0, patience=0.0)
    return asyncio.run(asyncio.wait_for(monitor.wait(JOB), 5))


def test_submit_returns_the_job() -> None:
    assert submit(FakeShell(sbatch=Submission(text="7 submitted"))) == SubmittedJob(
        ssh_conn_id="c",
        job_id="7",
        job_name="one",
        run_dir="/r/one",
        log_path="/r/one/logs/slurm-7.out",
        label="lr=1",
    )


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (Submission(exit_status=ExitStatus.REFUSED, text="no such file: a.py"), ClusterRefusedError, "one was not submitted: no such file: a.py"),
        (Submission(exit_status=ExitStatus.SBATCH_REFUSED, text="sbatch: error: Invalid account"), ClusterRefusedError, "Invalid account"),
        (Submission(exit_status=ExitStatus.SBATCH_REFUSED, text="sbatch: error: Unable to contact slurm controller"), ClusterUnavailableError, "contact"),
        (Submission(exit_status=ExitStatus.SBATCH_REFUSED, text="sbatch: error: QOSMaxSubmitJobPerUserLimit"), ClusterUnavailableError, "QOSMax"),
        (Submission(exit_status=ExitStatus.BUSY, text="another submission holds the lock"), ClusterUnavailableError, "lock"),
        (silent(), ClusterUnavailableError, "connection lost"),
        (Completed(exit_status=0, stdout="Welcome!", stderr="This account is closed."), ClusterUnavailableError, "account is closed"),
    ],
)  # fmt: skip
def test_submit_raises_the_reason_and_whether_a_retry_can_help(
    answer: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        submit(FakeShell(sbatch=answer))


@pytest.mark.parametrize(
    ("answers", "state", "source"),
    [
        ({"squeue": "7|COMPLETED|0:01|N/A|N/A|n1|one|None"}, "COMPLETED", "squeue"),
        ({"squeue": "7|FAILED|0:01|N/A|N/A|n1|one|x", "scontrol": FORGOTTEN, "sacct": NO_ACCOUNTING}, "FAILED", "squeue"),
        ({"squeue": "7|FAILED|0:01|N/A|N/A|n1|one|x", "scontrol": SCONTROL.format("FAILED", "3:0")}, "FAILED", "scontrol"),
        ({"squeue": "7|FAILED|0:01|N/A|N/A|n1|one|x", "scontrol": CONTROLLER_DOWN, "sacct": "7|FAILED|3:0|0:0|00:01:00|n1|1|2|62|one"}, "FAILED", "sacct"),
        ({"squeue": "7|FAILED|0:01|N/A|N/A|n1|one|x", "scontrol": CONTROLLER_DOWN, "sacct": NO_ACCOUNTING}, "FAILED", "squeue"),
        ({"squeue": "8|RUNNING|0:01|N/A|N/A|n1|one|None", "sacct": "7|TIMEOUT|0:0|0:0|00:01:00|n1|1|2|62|one"}, "TIMEOUT", "sacct"),
        ({"squeue": "", "sacct": "7|NODE_FAIL|0:0|0:0|00:01:00|n1|1|2|62|one"}, "NODE_FAIL", "sacct"),
        ({"squeue": "", "sacct": NO_ACCOUNTING, "scontrol": SCONTROL.format("CANCELLED", "0:15")}, "CANCELLED", "scontrol"),
        ({"squeue": "", "sacct": "7|COMPLETED|0:0|0:0|0|n1|1|2|2|one", "scontrol": FORGOTTEN, "head": ""}, "LOST", "sacct"),
        ({"squeue": "", "sacct": "7|COMPLETED|0:0|0:0|0|n1|1|2|2|one", "scontrol": FORGOTTEN, "head": "7 0 -"}, "COMPLETED", "exit-status file"),
        ({"squeue": "7|FAILED|0:01|N/A|N/A|n1|one|x", "scontrol": SCONTROL.format("FAILED", "1:0") + "   DerivedExitCode=0:125\n"}, "OUT_OF_MEMORY", "scontrol"),
        ({"squeue": "", "sacct": "7|RUNNING|0:0|0:0|00:01:00|n1|1|2|Unknown|one", "scontrol": FORGOTTEN, "head": "7 0 -"}, "COMPLETED", "exit-status file"),
        ({"squeue": "", "sacct": "7|FAILED|0:0|0:0|00:01:00|n1|1|2|Unknown|one", "scontrol": SCONTROL.format("FAILED", "3:0")}, "FAILED", "scontrol"),
        ({"squeue": "", "sacct": NO_ACCOUNTING, "scontrol": FORGOTTEN, "head": "7 2 -"}, "FAILED", "exit-status file"),
        ({"squeue": "", "sacct": NO_ACCOUNTING, "scontrol": FORGOTTEN, "head": ""}, "LOST", ""),
    ],
)  # fmt: skip
def test_sources_of_a_jobs_end_in_their_order(answers: dict[str, object], state: str, source: str) -> None:
    status = end(FakeShell(**answers))
    assert (status.state.value, status.source) == (state, source)


@pytest.mark.parametrize(
    "answers",
    [
        {"squeue": CONTROLLER_DOWN},
        {"squeue": silent()},
        {"squeue": "", "sacct": failed("sacct: error: slurmdbd: Connection refused")},
        {"squeue": "", "sacct": NO_ACCOUNTING, "scontrol": CONTROLLER_DOWN},
        {"squeue": "7|FAILED|0:01|N/A|N/A|n1|one|x", "scontrol": silent(), "sacct": silent()},
    ],
)
def test_no_answer_is_not_no_such_job(answers: dict[str, object]) -> None:
    with pytest.raises(ClusterUnavailableError):
        end(FakeShell(**answers))


@pytest.mark.parametrize("state", ["RUNNING", "FAILED"])  # FAILED: recorded as begun only once it had ended
def test_a_job_whose_end_the_accounting_database_does_not_have_yet_is_waited_for(state: str) -> None:
    late, known = (
        f"7|{row}|one" for row in (f"{state}|0:0|0:0|00:01:00|n1|1|2|Unknown", "FAILED|3:0|0:0|00:01:00|n1|1|2|62")
    )
    answers = iter([late, late, known])
    shell = FakeShell(squeue="", sacct=lambda: next(answers), scontrol=FORGOTTEN, head="")
    monitor = Monitor(SlurmClient(shell), interval=0.01, grace=0.0)
    status = asyncio.run(asyncio.wait_for(monitor.wait(JOB), 5))
    assert (status.text, status.exit_code, status.source) == ("FAILED", "3:0", "sacct")
    other = FakeShell(squeue="", sacct=late.replace("|one", "|another"), scontrol=FORGOTTEN, head="")
    assert asyncio.run(SlurmClient(other).look_up([JOB])) == ({}, "")


def test_a_short_job_is_not_lost_while_sacct_does_not_answer_about_its_steps() -> None:
    job = "7|COMPLETED|0:0|0:0|00:00:00|n1|1|2|2|one"
    steps = f"{job}\n7.batch|COMPLETED|0:0|0:0|00:00:00|n1|1|2|2|batch"
    answers = iter([job, failed("sacct: error: Connection refused"), job, steps])
    shell = FakeShell(squeue="", sacct=lambda: next(answers), scontrol=FORGOTTEN, head="")
    client = SlurmClient(shell)
    assert asyncio.run(client.look_up([JOB])) == ({}, "sacct: error: Connection refused")
    found, trouble = asyncio.run(client.look_up([JOB]))
    assert (found["7"].text, found["7"].source, trouble) == ("COMPLETED", "sacct", "")


@pytest.mark.parametrize(("request_of_a_chain", "reason"), [({"chain": {"jobs": 2}}, IN_GRACE), ({}, "None")])
def test_a_job_of_a_chain_that_completed_is_asked_whether_it_was_preempted(
    request_of_a_chain: dict[str, Any], reason: str
) -> None:
    told = SCONTROL.format("COMPLETED", "0:0") + "   PreemptEligibleTime=1 PreemptTime=5\n   SuspendTime=None x=0\n"
    shell = FakeShell(squeue="7|COMPLETED|0:01|N/A|N/A|n1|one|None", scontrol=told)
    monitor = Monitor(SlurmClient(shell), interval=0.01)
    status = asyncio.run(asyncio.wait_for(monitor.wait(replace(JOB, request=request_of_a_chain)), 5))
    assert (status.text, status.exit_code, status.reason) == ("COMPLETED", "0:0", reason)


def test_cancelling_a_job_that_has_ended_is_fine() -> None:
    asyncio.run(SlurmClient(FakeShell(scancel="")).cancel(JOB))
    with pytest.raises(ClusterUnavailableError, match="contact slurm controller"):
        asyncio.run(SlurmClient(FakeShell(scancel=CONTROLLER_DOWN)).cancel(JOB))


ENDED = "scancel: error: Kill job error on job id 7: Invalid job id specified\n"


def complained(text: str, exit_status: int = 1) -> Completed:
    """Return what scancel said; a start-up file of the login has printed before."""
    return Completed(exit_status=exit_status, stdout=f"{MARKER}\n{text}", stderr="stty: Inappropriate ioctl for device")


@pytest.mark.parametrize(
    "answer",
    [complained(ENDED, 124), complained("", 124), complained(""), complained(f"{ENDED}scancel: error: Unable to contact slurm controller")],
)  # fmt: skip
def test_jobs_are_cancelled_only_if_scancel_has_come_to_its_end(answer: Completed) -> None:
    for cancel in (SlurmClient.cancel_found, SlurmClient.cancel_queued):
        asyncio.run(cancel(SlurmClient(FakeShell(scancel=complained(ENDED))), ["7", "8"]))
        with pytest.raises(ClusterUnavailableError, match=r"^scancel: "):
            asyncio.run(cancel(SlurmClient(FakeShell(scancel=answer)), ["7", "8"]))


def test_a_scancel_that_fails_keeps_no_other_from_cancelling() -> None:
    answers = iter([complained("scancel: error: Access denied"), complained(ENDED), ""])
    shell = FakeShell(scancel=lambda: next(answers))
    with pytest.raises(ClusterUnavailableError, match="Access denied"):
        asyncio.run(SlurmClient(shell).cancel_found([str(number) for number in range(1, 1201)]))
    assert shell.asked == ["scancel"] * 3


@pytest.mark.parametrize(
    ("exit_status", "error"), [(78, LoginRefusedError), (75, ClusterUnavailableError), (137, ClusterUnavailableError)]
)
def test_a_login_in_which_nothing_runs_is_refused_whatever_is_asked(exit_status: int, error: type[Exception]) -> None:
    client = SlurmClient(FakeShell(squeue=Completed(exit_status=exit_status, stdout="Welcome!\n", stderr="no module")))
    with pytest.raises(error, match="no module"):
        asyncio.run(client.queue())
    client = SlurmClient(FakeShell(head=Completed(exit_status=exit_status, stdout="Welcome!\n", stderr="no module")))
    with pytest.raises(error, match="no module"):
        asyncio.run(client.read_files("/work", ["a.yaml"]))


def test_thousands_of_jobs_are_asked_for_in_parts() -> None:
    jobs = [replace(JOB, job_id=f"1234567_{number}") for number in range(2500)]
    shell = FakeShell(sacct=failed("Slurm accounting storage is disabled"), scontrol="", head="")
    asyncio.run(SlurmClient(shell).look_up(jobs))
    assert (shell.asked.count("sacct"), shell.asked.count("scontrol")) == (3, 13)


def test_a_job_that_ran_in_another_cluster_of_a_federation_ended_as_its_exit_file_says() -> None:
    revoked = "7|REVOKED|0:0|0:0|1|None assigned|Unknown|Unknown|Unknown|one\n"
    found, _ = asyncio.run(SlurmClient(FakeShell(sacct=revoked, scontrol="", head="7 0 -\n")).look_up([JOB]))
    assert (found["7"].text, found["7"].source) == ("COMPLETED", EXIT_FILE)
    found, _ = asyncio.run(SlurmClient(FakeShell(sacct=revoked, scontrol="", head="")).look_up([JOB]))
    assert found["7"].text == "REVOKED"


def test_a_job_of_which_a_step_ran_out_of_memory_has_its_whole_exit_status() -> None:
    """Before 25.11, sacct prints 137 as 9."""
    accounted = "7|FAILED|9:0|0:125|1|n1|1|2|3|one\n"
    found, _ = asyncio.run(SlurmClient(FakeShell(sacct=accounted, head="7 137 -\n")).look_up([JOB]))
    assert (found["7"].text, found["7"].exit_code) == ("OUT_OF_MEMORY", "137:0")


def test_a_heterogeneous_job_is_known_by_its_number() -> None:
    assert queue.read_squeue("now=5\n7+0|RUNNING|0:01|1|2 batch|n1|one|None\n")["7"].text == "RUNNING"
    assert list(queue.read_outputs("7+0 RUNNING /r/one/logs/slurm-7.out\n7+1 RUNNING /x\n")) == ["7"]


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["FAILED", "RUNNING", "COMPLETED"], "RUNNING"),
        (["COMPLETED", "PENDING"], "PENDING"),
        (["COMPLETED", "FAILED", "COMPLETED"], "FAILED"),
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
    ],
)
def test_an_array_that_a_batch_script_makes_of_its_job_counts_as_a_whole(states: list[str], whole: str) -> None:
    rows = "".join(f"7_{index}|{state}|0:0|0:0|1|n1|1|2|3|one\n" for index, state in enumerate(states))
    accounted = queue.with_wholes(ended.read_sacct(rows)[0])
    assert accounted["7"].text == whole
    squeue = "".join(f"7_{index}|{state}|0:01|1|2 batch|n1|one|None\n" for index, state in enumerate(states))
    shell = FakeShell(squeue=squeue.replace("7_1|PENDING", "7_[1-9]|PENDING"), scontrol="", sacct=rows)
    seen = queue.with_wholes(asyncio.run(SlurmClient(shell).queue()))
    assert (seen["7"].job_id, seen["7"].text) == ("7", whole)
    if seen["7"].state.is_final:
        assert end(shell).text == whole


def test_a_number_that_has_another_name_in_sacct_is_believed_less_than_the_exit_file() -> None:
    other = "7|COMPLETED|0:0|0:0|00:01:00|n1|1|2|3|another"
    shell = FakeShell(squeue="", sacct=other, scontrol=FORGOTTEN, head="7 1 -")
    assert end(shell).state.value == "FAILED"


def test_an_owner_that_could_not_be_read_is_looked_up_again() -> None:
    shell = FakeShell(squeue="7 RUNNING /r/one/logs/slurm-7.out", record="")
    client, known = SlurmClient(shell), dict[str, tuple[str, str]]()
    assert asyncio.run(client.live_jobs("a d r", "/r", known)) == {}
    shell.answers["record"] = "7 a d r g.submit 3 7\n"
    assert asyncio.run(client.live_jobs("a d r", "/r", known)) == {"7": "g.submit 3"}


def test_an_answer_that_was_cut_off_is_none() -> None:
    cut = Completed(exit_status=0, stdout=f"{MARKER}\n7|RUNNING|0:01|N/A|N/A|n1|one|None\n8|RUN", stderr="")
    with pytest.raises(ClusterUnavailableError, match="cut off"):
        asyncio.run(SlurmClient(FakeShell(squeue=cut)).queue())


def test_output_that_is_no_job_id_is_an_error() -> None:
    with pytest.raises(ClusterUnavailableError, match=r"^expected a job's id, got 'Welcome!'$"):
        submit(FakeShell(sbatch=Submission(text="7 submitted\nWelcome!")))


def log(text: str) -> str:
    base64 = b64encode(b"\n" + text.encode()).decode()
    return f"+ 0\n{base64}\n= 0 - - yes\n"


def test_a_terminal_obeys_nothing_that_a_log_or_an_error_holds() -> None:
    status = JobStatus(job_id="7", text="FAILED", source="sacct")
    hostile = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\x9b31m\x08\x00 10%\r 20%\r\nlast \x1bc\x1b\ttab grüße 雪\n"
    said = asyncio.run(SlurmClient(FakeShell(tail=log(hostile))).log_tail(JOB, status))
    assert said == "red31m 10%\n 20%\nlast tab grüße 雪"
    progress = "\r".join(map(str, range(1000)))
    said = asyncio.run(SlurmClient(FakeShell(tail=log(progress))).log_tail(JOB, status))
    assert said.split("\n") == [str(number) for number in range(950, 1000)]
    with pytest.raises(ClusterRefusedError, match=r"not submitted: no$"):
        submit(FakeShell(sbatch=Submission(exit_status=ExitStatus.REFUSED, text="\x1b[2Jno\x07")))


def test_a_run_is_matched_by_its_whole_name() -> None:
    """Not by the end of another's."""
    shell = FakeShell(
        squeue="7 RUNNING /r/one/logs/slurm-%j.out\n8 RUNNING /elsewhere", record="7 a xd r g.submit 3 7\n"
    )
    for run, live in (("a d r", {}), ("a xd r", {"7": "g.submit 3"})):
        assert asyncio.run(SlurmClient(shell).live_jobs(run, "/r")) == live


def test_owner_of_a_live_job_is_looked_up_once() -> None:
    shell = FakeShell(squeue="7 RUNNING /r/one/logs/slurm-7.out", record="7 a d r g.submit 3 7\n")
    client, known = SlurmClient(shell), dict[str, tuple[str, str]]()
    for _ in range(2):
        assert asyncio.run(client.live_jobs("a d r", "/r", known)) == {"7": "g.submit 3"}
    assert shell.asked == ["squeue", "record", "squeue"]
    shell.answers["squeue"] = "7 COMPLETED /r/one/logs/slurm-7.out"
    assert asyncio.run(client.live_jobs("a d r", "/r", known)) == {}
    assert not known


@pytest.mark.parametrize(
    ("output", "run_dir"),
    [
        ("/50%%/one/logs/slurm-%j.out", "/50%/one"),
        ("/50%%/one/logs/slurm-7.out", "/50%%/one"),
        ("/one/logs/slurm-8.out", None),
        ("/dev/null", None),
    ],
)
def test_a_run_directory_is_derived_from_the_jobs_output(output: str, run_dir: str | None) -> None:
    assert queue.run_dir_of("7", output) == run_dir


@pytest.mark.parametrize(
    ("output", "run_dir"),
    [
        ("/50%%/one_%a/logs/slurm-%A_%a.out", "/50%/one_7"),
        ("/50%%/one_12%3a/logs/slurm-%A_%a.out", "/50%/one_12007"),
        ("/one_12%3a/logs/slurm-3_7.out", "/one_12007"),  # scontrol of Slurm 22.05
        ("/one_12007/logs/slurm-3_7.out", "/one_12007"),
        ("/one_12%3a/logs/slurm-3_8.out", None),
    ],
)
def test_the_run_directory_of_an_element_has_its_index(output: str, run_dir: str | None) -> None:
    assert queue.run_dir_of("3_7", output) == run_dir


SETUP = "setup line 2 failed with exit status 1: module load cuda"


@pytest.mark.parametrize(("exit_code", "said", "is_first"), [("78:0", SETUP, True), ("1:0", "ValueError: bad", False)])
def test_the_setup_line_that_failed_is_the_cause_and_comes_first(exit_code: str, said: str, is_first: bool) -> None:
    status = JobStatus(job_id="7", text="FAILED", exit_code=exit_code, source="sacct")
    log = ["", "Unknown module", SETUP, "ValueError: bad", "srun: error: n1: task 0: Exited with exit code 78"]
    status = replace(status, cause=failure_cause(status, log))
    assert status.cause == said
    text = failure_text(JOB, status, log)
    assert text.startswith(f"{said}\nJob 7 (one) ended as FAILED" if is_first else "Job 7 (one) ended as FAILED")


def test_a_failure_text_has_all_facts() -> None:
    status = JobStatus(
        job_id="7",
        text="FAILED",
        exit_code="3:0",
        elapsed="00:00:09",
        nodes="n[1-2]",
        reason="NonZeroExitCode",
        source="sacct",
    )
    assert failure_text(JOB, status, ["", "line 1", "line 2"]) == (
        "Job 7 (one) ended as FAILED (NonZeroExitCode) (sacct): exit code 3:0, elapsed 00:00:09, nodes n[1-2], "
        "log /r/one/logs/slurm-7.out\nThe log's last 50 lines:\nline 1\nline 2"
    )
