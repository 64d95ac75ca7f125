"""The scripts that submit and withdraw jobs: each submission's values, quoted, for the functions of the .sh files."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from shlex import join, quote
from typing import TypeAlias

from airflow_slurm_sweep.names import COMBINATION, PARAMETERS, RECORD, STATE_DIR
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.queue import escaped, output_format
from airflow_slurm_sweep.slurm.refusals import UNCLEAR
from airflow_slurm_sweep.slurm.shell import heredoc_text, script, shell_path
from airflow_slurm_sweep.slurm.states import JobState, Kind
from airflow_slurm_sweep.slurm.submit.combination import combination_json, parameters_json
from airflow_slurm_sweep.slurm.submit.sbatch import call_sbatch

Submission: TypeAlias = tuple[JobRequest, Attempt]

BULK_SECONDS = 20
_NO_SBATCH = (
    "sbatch is not on the PATH of this login; set login_setup in the cluster profile, such as: module load slurm"
)

SHELL_FUNCTIONS = "\n".join(
    Path(__file__).with_name(f"{name}.sh").read_text(encoding="utf-8")
    for name in ("record", "lock", "cluster", "gate", "proposals", "submit")
)


def submit_all(submissions: Sequence[Submission], mark: str) -> str:
    """Return the script that makes each run directory and submits its job, one after the other; see answer.py.

    It begins no submission after `BULK_SECONDS`: a cluster in trouble answers slowly.

    Args:
        submissions: What to submit.
        mark: A random word that no output contains; it also begins the names of shell functions.
    """
    texts = list(dict.fromkeys(job.script for job, _ in submissions if not job.batch_script))
    names = {text: f"batch_script_{number}" for number, text in enumerate(texts, start=1)}
    lines = [f"{name}={heredoc_text(text)}" for text, name in names.items()]
    for number, (job, attempt) in enumerate(submissions, start=1):
        lines += [
            f"{mark}_{number}() {{",
            variables(job, attempt),
            "call_sbatch() {",
            *call_sbatch(job, script_variable=names.get(job.script, ""), bounded=True),
            "}",
            *("begin", *enter(job), "make_folders", "open_record", "decide", "submit"),
            "}",
        ]
    if limited := [job.run_dir for job, _ in submissions if job.max_parallel_jobs]:
        lines.append(f"output_format={output_format(max(limited, key=len))}")
    return script(*functions(), *lines, f"each {mark} {BULK_SECONDS}")


def cancel(job: SubmittedJob) -> str:
    """Return the script that cancels a job, unless it has ended, or its number is another job's by now."""
    values = {"run_dir": job.run_dir, "escaped_dir": escaped(job.run_dir), "own_log": job.log_path}
    return script(*functions(), _assignments(values), "find_index", f"cancel_ours {quote(job.job_id)}")


def withdraw(job: JobRequest, attempt: Attempt) -> str:
    """Return the script that cancels an attempt's job without its id, even while sbatch is still running.

    The script goes on in the background, so that sending it is enough.
    """
    work = [variables(job, attempt), "begin", "make_folders", "withdraw"]
    return script(*functions(), "(", *work, ") < /dev/null > /dev/null 2>&1 &")


def enter(job: JobRequest) -> list[str]:
    """Return the lines that change to the directory where the job will run, and check that all inputs exist."""
    missing = quote(f"no such directory on the cluster: {job.workdir}")
    inputs = [*job.inputs, *([job.batch_script] if job.batch_script else [])]
    return [
        f"command -v sbatch > /dev/null || refuse {quote(_NO_SBATCH)}",
        f"cd -- {quote(shell_path(job.workdir))} || refuse {missing}" if job.workdir else "cd || refuse 'no home'",
        f"for input in {join(inputs)}; do",
        '  [ -e "$input" ] || refuse "no such file on the cluster: $input (looked for from $PWD)"',
        "done",
    ]


def functions() -> list[str]:
    """Return the shell functions and what they need, once for all submissions of a script."""
    files = {"state_name": STATE_DIR, "record_name": RECORD, "parameters_name": PARAMETERS}
    return [
        _predicate("has_ended", (state.value for state in JobState if state.is_final)),
        _predicate("may_return", (state.value for state in JobState if state.kind is Kind.REQUEUEABLE)),
        _predicate("is_unclear", (f"*{quote(words)}*" for words in UNCLEAR)),
        SHELL_FUNCTIONS,
        _assignments({**files, "combination_name": COMBINATION}),
    ]


def gate_folder(shared_folder: str, run: str) -> str:
    """Return the folder of what the jobs of a Dag run, `Attempt.run`, tell each other."""
    return f"{shared_folder}/{STATE_DIR}/{sha256(run.encode()).hexdigest()[:16]}"


def variables(job: JobRequest, attempt: Attempt) -> str:
    """Return the line that sets the variables of one submission; record.sh describes them."""
    keeps_place = job.max_parallel_jobs and job.keeps_place and (job.chain or job.trial is not None)
    values = {
        "run_dir": job.run_dir,
        "escaped_dir": escaped(job.run_dir),
        "output_format": output_format(job.run_dir),
        "run": attempt.run,
        "task": attempt.task,
        "try": str(attempt.try_number),
        "ti": attempt.instance,
        "run_folders": " ".join(("logs", *job.folders)),
        "resume": "yes" if job.resume else "",
        "parallel": str(job.max_parallel_jobs or ""),
        "gate": gate_folder(job.shared_folder, attempt.run),
        # The next jobs of a chain find the file there.
        "parameters_json": "" if job.after else parameters_json(job),
        "combination_json": combination_json(job, attempt),
        "after": job.after,
        "ended": job.ended,
        "chained": "yes" if job.chain else "",
        "keeps_place": "yes" if keeps_place else "",
    }
    if job.proposals is not None and not job.after:
        values["proposals"] = str(job.proposals)
    return _assignments(values)


def _assignments(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={quote(value)}" for name, value in values.items())


def _predicate(name: str, patterns: Iterable[str]) -> str:
    return f"{name}() {{ case $1 in {' | '.join(patterns)}) ;; *) return 1 ;; esac; }}"
