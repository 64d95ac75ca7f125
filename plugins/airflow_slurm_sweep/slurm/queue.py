"""What Slurm's commands print, read into values. Lines of another form are passed over: sites print notices.

A line ends with a newline only: what `str.splitlines` knows besides may stand in names and paths.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from airflow_slurm_sweep.slurm.job import JobStatus, Record
from airflow_slurm_sweep.slurm.results import NOT_READABLE, Results, read
from airflow_slurm_sweep.slurm.states import JobState

_JOB_ID = re.compile(r"[0-9]+(_[0-9]+)?")
_ELEMENT = re.compile(r"JobId=[0-9]+ ArrayJobId=([0-9]+) ArrayTaskId=([0-9]+) ")
_SHOWN = re.compile(r"^@ ([0-9]+) (https?://\S+)\n", re.MULTILINE)
_NEWS = re.compile(r"^= ([0-9]+) ([0-9]+)\n((?:[A-Za-z0-9+/=]+\n)*)", re.MULTILINE)
_CROWDED_OUT = re.compile(r"^! ([0-9]+)$", re.MULTILINE)
_OF_SLURM = tuple(f"   {key}=" for key in ("JobState", "Requeue", "RunTime", "SubmitTime", "StartTime", "NodeList"))


def is_job_id(text: str) -> bool:
    """Whether this is the id of a job, or of an element of an array: ``123_4``."""
    return _JOB_ID.fullmatch(text) is not None


def squeue(output: str) -> dict[str, JobStatus]:
    """Read the answer to `commands.squeue`, by job id."""
    return {
        job_id: JobStatus(
            job_id=job_id,
            state=state,
            text=text,
            elapsed=elapsed,
            queued=None if state.is_queued else _queued(*times.partition(" ")[::2]),
            nodes=nodes,
            reason=reason,
            source="squeue",
        )
        for job_id, text, ran, nodes, reason in _rows(output, "|", 5)
        for state, (elapsed, _, times) in [(JobState.parse(text), ran.partition(" "))]
    }


def outputs(output: str) -> dict[str, tuple[JobState, str]]:
    """Read the answer to `commands.outputs`: state and output path, by job id."""
    rows = (line.split(maxsplit=2) for line in output.split("\n"))
    return {row[0]: (JobState.parse(row[1]), row[2].rstrip()) for row in rows if len(row) == 3 and is_job_id(row[0])}


def records(output: str) -> dict[str, Record]:
    """Read the answer to `commands.records`, by its keys."""
    rows = (line.split(" ") for line in output.split("\n"))
    return {row[0]: Record(f"{row[1]} {row[2]}", f"{row[3]} {row[4]}", row[5]) for row in rows if len(row) == 6}


def submissions(output: str, mark: str) -> dict[int, tuple[int, str]]:
    """Read the answer to `commands.submit_all`: exit status and text of each submission, by its number."""
    found = {}
    for answer in output.split(f"{mark} ")[1:]:
        head, _, said = answer.partition("\n")
        number, _, status = head.partition(" ")
        if number.isdecimal() and status.isdecimal():
            found[int(number)] = (int(status), said.strip())
    return found


def sacct(output: str) -> dict[str, JobStatus]:
    """Read the answer to `commands.sacct`, by job id; a heterogeneous job's goes by its first part, ``7+0``."""
    rows = ((row[0].removesuffix("+0"), *row[1:]) for row in _rows(output, "|", 5))
    return {
        job_id: JobStatus(
            job_id=job_id,
            state=JobState.parse(state),
            text=state,
            exit_code=exit_code,
            elapsed=elapsed,
            queued=_queued(*times.partition("|")[::2]),
            nodes=nodes,
            source="sacct",
        )
        for job_id, state, exit_code, elapsed, rest in rows
        for nodes, _, times in [rest.partition("|")]
    }


def scontrol(output: str) -> dict[str, JobStatus]:
    """Read the answer to `commands.scontrol`, by job id.

    Names, paths and comments of the user's may hold ``JobState=COMPLETED``; the lines read here are Slurm's alone.
    """
    found = {}
    for record in re.split(r"^(?=JobId=)", output, flags=re.MULTILINE):
        lines = [line for line in record.split("\n") if line.startswith(_OF_SLURM)]
        fields = dict(word.partition("=")[::2] for line in lines for word in line.split())
        element = _ELEMENT.match(record)
        job_id = f"{element[1]}_{element[2]}" if element else record.partition(" ")[0].partition("=")[2]
        if "JobState" in fields:
            found[job_id] = JobStatus(
                job_id=job_id,
                state=JobState.parse(fields["JobState"]),
                text=fields["JobState"],
                exit_code=fields.get("ExitCode", ""),
                elapsed=fields.get("RunTime", ""),
                queued=None
                if JobState.parse(fields["JobState"]).is_queued
                else _queued(fields.get("SubmitTime", ""), fields.get("StartTime", "")),
                nodes=fields.get("NodeList", "").replace("(null)", ""),
                reason=fields.get("Reason", ""),
                source="scontrol",
            )
    return found


def exit_files(output: str) -> dict[str, JobStatus]:
    """Read the answer to `commands.exit_files`, by job id."""
    found = {}
    for job_id, exit_status, signal in _rows(output, " ", 3):
        if exit_status.isdecimal():
            ended_well = exit_status == "0" and signal == "-"
            state = JobState.COMPLETED if ended_well else JobState.FAILED
            reason = "" if signal == "-" else f"ended by SIG{signal}: time limit, cancellation or preemption"
            found[job_id] = JobStatus(
                job_id=job_id,
                state=state,
                text=state.value,
                exit_code=f"{exit_status}:0",
                reason=reason,
                source="exit-status file",
            )
    return found


def results(output: str) -> dict[int, Results]:
    """Read the answer to `commands.results`, by the job's number."""
    shown = {int(number): url for number, url in _SHOWN.findall(output)}
    found = {number: Results(wandb=url) for number, url in shown.items()}
    output = _SHOWN.sub("", output)
    for answer in re.split(r"^= ", output, flags=re.MULTILINE)[1:]:
        head, _, body = answer.partition("\n")
        number, _, refused = head.partition(" ")
        if number.isdecimal():
            try:
                told = NOT_READABLE if refused else read(b64decode(body))
            except ValueError:  # cut off
                told = NOT_READABLE
            found[int(number)] = replace(told, wandb=shown.get(int(number), ""))
    return found


class NewOutput(NamedTuple):
    """What is new in logs.

    Attributes:
        found: Where it begins, in bytes, and what it is, by the log's number.
        crowded_out: The numbers of those that had news, and no room for them.
    """

    found: Mapping[int, tuple[int, bytes]]
    crowded_out: frozenset[int]


def new_output(output: str) -> NewOutput:
    """Read the answer to `commands.new_output`."""
    found = {}
    for number, start, body in _NEWS.findall(output):
        with suppress(ValueError):  # cut off
            found[int(number)] = int(start), b64decode(body)
    return NewOutput(found, frozenset(int(number) for number in _CROWDED_OUT.findall(output)))


def _queued(submitted: str, started: str) -> int | None:
    """Return the seconds between two times of Slurm's, which are N/A, Unknown or None where there is none."""
    if not (submitted.isdecimal() and started.isdecimal()) or int(started) < int(submitted):
        return None
    return int(started) - int(submitted)


def _rows(output: str, separator: str, width: int) -> Iterator[list[str]]:
    """Yield the lines that have ``width`` fields and begin with a job id, as fields."""
    for line in output.split("\n"):
        fields = [field.strip() for field in line.split(separator, width - 1)]
        if len(fields) == width and fields[0][:1].isdecimal():
            yield fields
