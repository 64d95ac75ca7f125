"""The next job of a chain, submitted by the task that waits for the one before; see `slurm.chain`."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.chain import Chain, End, Outcome, Verdict, counted_as, judge
from airflow_slurm_sweep.slurm.ended import BY_A_STEP, IN_GRACE
from airflow_slurm_sweep.slurm.exit_files import EXIT_FILE
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.retry import changes
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.traces import Trace
from airflow_slurm_sweep.tasks.cluster import ClusterSession
from airflow_slurm_sweep.tasks.log_slots import wait_for_slot

log = logging.getLogger(__name__)
_BY_TERM = re.compile(r"R?BR?:(?:(?:SIG)?TERM|15)(?:@|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """What a waiting task needs to submit the next jobs of its chain.

    Attributes:
        request: The request of the chain's first job.
        attempt: The task that waits.
        resolve: Looks up the secrets of a request.
        on_next: Is told of each further job.
    """

    request: JobRequest
    attempt: Attempt
    resolve: Callable[[JobRequest], Awaitable[JobRequest]]
    on_next: Callable[[SubmittedJob], None]

    def following(self, job: SubmittedJob, ended: str = ",,,", ends: Sequence[tuple[JobState, str]] = ()) -> JobRequest:
        """Return the request for the job that follows ``job``; `withdraw` with it cancels whichever job follows.

        ``ended`` is the end of ``job`` as ``STATE,VALUE,ELAPSED,NODES``; ``ends`` are the states and nodes of all jobs
        so far.
        """
        request, rules = self.request, self.request.chain.get("retry", ())
        changed = changes(rules, ends, request.options, request.time)
        time = changed.pop("time", request.time)
        options = {**request.options, **changed}
        return replace(request, after=job.job_id, ended=ended, array=False, time=time, options=options)


async def next_job(
    cluster: ClusterSession, job: SubmittedJob, status: JobStatus, trace: Trace, chained: Chained
) -> SubmittedJob | Verdict:
    """Return the job that follows one that has ended, or the end of the chain.

    However often and by whomever this is called, one job follows: see ``decide_link`` in submit.sh.
    """
    chain = Chain(**chained.request.chain)
    value = next((status.metrics.get(metric) for metric in chain.until), None)
    followed = [link.job_id for link in trace.links]
    is_known = job.job_id in followed
    before = trace.links[: followed.index(job.job_id)] if is_known else trace.links
    end = End(
        state=status.state,
        exit_code=status.exit_code,
        signal=trace.signal,
        was_warned=was_warned(status, trace.signal, str(chained.request.options.get("signal", ""))),
        lacks_exit_file=trace.lacks_exit_file(job),
        in_grace=status.reason == IN_GRACE,
        by_a_step=status.reason == BY_A_STEP,
        has_new_files=trace.has_new_files,
        value=value,
    )
    verdict = judge(chain, before, end)
    if status.state is JobState.STOPPED_EARLY:
        return Verdict(Outcome.DONE, status.reason, verdict.so_far)
    if verdict.outcome is not Outcome.FOLLOWED and not is_known:
        given = _changes(chained.following(job, ends=[(link.state, link.nodes) for link in before]), chained.request)
        return verdict._replace(so_far=", ".join(part for part in (verdict.so_far, given) if part))
    state = counted_as(chain, end)
    ends = [(link.state, link.nodes) for link in trace.links] + ([] if is_known else [(state, status.nodes)])
    last = "" if value is None else str(float(value))
    words = (state.value, last, status.elapsed, "".join(status.nodes.split()))
    request = chained.following(job, ",".join(words), ends)
    ready = await cluster.retry_until_answered(lambda: chained.resolve(request))
    following = await cluster.submit(ready, chained.attempt, even_if_refused=True)
    await wait_for_slot()
    if following.job_id == job.job_id:
        log.info("Slurm has queued job %s again", job.job_id)
    else:
        changed = _changes(request, chained.request)
        given = f" with {changed}" if changed else ""
        so_far = f" ({verdict.so_far})" if verdict.so_far else ""
        log.info("Job %s ended as %s%s; job %s follows%s", job.job_id, status, so_far, following.job_id, given)
    following = replace(following, request=job.request)
    chained.on_next(following)
    return following


def was_warned(status: JobStatus, signal: str, option: str) -> bool:
    """Whether a job got the warning that sbatch's ``signal`` option asks for, or job.sh's own.

    SIGTERM may come from scancel, too, which Slurm, unlike the exit file, would call CANCELLED.
    """
    if signal != "TERM":
        return bool(signal)
    return status.source != EXIT_FILE and bool(_BY_TERM.match(option))


def _changes(request: JobRequest, first: JobRequest) -> str:
    """Return in which options a job differs from the chain's first one."""
    changed: dict[str, object] = {"time": request.time} if request.time != first.time else {}
    changed |= {key: value for key, value in request.options.items() if first.options.get(key) != value}
    return ", ".join(f"{key}={value}" for key, value in changed.items())


def with_verdict(status: JobStatus, verdict: Verdict, trace: Trace) -> JobStatus:
    """Return how a chain ended: the status of its last job, changed where the verdict is another one."""
    text, reason = status.text, verdict.why
    if verdict.outcome is Outcome.DONE and not status.state.is_success:
        text, reason = JobState.COMPLETED.value, f"{verdict.why}; its last job ended as {status}"
    elif verdict.outcome is Outcome.FAILED and status.state.is_success:
        text = JobState.INCOMPLETE.value
    elif verdict.outcome is Outcome.FAILED:
        reason = "; ".join(part for part in (status.reason, verdict.why) if part not in ("", "None"))
    earlier = [(link.job_id, link.elapsed) for link in trace.links]
    return replace(status, text=text, reason=reason, chain=verdict.so_far, earlier=earlier)
