"""How far the jobs of a Dag run have climbed, and which of them are stopped: ask and read.

The run's gate folder has a file for each combination, ``rungs/NUMBER``: the record's line ``attempt``, and a line
``RUNG VALUE`` for each rung. Only the task that waits for the job writes it, so there is no lock. A stopped job's run
directory has ``stop``: a line of JSON, written before scancel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from shlex import join, quote
from typing import NamedTuple

from airflow_slurm_sweep.names import RECORD, STOP
from airflow_slurm_sweep.slurm.exit_files import EXIT_FILE
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.shell import script
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.slurm.stopping import Rungs, Stop

_CLIMB = f"""climb() {{ # NUMBER RUN_DIR RUNG VALUE ...
  number=$1 run_dir=$2 attempt='' line='' text=''
  shift 2
  {{ IFS= read -r _ && IFS= read -r _ && IFS= read -r attempt; }} 2> /dev/null < "$run_dir/{RECORD}"
  {{ IFS= read -r line && [ "$line" = "$attempt" ] && text=$(cat); }} 2> /dev/null < "$number"
  [ "$line" = "$attempt" ] || rm -f -- "$number" # an earlier attempt's
  before=$text
  while [ $# -gt 0 ]; do
    case $newline$text in
      *"$newline$1 "*) ;;
      *) text=$text${{text:+$newline}}"$1 $2" ;;
    esac
    shift 2
  done
  new=.$number.$$
  [ "$text" = "$before" ] || {{ printf '%s\\n' "$attempt" "$text" > "$new" && mv -fT -- "$new" "$number"; }}
  stop=
  {{ read -r stop; }} 2> /dev/null < "$run_dir/{STOP}"
  [ -z "$stop" ] || printf 'stop %s %s\\n' "$number" "$stop"
}}"""

_SHOW = """for file in [0-9]*; do
  [ -f "$file" ] || continue
  printf 'job %s\\n' "$file"
  while IFS= read -r line; do printf '%s\\n' "$line"; done < "$file"
done"""

_LEAVE = f"""leave() {{ # JOB RUN_DIR BEGINNING TEXT
  found=
  {{ read -r found; }} 2> /dev/null < "$2/{STOP}"
  case $found in
    "$3"*) ;;
    *) printf '%s\\n' "$4" > "$2/{STOP}.new" && mv -fT -- "$2/{STOP}.new" "$2/{STOP}" || return ;;
  esac
  printf '%s\\n' "$1"
}}"""


class Climbed(NamedTuple):
    """The rungs of all jobs of a Dag run by the combination's number, and the stops of those that were asked for.

    ``fault`` says why there are none.
    """

    rungs: Mapping[int, Rungs]
    stops: Mapping[int, Note]
    fault: str = ""


class Note(NamedTuple):
    """That a job is stopped, at which step, and why in words."""

    job_id: str
    step: float
    why: str


def climb(gate: str, jobs: Sequence[tuple[SubmittedJob, Rungs]]) -> str:
    """Return the script that adds to the rungs of jobs, and shows those of all jobs of the run, with these jobs' stops.

    ``gate`` is `gate_folder`'s.
    """
    above, folder = gate.rpartition("/")[0], quote(f"{gate}/rungs")
    shared = quote(above.rpartition("/")[0])
    return script(
        "newline='\n'",
        _CLIMB,
        f"if ! [ -d {folder} ]; then",  # where it is shared, others make theirs in it
        f'  [ -d {quote(above)} ] || mkdir -m "$(stat -L -c %a -- {shared})" -- {quote(above)}',
        f"  mkdir -p -- {folder}",
        "fi",
        f"if ! cd -- {folder} || ! [ -w . ]; then",
        f"  printf 'fault cannot write into %s\\n' {folder}",
        "else",
        *(
            f"climb {job.index} {quote(job.run_dir)} {join(word for each in rungs.items() for word in map(str, each))}"
            for job, rungs in jobs
        ),
        _SHOW,
        "fi",
        "true",
    )


def read_climbed(output: str) -> Climbed:
    """Read the answer to `climb`; what has another form is skipped."""
    rungs: dict[int, dict[int, float]] = {}
    stops: dict[int, Note] = {}
    own: dict[int, float] = {}
    fault = ""
    for line in output.split("\n"):
        first, _, second = line.partition(" ")
        if first == "job" and second.isdecimal():
            own = rungs.setdefault(int(second), {})
        elif first == "fault":
            fault = second
        elif first == "stop":
            number, _, text = second.partition(" ")
            if number.isdecimal() and (note := read_stop(text)):
                stops[int(number)] = note
        elif second:
            with suppress(ValueError):
                own[int(first)] = float(second)
    return Climbed(rungs, stops, fault)


def leave_stops(stops: Sequence[tuple[SubmittedJob, Stop]]) -> str:
    """Return the script that writes down which jobs are about to be stopped, unless that is written already.

    The answer has a line for each job whose run directory has the note now.
    """
    lines = []
    for job, stop in stops:
        value = stop.value if isfinite(stop.value) else None
        note = {"job": job.job_id, "rule": "asha", "metric": job.objective, "step": stop.step, "value": value}
        text = json.dumps({**note, "place": stop.place, "number": stop.number})
        beginning = json.dumps({"job": job.job_id}).removesuffix("}") + ","
        lines.append(f"leave {join([job.job_id, job.run_dir, beginning, text])}")
    return script(_LEAVE, *lines, "true")


def read_stop(text: str) -> Note | None:
    """Read what `leave_stops` wrote; None for anything else."""
    with suppress(ValueError, TypeError, KeyError):
        note = json.loads(text)
        value = "nan" if note["value"] is None else f"{note['value']:.6g}"
        why = f"{note['metric']} {value} at step {note['step']:g} is {note['place']} of {note['number']}"
        return Note(str(note["job"]), float(note["step"]), f"{note['rule']}: {why}")
    return None


def as_stopped(status: JobStatus, note: Note | None, signal: str) -> JobStatus:
    """Return how a job ended: one that a note names, and that was cancelled, was stopped early.

    ``signal`` is the first that job.sh got: where Slurm has forgotten the job, its exit file tells only that.
    """
    is_cancelled = status.state is JobState.CANCELLED or (status.source == EXIT_FILE and signal == "TERM")
    if note is None or note.job_id != status.job_id or not is_cancelled:
        return status
    return replace(status, text=JobState.STOPPED_EARLY.value, reason=note.why)
