"""The names of all that a run leaves behind, each declared once, so that a reader need not import the writer.

In Airflow, a Dag run leaves tasks and their XComs::

    plan ─> [approve] ─> combination[ submit ─> wait ] × N ─> report

On the cluster, a run directory holds::

    parameters.json                  the combination, for the training script and for people
    metrics.json                     what the training script reports, unless `sweep.metrics` names other files
    logs/                            made before the job starts, with the folders of the preset
    .slurm_sweep/record              which task submitted which job
    .slurm_sweep/combination.json    the combination and where it comes from
    .slurm_sweep/result              how the job of a search's trial ended, for the trials to come
    .slurm_sweep/stop                why the job was stopped early, by `sweep.stop`
    .slurm_sweep/environment         an array element's environment variables, for its owner only
    .slurm_sweep/JOBID.exit          the exit status of job.sh
    .slurm_sweep/owner               the job whose job.sh runs here: one whose node was lost ends when it reads another
    .slurm_sweep/JOBID.start         made before a chain's job: newer files are its progress
    .slurm_sweep/JOBID.place         a chain, or a search's trial, keeps its place in a run that has max_parallel_jobs
    .slurm_sweep/JOBID.setup         there while the lines of setup run
    .slurm_sweep/JOBID.signal        the first signal that a command in a container got, until job.sh has read it

and the folder that has all run directories, for each run's name::

    .slurm_sweep_runs/NAME           which Dag run has it
"""

from __future__ import annotations

# Dags that come with the package.
LAUNCH = "launch"
CHECK = "check_cluster"
TAG = "sweep"  # of each Dag that the page "Sweeps" lists
CANCELLED_BY = "cancelled by"  # of a note in Airflow, by the page; the user's name follows
UNREADABLE = "unreadable sweep file"  # of a Dag that stands in for one whose file is missing or broken
ASSET_PREFIX = "sweep_"  # the Dag id follows: the asset that a successful run updates

# Task ids of a sweep's Dag.
PLAN = "plan"
APPROVE = "approve"  # only where a sweep or its cluster profile has the setting
GROUP = "combination"
SUBMIT = f"{GROUP}.submit"
WAIT = f"{GROUP}.wait"
REPORT = "report"

# XCom keys.
RETURN_KEY = "return_value"  # Airflow's own: of plan the jobs, of submit the submitted job, of wait its end
SCRIPT_KEY = "script"  # of plan and approve: the batch script of all jobs that name none
ASKED_KEY = "asked"  # of approve: the attempt of the plan that it shows
ATTEMPT_KEY = "attempt"  # of plan and approve: the id of the task instance that left the jobs
CONSENT_KEY = "consent"  # of plan: the approval that the run needs; of approve: who gave or refused it, in words
OBJECTIVE_KEY = "objective"  # of plan: what the report ranks by; absent where the sweep has no objective
SEARCH_KEY = "search"  # of plan: what proposes the parameters of a searched run's jobs, as text
ORIGIN_KEY = "origin"  # of plan: the commit of the working directory, and the overrides of the trigger form
FAULT_KEY = "fault"  # of plan: why it failed
STUCK_KEY_PREFIX = "slurm_stuck_"  # of plan: that somebody was notified of jobs that will not start; the reason follows
SKIPPED_KEY = "skipped"  # of submit: why the combination was skipped because of a canary, and the combination's number
STOPPED_KEY = "stopped_early"  # of wait: that `sweep.stop` stopped the job
STATUS_KEY = "status"  # of wait: the job's end where the task failed, since a failed task has no return value
HISTORY_KEY = "history"  # of wait: the job's metrics over their steps; see slurm/history.py
LOG_KEY = "log"  # of wait: the last lines of a failed job's log, and the job's id
WANDB_KEY = "_link_wandb"  # of wait: Airflow makes a link of it
SUBMIT_KEYS = (RETURN_KEY, SKIPPED_KEY)
WAIT_KEYS = (RETURN_KEY, STOPPED_KEY, STATUS_KEY, HISTORY_KEY, LOG_KEY, WANDB_KEY)
LIVE_KEY_PREFIX = "slurm_live_"  # of wait: Slurm's latest states; a word for each triggerer that writes follows
BEST_KEY = "best"  # of report: the best combination in a line, where the sweep has an objective
ROWS_KEY = "rows"  # of report: a row for each combination
REPORT_KEY = "report"  # of report: the same as Markdown, shortened, for reading

# The run directory.
PARAMETERS = "parameters.json"
METRICS = "metrics.json"
STATE_DIR = ".slurm_sweep"
RECORD = f"{STATE_DIR}/record"
COMBINATION = f"{STATE_DIR}/combination.json"
RESULT = f"{STATE_DIR}/result"
STOP = f"{STATE_DIR}/stop"
ENVIRONMENT = f"{STATE_DIR}/environment"
RESERVATIONS = ".slurm_sweep_runs"


def log_path(run_dir: str, job_id: str) -> str:
    """Return where Slurm writes the job's output."""
    return f"{run_dir}/logs/slurm-{job_id}.out"


def exit_file(run_dir: str, job_id: str) -> str:
    """Return where job.sh leaves the job's exit status."""
    return f"{run_dir}/{STATE_DIR}/{job_id}.exit"


def place_file(run_dir: str, job_id: str) -> str:
    """Return the file by which a chain or a trial keeps its place among the jobs of its run."""
    return f"{run_dir}/{STATE_DIR}/{job_id}.place"
