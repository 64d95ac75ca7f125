"""Many wait, one asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace

import pytest
from fake_shell import FakeShell, failed, silent

from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.shell import END
from airflow_slurm_sweep.slurm.states import JobState

NO_ACCOUNTING = failed("Slurm accounting storage is disabled")


def job(number: int) -> SubmittedJob:
    return SubmittedJob(ssh_conn_id="c", job_id=str(number), job_name="j", run_dir=f"/r/{number}", log_path="/r/l")


def in_turn(*answers: object) -> Callable[[], object]:
    """Return a function that gives one answer after the other, and the last one for ever."""
    rest: Iterator[object] = iter(answers)
    return lambda: next(rest, answers[-1])


def wait(shell: FakeShell, *numbers: int, grace: float = 0.05) -> list[JobStatus]:
    async def all_of_them() -> list[JobStatus]:
        monitor = Monitor(SlurmClient(shell), interval=0.01, grace=grace)
        return await asyncio.gather(*(monitor.wait(job(number)) for number in numbers))

    return asyncio.run(asyncio.wait_for(all_of_them(), 5))


def test_one_question_a_tick_for_all_waiting_tasks() -> None:
    running = "".join(f"{number}|RUNNING|0:01|N/A|N/A|n1|j|None\n" for number in range(100))
    ended = running.replace("RUNNING", "COMPLETED")
    shell = FakeShell(squeue=in_turn(running, running, ended), scontrol="", sacct=NO_ACCOUNTING)
    statuses = wait(shell, *range(100))
    assert {status.state for status in statuses} == {JobState.COMPLETED}
    assert shell.asked.count("squeue") == 3


def test_jobs_that_vanished_are_looked_up_together() -> None:
    shell = FakeShell(
        squeue="",
        sacct="1|COMPLETED|0:0|0:0|1|n1|1|2|3|j\n2|FAILED|9:0|0:0|1|n1|1|2|3|j\n3|TIMEOUT|0:0|0:0|1|n1|1|2|3|j\n",
        head="2 137 -\n",
    )
    statuses = wait(shell, 1, 2, 3)
    assert [status.text for status in statuses] == ["COMPLETED", "FAILED", "TIMEOUT"]
    assert statuses[1].exit_code == "137:0", "sacct prints 9"
    assert shell.asked == ["squeue", "sacct", "head"]


def test_silence_is_waited_out_and_each_reason_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="airflow_slurm_sweep")
    down = failed("Unable to contact slurm controller")
    answers = in_turn(silent(), silent(), down, silent(), "1|COMPLETED|0:01|N/A|N/A|n1|j|None")
    (status,) = wait(FakeShell(squeue=answers, scontrol="", sacct=NO_ACCOUNTING), 1, grace=0)
    assert status.state is JobState.COMPLETED
    assert [record.message for record in caplog.records if "cluster" in record.message.lower()] == [
        "No answer from the cluster, asking on: connection lost",
        "No answer from the cluster, asking on: Unable to contact slurm controller",
        "The cluster answers again",
    ]


def test_a_job_that_nobody_knows_is_lost_after_the_grace_period_only() -> None:
    shell = FakeShell(squeue="", sacct=NO_ACCOUNTING, scontrol="", head="")
    (status,) = wait(shell, 1, grace=0.1)
    assert status.state is JobState.LOST
    assert shell.asked.count("squeue") >= 3


def test_the_grace_period_begins_when_the_accounting_database_is_back() -> None:
    """Then slurmctld still has to send it what ended meanwhile."""
    away = [failed("slurmdbd: Connection refused")] * 20
    shell = FakeShell(squeue="", sacct=in_turn(*away, ""), scontrol="", head="")
    (status,) = wait(shell, 1, grace=0.15)
    assert status.state is JobState.LOST
    assert shell.asked.count("sacct") > 25


def test_an_array_of_a_batch_script_has_failed_if_an_element_has_that_slurm_forgot_first() -> None:
    row = "{}|{}|0:01|N/A|N/A|n1|j|None\n".format
    answers = in_turn(row("1_1", "FAILED") + row("1_2", "RUNNING"), row("1_2", "RUNNING"), row("1_2", "COMPLETED"))
    (status,) = wait(FakeShell(squeue=answers, scontrol="", sacct=NO_ACCOUNTING), 1)
    assert (status.job_id, status.text) == ("1", "FAILED")


def test_a_slow_controller_is_asked_again_before_a_job_is_lost() -> None:
    unasked = failed("", 0)
    unasked = replace(unasked, stdout=f"{unasked.stdout}{END}\n")
    shell = FakeShell(squeue="", sacct=NO_ACCOUNTING, scontrol=in_turn(unasked, unasked, unasked, ""), head="")
    (status,) = wait(shell, 1, grace=0)
    assert status.state is JobState.LOST
    assert shell.asked.count("scontrol") == 4


def test_a_job_that_comes_back_is_not_lost() -> None:
    back = in_turn("", "1|PENDING|0:00|N/A|N/A||j|BeginTime", "", "1|COMPLETED|0:01|N/A|N/A|n1|j|None")
    shell = FakeShell(squeue=back, sacct=NO_ACCOUNTING, scontrol="", head="")
    (status,) = wait(shell, 1, grace=5)
    assert status.state is JobState.COMPLETED


def test_a_preempted_job_is_waited_for_and_has_failed_once_it_is_gone() -> None:
    shell = FakeShell(
        squeue=in_turn("1|PREEMPTED|0:01|N/A|N/A|n1|j|None", "1|PREEMPTED|0:01|N/A|N/A|n1|j|None", ""),
        sacct=NO_ACCOUNTING,
        scontrol="",
        head="",
    )
    (status,) = wait(shell, 1, grace=60)
    assert status.state is JobState.PREEMPTED
    assert shell.asked.count("squeue") == 3


@pytest.mark.parametrize("state", ["NODE_FAIL", "PREEMPTED"])
def test_a_job_that_slurm_does_not_queue_again_has_failed_though_squeue_still_shows_it(state: str) -> None:
    again = in_turn(
        f"1|{state}|0:01|N/A|N/A|n1|j|None", "1|PENDING|0:00|N/A|N/A||j|BeginTime", f"1|{state}|0:01|N/A|N/A|n1|j|None"
    )
    shell = FakeShell(squeue=again, sacct=NO_ACCOUNTING, scontrol="")
    (status,) = wait(shell, 1, grace=0.1)
    assert status.text == state
    assert shell.asked.count("squeue") >= 5


def test_a_job_that_the_controller_calls_active_lives_whatever_its_old_exit_file_says() -> None:
    running = "JobId=1 JobName=j\n   JobState=RUNNING Reason=None\n   StdOut=/r/l\n"
    ended = running.replace("RUNNING", "COMPLETED").replace("Reason", "ExitCode=0:0 Reason")
    shell = FakeShell(
        squeue="",
        sacct="1|RUNNING|0:0|0:0|1|n1|1|2|Unknown|j\n",
        scontrol=in_turn(running, running, running, ended),
        head="1 FAILED\n",
    )
    (status,) = wait(shell, 1, grace=0.01)
    assert status.state is JobState.COMPLETED
    assert shell.asked == ["squeue", "sacct", "scontrol"] * 4


def test_nobody_waits_nobody_asks() -> None:
    shell = FakeShell(squeue="1|RUNNING|0:01|N/A|N/A|n1|j|None")

    async def give_up() -> int:
        monitor = Monitor(SlurmClient(shell), interval=0.01)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(monitor.wait(job(1)), 0.05)
        asked = len(shell.asked)
        await asyncio.sleep(0.05)
        return len(shell.asked) - asked

    assert asyncio.run(give_up()) == 0


def test_who_comes_while_the_last_question_is_given_up_is_answered() -> None:
    shell = FakeShell(squeue="2|COMPLETED|0:01|N/A|N/A|n1|j|None", scontrol="", sacct=NO_ACCOUNTING)

    async def come_and_go() -> JobStatus:
        monitor = Monitor(SlurmClient(shell), interval=0.01)
        first = asyncio.create_task(monitor.wait(job(1)))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.sleep(0)  # the first one is gone, and what asked for it has not ended yet
        return await monitor.wait(job(2))

    async def in_time() -> JobStatus:
        async with asyncio.timeout(5):  # wait_for would let the question end first
            return await come_and_go()

    assert asyncio.run(in_time()).state is JobState.COMPLETED


def test_a_job_that_started_after_all_is_not_called_overdue() -> None:
    """A job that runs is spared by scancel; who cancels it later is somebody else."""
    late = "now=100\n1|PENDING|0:00|10|N/A batch||j|Priority\n"
    runs, ended = (f"1|{state}|0:01|10|90 batch|n1|j|None\n" for state in ("RUNNING", "CANCELLED"))
    shell = FakeShell(squeue=in_turn(late, runs, ended), scancel="", scontrol="", sacct=NO_ACCOUNTING)

    async def limited() -> JobStatus:
        return await Monitor(SlurmClient(shell), interval=0.01).wait(replace(job(1), queue_limit=60))

    assert str(asyncio.run(asyncio.wait_for(limited(), 5))) == "CANCELLED"
    assert "scancel" in shell.asked


def test_a_jobs_changes_are_logged_in_the_context_of_the_one_who_waits(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = ContextVar("who", default="nobody")
    seen = []
    caplog.set_level("INFO", logger="airflow_slurm_sweep")

    def note(record: logging.LogRecord) -> bool:
        seen.append((record.getMessage(), who.get()))
        return True

    monkeypatch.setattr(caplog.handler, "filters", [note])
    shell = FakeShell(
        squeue=in_turn(
            "1|RUNNING|0:01|N/A|N/A|n1|j|None\n2|PENDING|0:00|N/A|N/A||j|Priority",
            "1|COMPLETED|0:01|N/A|N/A|n1|j|None\n2|COMPLETED|0:01|N/A|N/A|n1|j|None",
        )
    )

    async def wait_as(monitor: Monitor, number: int) -> None:
        who.set(f"task {number}")
        await monitor.wait(job(number))

    async def both() -> None:
        monitor = Monitor(SlurmClient(shell), interval=0.01)
        await asyncio.gather(wait_as(monitor, 1), wait_as(monitor, 2))

    asyncio.run(both())
    assert seen == [
        ("Job 1 is RUNNING", "task 1"),
        ("Job 2 is PENDING (Priority): jobs with a higher priority come first", "task 2"),
    ], "how they ended, those who waited tell"


def test_the_start_that_slurm_expects_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="airflow_slurm_sweep")
    noon = 1795694400
    answers = in_turn(
        f"now={noon}\n1|PENDING|0:00|{noon}|N/A batch||j|Priority",
        f"now={noon}\n1|PENDING|0:00|{noon}|{noon + 7200} batch||j|Priority",
        f"now={noon}\n1|PENDING|0:00|{noon}|{noon + 7300} batch||j|Priority",
        "1|COMPLETED|0:01|N/A|N/A|n1|j|None",
    )
    wait(FakeShell(squeue=answers), 1)
    why = "Job 1 is PENDING (Priority): jobs with a higher priority come first"
    first, second = [record.message for record in caplog.records]
    assert first == why
    assert second.startswith(f"{why}; Slurm expects it to start at 2")


def test_a_job_that_time_alone_will_not_start_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    never = "1|PENDING|0:00|N/A|N/A debug||j|PartitionTimeLimit"
    wait(FakeShell(squeue=in_turn(never, never, never, "1|COMPLETED|0:01|N/A|N/A|n1|j|None")), 1)
    (record,) = caplog.records
    assert (record.levelname, record.message) == (
        "WARNING",
        "Job 1 is PENDING (PartitionTimeLimit): its time limit is longer than the partition allows. Time alone will not "
        "start it; to cancel it, mark this task failed",
    )


@pytest.mark.parametrize("ended", ["7_1|CANCELLED|0:00|10|N/A batch||sweep|Priority\n", ""])  # Slurm keeps nothing
def test_a_pending_element_has_its_arrays_name(ended: str) -> None:
    late = "now=100\n7_1|PENDING|0:00|10|N/A batch||sweep|Priority\n"
    shell = FakeShell(squeue=in_turn(late, ended), scancel="", scontrol="", sacct=NO_ACCOUNTING, head="")
    element = replace(job(1), job_id="7_1", job_name="sweep_1", queue_limit=60)

    async def limited() -> JobStatus:
        return await Monitor(SlurmClient(shell), interval=0.01).wait(element)

    assert str(asyncio.run(asyncio.wait_for(limited(), 5))).startswith("CANCELLED (queue_limit: PENDING")
    assert shell.asked[:3] == ["squeue", "scancel", "squeue"], "nothing else was asked while it was there"


def test_a_scancel_that_fails_keeps_nobody_from_waiting(caplog: pytest.LogCaptureFixture) -> None:
    late = "now=100\n1|PENDING|0:00|10|N/A batch||j|Priority\n2|RUNNING|0:01|10|10 batch|n1|j|None\n"
    ended = "1|CANCELLED|0:00|10|N/A batch||j|Priority\n2|COMPLETED|0:01|10|10 batch|n1|j|None\n"
    shell = FakeShell(
        squeue=in_turn(late, late, ended), scancel=failed("slurmctld is busy"), scontrol="", sacct=NO_ACCOUNTING
    )

    async def both() -> tuple[JobStatus, JobStatus]:
        monitor = Monitor(SlurmClient(shell), interval=0.01)
        return await asyncio.gather(monitor.wait(replace(job(1), queue_limit=60)), monitor.wait(job(2)))

    first, second = asyncio.run(asyncio.wait_for(both(), 5))
    reason = "queue_limit: PENDING for more than 0:01:00; Priority: jobs with a higher priority come first"
    assert (str(first), second.state) == (f"CANCELLED ({reason})", JobState.COMPLETED)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings[0] == f"Job 1 is cancelled by its {reason}"
    assert set(warnings[1:]) == {
        "Jobs that have reached their queue_limit are not cancelled yet, trying again: scancel: slurmctld is busy"
    }


def test_an_error_of_ours_reaches_those_who_wait() -> None:
    with pytest.raises(ZeroDivisionError):
        wait(FakeShell(squeue=lambda: 1 // 0), 1)
