"""What a job leaves to be compared by: numbers in ``metrics.json``, and the address of its W&B run in its log.

{"reward": 0.93, "steps": 2000}
"""

import json
import logging
import re
import sys
from base64 import b64decode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from shlex import quote

from airflow_slurm_sweep.names import METRICS
from airflow_slurm_sweep.slurm.job import JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import NEWEST_LOG
from airflow_slurm_sweep.slurm.shell import script

MAX_BYTES = 16 * 1024  # of metrics.json: Airflow's database keeps it, and report reads those of thousands of jobs
_MAX_NAME = 100  # characters of a metric's name
_MAX_FAULTS = 3  # that a warning lists

_WANDB_BYTES = 256 * 1024  # at the beginning of a log, where wandb prints the run's address
_VIEW_RUN = r"\|.*View run .*\(https\{0,1\}://[A-Za-z0-9._:/%-]*/runs/[A-Za-z0-9._%-]*\).*|{ s||\1|; p; q; }"  # for sed
_WANDB_LINE = re.compile(r"^@ ([0-9]+) (https?://\S+)$", re.MULTILINE)
_FILE = re.compile(r"^= ([0-9]+)( -)?\n((?:[A-Za-z0-9+/=]+\n)*)", re.MULTILINE)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a job left; ``fault`` says what was wrong with the rest of metrics.json."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    fault: str = ""
    wandb: str = ""  # where Weights & Biases shows the run


NO_FILE = Results()
_NOT_READABLE = Results(fault="expected a regular file that we may read, got another; it is not read")


def results(jobs: Iterable[tuple[str, str]]) -> str:
    """Return the script that reads what jobs left, given as run directory and `job_logs.log_words`.

    The answer has, for each metrics.json, a line ``= NUMBER``, the job's number from 0, and lines of base64; or a line
    ``= NUMBER -`` for one that is not read: a link, a pipe. Where wandb prints the run's address at the beginning of
    the log, the answer has a line ``@ NUMBER URL``.
    """
    return script(
        NEWEST_LOG,
        "results() { # NUMBER METRICS WORDS",
        "  number=$1 metrics=$2",
        "  shift 2",
        '  find_log "$@"',
        '  if [ -f "$log" ] && [ ! -L "$log" ]; then',
        f'    url=$(head -c {_WANDB_BYTES} -- "$log" | LC_ALL=C sed -n {quote(_VIEW_RUN)})',
        '    [ -z "$url" ] || printf \'@ %s %s\\n\' "$number" "$url"',
        "  fi",
        '  if [ -L "$metrics" ] || { [ -e "$metrics" ] && ! { [ -f "$metrics" ] && [ -r "$metrics" ]; }; }; then',
        "    printf '= %s -\\n' \"$number\"",
        '  elif [ -e "$metrics" ]; then',
        "    printf '= %s\\n' \"$number\"",
        f'    head -c {MAX_BYTES + 1} -- "$metrics" | base64',
        "  fi",
        "}",
        *(f"results {number} {quote(f'{folder}/{METRICS}')} {words}" for number, (folder, words) in enumerate(jobs)),
        "true",
    )


def read_results(output: str) -> dict[int, Results]:
    """Read the answer to `results`, by the job's number."""
    found = {int(number): Results(wandb=url) for number, url in _WANDB_LINE.findall(output)}
    for number, refused, body in _FILE.findall(output):
        left = _NOT_READABLE
        with suppress(ValueError):  # base64 that was cut off
            left = _NOT_READABLE if refused else read_metrics(b64decode(body))
        found[int(number)] = replace(left, wandb=found.get(int(number), NO_FILE).wandb)
    return found


def read_metrics(data: bytes) -> Results:
    """Read the first `MAX_BYTES` bytes of metrics.json, and one more if there is one."""
    if len(data) > MAX_BYTES:
        return Results(fault=f"expected at most {MAX_BYTES // 1024} KiB, got more; none of it is taken")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        return Results(fault=f'expected JSON such as {{"reward": 0.9}} ({error}); none of it is taken')
    if not isinstance(found, dict):
        kind = type(found).__name__
        return Results(fault=f'expected numbers by name such as {{"reward": 0.9}}, got a {kind}; none of it is taken')
    faults = {name: fault for name, value in found.items() if (fault := _fault(name, value))}
    more = f", and {len(faults) - _MAX_FAULTS} more such" if len(faults) > _MAX_FAULTS else ""
    return Results(
        metrics={name: value for name, value in found.items() if name not in faults},
        fault=f"{'; '.join(list(faults.values())[:_MAX_FAULTS])}{more}; left out" if faults else "",
    )


def add(job: SubmittedJob, status: JobStatus, results: Results) -> JobStatus:
    """Return how a job ended, with what it left; a fault of metrics.json is logged."""
    if results.fault:
        log.warning("%s/%s: %s", job.run_dir, METRICS, results.fault)
    return replace(status, metrics=results.metrics, wandb=results.wandb)


def _fault(name: str, value: object) -> str:
    if not name.isprintable() or not 0 < len(name) <= _MAX_NAME:  # no database takes NUL and half characters
        return f"expected a printable name of at most {_MAX_NAME} characters, got {name!r:.120}"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not -sys.float_info.max <= value <= sys.float_info.max:  # type: ignore[operator]
        return f"{name}: expected a finite number, got {value!r:.60}"
    return ""
