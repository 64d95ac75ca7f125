"""The names of all that a run leaves behind, each declared once.

A run directory on the cluster holds::

    parameters.json                  the combination, for the training script and for people
    metrics.json                     what the training script reports
    checkpoints/ logs/ wandb/        made before the job starts
    .slurm_sweep/record              which task submitted which job
    .slurm_sweep/combination.json    the combination and where it comes from
    .slurm_sweep/environment         an array element's environment variables, for its owner only
    .slurm_sweep/JOBID.exit          the exit status of job.sh
"""

from __future__ import annotations

RUN_FOLDERS = ("checkpoints", "logs", "wandb")
PARAMETERS = "parameters.json"
METRICS = "metrics.json"
STATE_DIR = ".slurm_sweep"
RECORD = f"{STATE_DIR}/record"
COMBINATION = f"{STATE_DIR}/combination.json"
ENVIRONMENT = f"{STATE_DIR}/environment"


def log_path(run_dir: str, job_id: str) -> str:
    """Return where Slurm writes the job's output."""
    return f"{run_dir}/logs/slurm-{job_id}.out"


def exit_file(run_dir: str, job_id: str) -> str:
    """Return where job.sh leaves the job's exit status."""
    return f"{run_dir}/{STATE_DIR}/{job_id}.exit"
