"""Print what became of a run's combinations, also while it runs, from Airflow's database: a table, or a file's text.

It needs Airflow and the settings of its database, such as AIRFLOW_HOME.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_slurm_sweep.cli.needs_airflow import needs_airflow, unusable_database
from airflow_slurm_sweep.report import Row
from airflow_slurm_sweep.report_text import summary, table
from airflow_slurm_sweep.slurm.finite import is_number
from airflow_slurm_sweep.sweep.files import check_dag_id, root_of

if TYPE_CHECKING:
    from airflow_slurm_sweep.page.rows import RunRows  # needs Airflow, which other commands do without


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's Dag, or its file")
    parser.add_argument("--run", dest="run_id", metavar="ID", help="a Dag run of it; default: the latest")
    form = parser.add_mutually_exclusive_group()
    for name, text in (
        ("csv", "a line for each job, with all parameters and metrics"),
        ("json", "likewise, with types"),
        ("markdown", "the report, for a pull request"),
    ):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=text)
    parser.set_defaults(run=_print)


def results(sweep: str, run: str | None = None) -> list[dict[str, Any]]:
    """Return a flat row for each job; see `airflow_slurm_sweep.results`."""
    return [_flat(row) for row in _rows(sweep, run).jobs]


def _print(options: argparse.Namespace) -> None:
    run = _rows(options.sweep, options.run_id)
    if options.form == "csv":
        flat = [_flat(row) for row in run.jobs]
        writer = csv.DictWriter(
            sys.stdout, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in flat)
    elif options.form == "json":
        print(json.dumps([row.to_json() for row in run.jobs], indent=2))
    elif options.form == "markdown":
        print(summary(f"{options.sweep} {run.run_id}", run.combinations, run.objective, run.jobs))
    else:
        print(table(run.combinations, run.objective))


def _rows(sweep: str, run: str | None) -> RunRows:
    if sweep.endswith((".yaml", ".yml")):
        path = Path(sweep).absolute()
        sweep = check_dag_id(path, root_of(path, "sweeps"), sweep)
    with needs_airflow("results"):
        from airflow.utils.session import create_session  # noqa: PLC0415
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

        from airflow_slurm_sweep.page.rows import rows  # noqa: PLC0415
    try:
        with create_session() as session:
            return rows(session, sweep, run)
    except DBAPIError as error:
        raise unusable_database(error.orig) from None


def _flat(row: Row) -> dict[str, Any]:
    values = row.to_json()
    for group in ("parameters", "metrics", "spread"):
        values |= {f"{group}.{name}": value for name, value in values.pop(group).items()}
    return values


def _cell(value: Any) -> Any:
    """Return a value as a file of comma-separated values has it.

    A spreadsheet takes text that begins like a formula, such as a line of a job's log, for one: it gets a quote.
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not is_number(value):
        return f"'{value}"
    return json.dumps(value) if isinstance(value, dict | list | bool) else value
