"""Measure sweeps on a real Slurm and a real Airflow that live on this machine for as long as it takes.

Each size has a cluster and an Airflow of its own; so have the plain way in Airflow and a sweep whose jobs are all in
flight at once. Progress goes to standard error, the tables (Markdown) to standard output. Nothing is left behind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import flight, loops, runs
from bench.interrupt import until_interrupted
from bench.report import Results, machine, tables
from bench.say import say
from bench.stage import (
    INTERVAL,
    JOB_SECONDS,
    LONG_SECONDS,
    MAX_SIZE,
    RELEASED_SECONDS,
    STEPS,
    Setup,
    Stage,
    cluster,
    script,
    stage,
    sweep,
)
from sandbox import SandboxError

BASELINE = 100  # jobs
LOCAL_SIZES = (100, 1000)
SWEEP = "bench"
PLAIN = "plain"
EMPTY = "empty"
EMPTY_HELD = "empty_held"
# Airflow looks for the words airflow and dag.
_PLAIN_FILE = f"""\
from bench.plain_dag import plain_dag

dag = plain_dag("{PLAIN}", "slurm_sandbox", {INTERVAL})  # airflow
"""
_EMPTY_FILE = f"""\
from bench.empty_dag import empty_dag

dag = empty_dag("{EMPTY}")  # airflow
held = empty_dag("{EMPTY_HELD}", {LONG_SECONDS})
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure; return the exit code: 0 only if all was measured, and every job was run once and cleared away."""
    options = parser().parse_args(arguments)
    results, interrupted = Results(machine=machine()), False
    try:
        measure(options, results)
    except KeyboardInterrupt:
        say("interrupted; everything is stopped, and here is what was measured")
        interrupted = True
    print(tables(results))
    if options.json:
        options.json.write_text(json.dumps(results.to_json(), indent=2) + "\n")
    if options.plot:
        from bench.plot import plot  # noqa: PLC0415 - a second of imports that few need

        plot(results, options.plot)
    if interrupted:
        return 130
    return 0 if results.went_well else 1


def measure(options: argparse.Namespace, results: Results) -> None:
    """Add all measurements to the results; one that fails does not keep the others from running."""
    setup = Setup(keep=options.keep, triggerers=options.triggerers)

    @contextmanager
    def attempt(what: str) -> Iterator[None]:
        say(what)
        try:
            yield
        except (SandboxError, OSError) as error:
            say(f"{what}: {error}")
            results.failures.append(f"{what}: {error}")

    if not options.without_baselines:
        with attempt("sbatch in shell loops"):
            results.loops += _loops(setup)
        with attempt(f"plain Airflow, {BASELINE} jobs"):
            results.plain.append(_plain(BASELINE, setup))
        for size in options.combinations:
            with attempt(f"{size} combinations of empty triggers"):
                results.empty.append(_empty(size, setup))
    for size in options.combinations:
        with attempt(f"a sweep of {size} combinations"):
            results.sweeps.append(_sweep(size, setup))
    if options.released:
        with attempt(f"a sweep of {options.released} combinations whose jobs run once all tasks wait"):
            results.released.append(_released(options.released, setup))
    if options.histories:
        with attempt(f"the same with {options.histories} jobs that write {STEPS} steps each"):
            results.released.append(_released(options.histories, setup, has_histories=True))
    if options.in_flight and not options.without_baselines:
        with attempt(f"{options.in_flight} empty triggers in flight"):
            results.flights.append(_empty_flight(options.in_flight, setup))
    if options.in_flight:
        with attempt(f"a sweep with {options.in_flight} jobs in flight"):
            results.flights.append(_flight(options.in_flight, setup))


def _loops(setup: Setup) -> list[loops.Loop]:
    with cluster(keep=setup.keep) as (box, folder):
        local = [loops.on_the_login_node(box, folder, size) for size in LOCAL_SIZES]
        return [loops.over_ssh(box, folder, BASELINE), *local]


def _plain(size: int, setup: Setup) -> runs.Run:
    with _stage_of(_PLAIN_FILE, setup) as place:
        workdir = place.box.profile["workdir"]
        arguments = f"--cpus-per-task=1 --chdir={workdir} {workdir}/{script(JOB_SECONDS)}"
        return _baseline(place, PLAIN, "plain", {"size": size, "arguments": arguments})


def _empty(size: int, setup: Setup) -> runs.Run:
    with _stage_of(_EMPTY_FILE, setup) as place:
        return _baseline(place, EMPTY, runs.EMPTY, {"size": size})


@contextmanager
def _stage_of(dag_file: str, setup: Setup) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="bench-") as dags:
        (Path(dags) / "baseline.py").write_text(dag_file)
        with stage(setup, sweeps={}, dags=Path(dags)) as place:
            yield place


def _baseline(place: Stage, dag_id: str, what: str, conf: dict[str, object]) -> runs.Run:
    runs.warm_up(place, dag_id, {**conf, "size": 1})
    subject = runs.Subject(what=what, dag_id=dag_id, wait_task="combination.wait", conf=conf)
    return runs.measure(place, subject, int(str(conf["size"])))


def _sweep(size: int, setup: Setup) -> runs.Run:
    with stage(setup, sweeps={SWEEP: sweep(SWEEP, size, JOB_SECONDS)}) as place:
        runs.warm_up(place)
        subject = runs.Subject(what="sweep", dag_id=SWEEP, wait_task="combination.wait")
        return runs.measure(place, subject, size)


def _released(size: int, setup: Setup, *, has_histories: bool = False) -> runs.Run:
    text = sweep(SWEEP, size, RELEASED_SECONDS, held=True, has_histories=has_histories)
    with stage(setup, sweeps={SWEEP: text}) as place:
        runs.warm_up(place)
        what = "released, histories" if has_histories else "released"
        subject = runs.Subject(what=what, dag_id=SWEEP, wait_task="combination.wait", held=True)
        return runs.measure(place, subject, size)


def _flight(size: int, setup: Setup) -> flight.Flight:
    with stage(setup, sweeps={SWEEP: sweep(SWEEP, size, LONG_SECONDS)}) as place:
        runs.warm_up(place)
        subject = runs.Subject(what="sweep", dag_id=SWEEP, wait_task="combination.wait")
        return flight.measure(place, subject, size)


def _empty_flight(size: int, setup: Setup) -> flight.Flight:
    with _stage_of(_EMPTY_FILE, setup) as place:
        runs.warm_up(place, EMPTY, {"size": 1})
        subject = runs.Subject(what=runs.EMPTY, dag_id=EMPTY_HELD, wait_task="combination.wait", conf={"size": size})
        return flight.measure(place, subject, size)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root.add_argument(
        "--combinations",
        type=_sizes,
        default=[100, 1000, 3000],
        metavar="N,N,...",
        help=f"sizes of the sweeps, from 1 to {MAX_SIZE}; jobs take {JOB_SECONDS} s (default: 100,1000,3000)",
    )
    root.add_argument(
        "--released",
        type=_size_or_none,
        default=1000,
        metavar="N",
        help=f"jobs of {RELEASED_SECONDS} s that run once a task waits for each: how soon their ends are noticed; "
        "0 leaves it out (default: %(default)s)",
    )
    root.add_argument(
        "--histories",
        type=_size_or_none,
        default=0,
        metavar="N",
        help=f"the same with jobs that write {STEPS} steps of two metrics each (default: none)",
    )
    root.add_argument(
        "--in-flight",
        type=_size_or_none,
        default=5000,
        metavar="N",
        help="jobs that are held pending and running at once, then cancelled; 0 leaves it out (default: %(default)s)",
    )
    root.add_argument(
        "--json", type=_new_file, metavar="FILE", help="write all raw figures and facts about the machine"
    )
    root.add_argument("--plot", type=_new_file, metavar="FILE", help="draw the cost of a combination by size, as PNG")
    root.add_argument(
        "--without-baselines",
        action="store_true",
        help="only our sweeps: no loops, no plain Airflow, no empty triggers",
    )
    root.add_argument(
        "--triggerers",
        type=int,
        choices=(1, 2),
        default=1,
        help="how many Airflow has (default: %(default)s)",
    )
    root.add_argument("--keep", action="store_true", help="keep the folders with all logs, and say where they are")
    return root


def _size(text: str) -> int:
    if not text.strip().isdecimal() or not 1 <= int(text) <= MAX_SIZE:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MAX_SIZE}, got {text!r}")
    return int(text)


def _sizes(text: str) -> list[int]:
    return sorted({_size(part) for part in text.split(",")})


def _size_or_none(text: str) -> int:
    return 0 if text.strip() == "0" else _size(text)


def _new_file(text: str) -> Path:
    """Refuse at once what could not be written in an hour."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file in a folder that is there, got {text!r}")
    return path


if __name__ == "__main__":
    sys.exit(until_interrupted(main))
