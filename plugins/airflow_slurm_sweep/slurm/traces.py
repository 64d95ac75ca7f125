"""What a run directory says, beside Slurm, of a job that has ended, and the end of its log: ask and read."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote
from typing import NamedTuple

from airflow_slurm_sweep.names import PARAMETERS, RECORD, STATE_DIR, STOP
from airflow_slurm_sweep.slurm.chain import Link, read_links
from airflow_slurm_sweep.slurm.failure import is_of_setup
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import SEARCHED_LINES, TAIL, TAIL_LINES, log_words, read_tail
from airflow_slurm_sweep.slurm.rungs import Note, read_stop
from airflow_slurm_sweep.slurm.shell import script

# Files there are no progress of the training.
_ASIDE = " -o ".join(f"-path {quote(f'./{name}')}" for name in ("logs", "*-logs", "wandb", STATE_DIR, PARAMETERS))
# Of a log's end: bytes and lines.
_SIZE = f"{64 * 1024} {SEARCHED_LINES}"
_SIZE_OF_SUCCESS = f"{16 * 1024} {TAIL_LINES}"  # a thousand jobs may succeed at once

# That job.sh hands on to the command.
SIGNALS = ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM")

_LOOKING = 120  # seconds for all directories, and then for one of them

_LOG = re.compile(r"^\+ ([0-9]+)\n((?:[A-Za-z0-9+/=]+\n)*)", re.MULTILINE)
_STOP = re.compile(r"^! ([0-9]+) (.*)$", re.MULTILINE)
_LINE = re.compile(r"^= ([0-9]+) (\S+) (\S+) (\S+)((?: \S+)*)$", re.MULTILINE)


class Question(NamedTuple):
    """A job that has ended.

    ``progress`` is a pattern of paths in the run directory, None for a job of no chain; ``log`` has the arguments of
    `tail_log`, empty where the log is not asked for.
    """

    run_dir: str
    job_id: str
    progress: str | None
    log: str


def question(job: SubmittedJob, status: JobStatus) -> Question:
    """Return the question about a job that ended with this status."""
    progress = job.request["chain"].get("progress", "") if job.request else None
    words = quote(job.log_path) if is_of_setup(status) else log_words(job)
    size = _SIZE_OF_SUCCESS if status.state.is_success else _SIZE
    log = f"{size} {words}"
    is_shown = job.stream_log and status.state.is_success and not job.request  # the task's log has it already
    return Question(job.run_dir, job.job_id, progress, "" if is_shown else log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a job left beside its results.

    Attributes:
        signal: The first one that job.sh got, such as ``USR1`` or ``TERM``; empty for none, and without an exit file.
        exit_status: What job.sh ended with, by its exit file; empty if there is none.
        has_new_files: Whether the job of a chain left files in its run directory; True if that is not known.
        links: The jobs of its chain that were followed by another one, from the first.
        stop: Why `sweep.stop` stopped it; None for one that it did not.
        log: The last lines of its log, or why there are none, as `read_tail` has them; empty where not asked for.
    """

    signal: str = ""
    exit_status: str = ""
    has_new_files: bool = True
    links: tuple[Link, ...] = ()
    stop: Note | None = None
    log: tuple[str, ...] = ()

    def lacks_exit_file(self, job: SubmittedJob) -> bool:
        """Whether the job's job.sh did not leave that it ended with exit status 0; False for another batch script."""
        return job.leaves_exit_file and self.exit_status != "0"


NO_TRACE = Trace()


def traces(jobs: Iterable[Question]) -> str:
    """Return the script that answers with a line for each job: ``= NUMBER STATUS SIGNAL NEW LINK ...``, numbers from 0.

    A line ``! NUMBER JSON`` follows where the run directory says that a job was stopped early. Where the log is asked
    for, a line ``+ NUMBER`` and lines of base64 follow: see `job_logs.TAIL`. A directory that cannot be looked through
    in two minutes counts as one with new files, and so do all after them.
    """
    return script(
        TAIL,
        "read -r uptime _ < /proc/uptime",
        f"last=$((${{uptime%.*}} + {_LOOKING}))",
        "trace() { # NUMBER RUN_DIR JOB [PATTERN]",
        f"  state=$2/{STATE_DIR} status= signal= new=yes links='' stop=",
        '  { read -r status signal < "$state/$3.exit"; } 2> /dev/null',
        f'  {{ read -r stop < "$2/{STOP}"; }} 2> /dev/null',
        "  if [ $# -gt 3 ]; then",
        '    { while read -r key value; do [ "$key" != links ] || links=$value; done',
        f'    }} 2> /dev/null < "$2/{RECORD}"',
        '    if [ -e "$state/$3.start" ]; then',
        "      read -r uptime _ < /proc/uptime",
        '      [ "${uptime%.*}" -gt "$last" ] || new=$(',
        f'        cd -- "$2" && timeout -k 5 {_LOOKING} find . \\( {_ASIDE} \\) -prune -o -path "./$4" \\',
        '          \\( -type f -newer "$state/$3.start" -o -type l -exec test {} -nt "$state/$3.start" \\; \\) \\',
        "          -print -quit 2> /dev/null < /dev/null || echo unknown",
        "      )",
        '      [ -z "$new" ] || new=yes',
        "    fi",
        "  fi",
        '  printf \'= %s %s %s %s%s\\n\' "$1" "${status:--}" "${signal:--}" "${new:--}" "${links:+ $links}"',
        '  [ -z "$stop" ] || printf \'! %s %s\\n\' "$1" "$stop"',
        "}",
        *(
            f"trace {number} {quote(job.run_dir)} {quote(job.job_id)}"
            + ("" if job.progress is None else f" {quote(job.progress or '*')}")
            + (f"\nprintf '+ %s\\n' {number}\ntail_log {job.log}" if job.log else "")
            for number, job in enumerate(jobs)
        ),
        "true",
    )


def read_traces(output: str) -> dict[int, Trace]:
    """Read the answer to `traces`, by the job's number."""
    logs = {}
    for number, body in _LOG.findall(output):
        with suppress(ValueError):  # base64 that was cut off
            logs[number] = read_tail(body)
    stops = {number: read_stop(text) for number, text in _STOP.findall(output)}
    return {
        int(number): Trace(
            signal=signal if signal in SIGNALS else "",
            exit_status=exit_status.strip("-"),
            has_new_files=new != "-",
            links=read_links(links),
            stop=stops.get(number),
            log=logs.get(number, ()),
        )
        for number, exit_status, signal, new, links in _LINE.findall(output)
    }
