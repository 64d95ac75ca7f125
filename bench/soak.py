"""Scheduled sweeps, each minute, with failures, cancels, clears and restarts: does anything but history grow?

scripts/bench --soak                # an hour
scripts/bench --soak --minutes 20   # at least 15

Half a minute apart, each part of Airflow and of the cluster is asked for its memory, open files and threads, the
database for its connections and the rows of each table, and the file system for files. The first ten minutes are left
out. Of the rest, the median of the first fifth is compared with that of the last fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import text

from bench.interrupt import until_interrupted
from bench.observe import ended
from bench.report import in_words, machine, table
from bench.say import say
from bench.stage import Setup, Stage, stage
from bench.usage import holdings

WARM_UP = 600.0  # seconds
LOOK = 30.0
MOST = 0.05  # by which a figure may grow
_SWEEP = """\
command: |
  printf 'step,loss\\n1,%s\\n' {{x}} > {{run_dir}}/metrics.csv
  sleep 3
  touch {{run_dir}}/step$SLURM_JOB_ID
  {end}
x: [1, 2, 3, 4]
slurm: {{gpus_per_node: 0, {slurm}}}
sweep: {{metrics: metrics.csv}}
dag: {{schedule: "* * * * *", start_date: 2026-01-01, max_active_runs: 4}}
"""
SWEEPS = {
    "each": _SWEEP.format(end="test {x} -ne 4", slurm="submit: each"),
    "array": _SWEEP.format(end="test {x} -ne 4", slurm="submit: array"),
    "chained": _SWEEP.format(end="test $(ls {run_dir} | grep -c ^step) -ge 2", slurm="chain: {jobs: 3, on: [FAILED]}"),
}
# Rows that runs add, and that `airflow db clean` takes away.
HISTORY = {
    "asset_event", "dag_run", "job", "log", "rendered_task_instance_fields", "task_instance", "task_instance_history",
    "task_instance_note", "task_map", "task_reschedule", "xcom",
}  # fmt: skip

Sample = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A figure, before and after."""

    name: str
    first: float
    last: float

    @property
    def ratio(self) -> float:
        """The part by which it grew."""
        return (self.last - self.first) / self.first if self.first else float(self.last > 0)

    @property
    def is_history(self) -> bool:
        """Whether it counts what runs leave on purpose."""
        kind, _, what = self.name.partition(" ")
        return kind == "history:" or (kind == "rows" and what.removeprefix("of ") in HISTORY)

    @property
    def is_too_much(self) -> bool:
        """Whether it is no history, and grew by more than `MOST`."""
        return not self.is_history and self.ratio > MOST


def growths(samples: list[Sample]) -> list[Growth]:
    """Compare the first fifth of the samples with the last one."""
    fifth = max(1, len(samples) // 5)
    names = sorted({name for sample in samples for name in sample})

    def middle(part: list[Sample], name: str) -> float:
        return median(sample.get(name, 0.0) for sample in part)

    return [
        Growth(name=name, first=middle(samples[:fifth], name), last=middle(samples[-fifth:], name)) for name in names
    ]


class Stand:
    """The stage, the person who acts on it, and whoever counts what is there."""

    def __init__(self, place: Stage) -> None:
        self._place = place
        ended = "state=success&state=failed"
        self._turns = cycle(((self._cancel, "state=running"), (self._clear, ended), (self._mark, "state=running")))
        self._dags = cycle(SWEEPS)
        self.acts = 0  # that Airflow took
        self.restarts = 0

    def act(self) -> None:
        """Do what a user does: cancel a run, clear a combination, or mark one failed."""
        (turn, states), dag = next(self._turns), next(self._dags)
        path = f"/api/v2/dags/{dag}/dagRuns?order_by=-run_after&limit=1&{states}"
        with suppress(OSError):  # the run has ended meanwhile, or Airflow is slow
            for run in self._place.airflow.call("GET", path)["dag_runs"]:
                turn(run)
                self.acts += 1

    def restart(self) -> None:
        """Kill the second triggerer, with all that it started, and start it again."""
        triggerer = self._place.airflow.triggerers[1]
        triggerer.kill(whole=True)
        triggerer.start()
        self.restarts += 1

    def look(self) -> Sample:
        """Count everything once."""
        found: Sample = {}
        for part, held in holdings(self._place.roots).items():
            found |= {
                f"MiB of {part}": held.bytes / 2**20,
                f"threads of {part}": held.threads,
                f"open files of {part}": held.files,
            }
        cluster = self._place.box.directory
        runs = Path(str(self._place.box.profile["log"]))
        found["history: files of runs"] = _files(runs)
        found["history: files of logs"] = _files(self._place.airflow.home / "logs")
        found["files elsewhere on the cluster"] = _files(cluster) - found["history: files of runs"]
        found["locks in run directories"] = _files(runs, "lock")
        return found | self._rows()

    def _rows(self) -> Sample:
        with self._place.database.connect() as connection:
            tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            names = [str(name) for (name,) in connection.execute(text(tables))]
            counted = {name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar() for name in names}
            connections = connection.execute(text("SELECT count(*) FROM pg_stat_activity")).scalar()
        return {f"rows of {name}": float(rows or 0) for name, rows in counted.items()} | {
            "connections of the database": float(connections or 0)
        }

    def _cancel(self, run: dict[str, Any]) -> None:
        self._place.airflow.mark_run(_path(run), "failed")

    def _mark(self, run: dict[str, Any]) -> None:
        self._place.airflow.mark_task(_path(run), "combination.wait", 1, "failed")

    def _clear(self, run: dict[str, Any]) -> None:
        own = run["dag_id"], run["dag_run_id"]
        self._place.airflow.clear_task(*own, "combination.submit", 3, downstream=True)


def _path(run: dict[str, Any]) -> str:
    return f"/api/v2/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}"


def _files(folder: Path, word: str = "") -> int:
    return sum(word in name for _, _, names in os.walk(folder) for name in names)


def soak(seconds: float, samples: list[Sample]) -> str:
    """Run for so long, add samples after the first ten minutes, and return what happened, in a sentence."""
    with stage(Setup(triggerers=2), sweeps=SWEEPS, settings={"SLURM_SWEEP__INTERVAL": 2}) as place:
        stand = Stand(place)
        began = time.monotonic()
        looks, acts, restarts = began, began + 90.0, began + 300.0
        while (now := time.monotonic()) < began + seconds:
            if now >= restarts:
                stand.restart()
                restarts += 600.0
            if now >= acts:
                stand.act()
                acts += 45.0
            if now >= looks:
                sample = stand.look()
                say(f"{now - began:5.0f} s: {sample['rows of dag_run']:.0f} runs, {sample['MiB of triggerer']:.0f} MiB")
                samples += [sample] * (now >= began + WARM_UP)
                looks += LOOK
            time.sleep(1)
        runs = stand.look()["rows of dag_run"]
        return f"{runs:.0f} runs, {len(ended(place))} jobs, {stand.acts} acts of a user, {stand.restarts} restarts"


def main(arguments: list[str] | None = None) -> int:
    """Soak; return 1 if something grew that is no history."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench --soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="at least 15 (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    options = parser.parse_args(arguments)
    if options.minutes < 15:
        parser.error("--minutes: at least 15")
    samples: list[Sample] = []
    what = soak(options.minutes * 60.0, samples)
    if options.json:
        options.json.write_text(json.dumps(samples, indent=2) + "\n")
    found = growths(samples)
    print(f"{in_words(machine())}: {options.minutes} minutes, {what}\n")
    rows = [
        (each.name, [f"{each.first:.0f}", f"{each.last:.0f}", _verdict(each)])
        for each in found
        if each.first or each.last
    ]
    print(table(["after ten minutes", "at the end", "growth"], rows))
    return int(any(each.is_too_much for each in found))


def _verdict(growth: Growth) -> str:
    more = f"{growth.ratio:+.0%}"
    return f"{more} (history)" if growth.is_history else f"**{more}**" if growth.is_too_much else more


if __name__ == "__main__":
    sys.exit(until_interrupted(main))
