"""The questions to a login node that tell whether it and a cluster profile are fit for sweeps; verdicts.py judges.

Pure: values in, text out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from shlex import join, quote

from airflow_slurm_sweep.slurm import shell
from airflow_slurm_sweep.slurm.ended import SACCT
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.shell import Site, heredoc_text, shell_path
from airflow_slurm_sweep.slurm.submit.sbatch import TIMEOUT, environment, sbatch_argv

SLURM = ("sbatch", "squeue", "scancel", "scontrol")
TOOLS = (
    "base64", "cat", "find", "head", "id", "ln", "mkdir", "mv", "readlink", "rm", "sed", "sleep", "stat", "sync",
    "tail", "timeout", "tr",
)  # fmt: skip
SETUP_SECONDS = 60
LOOKED = "looked for from"
_TIMEOUT = "timeout 20"  # Slurm's commands give up on a controller that hangs after MessageTimeout, 10 s by default
_OF_CLUSTER = '${SLURM_CLUSTERS:+"cluster=$SLURM_CLUSTERS"}'  # sacctmgr lists all clusters otherwise

# The first word of a command, behind variables and `exec`; none where the shell would expand it.
_PROGRAM = re.compile(r"\s*(?:[A-Za-z_]\w*=\S*\s+)*(?:exec\s+)?([\w./+-]+)(?=[\s;]|$)")

# `ask NAME COMMAND` is one question. Only `log` leaves a trace, for a moment: a file that shows that it can be written.
_FUNCTIONS = """\
ask() {
  name=$1
  shift
  said=$("$@" 2>&1 < /dev/null)
  printf '%s %s %s\\n%s\\n' "$mark" "$name" "$?" "$said"
}
missing() { for tool; do command -v "$tool" > /dev/null 2>&1 || printf '%s ' "$tool"; done; }
absent() { for path; do [ -e "$path" ] || printf '%s ' "$path"; done; }
file() { # PATH
  if [ -f "$1" ] && [ -r "$1" ]; then echo readable; elif [ -e "$1" ]; then echo unreadable; else echo absent; fi
}
log() { # DIRECTORY: which of it and the folders above is there, its file system, and whether it can be written
  place=$1
  while [ ! -e "$place" ] && [ ! -L "$place" ]; do
    place=${place%/*}
    place=${place:-/}
  done
  printf '%s\\n%s\\n' "$place" "$(stat -f -c '%a %S %T' -- "$place")"
  new=$place/.slurm_sweep_check.$$
  (set -C && printf '%4096s' '' > "$new") && rm -f -- "$new"
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is checked."""

    profile: str  # the profile's file, as messages name it
    site: Site
    login: str  # the command with which a person logs in there
    log: str | None  # the log directory; None where no setting names it
    # As the profile alone describes it, with a command that looks for `program`; None where settings are missing.
    job: JobRequest | None
    program: str = ""  # what the profile's command runs; empty where that is not known
    submits: bool = False  # whether the job is submitted, too


def program_of(command: str | None) -> str:
    """Return the program that a command runs first; empty where that is not known."""
    found = _PROGRAM.match(command or "")
    return found[1] if found else ""


def look_for(program: str) -> str:
    """Return the command that prints where a program is, or where it is not."""
    if not program:
        return "true"
    return f'command -v -- {quote(program)} || {{ echo "{LOOKED} $PWD, PATH=$PATH"; exit 1; }}'


def script(subject: Subject, mark: str) -> str:
    """Return the script that asks: it prints ``MARK NAME STATUS`` for each question, and then the answer.

    ``mark`` is a word that nothing printed can hold, a random one.
    """
    questions = [
        "clock date +%s",
        "user id -un",
        f"slurm missing {join(SLURM)}",
        f"tools missing {join(TOOLS)}",
        "path printenv PATH",
        "version sbatch --version",
        f'accounts {_TIMEOUT} sacctmgr -n -P show associations user="$(id -un)" {_OF_CLUSTER} format=Account',
        f"accounting {_TIMEOUT} {SACCT} -X -n -P -o JobID -j 1",
    ]
    of_controller = [
        f"config {_TIMEOUT} scontrol show config",
        f"partitions {_TIMEOUT} sinfo --all --noheader --format=%R",
        f"nodes {_TIMEOUT} sinfo --all --noheader --format='%R %c %G'",
        f"defaults {_TIMEOUT} scontrol --all --oneliner show partition",
        *(["sbatch inside test_only"] if subject.job else []),
    ]
    if subject.log:
        questions.append(f"log log {quote(subject.log)}")
    if subject.job:
        questions += _job_questions(subject.job)
        questions += ["program inside program"] if subject.program and not subject.job.container else []
    asking = shell.script(
        f"mark={mark}",
        _FUNCTIONS,
        *(_job_functions(subject.job) if subject.job else []),
        *(f"ask {question}" for question in questions),
        f"ask controller {_TIMEOUT} scontrol ping",
        "case $said in *' is UP'*)",  # each command would wait long for one that is not
        *(f"ask {question}" for question in of_controller),
        "esac",
        "ask clock_at_end date +%s",
    )
    return subject.site.script(asking)


def _job_functions(job: JobRequest) -> list[str]:
    """Return functions.

    `inside` runs a command where the job would begin, `program` the job's command with its setup and environment, and
    `test_only` has sbatch look at the job.
    """
    workdir = f" -- {quote(shell_path(job.workdir))}" if job.workdir else ""
    exports = [f"export {name}={quote(value)}" for name, value in environment(replace(job, batch_script=None)).items()]
    inside = [
        f'inside() {{ cd{workdir} && "$@"; }}',
        'program() {\nset -- "$(command -v timeout)" "$(command -v bash)"',  # PATH is for the job alone
        *exports,
        f'"$1" -k 5 {SETUP_SECONDS} "$2" -c "$COMMAND"\n}}',
    ]
    sbatch = f"{TIMEOUT} {join(['sbatch', '--test-only', *sbatch_argv(job)[2:]])}"
    if job.batch_script:
        return [*inside, f"test_only() {{ {sbatch} < /dev/null; }}"]
    script = f"batch_script={heredoc_text(job.script)}"
    return [*inside, script, "test_only() {", f"{sbatch} << END", "$batch_script", "END", "}"]


def _job_questions(job: JobRequest) -> list[str]:
    questions = ["workdir inside true"]
    if job.batch_script:
        path = quote(shell_path(job.batch_script))
        questions += [f"script inside file {path}", f"directives inside sed -n 's/^#SBATCH[[:blank:]]*--//p' -- {path}"]
    if job.container:
        sources = [mount.partition(":")[0] for mount in (job.mounts or "").split(",")]
        questions.append(f"mounts absent {join(source for source in sources if source.startswith('/'))}")
        if job.container.startswith("/"):
            questions.append(f"container file {quote(job.container)}")
        if not job.batch_script:
            questions.append("pyxis srun --help")
    return questions
