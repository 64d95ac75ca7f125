"""The records of run directories, which record.sh writes: ask and read."""

from collections.abc import Mapping
from shlex import quote
from typing import NamedTuple

from airflow_slurm_sweep.names import RECORD
from airflow_slurm_sweep.slurm.shell import script


class Record(NamedTuple):
    """Which task a run directory belongs to: `Attempt.run`, `Attempt.task`, and its job's id, empty without a job."""

    run: str
    task: str
    job_id: str


def records(run_dirs: Mapping[str, str]) -> str:
    """Return the script that reads the records of run directories, by any key.

    The answer has a line for each record: key, `Attempt.run`, `Attempt.task` and job id: seven words, the last one
    empty for an intent.
    """
    return script(  # which starts no program for a record, so it reads thousands of them in a second
        """record() {
  [ -f "$2" ] && [ -r "$2" ] && { IFS= read -r run && IFS= read -r task && read -r _ && IFS= read -r job; } < "$2" &&
    printf '%s %s %s %s\\n' "$1" "${run#run }" "${task#task }" "${job#job }"
}""",
        *(f"record {quote(key)} {quote(f'{run_dir}/{RECORD}')}" for key, run_dir in run_dirs.items()),
        "true",
    )


def read_records(output: str) -> dict[str, Record]:
    """Read the answer to `records`, by its keys."""
    rows = (line.split(" ") for line in output.split("\n"))
    return {row[0]: Record(" ".join(row[1:4]), " ".join(row[4:6]), row[6]) for row in rows if len(row) == 7}
