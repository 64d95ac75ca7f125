"""``preview``: what a sweep would submit, without Airflow."""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from airflow_slurm_sweep.counts import counts_to_read
from airflow_slurm_sweep.plan import RunPlan, budgets, layers_of, plan_run, read_options
from airflow_slurm_sweep.schema import field_schemas
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.parameters import json_values
from airflow_slurm_sweep.slurm.submit.sbatch import environment, preview, sbatch_argv
from airflow_slurm_sweep.sweep.budget import check_budget, needed_consent
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.settings import RunOptions
from airflow_slurm_sweep.sweep.spec import load_sweep, most_combinations

_OPTION_TYPES = {"integer": (int, "N"), "string": (str, "TEXT")}  # a preview has no use for switches


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the sweep file, and what a trigger form says, as options."""
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values for all jobs, as in the trigger form")
    for name, field in field_schemas(RunOptions).items():
        if field["type"] in _OPTION_TYPES and "enum" not in field:
            as_type, metavar = _OPTION_TYPES[field["type"]]
            flag = f"--{name.replace('_', '-')}"
            parser.add_argument(flag, type=as_type, metavar=metavar, help=field["description"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_run_options(parser)
    parser.add_argument("--all", action="store_true", help="show each job whole")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(run=_preview)


def _preview(options: argparse.Namespace) -> None:
    spec = load_sweep(options.file, source=str(options.file), max_combinations=most_combinations(os.environ))
    entered = read_options(vars(options))
    layers = layers_of(spec, Folders.around(options.file), os.environ)
    planned = plan_run(spec, layers, entered)
    if unread := counts_to_read(spec, layers, entered):
        note = f"{' and '.join(unread)}: a run reads {spec.config_path} on the cluster, which may say otherwise"
        planned = replace(planned, notes=[*planned.notes, note])
    if options.json:
        # JSON knows no infinity.
        hours = {name: each if math.isfinite(each) else None for name, each in asdict(planned.cost).items()}
        jobs = [_job_as_json(job) for job in planned.jobs]
        print(json.dumps({"notes": list(planned.notes), **hours, "jobs": jobs}, indent=2))
    else:
        _show(planned, entire=options.all)
    limits = budgets(spec, layers)
    check_budget(planned.cost, limits)
    if (consent := needed_consent(planned.cost, limits)) and not options.json:
        print(f"# A run waits for approval: {consent.why}")


def _show(planned: RunPlan, *, entire: bool) -> None:
    for note in planned.notes:
        print(f"# {note}")
    for job in planned.jobs if entire else planned.jobs[:1]:
        command = job.command.replace("\n", "\n#   ")
        print(f"\n# {job.name}: {job.label}\n# command: {command}\n# run directory: {job.run_dir}\n{preview(job)}")
    if not entire and len(planned.jobs) > 1:
        rows = [[job.index, job.name, job.label] for job in planned.jobs]
        lines = tabulate(rows, headers=["index", "job", "combination"], disable_numparse=True).splitlines()
        print("\n# This is the first job; --all shows each job like this.", *lines, sep="\n# ")
    print(f"\n# {planned.summary}")


def _job_as_json(job: JobRequest) -> dict[str, Any]:
    return {
        "name": job.name,
        "index": job.index,
        "parameters": json_values(job.parameters),
        "overrides": list(job.overrides),
        "command": job.command,
        "run_dir": job.run_dir,
        "sbatch": sbatch_argv(job),
        "env": environment(job),
    }
