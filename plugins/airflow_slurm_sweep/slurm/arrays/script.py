"""Which submissions go together as elements of one array, and the script that submits them.

An element's index is the number at the end of its run directory's name: ``--output`` reaches each element's directory
through Slurm's ``%a``. From `BLOCK` on the index is the number's last three digits, and ``%3a`` writes them with zeros:
each thousand is an array of its own, since few clusters take larger indices (MaxArraySize, by default 1001). What
differs between elements, each job reads from a file in its run directory.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import join, quote
from typing import NamedTuple

from airflow_slurm_sweep.names import ENVIRONMENT, log_path
from airflow_slurm_sweep.slurm.batching import batches
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.queue import escaped, output_format
from airflow_slurm_sweep.slurm.shell import heredoc_text, script, shell_path
from airflow_slurm_sweep.slurm.submit.sbatch import CLUSTERS, NO_CLUSTERS, TIMEOUT, environment, sbatch_flags
from airflow_slurm_sweep.slurm.submit.script import Submission, enter, functions, variables

BLOCK = 1000
MAX_ELEMENTS = BLOCK  # of one array; array.sh asks the cluster for its own limit, MaxArraySize
# An index as Slurm prints it, not the end of a longer number.
_INDEX = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,8})$", re.ASCII)
ARRAY_FUNCTIONS = "\n".join(
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("array.sh", "elements.sh")
)

# Tracing is off meanwhile: the batch script's first line may ask for it ("#!/bin/bash -x"), and the values may be
# secrets, which must not be in the job's log.
_PRELUDE = """\
# From here to the next comment: slurm_sweep, this array element's own values and name.
slurm_sweep_flags=$-
set +xv
. {folder}"{index}"/{file} || exit
case $slurm_sweep_flags in *v*) set -v ;; esac
case $slurm_sweep_flags in *x*) set -x ;; esac
timeout 10 scontrol update JobId="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" JobName="$SLURM_JOB_NAME" \\
  > /dev/null 2>&1 < /dev/null || :
# The batch script."""


class Place(NamedTuple):
    """A job's place in an array: ``/log/grpo_sweep_``, ``grpo_sweep_`` and 4; of number 2004 ``/log/grpo_sweep_2``."""

    folder: str
    name: str
    number: int
    is_padded: bool = False


def place(job: JobRequest) -> Place | None:
    """Return a job's place in an array; None for a job that has none and goes alone."""
    found = _INDEX.search(job.run_dir)
    if found is None or not job.name.endswith(found[0]):
        return None
    name = job.name.removesuffix(found[0])
    is_padded = int(found[0]) >= BLOCK
    index = found[0][-3:] if is_padded else found[0]
    return Place(job.run_dir.removesuffix(index), name, int(index), is_padded) if name.strip("_.-") else None


def grouped(submissions: Sequence[Submission], at_most: int = MAX_ELEMENTS) -> list[list[int]]:
    """Return which submissions go together, by their positions, each group in the order of its indices.

    All submissions of a group belong to one Dag run and need the same sbatch command.
    """
    groups: dict[object, dict[int, int]] = {}
    alone = []
    for position, (job, attempt) in enumerate(submissions):
        if element := place(job):
            origin = (
                job.site,
                attempt.run,
                element.folder,
                job.workdir,
                tuple(job.inputs),
                job.max_parallel_jobs,
                job.queue_limit,
            )
            members = groups.setdefault((*origin, job.script, job.batch_script, *_argv(job, element)), {})
        # Two attempts for one directory are no array.
        if not element or members.setdefault(element.number, position) != position:
            alone.append([position])
    arrays: list[list[int]] = []
    for members in groups.values():
        positions = [members[number] for number in sorted(members)]
        arrays += batches(positions, at_most)
    return [*arrays, *alone]


def submit_array(submissions: Sequence[Submission], mark: str) -> str:
    """Return the script that does what that of `submit_all` does for a group, with one sbatch; see array.sh.

    Raises:
        ValueError: A job has no place in an array.
    """
    job, _ = submissions[0]
    own = _place(job)
    index = "$(printf %03d $SLURM_ARRAY_TASK_ID)" if own.is_padded else "$SLURM_ARRAY_TASK_ID"
    throttle = f"%{job.max_parallel_jobs}" if job.max_parallel_jobs else ""
    longest = max((each.run_dir for each, _ in submissions), key=len)
    lines = [
        *functions(),
        ARRAY_FUNCTIONS,
        f"prelude={quote(_PRELUDE.format(folder=quote(own.folder), index=index, file=ENVIRONMENT))}",
        f"environment_name={ENVIRONMENT} output_format={output_format(longest)}",
        *("enter() {", *enter(job), _read_script(job), "}"),
        "call_sbatch() {",
        NO_CLUSTERS,
        f'{TIMEOUT} {join(_argv(job, own))} {CLUSTERS} --array="$1{throttle}" << END',
        "$array_script",
        "END",
        "}",
    ]
    for number, (element, attempt) in enumerate(submissions, start=1):
        values = {**environment(element), "SLURM_JOB_NAME": element.name}
        exports = "\n".join(f"export {name}={quote(value)}" for name, value in values.items())
        its = f"index={_place(element).number} environment={quote(exports)}"
        lines += [f"{mark}_{number}() {{", variables(element, attempt), its, "}"]
    return script(*lines, f"submit_array {mark} {len(submissions)}")


def _place(job: JobRequest) -> Place:
    if found := place(job):
        return found
    raise ValueError(f"run_dir: expected {job.name!r} and {job.run_dir!r} to end with one number, for an array")


def _argv(job: JobRequest, element: Place) -> list[str]:
    """Return the sbatch command of the array that a job belongs to, without indices and script."""
    output = log_path(f"{escaped(element.folder)}{'%3a' if element.is_padded else '%a'}", "%A_%a")
    return ["sbatch", "--parsable", *sbatch_flags(job, name=element.name.rstrip("_.-"), output=output)]


def _read_script(job: JobRequest) -> str:
    if not job.batch_script:
        return f"batch_script={heredoc_text(job.script)}"
    path = quote(shell_path(job.batch_script))
    return f"batch_script=$(cat -- {path}) || refuse {quote(f'cannot read {job.batch_script}')}"
