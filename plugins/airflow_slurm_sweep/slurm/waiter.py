"""One task that waits for a job, as the monitor keeps it."""

import asyncio
import logging
import time
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.reasons import in_words

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Waiter:
    """What is known of the job; times are those of `time.monotonic`."""

    job: SubmittedJob
    final: asyncio.Future[JobStatus]
    context: Context  # of the task that waits: Airflow sorts log lines into the tasks' logs by it
    seen: JobStatus | None = None
    seen_since: float = 0.0
    missing_since: float | None = None
    asked_since: float = 0.0  # of a missing job: since when sacct and the controller have answered for it
    has_start: bool = False  # whether the log has Slurm's estimate of the job's start
    overdue: str = ""  # why the monitor cancels the job
    # Of an array as a whole: an element that failed, which Slurm forgets before the others.
    failed: JobStatus | None = None

    def is_overdue(self, status: JobStatus) -> bool:
        """Return whether the job has been queued, by Slurm's own times, for longer than it may be."""
        limit, pending = self.job.queue_limit, status.pending
        return limit is not None and pending is not None and pending.seconds is not None and pending.seconds > limit

    def missing(self, trouble: str, *, grace: float, patience: float) -> JobStatus | None:
        """Return how the job ended that nobody knows, never as a success; None while somebody may yet tell.

        Somebody may for ``grace`` seconds, or ``patience`` while there is ``trouble`` with sacct or the controller.
        """
        now, job_id = time.monotonic(), self.job.job_id
        if self.missing_since is None:
            self.missing_since = self.asked_since = now
        if trouble:
            self.asked_since = now
        elif self.overdue and "_" in job_id:  # Slurm keeps nothing of an array's element that has not begun
            return JobStatus(job_id=job_id, text="CANCELLED", source="squeue")
        if now - (self.missing_since if trouble else self.asked_since) < (patience if trouble else grace):
            return None
        reason = "squeue, sacct and scontrol do not know it, and it left no exit-status file"
        if trouble:
            reason = f"squeue and scontrol do not know it, no exit-status file; {trouble}"
        return JobStatus(job_id=job_id, text="LOST", reason=reason, source="")

    def log_change(self, status: JobStatus) -> None:
        """Log the job's state, and why it waits; Slurm's estimate of its start once."""
        words = in_words(status.reason) if status.pending else ""
        text = f"{status}: {words}" if words else str(status)
        if status.pending and status.pending.is_stuck:
            log.warning(
                "Job %s is %s. Time alone will not start it; to cancel it, mark this task failed", status.job_id, text
            )
            return
        if status.pending and status.pending.starts_in is not None and not self.has_start:
            self.has_start = True
            start = datetime.now(UTC) + timedelta(seconds=status.pending.starts_in)
            text += f"; Slurm expects it to start at {start:%F %H:%M} UTC"
        log.info("Job %s is %s", status.job_id, text)
