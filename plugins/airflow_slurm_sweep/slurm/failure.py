"""How a job failed, and why, in the line of its log that says so. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import TAIL_LINES, shown
from airflow_slurm_sweep.slurm.states import JobState

_LONGEST = 300  # characters
_KEPT = 4096  # characters of a log, in Airflow's database for each job that failed
_SETUP_FAILED = re.compile(r"^setup (?:line [0-9]+ )?failed with exit status [0-9]+: ")
# What Ray, torchrun and the like put in front of each line: ``[rank0]:``, ``(worker pid=7)``, a time, srun's rank.
_PREFIX = re.compile(r"^(?:\[[^\]]*\]:?\s*|\([^)]*\bpid=[^)]*\)\s*|[\d:.,TZ-]{8,}\s+|\d{1,4}:\s+)+")
_EXCEPTION = re.compile(
    r"^(?:(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Failure|Timeout)|Error|Exception)|"
    r"(?:[A-Za-z_]\w*\.)+Timeout)\b(?::\s.*)?$"
)
_SAYS_ERROR = re.compile(
    r"\b(?:fatal|error): |: (?:command not found|permission denied|no such file or directory|killed)\b|"
    r"^(?:killed|segmentation fault|bus error)\b|: (?:segmentation fault|bus error)\b",
    re.IGNORECASE,
)
_SLURMS = re.compile(r"^(?:slurmstepd|srun|sbatch): ")  # tells how the job ended, which Slurm's state tells too
# Says nothing of the cause, though it comes last: Hydra's hints, wandb's farewell, lines and frames.
_ASIDE = re.compile(r"^(?:Set the environment variable HYDRA_FULL_ERROR|full_key: |object_type=|wandb: (?!ERROR)|\W*$)")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)


def cause(state: JobState, lines: Sequence[str]) -> str:
    """Return why a job failed, from the last lines of its log; empty where they do not say.

    In this order: the last exception, the last line that speaks of an error, the last line. Where Slurm ended the job,
    by its limit of time for example, only an exception counts.
    """
    said = [line for line in (_PREFIX.sub("", line.strip()) for line in lines) if not _ASIDE.match(line)]
    own = [line for line in said if not _SLURMS.match(line)]
    found = [line for line in own if _EXCEPTION.match(line)]
    if not found and state is JobState.FAILED:
        found = [line for line in own if _SAYS_ERROR.search(line)] or own or said
    return found[-1][:_LONGEST] if found else ""


def failure_text(job: SubmittedJob, status: JobStatus, log_tail: Sequence[str] = ()) -> str:
    """Return how a job failed, with all that shows why without a login; a setup line that failed comes first.

    ``log_tail`` is what `read_tail` read.
    """
    facts = {"exit code": status.exit_code, "elapsed": status.elapsed, "nodes": status.nodes, "log": job.log_path}
    known = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    source = f" ({status.source})" if status.state is not JobState.LOST else ""
    chain = f", {status.chain}" if status.chain else ""
    text = f"Job {job.job_id} ({job.job_name}) ended as {status}{chain}{source}: {known}"
    return with_log(f"{status.cause}\n{text}" if is_of_setup(status) and status.cause else text, log_tail)


def with_log(text: str, log_tail: Sequence[str]) -> str:
    """Return how a job ended with the last lines of its log below; without them where they were not asked for."""
    return f"{text}\nThe log's last {TAIL_LINES} lines:\n{shown(log_tail)}" if log_tail else text


def kept(log_tail: Sequence[str], cause: str = "") -> str:
    """Return the last whole lines of a log that are kept when the task has ended, below the cause if it is earlier."""
    text = shown(log_tail)
    cut = text[-_KEPT:]
    whole = cut if cut == text else cut.partition("\n")[2] or cut
    return whole if cause in whole else f"{cause}\n…\n{whole}"


def failure_cause(status: JobStatus, log_tail: Sequence[str]) -> str:
    """Return why a job failed, in a line of its log: the setup line that failed, else as `cause` finds it."""
    setup = [line for line in log_tail if _SETUP_FAILED.match(line)] if is_of_setup(status) else []
    return setup[0] if setup else cause(status.state, log_tail)


def is_of_setup(status: JobStatus) -> bool:
    """Whether a job ended with the exit status of setup.sh."""
    return status.exit_code.startswith("78:")


def groups(causes: Iterable[str]) -> list[tuple[str, int]]:
    """Return each kind of cause, as it came first, with its number, the most frequent first.

    Causes that differ in numbers only are of one kind. Empty ones are none.
    """
    numbers: Counter[str] = Counter()
    first: dict[str, str] = {}
    for text in filter(None, causes):
        kind = _NUMBER.sub("#", text)
        first.setdefault(kind, text)
        numbers[kind] += 1
    return [(first[kind], number) for kind, number in numbers.most_common()]
