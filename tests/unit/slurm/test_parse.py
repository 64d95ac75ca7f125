"""Answers as Slurm 22.05 printed them, and what sites print around them."""

from __future__ import annotations

from slurm_sweep.slurm import parse
from slurm_sweep.slurm.job import JobStatus
from slurm_sweep.slurm.states import JobState


def test_squeue() -> None:
    output = """\
*** maintenance on Friday | see the wiki ***
17|PENDING|0:00||Resources
18|RUNNING|1-02:03:04|n[1-2]|None
19|FAILED|0:01|n3|NonZeroExitCode
20|SOMETHING_NEW|0:01|n3|a | b
"""
    statuses = parse.squeue(output)
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


def test_sacct() -> None:
    statuses = parse.sacct("21|CANCELLED by 1001|0:15|00:00:07|n1\n22|OUT_OF_MEMORY|0:125|00:01:00|n[1-4]\n")
    assert statuses["21"] == JobStatus(
        job_id="21",
        state=JobState.CANCELLED,
        text="CANCELLED by 1001",
        exit_code="0:15",
        elapsed="00:00:07",
        nodes="n1",
        source="sacct",
    )
    assert statuses["22"].state is JobState.OUT_OF_MEMORY


def test_scontrol() -> None:
    line = (
        "JobId=23 JobName=a b=c UserId=me(1001) JobState=FAILED Reason=NonZeroExitCode Dependency=(null) "
        "ExitCode=7:0 RunTime=00:00:03 NodeList=n2 Command=(null)"
    )
    status = parse.scontrol(f"notice\n{line}\n")["23"]
    assert (status.state, status.exit_code, status.elapsed, status.nodes, status.reason) == (
        JobState.FAILED,
        "7:0",
        "00:00:03",
        "n2",
        "NonZeroExitCode",
    )


def test_exit_files() -> None:
    statuses = parse.exit_files("24 0 -\n25 3 -\n26 143 TERM\n27 0 TERM\n28 \n29 x -\n")
    assert {job_id: (status.state, status.exit_code) for job_id, status in statuses.items()} == {
        "24": (JobState.COMPLETED, "0:0"),
        "25": (JobState.FAILED, "3:0"),
        "26": (JobState.FAILED, "143:0"),
        "27": (JobState.FAILED, "0:0"),
    }
    assert "SIGTERM" in statuses["26"].reason


def test_a_status_survives_json() -> None:
    (status,) = parse.squeue("17|PENDING|0:00||Resources").values()
    assert JobStatus.from_json(status.to_json()) == status
