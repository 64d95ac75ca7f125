"""Submissions as elements of one array: which go together, and what is said to the login node for them.

An element's index is the number at the end of its run directory's name, so that ``--output`` reaches each one's own
directory by Slurm's ``%a``. All that sbatch is told is the same for all; what differs, each job reads in a file of its
run directory, which only its owner may read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import join, quote
from typing import NamedTuple, TypeAlias

from airflow_slurm_sweep.slurm import commands
from airflow_slurm_sweep.slurm.job import Attempt, JobRequest

Submission: TypeAlias = tuple[JobRequest, Attempt]

NOT_IN_ARRAY = 96  # an exit status of array.sh, as those of record.sh in commands.py
LARGEST = 1000  # elements; what this cluster allows (MaxArraySize), array.sh asks

ENVIRONMENT = f"{commands.STATE_DIR}/environment"

# An index as Slurm prints it, not the end of a longer number.
_INDEX = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,8})$", re.ASCII)
_FUNCTIONS = Path(__file__).with_name("array.sh").read_text(encoding="utf-8")

# No trace of the values in the job's log, where the batch script's first line asks for one ("#!/bin/bash -x").
_PRELUDE = """\
# From here to the next comment: slurm_sweep, this array element's own values and name.
slurm_sweep_flags=$-
set +xv
. {folder}"$SLURM_ARRAY_TASK_ID"/{file} || exit
case $slurm_sweep_flags in *v*) set -v ;; esac
case $slurm_sweep_flags in *x*) set -x ;; esac
timeout 10 scontrol update JobId="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" JobName="$SLURM_JOB_NAME" \\
  > /dev/null 2>&1 < /dev/null || :
# The batch script."""


class Place(NamedTuple):
    """Where a job stands in an array: ``/log/grpo_sweep_`` and ``grpo_sweep_`` and 4."""

    folder: str
    name: str
    number: int


def place(job: JobRequest) -> Place | None:
    """Return a job's place in an array; None for one that has none and goes alone."""
    found = _INDEX.search(job.run_dir)
    if found is None or not job.name.endswith(found[0]):
        return None
    name = job.name.removesuffix(found[0])
    return Place(job.run_dir.removesuffix(found[0]), name, int(found[0])) if name.strip("_.-") else None


def grouped(submissions: Sequence[Submission], at_most: int = LARGEST) -> list[list[int]]:
    """Return which submissions go together, by their positions, each group in the order of its indices.

    Those of a group are of one Dag run, and sbatch is told the same for them.
    """
    groups: dict[object, dict[int, int]] = {}
    alone = []
    for position, (job, attempt) in enumerate(submissions):
        its_place = place(job)
        if its_place is None:
            alone.append([position])
            continue
        same = (
            *(job.ssh_conn_id, attempt.run, its_place.folder, job.workdir, tuple(job.inputs), job.script),
            *(job.batch_script, *_argv(job, its_place)),
        )
        members = groups.setdefault(same, {})
        if members.setdefault(its_place.number, position) != position:  # two attempts at one directory
            alone.append([position])
    together = []
    for members in groups.values():
        positions = [members[number] for number in sorted(members)]
        together += [positions[start : start + at_most] for start in range(0, len(positions), at_most)]
    return [*together, *alone]


def submit_array(submissions: Sequence[Submission], mark: str) -> str:
    """Return the script that does for a group what `commands.submit` does for each, with one sbatch; see array.sh.

    It prints what that of `commands.submit_all` prints.

    Raises:
        ValueError: One of them has no place in an array.
    """
    job, _ = submissions[0]
    longest = max((each.run_dir for each, _ in submissions), key=len)
    lines = [
        *commands.functions(),
        _FUNCTIONS,
        f"prelude={quote(_PRELUDE.format(folder=quote(_place(job).folder), file=ENVIRONMENT))}",
        f"output_format={commands.output_format(longest)}",
        *_enter(job),
        "call_sbatch() {",
        f'{commands.SBATCH} {join(_argv(job, _place(job)))} --array="$1" << END',
        "$array_script",
        "END",
        "}",
    ]
    for number, submission in enumerate(submissions, start=1):
        lines += [f"{mark}_{number}() {{", *_element(*submission), "}"]
    return commands.script(*lines, f"submit_array {mark} {len(submissions)}")


def _place(job: JobRequest) -> Place:
    found = place(job)
    if found is None:
        raise ValueError(f"run_dir: expected {job.name!r} and {job.run_dir!r} to end with one number, for an array")
    return found


def _argv(job: JobRequest, its_place: Place) -> list[str]:
    """Return the sbatch command of the array that a job is of, without indices and script."""
    output = commands.log_path(f"{commands.escaped(its_place.folder)}%a", "%A_%a")
    return ["sbatch", "--parsable", *commands.sbatch_flags(job, name=its_place.name.rstrip("_.-"), output=output)]


def _enter(job: JobRequest) -> list[str]:
    read = f"batch_script={commands.shell_text(job.script)}"
    if job.batch_script:
        path = quote(commands.shell_path(job.batch_script))
        read = f"batch_script=$(cat -- {path}) || refuse {quote(f'cannot read {job.batch_script}')}"
    return ["enter() {", *commands.enter(job), read, "}"]


def _element(job: JobRequest, attempt: Attempt) -> list[str]:
    values = {**commands.environment(job), "SLURM_JOB_NAME": job.name}
    exports = "\n".join(f"export {name}={quote(value)}" for name, value in values.items())
    return [commands.variables(job, attempt), f"index={_place(job).number} environment={quote(exports)}"]
