"""The table that a sweep ends with."""

from __future__ import annotations

from slurm_sweep.slurm.job import JobStatus, SubmittedJob
from slurm_sweep.slurm.states import JobState
from slurm_sweep.tasks.sweep import report_rows


def test_gaps_are_told_as_such() -> None:
    requests = [{"name": f"a_sweep_{n}", "label": f"lr={n}", "dry_run": False} for n in (1, 2, 3)]
    submitted = [
        SubmittedJob(ssh_conn_id="c", job_id=job_id, job_name=name, run_dir="/r", log_path=f"/r/{job_id}")
        for job_id, name in [("12", "a_sweep_2"), ("11", "a_sweep_1")]
    ]
    end = JobStatus(job_id="12", state=JobState.CANCELLED, text="CANCELLED by 0", elapsed="00:00:03", source="sacct")
    rows = report_rows(requests, submitted, [end])
    assert [tuple(row.values()) for row in rows] == [
        ("a_sweep_1", "lr=1", "11", "not waited for", "", "/r/11"),
        ("a_sweep_2", "lr=2", "12", "CANCELLED by 0", "00:00:03", "/r/12"),
        ("a_sweep_3", "lr=3", "", "not submitted", "", ""),
    ]
