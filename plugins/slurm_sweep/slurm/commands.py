"""Everything that is said to a login node, as text for its POSIX shell. Pure: values in, text out.

All values reach a shell through `shlex.quote`, here and nowhere else. Each script is one brace group, so that a shell
that gets only half of it (a cut connection) runs nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shlex import join, quote

from slurm_sweep.slurm.job import Attempt, JobRequest

# What our scripts print begins behind this line: login banners and shell start-up files may have printed before.
MARKER = "@slurm_sweep@"
STATE_DIR = ".slurm_sweep"
RUN_FOLDERS = ("checkpoints", "logs", "wandb")

SQUEUE_FORMAT = "%i|%T|%M|%N|%r"
SACCT_FIELDS = "JobIDRaw,State,ExitCode,Elapsed,NodeList"

# Exit statuses of the submit script, above those of sbatch.
REFUSED = 90
BUSY = 91
SBATCH_FAILED = 92

_BELONGS_TO_ANOTHER = (
    'refuse "the run directory $run_dir belongs to another Dag run ($owned_by); '
    'go on from its checkpoints (resume), or choose another job name"'
)
_SUBMIT = """\
refuse() {{ printf '%s\\n' "$1" >&2; exit {refused}; }}
trap '' PIPE
run_dir={run_dir}
state=$run_dir/{state_dir}
{enter}
for input in {inputs}; do
  [ -e "$input" ] || refuse "no such file on the cluster: $input (looked for from $PWD)"
done
mkdir -p -- {folders} "$state" ||
  refuse "cannot make the run directory $run_dir"
[ -w "$run_dir/logs" ] && [ -w "$state" ] || refuse "cannot write into the run directory $run_dir"
tries=0
until mkdir -- "$state/lock" 2>/dev/null; do
  tries=$((tries + 1))
  if [ "$tries" -gt 30 ]; then
    printf '%s\\n' "another submission holds $state/lock; if none is under way, remove it" >&2
    exit {busy}
  fi
  sleep 1
done
trap 'rmdir -- "$state/lock"' EXIT
owner={owner} attempt={attempt} owned_by= recorded= job_id=
[ -f "$state/record" ] && {{ IFS= read -r owned_by; IFS= read -r recorded; IFS= read -r job_id; }} < "$state/record"
if [ -n "$owned_by" ] && [ "$owned_by" != "$owner" ]; then
  {belongs_to_another}
  recorded=
fi
if [ "$recorded" != "$attempt" ] || [ -z "$job_id" ]; then
  printed=$(
{sbatch}
  ) || exit {sbatch_failed}
  job_id=$(printf '%s\\n' "$printed" | sed -n 's/^\\([0-9][0-9]*\\)\\(;.*\\)\\{{0,1\\}}$/\\1/p' | tail -n 1)
  [ -n "$job_id" ] || {{ printf 'sbatch printed no job id: %s\\n' "$printed" >&2; exit {sbatch_failed}; }}
  printf '%s\\n%s\\n%s\\n' "$owner" "$attempt" "$job_id" > "$state/record.new" &&
    mv -f -- "$state/record.new" "$state/record"
fi
printf '%s\\n' "$job_id"
"""


def script(*lines: str) -> str:
    """Return a script that runs ``lines`` as a whole or not at all, and marks where its output begins."""
    body = "\n".join(lines)
    return f"{{\nprintf '%s\\n' {MARKER}\n{body}\nexit\n}}\n"


def submit(job: JobRequest, attempt: Attempt) -> str:
    """Return the script that makes the run directory and submits the job; it prints the job's id.

    Run again for the same attempt, it submits nothing and prints the same id: the answer may have been lost. A run
    directory that another Dag run submitted from is refused, unless the job is to resume.
    """
    missing = quote(f"no such directory on the cluster: {job.workdir}")
    return script(
        _SUBMIT.format(
            run_dir=quote(job.run_dir),
            state_dir=STATE_DIR,
            folders=" ".join(f'"$run_dir/{name}"' for name in RUN_FOLDERS),
            enter=f"cd -- {quote(job.workdir)} || refuse {missing}" if job.workdir else "cd || refuse 'no home'",
            inputs=join(_inputs(job)),
            owner=quote(attempt.owner),
            attempt=quote(str(attempt)),
            belongs_to_another=": # resume" if job.resume else _BELONGS_TO_ANOTHER,
            sbatch="\n".join(_sbatch(job)),
            refused=REFUSED,
            busy=BUSY,
            sbatch_failed=SBATCH_FAILED,
        )
    )


def preview(job: JobRequest) -> str:
    """Return what `submit` would do, ready to be pasted into a shell on the login node."""
    enter = [f"cd -- {quote(job.workdir)}"] if job.workdir else []
    enter += [f"# {name} comes from Airflow's {reference}" for name, reference in job.secrets.items()]
    folders = join(f"{job.run_dir}/{name}" for name in (*RUN_FOLDERS, STATE_DIR))
    return "\n".join(["(", f"mkdir -p -- {folders}", *enter, *_sbatch(job), ")"])


def _sbatch(job: JobRequest) -> list[str]:
    """Return the lines that set the job's environment and call sbatch."""
    exports = [f"export {name}={quote(value)}" for name, value in environment(job).items()]
    argv = join(sbatch_argv(job))
    if job.batch_script:
        return [*exports, f"{argv} < /dev/null"]
    end = "END_OF_BATCH_SCRIPT"
    while end in job.script:
        end += "_"
    return [*exports, f"{argv} <<'{end}'", job.script.removesuffix("\n"), end]


def _inputs(job: JobRequest) -> list[str]:
    return [*job.inputs, *([job.batch_script] if job.batch_script else [])]


def sbatch_argv(job: JobRequest) -> list[str]:
    """Return the sbatch command: the settings' options, the user's own, then the batch script if it is a file."""
    options: dict[str, str | int | bool | None] = {
        "job-name": job.name,
        "nodes": job.nodes,
        "account": job.account,
        "partition": job.partition,
        "time": job.time,
        "gres": f"gpu:{job.gpus_per_node}" if job.gpus_per_node else None,
        "output": log_path(job.run_dir.replace("%", "%%"), "%j"),
        **job.options,
    }
    flags = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in options.items()
        if value is not None and value is not False
    ]
    return ["sbatch", "--parsable", *flags, *([job.batch_script] if job.batch_script else [])]


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


def squeue() -> str:
    """Return the question for all of the user's jobs: one for everybody who waits."""
    return script(f"squeue --me --states=all --noheader --format={quote(SQUEUE_FORMAT)} < /dev/null")


def sacct(job_ids: Iterable[str]) -> str:
    """Return the question to the accounting database."""
    return script(f"sacct -X -n -P -o {SACCT_FIELDS} -j {quote(','.join(job_ids))} < /dev/null")


def scontrol(job_ids: Iterable[str]) -> str:
    """Return the question to the controller, a line of output a job; jobs that it forgot are left out.

    Its error for one of those goes nowhere; any other error ends the script with status 1.
    """
    return script(
        f"for job in {join(job_ids)}; do",
        '  answer=$(scontrol --oneliner show job "$job" 2>&1 < /dev/null)',
        '  case "$?:$answer" in',
        "    0:*) printf '%s\\n' \"$answer\" ;;",
        "    *'Invalid job id'*) ;;",
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
            f"[ -f {path} ] && printf '%s %s\\n' {quote(job_id)} \"$(head -n 1 -- {path})\""
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
        *([f"cd -- {quote(directory)} || exit"] if directory else []),
        f"for file in {join(paths)}; do",
        '  if [ -f "$file" ] && [ -r "$file" ]; then',
        """    printf '%s\\n' "$(head -c 1048576 -- "$file" | base64 | tr -d '\\n')" """.rstrip(),
        "  else",
        "    echo -",
        "  fi",
        "done",
    )


def tail(path: str, lines: int) -> str:
    """Return the question for a log's last lines, 64 KiB at most."""
    return script(f"tail -c 65536 -- {quote(path)} | tail -n {lines}")


def cancel(job_id: str) -> str:
    """Return the command that cancels one job."""
    return script(f"scancel -- {quote(job_id)} < /dev/null")
