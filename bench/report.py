"""Measured values as Markdown tables and as JSON."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.flight import Flight
from bench.loops import Loop
from bench.numbers import growth
from bench.observe import Observed
from bench.runs import Run
from bench.stage import TRIGGERERS
from sandbox.daemons import find_program

PARTS = (*TRIGGERERS, "scheduler", "dag-processor", "api-server", "postgres", "slurmctld", "sshd")


@dataclass(slots=True, kw_only=True)
class Results:
    """All that was measured.

    Attributes:
        machine: Facts about this machine and its programs.
        sweeps: Runs of our Dags.
        released: Runs of our Dags whose jobs were released once a task waited for each.
        plain: Runs of the plain Dag.
        empty: Runs of the Dag whose triggers do nothing.
        loops: Shell loops.
        flights: Jobs in flight.
        failures: What could not be measured, and why.
    """

    machine: dict[str, str]
    sweeps: list[Run] = field(default_factory=list)
    released: list[Run] = field(default_factory=list)
    plain: list[Run] = field(default_factory=list)
    empty: list[Run] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def went_well(self) -> bool:
        """Whether all was measured, each combination had one job, and no job of ours was left."""
        sweeps = all(run.went_well for run in [*self.sweeps, *self.released])
        return not self.failures and sweeps and all(flight.went_well for flight in self.flights)

    def to_json(self) -> dict[str, Any]:
        """All raw figures."""
        return {**asdict(self), "growth": _growth(self.sweeps)}


def machine() -> dict[str, str]:
    """Facts about this machine and its programs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "airflow": version("apache-airflow"),
        "slurm": _first_line(find_program("slurmctld") or "slurmctld", "-V").rpartition(" ")[2],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": _first_line("git", "rev-parse", "--short", "HEAD"),
    }


def in_words(machine: Mapping[str, str]) -> str:
    """The facts in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def _first_line(*command: str) -> str:
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip() or "unknown"


def tables(results: Results) -> str:
    """All results for the reader, in Markdown."""
    parts = [f"Measured on: {in_words(results.machine)}."]
    if runs := [*results.plain, *results.empty, *results.sweeps, *results.released]:
        parts.append(
            table([f"{run.what} {run.size}" for run in runs], [(name, list(map(of, runs))) for name, of in RUN])
        )
    if len(results.sweeps) > 1:
        parts.append(_growth_in_words(results.sweeps))
    if results.loops:
        rows = [
            [loop.what, str(loop.size), _number(loop.seconds), f"{loop.seconds_each:.4f}"] for loop in results.loops
        ]
        parts.append(_markdown([["submitting alone", "jobs", "seconds", "seconds for a job"], *rows]))
    if flights := results.flights:
        columns = [f"{flight.what} {flight.size}, in flight" for flight in flights]
        parts.append(table(columns, [(name, list(map(of, flights))) for name, of in FLIGHT]))
    parts += [f"Not measured: {failure}" for failure in results.failures]
    return "\n\n".join(parts)


def table(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A Markdown table of rows with names, without those of a second triggerer that is not there."""
    there = [(name, cells) for name, cells in rows if TRIGGERERS[1] not in name or set(cells) != {""}]
    return _markdown([["", *columns], *([name, *cells] for name, cells in there)])


def _markdown(rows: list[list[str]]) -> str:
    head, *body = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *body])


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


def _mebibytes(part: str) -> Callable[[Observed], str]:
    def cell(observed: Observed) -> str:
        usage = observed.usage.get(part)
        return f"{usage.peak_bytes / 2**20:.0f}" if usage else ""

    return cell


def _cpu(part: str) -> Callable[[Observed], str]:
    def cell(observed: Observed) -> str:
        usage = observed.usage.get(part)
        return _number(usage.cpu_seconds) if usage else ""

    return cell


def _stalls(observed: Observed) -> str:
    return f"{len(observed.stalls)}, {max(observed.stalls):.1f} s" if observed.stalls else "0"


def _of(cell: Callable[[Observed], str]) -> Callable[[Run], str]:
    return lambda run: cell(run.observed)


RUN: list[tuple[str, Callable[[Run], str]]] = [
    ("seconds until all were submitted", lambda run: _number(run.submitted)),
    ("seconds until all had finished", lambda run: _number(run.finished)),
    ("seconds until the Dag run had ended", lambda run: _number(run.ended)),
    ("end of the last job to end of the Dag run, s", lambda run: _number(run.closing)),
    ("seconds for a combination", lambda run: f"{run.seconds_each:.3f}"),
    ("end of a job to end of its task, median, s", lambda run: _number(run.lag_median)),
    ("likewise, 95th percentile, s", lambda run: _number(run.lag_p95)),
    ("Dag run", lambda run: run.state),
    ("jobs", lambda run: str(run.jobs)),
    ("failed tasks", lambda run: str(run.failed_tasks)),
    ("SSH connections", lambda run: str(run.observed.connections)),
    ("squeue and scontrol calls", lambda run: str(run.observed.job_queries)),
    ("sacct calls", lambda run: str(run.observed.sacct_calls)),
    ("sbatch calls", lambda run: str(run.observed.sbatch_calls)),
    ("stalls of the triggerer, longest", _of(_stalls)),
    *((f"peak MiB of {part}", _of(_mebibytes(part))) for part in PARTS),
    *((f"CPU s of {part}", _of(_cpu(part))) for part in PARTS),
    ("CPU s for a combination", lambda run: f"{run.cpu_each:.3f}"),
]

FLIGHT: list[tuple[str, Callable[[Flight], str]]] = [
    ("seconds until all were submitted", lambda flight: _number(flight.submitted)),
    ("SSH connections until then", lambda flight: str(flight.starting.connections)),
    ("stalls of the triggerer until then, longest", lambda flight: _stalls(flight.starting)),
    ("seconds held", lambda flight: _number(flight.held)),
    ("new SSH connections meanwhile", lambda flight: str(flight.waiting.connections)),
    ("squeue calls meanwhile", lambda flight: str(flight.waiting.job_queries)),
    ("squeue calls per tick", lambda flight: f"{flight.queries_per_tick:.2f}"),
    ("stalls of the triggerer meanwhile, longest", lambda flight: _stalls(flight.waiting)),
    *((f"peak MiB of {part} meanwhile", lambda flight, part=part: _mebibytes(part)(flight.waiting)) for part in PARTS),
    ("KiB of the triggerer for a job, beyond its first", lambda flight: f"{flight.bytes_each / 1024:.0f}"),
    *((f"CPU s of {part} meanwhile", lambda flight, part=part: _cpu(part)(flight.waiting)) for part in PARTS),
    ("seconds to mark the Dag run failed", lambda flight: _number(flight.marking)),
    ("seconds from that order until no job was left", lambda flight: _number(flight.cancelled)),
    ("jobs left", lambda flight: str(flight.left)),
]


def _growth(sweeps: Sequence[Run]) -> dict[str, float]:
    sizes = [run.size for run in sweeps]
    seconds = growth(sizes, [run.ended for run in sweeps])
    cpu = growth(sizes, [run.cpu_each * run.size for run in sweeps])
    return {"seconds": seconds, "cpu_seconds": cpu}


def _growth_in_words(sweeps: Sequence[Run]) -> str:
    exponents = _growth(sweeps)
    return (
        f"From {sweeps[0].size} to {sweeps[-1].size} combinations the time grows with the size to the power of "
        f"{exponents['seconds']:.2f}, CPU seconds to the power of {exponents['cpu_seconds']:.2f} (1 is linear)."
    )
