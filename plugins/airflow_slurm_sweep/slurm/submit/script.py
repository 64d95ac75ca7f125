"""Everything that is said to a login node, as text for its POSIX shell. Pure: values in, text out.

All values reach a shell through `shlex.quote`, here, in elements.py, in check/questions.py, and nowhere else. Each
script is one brace group, so that a shell that gets only half of it (a cut connection) runs nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from shlex import join, quote

from airflow_slurm_sweep.slurm.job import Attempt, JobRequest
from airflow_slurm_sweep.slurm.refusals import UNCLEAR as UNCLEAR_WORDS
from airflow_slurm_sweep.slurm.results import FILE, LARGEST
from airflow_slurm_sweep.slurm.states import JobState, Kind

# What our scripts print begins behind this line: login banners and shell start-up files may have printed before.
MARKER = "@slurm_sweep@"
STATE_DIR = ".slurm_sweep"
RECORD = f"{STATE_DIR}/record"
RUN_FOLDERS = ("checkpoints", "logs", "wandb")

SQUEUE_FORMAT = "%i|%T|%M %V %S|%N|%r"
SACCT_FIELDS = "JobIDRaw,State,ExitCode,Elapsed,NodeList,Submit,Start"
_EPOCH = "SLURM_TIME_FORMAT=%s"  # seconds, in place of local time and of what the login sets

_NAME_MAX = 255  # bytes of a file name
_WANDB_SAYS = 256 * 1024  # bytes of a log, in whose beginning wandb says where it shows the run
_VIEW_RUN = r"\|.*View run .*\(https\{0,1\}://[A-Za-z0-9._:/%-]*/runs/[A-Za-z0-9._%-]*\).*|{ s||\1|; p; q; }"  # sed's

_RECORD = Path(__file__).with_name("record.sh").read_text(encoding="utf-8")

# Exit statuses of record.sh, above those of sbatch.
REFUSED = 90
BUSY = 91
SBATCH_REFUSED = 92
UNCLEAR = 93
ENDING = 94
FULL = 95

BULK_SECONDS = 20
FOLLOWED = 16 * 1024  # bytes of one log's new output
FOLLOWED_IN_ALL = 256 * 1024
SBATCH = "timeout -k 5 60"  # it tries again by itself, for minutes, where the controller is full


def script(*lines: str) -> str:
    """Return a script that runs ``lines`` as a whole or not at all, and marks where its output begins."""
    body = "\n".join(lines)
    return f"{{\nprintf '%s\\n' {MARKER}\n{body}\nexit\n}}\n"


def submit(job: JobRequest, attempt: Attempt) -> str:
    """Return the script that makes the run directory and submits the job; see record.sh.

    It prints the job's id and how it came by it: ``submitted``, ``again`` (this attempt had it already) or ``adopted``
    (an earlier try of this attempt's task had, whose answer was lost).
    """
    return script(*functions(), *_submission(job, attempt))


def submit_all(submissions: Sequence[tuple[JobRequest, Attempt]], mark: str) -> str:
    """Return the script that does for each of them what `submit` does, one after the other, each in its own shell.

    It prints, for each one that it came to, a line ``MARK NUMBER STATUS``, the number from 1 and the exit status of
    `submit`, and then all that `submit` printed. It begins none after `BULK_SECONDS`: a cluster in trouble
    takes long to say so.

    Args:
        submissions: What to submit.
        mark: A word that nothing printed can hold, a name for a shell: a random one.
    """
    texts = list(dict.fromkeys(job.script for job, _ in submissions if not job.batch_script))
    names = {text: f"batch_script_{number}" for number, text in enumerate(texts, start=1)}
    lines = [f"{name}={shell_text(text)}" for text, name in names.items()]
    for number, (job, attempt) in enumerate(submissions, start=1):
        lines += [f"{mark}_{number}() {{", *_submission(job, attempt, names), "}"]
    return script(*functions(), *lines, f"each {mark} {BULK_SECONDS}")


def _submission(job: JobRequest, attempt: Attempt, scripts: Mapping[str, str] | None = None) -> list[str]:
    return [*_attempt(job, attempt, scripts), *enter(job), "make_folders", "open_record", "decide", "submit"]


def enter(job: JobRequest) -> list[str]:
    """Return the lines that go where the job will run, and look whether all is there."""
    missing = quote(f"no such directory on the cluster: {job.workdir}")
    return [
        f"cd -- {quote(shell_path(job.workdir))} || refuse {missing}" if job.workdir else "cd || refuse 'no home'",
        f"for input in {join(_inputs(job))}; do",
        '  [ -e "$input" ] || refuse "no such file on the cluster: $input (looked for from $PWD)"',
        "done",
    ]


def withdraw(job: JobRequest, attempt: Attempt) -> str:
    """Return the script that cancels an attempt's job without its id, also if sbatch is still under way.

    It works on in the background, so that sending it is enough.
    """
    work = [*_attempt(job, attempt), "make_folders", "open_record", "withdraw"]
    return script(*functions(), "(", *work, ") < /dev/null > /dev/null 2>&1 &")


def functions() -> list[str]:
    """Return record.sh, and what it needs, once for all submissions."""
    return [
        _predicate("has_failed", (state.value for state in JobState if state.kind is Kind.FAILED)),
        _predicate("has_ended", (state.value for state in JobState if state.is_final)),
        _predicate("may_return", (state.value for state in JobState if state.kind is Kind.REQUEUEABLE)),
        _predicate("is_unclear", (f"*{quote(words)}*" for words in UNCLEAR_WORDS)),
        _RECORD,
    ]


def _attempt(job: JobRequest, attempt: Attempt, scripts: Mapping[str, str] | None = None) -> list[str]:
    """Return what the functions of record.sh work on: one attempt, in its own shell.

    Args:
        job: What it submits.
        attempt: Who.
        scripts: Shell variables that hold batch scripts, by text.
    """
    return [
        variables(job, attempt),
        "call_sbatch() {",
        *_sbatch(job, f"{SBATCH} ", scripts),
        "}",
        "begin",
    ]


def variables(job: JobRequest, attempt: Attempt) -> str:
    """Return the line that sets what record.sh expects of each attempt."""
    folder = job.run_dir.rpartition("/")[0]
    gate = f"{folder}/{STATE_DIR}/{sha256(attempt.run.encode()).hexdigest()[:16]}"
    values = {
        "run_dir": job.run_dir,
        "escaped_dir": escaped(job.run_dir),
        "output_format": output_format(job.run_dir),
        "run": attempt.run,
        "task": attempt.task,
        "generation": str(attempt.generation),
        "try": str(attempt.try_number),
        "ti": attempt.instance,
        "resume": "yes" if job.resume else "",
        "parallel": str(job.max_parallel_jobs or ""),
        "gate": gate,
    }
    return " ".join(f"{name}={quote(value)}" for name, value in values.items())


def _predicate(name: str, patterns: Iterable[str]) -> str:
    return f"{name}() {{ case $1 in {' | '.join(patterns)}) ;; *) return 1 ;; esac; }}"


def escaped(path: str) -> str:
    """Return the path as a file name pattern of sbatch."""
    return path.replace("%", "%%")


def preview(job: JobRequest) -> str:
    """Return what `submit` would do, ready to be pasted into a shell on the login node."""
    enter = [f"cd -- {quote(shell_path(job.workdir))} || exit"] if job.workdir else []
    enter += [f"# {name} comes from Airflow's {reference}" for name, reference in job.secrets.items()]
    folders = join(f"{job.run_dir}/{name}" for name in (*RUN_FOLDERS, STATE_DIR))
    return "\n".join(["(", f"mkdir -p -- {folders}", *enter, *_sbatch(job), ")"])


def _sbatch(job: JobRequest, prefix: str = "", scripts: Mapping[str, str] | None = None) -> list[str]:
    """Return the lines that set the job's environment and call sbatch; ``scripts`` as for `_attempt`."""
    exports = [f"export {name}={quote(value)}" for name, value in environment(job).items()]
    argv = prefix + join(sbatch_argv(job))
    if job.batch_script:
        return [*exports, f"{argv} < /dev/null"]
    # Not the script itself as a here-document: dash 0.5.12 loses a byte where a line begins like the end's ("Eé").
    if scripts:
        return [*exports, f"{argv} << END", f"${scripts[job.script]}", "END"]
    return [*exports, f"batch_script={shell_text(job.script)}", f"{argv} << END", "$batch_script", "END"]


def shell_text(script: str) -> str:
    """Return a batch script as one word of the shell, for a here-document."""
    return quote(script.removesuffix("\n"))  # the here-document ends with one


def _inputs(job: JobRequest) -> list[str]:
    return [*job.inputs, *([job.batch_script] if job.batch_script else [])]


def sbatch_argv(job: JobRequest) -> list[str]:
    """Return the sbatch command: the settings' options, the user's own, then the batch script if it is a file."""
    flags = sbatch_flags(job, name=job.name, output=log_path(escaped(job.run_dir), "%j"))
    return ["sbatch", "--parsable", *flags, *([shell_path(job.batch_script)] if job.batch_script else [])]


def sbatch_flags(job: JobRequest, *, name: str, output: str) -> list[str]:
    """Return sbatch's options: those of the settings, then the user's own."""
    options: dict[str, str | int | bool | None] = {
        "job-name": name,
        "nodes": job.nodes,
        "account": job.account,
        "partition": job.partition,
        "time": job.time,
        "gres": f"gpu:{job.gpus_per_node}" if job.gpus_per_node else None,
        "output": output,
        **job.options,
    }
    return [
        f"--{option}" if value is True else f"--{option}={value}"
        for option, value in options.items()
        if value is not None and value is not False
    ]


def shell_path(path: str) -> str:
    """Return a path that no command takes for an option, nor `cd` for the directory before."""
    return f"./{path}" if path.startswith("-") else path


def log_path(run_dir: str, job_id: str) -> str:
    """Return where Slurm writes the job's output."""
    return f"{run_dir}/logs/slurm-{job_id}.out"


def environment(job: JobRequest) -> dict[str, str]:
    """Return the environment that the batch script finds: NeMo RL's ray.sub reads these names, and so does ours."""
    return {
        **job.env,
        "BASE_LOG_DIR": job.run_dir,
        "COMMAND": job.command,
        "CONTAINER": job.container or "",
        "GPUS_PER_NODE": str(job.gpus_per_node),
        "MOUNTS": job.mounts or "",
        "NUM_ACTOR_NODES": str(job.nodes),
        "WANDB_DIR": job.run_dir,  # wandb makes its own `wandb` in there
    }


def squeue(*, elements: bool = False) -> str:
    """Return the question for all of the user's jobs: one for everybody who waits.

    Args:
        elements: Tell of each element of an array; pending ones share a line otherwise.
    """
    array = " --array" if elements else ""
    form = f"--format={quote(SQUEUE_FORMAT)}"
    return script(f"{_EPOCH} squeue --me{array} --all --states=all --noheader {form} < /dev/null")


def outputs(folder: str) -> str:
    """Return the question where the user's jobs write: job id, state and output path of each.

    Longer paths than those of run directories in the folder come cut off.
    """
    longest = output_format(f"{folder}/{_NAME_MAX * '_'}")
    return script(f"squeue --array --me --all --states=all --noheader {quote(longest)} < /dev/null")


def output_format(run_dir: str) -> str:
    """Return squeue's option for output paths, wide enough to tell which lie in the run directory."""
    width = len(log_path(escaped(run_dir), "%j").encode()) + 20
    return f"--Format=JobArrayID:20,State:20,StdOut:{width}"


def run_dir_of(job_id: str, output: str) -> str | None:
    """Return the run directory of a job that writes where `outputs` says; None if that is no log of ours.

    Slurm shows the path as the file name pattern that sbatch got, newer ones as it is.
    """
    _, _, index = job_id.partition("_")
    if index and output.endswith(end := log_path("%a", "%A_%a")):
        return output.removesuffix(end).replace("%%", "%") + index
    for name, percent in (("%j", "%%"), (job_id, "%")):
        if output.endswith(end := log_path("", name)):
            return output.removesuffix(end).replace(percent, "%")
    return None


def records(run_dirs: Mapping[str, str]) -> str:
    """Return the question what the records of run directories say, by any key.

    The output is a line a record found: key, `Attempt.run`, `Attempt.task` and job id: six words, the last one empty
    for an intent. A shell reads thousands of them in a second, as it starts no program for it.
    """
    return script(
        """record() {
  [ -f "$2" ] && [ -r "$2" ] && { IFS= read -r run && IFS= read -r task && read -r _ && IFS= read -r job; } < "$2" &&
    printf '%s %s %s %s\\n' "$1" "${run#run }" "${task#task }" "${job#job }"
}""",
        *(f"record {quote(key)} {quote(f'{run_dir}/{RECORD}')}" for key, run_dir in run_dirs.items()),
        "true",
    )


def sacct(job_ids: Iterable[str]) -> str:
    """Return the question to the accounting database, where elements of arrays have raw ids of their own besides."""
    job_ids = list(job_ids)
    fields = SACCT_FIELDS.replace("Raw", "") if any("_" in job_id for job_id in job_ids) else SACCT_FIELDS
    return script(f"{_EPOCH} sacct -X -n -P -o {fields} -j {quote(','.join(job_ids))} < /dev/null")


def scontrol(job_ids: Iterable[str]) -> str:
    """Return the question to the controller, some lines of output a job; jobs that it forgot are left out.

    Its error for one of those goes nowhere; any other error ends the script with status 1.
    """
    return script(
        f"for job in {join(job_ids)}; do",
        f'  answer=$({_EPOCH} scontrol show job "$job" 2>&1 < /dev/null)',
        '  case "$?:$answer" in',
        "    0:*) printf '%s\\n' \"$answer\" ;;",
        "    *'Invalid job id'* | 1:\"Job $job not found\"*) ;;",  # the second of an array that lacks it
        "    *) printf '%s\\n' \"$answer\" >&2; exit 1 ;;",
        "  esac",
        "done",
    )


def exit_files(run_dirs: Sequence[tuple[str, str]]) -> str:
    """Return the question for the files that our batch script leaves: ``(job id, run directory)`` of each job.

    The output is a line a file found: job id, exit status, signal or ``-``.
    """
    return script(
        *(
            f"[ -f {path} ] && printf '%s %s\\n' {quote(job_id)} \"$(head -c 64 -- {path} | head -n 1)\""
            for job_id, run_dir in run_dirs
            for path in [quote(f"{run_dir}/{STATE_DIR}/{job_id}.exit")]
        ),
        "true",
    )


def read_files(directory: str | None, paths: Sequence[str]) -> str:
    """Return the question for small files: for each a line of base64, or ``-`` for one that cannot be read.

    Paths are relative to ``directory``. At most 1 MiB of each is read.
    """
    return script(
        *([f"cd -- {quote(shell_path(directory))} || exit"] if directory else []),
        f"for file in {join(map(shell_path, paths))}; do",
        '  if [ -f "$file" ] && [ -r "$file" ]; then',
        """    printf '%s\\n' "$(head -c 1048576 -- "$file" | base64 | tr -d '\\n')" """.rstrip(),
        "  else",
        "    echo -",
        "  fi",
        "done",
    )


def results(jobs: Iterable[tuple[str, str]]) -> str:
    """Return the question what jobs left: ``(run directory, log)`` of each; see results.py.

    The output is, for each metrics.json found, a line ``= NUMBER``, the number that of the job from 0, and lines of
    base64; or a line ``= NUMBER -`` for one that is not read: a link, a pipe. And, where wandb says in the beginning of
    the log where it shows the run, a line ``@ NUMBER URL``.
    """
    return script(
        "results() {",
        '  if [ -f "$3" ] && [ ! -L "$3" ]; then',
        f'    url=$(head -c {_WANDB_SAYS} -- "$3" | LC_ALL=C sed -n {quote(_VIEW_RUN)})',
        '    [ -z "$url" ] || printf \'@ %s %s\\n\' "$1" "$url"',
        "  fi",
        '  if [ -L "$2" ] || { [ -e "$2" ] && ! { [ -f "$2" ] && [ -r "$2" ]; }; }; then',
        "    printf '= %s -\\n' \"$1\"",
        '  elif [ -e "$2" ]; then',
        "    printf '= %s\\n' \"$1\"",
        f'    head -c {LARGEST + 1} -- "$2" | base64',
        "  fi",
        "}",
        *(f"results {number} {quote(f'{folder}/{FILE}')} {quote(log)}" for number, (folder, log) in enumerate(jobs)),
        "true",
    )


def new_output(logs: Iterable[tuple[str, int]]) -> str:
    """Return the question for what is new in logs: path of each, and the number of bytes that are known already.

    The output is, for each with news, a line ``= NUMBER START``, the number from 0, and lines of base64: the last
    `FOLLOWED` bytes at most. START is less than what is known if the file is shorter. After `FOLLOWED_IN_ALL` bytes it
    is a line ``! NUMBER`` for each further one with news.
    """
    return script(
        f"left={FOLLOWED_IN_ALL}",
        "follow() {",
        '  [ -f "$3" ] && [ ! -L "$3" ] && [ -r "$3" ] && size=$(stat -c %s -- "$3") || return 0',
        '  if [ "$size" -ge "$2" ]; then start=$2; else start=0; fi',
        '  [ "$size" -gt "$start" ] || return 0',
        '  [ "$left" -gt 0 ] || { printf \'! %s\\n\' "$1"; return 0; }',
        f'  [ "$((size - start))" -le {FOLLOWED} ] || start=$((size - {FOLLOWED}))',
        "  left=$((left - size + start))",
        '  printf \'= %s %s\\n\' "$1" "$start"',
        '  tail -c "+$((start + 1))" -- "$3" | head -c "$((size - start))" | base64',
        "}",
        *(f"follow {number} {known} {quote(path)}" for number, (path, known) in enumerate(logs)),
        "true",
    )


def tail(path: str, lines: int) -> str:
    """Return the question for a log's last lines, 64 KiB at most. Slurm's logs are files: nothing else is read."""
    file = quote(path)
    refusal = quote(f"{path} is no regular file; it is not read")
    return script(
        f"if [ -L {file} ] || {{ [ -e {file} ] && [ ! -f {file} ]; }}; then printf '%s\\n' {refusal} >&2; exit 1; fi",
        f"tail -c 65536 -- {file} | tail -n {lines}",
    )


def cancel(job_id: str) -> str:
    """Return the command that cancels one job."""
    return script(f"scancel -- {quote(job_id)} < /dev/null")
