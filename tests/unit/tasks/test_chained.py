"""What the task that waits takes for a warning before the time limit."""

import pytest

from airflow_slurm_sweep.slurm.exit_files import EXIT_FILE
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.tasks.chained import was_warned


@pytest.mark.parametrize(
    ("signal", "option", "source", "expected"),
    [
        ("", "B:TERM@60", "squeue", False),
        ("USR1", "", "squeue", True),
        ("USR1", "", EXIT_FILE, True),
        ("TERM", "", "squeue", False),
        ("TERM", "B:USR1@60", "squeue", False),
        ("TERM", "TERM@60", "squeue", False),
        ("TERM", "B:TERM@60", "squeue", True),
        ("TERM", "BR:sigterm", "sacct", True),
        ("TERM", "B:15@60", "sacct", True),
        ("TERM", "B:TERM@60", EXIT_FILE, False),
    ],
)
def test_a_signal_is_the_warning(signal: str, option: str, source: str, expected: bool) -> None:
    status = JobStatus(job_id="7", text="FAILED", source=source)
    assert was_warned(status, signal, option) is expected
