"""Answers as Slurm 22.05 printed them, and what sites print around them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_slurm_sweep.slurm import ended, queue
from airflow_slurm_sweep.slurm.exit_files import read_exit_files
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.states import JobState


def test_squeue() -> None:
    output = """\
*** maintenance on Friday | see the wiki ***
17|PENDING|0:00|N/A|N/A|||Resources
18|RUNNING|1-02:03:04|N/A|N/A|n[1-2]||None
19|FAILED|0:01|N/A|N/A|n3||NonZeroExitCode
20|SOMETHING_NEW|0:01|N/A|N/A|n3||a | b
"""
    statuses = queue.read_squeue(output)
    assert {job_id: status.state for job_id, status in statuses.items()} == {
        "17": JobState.PENDING,
        "18": JobState.RUNNING,
        "19": JobState.FAILED,
        "20": JobState.UNKNOWN,
    }
    assert (str(statuses["17"]), str(statuses["18"]), str(statuses["20"])) == (
        "PENDING (Resources)",
        "RUNNING",
        "SOMETHING_NEW (a | b)",
    )
    assert (statuses["18"].elapsed, statuses["18"].nodes) == ("1-02:03:04", "n[1-2]")


def test_elements_of_arrays_go_by_the_arrays_id_and_their_index() -> None:
    assert queue.read_squeue("17_3|RUNNING|0:01|N/A|N/A|n1||None\n").keys() == {"17_3"}
    assert queue.read_outputs(
        "17_3  RUNNING  /r/s_%a/logs/slurm-%A_%a.out\n17_[1-2] PENDING /r/x\n18 PENDING /y"
    ).keys() == {
        "17_3",
        "18",
    }
    assert ended.read_sacct(
        "17_3|FAILED|1:0|0:0|00:01:00|n1|Unknown|Unknown|9|\n17+0|COMPLETED|0:0|0:0|00:01:00|n1|Unknown|Unknown|9|\n"
    )[0].keys() == {"17_3", "17"}
    told = "JobId=6 ArrayJobId=17 ArrayTaskId=3 JobName=x ArrayTaskId=4 y\n   JobState=RUNNING Reason=None\n"
    assert [(key, status.job_id) for key, status in ended.read_scontrol(told).items()] == [("17_3", "17_3")]
    assert read_exit_files("17_3 0 -\n")["17_3"].exit_code == "0:0"


def test_sacct() -> None:
    statuses, odd = ended.read_sacct(
        "21|CANCELLED by 1001|0:15|0:0|00:00:07|n1|Unknown|Unknown|9|\n"
        "22|OUT_OF_MEMORY|0:125|0:0|00:01:00|n[1-4]|Unknown|Unknown|9|\n"
    )
    assert statuses["21"] == JobStatus(
        job_id="21",
        text="CANCELLED by 1001",
        exit_code="0:15",
        elapsed="00:00:07",
        nodes="n1",
        source="sacct",
    )
    assert statuses["22"].state is JobState.OUT_OF_MEMORY
    (late,) = ended.read_sacct("23|FAILED|0:0|0:0|00:00:07|n1|1|2|Unknown|x\n")[0].values()
    assert not late.state.is_final
    assert odd == ""
    assert (
        ended.read_sacct("\nslurmdbd is being upgraded\n21|COMPLETED|0:0|0:0|1|n1|2|3|4|x\n")[1]
        == "slurmdbd is being upgraded"
    )


def test_a_job_is_out_of_memory_if_a_step_of_it_is() -> None:
    """In a container, and wherever srun runs the command: the job's own end is srun's exit status."""
    sacct = ended.read_sacct("21|FAILED|1:0|0:125|1|n1|1|2|3|x\n22|COMPLETED|0:0|0:125|1|n1|1|2|3|x\n")[0]
    told = (
        "JobId=21 JobName=x\n   JobState=FAILED Reason=NonZeroExitCode Dependency=(null)\n   Requeue=0 ExitCode=1:0\n"
    )
    for status in (sacct["21"], ended.read_scontrol(f"{told}   DerivedExitCode=0:125\n")["21"]):
        assert str(status) == "OUT_OF_MEMORY (a step of the job, which itself FAILED)"
    assert ended.read_scontrol(f"{told}   DerivedExitCode=1:0\n")["21"].state is JobState.FAILED
    assert sacct["22"].state is JobState.COMPLETED, "the script has coped with it"


@pytest.mark.parametrize(
    ("state", "preempted", "suspended", "said"),
    [
        ("FAILED", "1769860800", "None", f"PREEMPTED ({ended.IN_GRACE})"),
        ("COMPLETED", "1769860800", "None", f"COMPLETED ({ended.IN_GRACE})"),  # what it saved may be enough
        ("CANCELLED", "1769860800", "None", "CANCELLED (NonZeroExitCode)"),
        ("FAILED", "None", "None", "FAILED (NonZeroExitCode)"),
        ("FAILED", "1769860800", "1769860801", "FAILED (NonZeroExitCode)"),
    ],
)
def test_a_job_that_ends_in_its_time_of_grace_was_preempted(
    state: str, preempted: str, suspended: str, said: str
) -> None:
    told = f"""JobId=21 JobName=x
   JobState={state} Reason=NonZeroExitCode Dependency=(null)
   PreemptEligibleTime=1769860700 PreemptTime={preempted}
   SuspendTime={suspended} SecsPreSuspend=0 LastSchedEval=1769860700 Scheduler=Main
"""
    assert str(ended.read_scontrol(told)["21"]) == said


def test_a_job_whose_end_the_accounting_database_has_lost_did_not_complete() -> None:
    """`sacctmgr show runawayjobs` calls it COMPLETED, when it began, or when it was submitted if it never did."""
    jobs = "21|COMPLETED|0:0|0:0|0|n1|1|2|2|x\n22|FAILED|1:0|0:0|0|n1|1|2|2|x\n"
    pending = "23|COMPLETED|0:0|0:0|00:00:00|None assigned|1|Unknown|1|x\n"
    assert [status.text for status in ended.read_sacct(jobs + pending)[0].values()] == ["LOST", "FAILED", "LOST"]
    assert ended.read_sacct(pending, {"23"})[0]["23"].text == "COMPLETED"


def test_a_job_completed_whose_batch_script_did() -> None:
    """A job shorter than a second ends when it begins, too."""
    jobs = [f"{job_id}|COMPLETED|0:0|0:0|0|n1|1|2|2|x" for job_id in ("21", "22", "7_3", "8+0")]
    steps = [
        f"{step}|{state}|0:0|0:0|0|n1|1|2|{ended}|batch"
        for step, state, ended in (
            ("21.batch", "COMPLETED", "2"),
            ("21.0", "COMPLETED", "2"),
            ("22.batch", "RUNNING", "Unknown"),
            ("22.extern", "COMPLETED", "2"),
            ("7_3.batch", "COMPLETED", "2"),
            ("8+0.batch", "COMPLETED", "2"),
        )
    ]
    completed = ended.read_completed_scripts("\n".join(jobs + steps))
    statuses, _ = ended.read_sacct("\n".join(jobs), completed)
    assert {job_id: status.text for job_id, status in statuses.items()} == {
        "21": "COMPLETED", "22": "LOST", "7_3": "COMPLETED", "8": "COMPLETED"
    }  # fmt: skip


def test_scontrol() -> None:
    """Text of the user's that looks like Slurm's is ignored."""
    forged = "JobState=COMPLETED ExitCode=0:0 RunTime=1 NodeList=n1"
    answer = f"""\
notice: JobId=22 {forged}
JobId=23 JobName=a b=c {forged}\u2028   {forged}
   UserId=me(1001) GroupId=me(1001) MCS_label=N/A
   Priority=4294901759 Nice=0 Account={forged} QOS=(null)
   JobState=FAILED Reason=NonZeroExitCode Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=7:0
   RunTime=00:00:03 TimeLimit=01:00:00 TimeMin=N/A
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=n2
   BatchHost=n2
   Command=(null)
   WorkDir=/home/me/a {forged}
   Comment={forged}
   StdOut=/home/me/logs/slurm-23.out
   Power=


JobId=24 JobName=second
   JobState=RUNNING Reason=None Dependency=(null)
"""
    found = ended.read_scontrol(answer)
    assert {job_id: status.state for job_id, status in found.items()} == {
        "23": JobState.FAILED,
        "24": JobState.RUNNING,
    }
    status = found["23"]
    assert (status.state, status.exit_code, status.elapsed, status.nodes, status.reason) == (
        JobState.FAILED,
        "7:0",
        "00:00:03",
        "n2",
        "NonZeroExitCode",
    )


def test_exit_files() -> None:
    statuses = read_exit_files("24 0 -\n25 3 -\n26 143 TERM\n27 0 TERM\n28 \n29 x -\n")
    assert {job_id: (status.state, status.exit_code) for job_id, status in statuses.items()} == {
        "24": (JobState.COMPLETED, "0:0"),
        "25": (JobState.FAILED, "3:0"),
        "26": (JobState.FAILED, "143:0"),
        "27": (JobState.FAILED, "0:0"),
    }
    assert "SIGTERM" in statuses["26"].reason


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_only_a_newline_begins_a_line(separator: str) -> None:
    """Or an exit file could speak for another job, and a job's name for itself."""
    assert read_exit_files(f"24 1 -{separator}25 0 -\n").keys() <= {"24"}
    assert queue.read_squeue(f"17|RUNNING|0:00|N/A|N/A|n1||{separator}18|COMPLETED|0:00|N/A|N/A|n1||None\n").keys() == {
        "17"
    }
    assert queue.read_outputs(f"17 RUNNING /r/{separator}18 COMPLETED /r/x\n").keys() == {"17"}


def test_a_status_survives_json() -> None:
    (status,) = queue.read_squeue("17|PENDING|0:00|N/A|N/A|||Resources").values()
    assert JobStatus.from_json(status.to_json()) == replace(status, pending=None), "which is over by then"


@pytest.mark.parametrize(
    ("state", "times", "queued"),
    [
        ("RUNNING", "1769860800 1769860807", 7),
        ("COMPLETED", "1769860800 1769860800", 0),
        ("PENDING", "1769860800 1769864400", None),  # when it is expected to start
        ("REQUEUE_HOLD", "1769860800 1769860000", None),
        ("CANCELLED", "1769860800 N/A", None),
        ("RUNNING", "1769860807 1769860800", None),
        ("RUNNING", "2026-01-31T12:00:00 2026-01-31T12:00:07", None),
    ],
)
def test_the_time_in_the_queue(state: str, times: str, queued: int | None) -> None:
    submitted, started = times.split()
    assert queue.read_squeue(f"1|{state}|0:01|{submitted}|{started}|n1||None")["1"].queued == queued
    told = f"JobId=1 JobName=SubmitTime=1 StartTime=2\n   JobState={state} Reason=None\n"
    told += f"   SubmitTime={submitted} EligibleTime=5\n   StartTime={started} EndTime=6\n"
    assert ended.read_scontrol(told)["1"].queued == queued
    if state not in {"PENDING", "REQUEUE_HOLD"}:
        found = ended.read_sacct(f"1|{state}|0:0|0:0|00:01|n1|{submitted}|{started}|9|")[0]["1"]
        assert (found.queued, found.nodes) == (queued, "n1")
