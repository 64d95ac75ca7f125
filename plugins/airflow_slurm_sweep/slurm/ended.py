"""What became of jobs, by sacct and scontrol, each as the script that asks and its reader; see `slurm.queue`."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from shlex import join, quote

from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.queue import EPOCH, queued_seconds, rows
from airflow_slurm_sweep.slurm.shell import BOUND, script
from airflow_slurm_sweep.slurm.states import JobState

SACCT_FIELDS = "JobID,State,ExitCode,DerivedExitCode,Elapsed,NodeList,Submit,Start,End,JobName"
# Reasons that `tasks.chained` goes by.
IN_GRACE = "preempted, and ended within the GraceTime of its partition"
BY_A_STEP = "a step of the job, which itself FAILED"
NO_ACCOUNTING = "Slurm accounting storage is disabled"
SACCT = 'sacct ${SLURM_CLUSTERS:+"--clusters=$SLURM_CLUSTERS"}'  # the other commands obey the variable by themselves
NO_TIME_BETWEEN = "sacct says that it completed but never ran, as of jobs whose end it missed; no exit-status file"
_NO_TIME = ("Unknown", "None", "N/A")
_OUT_OF_MEMORY = "0:125"  # the exit code of a job or step that ran out of memory
_ELEMENT = re.compile(r"JobId=[0-9]+ ArrayJobId=([0-9]+) ArrayTaskId=([0-9]+) ")
_SLURM_KEYS = (
    "JobState", "Requeue", "DerivedExitCode", "RunTime", "SubmitTime", "StartTime", "PreemptEligibleTime",
    "SuspendTime", "NodeList",
)  # fmt: skip
_SLURM_LINES = tuple(f"   {key}=" for key in _SLURM_KEYS)
_ASKED = re.compile(r"^asked ([0-9_]+)$", re.MULTILINE)
_CONTROLLER_SECONDS = 120
_OUTPUT = re.compile(r"^   StdOut=(.*)$", re.MULTILINE)


def sacct(job_ids: Collection[str], *, steps: bool = False) -> str:
    """Return the script that asks the accounting database; JobIDRaw would be an id of their own for elements.

    ``steps`` asks for the jobs' steps, too.
    """
    jobs_only = "" if steps else " -X"
    return script(
        f"command -v sacct > /dev/null || {{ echo {NO_ACCOUNTING}; exit 1; }}",
        f"{EPOCH} {BOUND} {SACCT}{jobs_only} -n -P -o {SACCT_FIELDS} -j {quote(','.join(job_ids))} 2>&1 < /dev/null",
    )


def read_sacct(output: str, completed: Collection[str] = ()) -> tuple[dict[str, JobStatus], str]:
    """Read the answer to `sacct`, by job id, and its first line that is none.

    The first part of a heterogeneous job, ``7+0``, stands for the job. Slurm may record the start of a job only when
    the job has ended: with its final state, but with no end and with exit code 0:0, until the record of its end comes.
    Where that is lost, ``sacctmgr show runawayjobs`` makes the job COMPLETED, ended when it began, or never begun. A
    short job ends when it begins, too: the batch scripts of those in ``completed`` have ended well.
    """
    found = {}
    for first_id, text, exit_code, of_steps, elapsed, nodes, submitted, started, ended, name in rows(output, "|", 10):
        job_id, state = first_id.removesuffix("+0"), JobState.parse(text)
        status = JobStatus(
            job_id=job_id,
            text=text,
            exit_code=exit_code,
            elapsed=elapsed,
            queued=queued_seconds(text, submitted, started),
            nodes=nodes,
            source="sacct",
            job_name=name,
        )
        if state.is_final_if_it_lasts and ended in _NO_TIME:
            status = replace(status, text=JobState.UPDATE_DB.value)
        elif state is JobState.COMPLETED and job_id not in completed and _has_not_run(started, ended):
            status = replace(status, text=JobState.LOST.value, reason=NO_TIME_BETWEEN)
        found[job_id] = _of_steps(status, of_steps)
    lines = (line for line in output.split("\n") if line.strip() and not re.match(r"[0-9_+]+\|", line))
    return found, next(lines, "")


def _has_not_run(started: str, ended: str) -> bool:
    return ended.isdecimal() and (ended == started or not started.isdecimal())


def read_completed_scripts(output: str) -> set[str]:
    """Read in the answer to `sacct` with ``steps`` which jobs' batch scripts completed.

    Where the record of a job's end is lost, its script's may be there. ``runawayjobs`` leaves steps as they are.
    Source: Slurm's src/plugins/accounting_storage/mysql/as_mysql_fix_runaway_jobs.c.
    """
    found = set()
    for step_id, text, *_, ended, _ in rows(output, "|", 10):
        job_id, _, step = step_id.partition(".")
        if (step, text) == ("batch", "COMPLETED") and ended.isdecimal():
            found.add(job_id.removesuffix("+0"))
    return found


def scontrol(job_ids: Iterable[str]) -> str:
    """Return the script that asks the controller; forgotten jobs are left out, any other error ends the script.

    It begins no question after `_CONTROLLER_SECONDS`: a slow controller would never answer all. Each job that was asked
    for has a line ``asked ID``.
    """
    return script(
        "read -r uptime _ < /proc/uptime",
        f"last=$((${{uptime%.*}} + {_CONTROLLER_SECONDS}))",
        f"for job in {join(job_ids)}; do",
        "  read -r uptime _ < /proc/uptime",
        '  [ "${uptime%.*}" -le "$last" ] || break',
        f'  answer=$({EPOCH} {BOUND} scontrol --details show job "$job" 2>&1 < /dev/null)',
        '  case "$?:$answer" in',
        "    0:*) printf '%s\\n' \"$answer\" ;;",
        "    *'Invalid job id'* | 1:\"Job $job not found\"*) ;;",  # the second one about a forgotten array element
        "    *) printf '%s\\n' \"$answer\" >&2; exit 1 ;;",
        "  esac",
        "  printf '\\nasked %s\\n' \"$job\"",
        "done",
    )


def read_asked(output: str) -> set[str]:
    """Read in the answer to `scontrol` which jobs were asked for."""
    return set(_ASKED.findall(output))


def read_scontrol(output: str) -> dict[str, JobStatus]:
    """Read the answer to `scontrol`, by job id.

    Names, paths and comments may hold ``JobState=COMPLETED``, so only lines that Slurm alone writes are read.
    """
    found = {}
    for record in re.split(r"^(?=JobId=)", output, flags=re.MULTILINE):
        lines = [line for line in record.split("\n") if line.startswith(_SLURM_LINES)]
        fields = dict(word.partition("=")[::2] for line in lines for word in line.split())
        element = _ELEMENT.match(record)
        job_id = f"{element[1]}_{element[2]}" if element else record.partition(" ")[0].partition("=")[2]
        if "JobState" in fields:
            path = _OUTPUT.search(record)
            status = JobStatus(
                job_id=job_id,
                text=fields["JobState"],
                exit_code=fields.get("ExitCode", ""),
                elapsed=fields.get("RunTime", ""),
                queued=queued_seconds(fields["JobState"], fields.get("SubmitTime", ""), fields.get("StartTime", "")),
                nodes=fields.get("NodeList", "").replace("(null)", ""),
                reason=fields.get("Reason", ""),
                source="scontrol",
                output=path[1] if path else "",
            )
            status = _of_steps(status, fields.get("DerivedExitCode", ""))
            # A job that was suspended by another one keeps its PreemptTime when it goes on.
            was_told = fields.get("PreemptTime", "").isdecimal() and fields.get("SuspendTime") == "None"
            found[job_id] = _in_grace(status) if was_told else status
    return found


def _in_grace(status: JobStatus) -> JobStatus:
    """Return how a job ended that was told to end since it is preempted: before 24.05, Slurm goes by its exit status.

    Source: GRACE_PREEMPT in Slurm's src/slurmctld/job_mgr.c.
    """
    if status.state is JobState.FAILED:
        return replace(status, text=JobState.PREEMPTED.value, reason=IN_GRACE)
    return replace(status, reason=IN_GRACE) if status.state is JobState.COMPLETED else status


def has_failed(status: JobStatus) -> bool:
    """Whether the job itself FAILED, so that its exit status says why."""
    return status.state is JobState.FAILED or status.reason == BY_A_STEP


def _of_steps(status: JobStatus, exit_code: str) -> JobStatus:
    """Return how a job ended, with the highest exit code of its steps: Slurm calls it FAILED if one has no memory."""
    if status.state is not JobState.FAILED or exit_code != _OUT_OF_MEMORY:
        return status
    return replace(status, text=JobState.OUT_OF_MEMORY.value, reason=BY_A_STEP)
