"""The sbatch command of a job, and the environment that its batch script finds."""

from shlex import join, quote

from airflow_slurm_sweep.names import STATE_DIR, log_path
from airflow_slurm_sweep.slurm.gpus import gres
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.parameters import variables
from airflow_slurm_sweep.slurm.queue import escaped
from airflow_slurm_sweep.slurm.shell import heredoc_text, shell_path
from airflow_slurm_sweep.slurm.submit.setup import with_setup

# The profile's cluster is for our commands. In the job, srun would ask the accounting database about it.
CLUSTERS = '${site_clusters:+"--clusters=$site_clusters"}'
NO_CLUSTERS = '[ -z "$site_clusters" ] || unset SLURM_CLUSTERS'
TIMEOUT = "timeout -k 5 60"  # sbatch retries by itself, for minutes, where the controller is full


def sbatch_argv(job: JobRequest) -> list[str]:
    """Return the sbatch command: the settings' options, the user's own, then the batch script if it is a file."""
    flags = sbatch_flags(job, name=job.name, output=log_path(escaped(job.run_dir), "%j"))
    return ["sbatch", "--parsable", *flags, *([shell_path(job.batch_script)] if job.batch_script else [])]


def sbatch_flags(job: JobRequest, *, name: str, output: str) -> list[str]:
    """Return sbatch's options: those of the settings, then the user's own."""
    options: dict[str, str | int | bool | None] = {
        "job-name": name,
        "nodes": job.nodes + job.extra_nodes,
        "account": job.account,
        "partition": job.partition,
        "time": job.time,
        "gres": gres(job.options, job.gpus_per_node if job.gpu_request == "gres" else 0),
        "output": output,
        "export": "ALL",  # a login may set SBATCH_EXPORT=NONE: COMMAND would not arrive
        "signal": f"B:USR1@{job.warn}" if job.warn else None,
        "no-requeue": _is_ours_to_requeue(job) and "requeue" not in job.options,
        **{name: value for name, value in job.options.items() if name != "gres"},
    }
    return [
        f"--{option}" if value is True else f"--{option}={value}"
        for option, value in options.items()
        if value is not None and value is not False
    ]


def _is_ours_to_requeue(job: JobRequest) -> bool:
    """Whether another job follows where Slurm would run this one again."""
    retried = {rule["on"] for rule in job.chain.get("retry", ())}
    return bool(job.chain.get("jobs") or retried & {"PREEMPTED", "NODE_FAIL"})


def environment(job: JobRequest) -> dict[str, str]:
    """Return the environment that the batch script finds: NeMo RL's ray.sub reads these names, and so does ours."""
    return {
        **variables(job.parameters),
        **job.env,
        "BASE_LOG_DIR": job.run_dir,
        "COMMAND": job.command if job.batch_script else with_setup(job.setup, job.command),
        "CONTAINER": job.container or "",
        "GPUS_PER_NODE": str(job.gpus_per_node),
        "MOUNTS": job.mounts or "",
        "NUM_ACTOR_NODES": str(job.nodes),
        "SETUP_COMMAND": "\n".join(job.setup) if job.batch_script else "",
        "WANDB_DIR": job.run_dir,  # wandb makes its own `wandb` in there
    }


def call_sbatch(job: JobRequest, *, script_variable: str, bounded: bool = False) -> list[str]:
    """Return the lines that set the job's environment and call sbatch, with the batch script from that variable.

    The programs are found before a PATH that is for the job alone. ``bounded`` ones limit sbatch's time.
    """
    exports = [f"export {name}={quote(value)}" for name, value in environment(job).items()]
    sbatch, *arguments = sbatch_argv(job)
    if bounded:
        timeout, _, limits = TIMEOUT.partition(" ")
        exports.insert(0, f'set -- "$(command -v {timeout})" "$(command -v {sbatch})"')
        exports.append(NO_CLUSTERS)
        sbatch = f'"$1" {limits} "$2" {CLUSTERS}'
    elif "PATH" in job.env:
        exports.insert(0, f"sbatch=$(command -v {sbatch})")
        sbatch = '"$sbatch"'
    command = f"{sbatch} {join(arguments)}"
    if job.batch_script:
        return [*exports, f"{command} < /dev/null"]
    # The here-document holds a variable, not the script: dash 0.5.12 loses a byte where a line begins like the
    # delimiter ("Eé").
    return [*exports, f"{command} << END", f"${script_variable}", "END"]


def preview(job: JobRequest) -> str:
    """Return the commands of a submission, ready to be pasted into a shell on the login node."""
    enter = [f"cd -- {quote(shell_path(job.workdir))} || exit"] if job.workdir else []
    enter += [f"# {name} comes from Airflow's {reference}" for name, reference in job.secrets.items()]
    folders = join(f"{job.run_dir}/{name}" for name in ("logs", *job.folders, STATE_DIR))
    text = [] if job.batch_script else [f"batch_script={heredoc_text(job.script)}"]
    call = call_sbatch(job, script_variable="batch_script")
    return "\n".join(["(", f"mkdir -p -- {folders}", *enter, *text, *call, ")"])
