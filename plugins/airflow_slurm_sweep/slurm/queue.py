"""Jobs as squeue shows them, and the ways to know one: the scripts that ask, and their readers.

Readers skip lines of another form: sites print notices. They split at newlines only, not as `str.splitlines` does:
names and paths may hold the other line ends.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from shlex import join, quote

from airflow_slurm_sweep.names import log_path
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.reasons import is_stuck
from airflow_slurm_sweep.slurm.shell import BOUND, script
from airflow_slurm_sweep.slurm.states import JobState, Pending

EPOCH = "SLURM_TIME_FORMAT=%s"  # times in seconds, not in local time or in the login's own format
_NAME_MAX = 255  # bytes of a file name
_JOB_ID = re.compile(r"[0-9]+(_[0-9]+)?")
_NOW = re.compile(r"^now=([0-9]+)$", re.MULTILINE)


def is_job_id(text: str) -> bool:
    """Whether this is the id of a job, or of an array element: ``123_4``."""
    return _JOB_ID.fullmatch(text) is not None


def squeue(*, elements: bool = False) -> str:
    """Return the script that lists all of the user's jobs, with the cluster's time.

    Pending ``elements`` of an array share a line otherwise.
    """
    array = " --array" if elements else ""
    fields = "--format='%i|%T|%M|%V|%S %P|%N|%j|%r'"
    ask = f"{EPOCH} {BOUND} squeue --me{array} --all --states=all --noheader {fields} < /dev/null"
    return script("date +now=%s", ask)


def read_squeue(output: str) -> dict[str, JobStatus]:
    """Read the answer to `squeue`, by job id; the first part of a heterogeneous job, ``7+0``, stands for the job."""
    clock = _NOW.search(output)
    now = int(clock[1]) if clock else None
    found = {}
    for first_id, text, elapsed, submitted, start_and_place, nodes, name, reason in rows(output, "|", 8):
        started, _, partitions = start_and_place.partition(" ")
        is_queued = JobState.parse(text).is_queued
        job_id = first_id.removesuffix("+0")
        found[job_id] = JobStatus(
            job_id=job_id,
            text=text,
            elapsed=elapsed,
            queued=queued_seconds(text, submitted, started),
            nodes=nodes,
            reason=reason,
            source="squeue",
            job_name=name,
            pending=_pending(now, submitted, started, reason, partitions) if is_queued else None,
        )
    return found


def _pending(now: int | None, submitted: str, started: str, reason: str, partitions: str) -> Pending:
    stuck = is_stuck(reason, partitions=partitions, has_start=started.isdecimal())
    starts_in = int(started) - now if now and started.isdecimal() and not stuck else -1
    return Pending(
        seconds=now - int(submitted) if now and submitted.isdecimal() else None,
        starts_in=starts_in if starts_in >= 0 else None,
        is_stuck=stuck,
    )


def outputs(folder: str) -> str:
    """Return the script that lists all of the user's jobs with their output paths, cut off if not in ``folder``."""
    widest = output_format(f"{folder}/{_NAME_MAX * '_'}")
    return script(f"{BOUND} squeue --array --me --all --states=all --noheader {quote(widest)} < /dev/null")


def read_outputs(output: str) -> dict[str, tuple[JobState, str]]:
    """Read the answer to `outputs`: state and output path, by job id."""
    rows = (row for line in output.split("\n") if len(row := line.split(maxsplit=2)) == 3)
    jobs = ((first_id.removesuffix("+0"), state, path) for first_id, state, path in rows)
    return {job_id: (JobState.parse(state), path.rstrip()) for job_id, state, path in jobs if is_job_id(job_id)}


def output_format(run_dir: str) -> str:
    """Return squeue's option for output paths, wide enough for those in the run directory."""
    width = len(log_path(escaped(run_dir), "%j").encode()) + 20
    return f"--Format=JobArrayID:20,State:20,StdOut:{width}"


def escaped(path: str) -> str:
    """Return the path as a file name pattern of sbatch."""
    return path.replace("%", "%%")


def run_dir_of(job_id: str, output: str) -> str | None:
    """Return the run directory of a job by the output path in `outputs`; None if the path is no log of ours."""
    # Slurm 22.05 shows the file name pattern that sbatch got, newer versions show the path itself.
    _, _, index = job_id.partition("_")
    if index and output.endswith(end := log_path("%a", "%A_%a")):
        return output.removesuffix(end).replace("%%", "%") + index
    for name in ("%A_%a", job_id) if index else ():  # see `arrays.script.BLOCK`; scontrol shows %3a beside the index
        if output.endswith(end := log_path("%3a", name)):
            return output.removesuffix(end).replace("%%", "%") + index.zfill(3)
    for name, percent in (("%j", "%%"), (job_id, "%")):
        if output.endswith(end := log_path("", name)):
            return output.removesuffix(end).replace(percent, "%")
    return None


def with_wholes(found: Mapping[str, JobStatus]) -> dict[str, JobStatus]:
    """Add each array as a whole, ``123``: a batch script may make one of its job.

    It lives while one of its elements lives, and has failed if one of them has.
    """
    groups: dict[str, list[JobStatus]] = {}
    for job_id, status in found.items():
        array, is_element, _ = job_id.partition("_")
        if is_element:
            groups.setdefault(array, [found[array]] if array in found else []).append(status)
    wholes = {
        array: min(group, key=lambda each: (each.state.is_final, each.state.is_success))
        for array, group in groups.items()
    }
    return {**found, **{array: replace(status, job_id=array) for array, status in wholes.items()}}


def failed_elements(found: Mapping[str, JobStatus]) -> dict[str, JobStatus]:
    """Return an element that has failed of each array that has one, by the array's id, as its whole."""
    failed = {
        job_id.partition("_")[0]: status
        for job_id, status in found.items()
        if "_" in job_id and status.state.is_final and not status.state.is_success
    }
    return {array: replace(status, job_id=array) for array, status in failed.items()}


def has_name(job: SubmittedJob, status: JobStatus) -> bool:
    """Whether a job that squeue or sacct knows by this number has the name that it was submitted with.

    An array's element has the array's name before it begins, and later where it may not rename itself.
    """
    names = {job.job_name}
    if "_" in job.job_id:
        names.add(job.job_name.rstrip("0123456789").rstrip("_.-"))
    return status.job_name in names | {name.partition("|")[0] for name in names}  # where squeue separates its fields


def writes_log(job: SubmittedJob, status: JobStatus) -> bool:
    """Whether a job that the controller knows by this number writes this job's log."""
    return status.output == job.log_path or run_dir_of(job.job_id, status.output) == job.run_dir


def scancel(job_ids: Iterable[str], *, queued: bool = False) -> str:
    """Return the script that cancels jobs, at most some hundred; ``queued``: those of them that have not started."""
    words = "scancel --state=PENDING" if queued else "scancel"
    return script(f"{BOUND} {words} -- {join(job_ids)} 2>&1 < /dev/null")


def queued_seconds(state: str, submitted: str, started: str) -> int | None:
    """Return the seconds from submission to start; None where a time is N/A, Unknown, None or an estimate."""
    if JobState.parse(state).is_queued or not (submitted.isdecimal() and started.isdecimal()):
        return None
    return int(started) - int(submitted) if int(started) >= int(submitted) else None


def rows(output: str, separator: str, width: int) -> Iterator[list[str]]:
    """Yield the fields of each line that has ``width`` of them and begins with a job id."""
    for line in output.split("\n"):
        fields = [field.strip() for field in line.split(separator, width - 1)]
        if len(fields) == width and fields[0][:1].isdecimal():
            yield fields
