"""The names of what a Dag run leaves in Airflow: tasks, XComs, tags, assets.

    plan ─> combination[ submit ─> wait ] × N ─> report

Whoever writes one and whoever reads it take the name from here, so that a reader need not import the writer.
"""

from __future__ import annotations

# Dags that come with the package.
LAUNCH = "launch"
CHECK = "check_cluster"
TAG = "sweep"  # of each Dag that the page "Sweeps" lists
ASSET_PREFIX = "sweep_"  # the Dag id follows: the asset that a successful run updates

# Task ids of a sweep's Dag.
PLAN = "plan"
GROUP = "combination"
SUBMIT = f"{GROUP}.submit"
WAIT = f"{GROUP}.wait"
REPORT = "report"

# XCom keys.
RETURN_KEY = "return_value"  # Airflow's own: of plan the jobs, of submit the submitted job, of wait its end
SCRIPT_KEY = "script"  # of plan: the batch script of all jobs that name none
OBJECTIVE_KEY = "objective"  # of plan: what the report ranks by; absent where the sweep has no objective
STATUS_KEY = "status"  # of wait: the job's end where the task failed, since a failed task has no return value
WANDB_KEY = "_link_wandb"  # of wait: Airflow makes a link of it
LIVE_KEY_PREFIX = "slurm_live_"  # of wait: Slurm's latest states; a word for each triggerer that writes follows
ROWS_KEY = "rows"  # of report: a row for each combination
REPORT_KEY = "report"  # of report: the same as Markdown, shortened, for reading
