"""What *resume* goes by: the run directories of a Dag's earlier runs, and which combination goes on in which one.

A combination is known by the values of its swept parameters, with their types, and not by its number: a list that grew,
also in front, changes nothing for the others. Where the swept parameters themselves differ, nothing goes on.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.parameters import json_values
from airflow_slurm_sweep.slurm.rungs import Note, read_stop
from airflow_slurm_sweep.slurm.submit.answer import submitted_job

_GOES_ON = "Compared with the earlier run, "
_DONE = "Warning: combinations that are done stay done (existing: new runs them again), although "


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierJob:
    """A run directory, and the last job in it. What earlier versions did not write down is empty, or None."""

    base: str  # the name of its run
    run_dir: str
    job_id: str  # empty where none came of the submission
    exit: str  # what job.sh left: ``<exit status> <signal or ->``
    name: str
    parameters: Mapping[str, Any]
    swept: tuple[str, ...] | None
    overrides: tuple[str, ...] = ()
    command: str | None = None
    stop: Note | None = None  # of a job that was stopped early

    def submitted(self, like: JobRequest) -> SubmittedJob:
        """Return the job as Slurm accepted it; ``like`` is a job of the run that goes on with it."""
        return submitted_job(replace(like, name=self.name, run_dir=self.run_dir), self.job_id)


def read_runs(output: str) -> list[EarlierJob]:
    """Read the answer to `list_runs`, in the order of the runs; what has no readable combination.json is left out."""
    lines = output.split("\n")
    found = []
    for place in range(0, len(lines) - 5, 6):
        head, run_dir, job_id, exit_, stop, text = lines[place : place + 6]
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            values = json.loads(text)
            swept = values.get("swept")
            found.append(
                EarlierJob(
                    base=head.removeprefix("@ "),
                    run_dir=run_dir,
                    job_id=job_id,
                    exit=exit_,
                    stop=read_stop(stop),
                    name=values.get("name") or run_dir.rpartition("/")[2],
                    parameters=dict(values["parameters"]),
                    swept=None if swept is None else tuple(swept),
                    overrides=tuple(values["overrides"]),
                    command=values.get("command"),
                )
            )
    # BASE_run10 comes behind BASE_run9, and BASE_sweep_10 behind BASE_sweep_9.
    return sorted(found, key=lambda job: (len(job.base), job.base, len(job.run_dir), job.run_dir))


def match(jobs: Sequence[JobRequest], earlier: Sequence[EarlierJob]) -> dict[int, list[EarlierJob]]:
    """Return the directories in which combinations may go on, the latest run's first, by the combination's number.

    No directory is there twice: equal combinations share out those of each run, in order. Where no parameter is swept,
    and in a directory of an earlier version, which wrote down no swept parameters, all values must be the same.

    Raises:
        SettingsError: There are earlier runs, and all swept over other parameters.
    """
    swept = set(jobs[0].swept)
    known = [job for job in earlier if job.swept is not None]
    if known and not any(set(job.swept or ()) == swept for job in known):
        then, now = (", ".join(keys or ()) or "nothing" for keys in (known[-1].swept, jobs[0].swept))
        raise SettingsError(
            f"existing is resume, but {known[-1].base} swept over {then}, and this run sweeps over {now}; "
            "sweep over the same parameters, or set existing to new"
        )
    free: dict[str, dict[str, list[EarlierJob]]] = {}  # by values, then by run
    for place in earlier:
        if place.swept is None or not (swept or place.swept):
            free.setdefault(_all_values(place), {}).setdefault(place.base, []).append(place)
        elif set(place.swept) == swept:
            free.setdefault(_swept_values(place.parameters, swept), {}).setdefault(place.base, []).append(place)
    keys = [(*([_swept_values(job.parameters, swept)] if swept else []), _all_values(job)) for job in jobs]
    equal, turns = Counter(chain(*keys)), Counter[str]()
    found: dict[int, list[EarlierJob]] = {}
    for job, own in zip(jobs, keys, strict=True):
        runs = ((key, run) for key in own for run in reversed(free.get(key, {}).values()))
        places = [place for key, run in runs for place in run[turns[key] :: equal[key]]]
        turns.update(own)
        if places and job.index is not None:
            found[job.index] = places
    return found


def differences(jobs: Iterable[JobRequest], earlier: Mapping[int, EarlierJob]) -> list[str]:
    """Say in which other ways jobs differ from those that they go on from, or that count as theirs, each once."""
    found: dict[str, None] = {}
    for job in jobs:
        place = earlier.get(job.index or 0)
        if place is not None:
            said = [*_other_values(job, place)]
            if not said and place.command not in (None, job.command):
                said = ["the command is another one"]
            found.update(dict.fromkeys(f"{_DONE if job.done else _GOES_ON}{text}" for text in said))
    return list(found)


def _other_values(job: JobRequest, place: EarlierJob) -> Iterator[str]:
    for key in dict.fromkeys([*place.parameters, *job.parameters]):
        then, now = (_text(each[key]) if key in each else "absent" for each in (place.parameters, job.parameters))
        if then != now:
            yield f"{key} was {then} and is {now}"
    if place.overrides != tuple(job.overrides):
        then, now = (" ".join(each) or "none" for each in (place.overrides, job.overrides))
        yield f"the overrides were {then} and are {now}"


def _swept_values(parameters: Mapping[str, Any], swept: Iterable[str]) -> str:
    return _text({key: parameters.get(key) for key in swept})


def _all_values(job: JobRequest | EarlierJob) -> str:
    return _text([job.parameters, list(job.overrides)])


def _text(value: Any) -> str:
    """Return a value as JSON, the same whether it comes from a sweep file or from combination.json."""
    return json.dumps(json.loads(json.dumps(json_values(value))), sort_keys=True, ensure_ascii=False)
