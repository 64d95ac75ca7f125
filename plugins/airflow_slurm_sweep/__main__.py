"""Begin, check, preview and run sweeps, show their results, and check a cluster profile.

`run`, `results` and `check-cluster` need Airflow.

airflow-slurm-sweep init
airflow-slurm-sweep check include/sweeps/*.yaml
airflow-slurm-sweep preview include/sweeps/grpo.yaml optim.lr=3e-6 --nodes 2
airflow-slurm-sweep run include/sweeps/grpo.yaml
airflow-slurm-sweep results grpo --csv > grpo.csv
airflow-slurm-sweep convert wandb.yaml > include/sweeps/grid.yaml
airflow-slurm-sweep check-cluster default
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.check.findings import Grade
from airflow_slurm_sweep.cli import init, preview, results, run
from airflow_slurm_sweep.cli.needs_airflow import needs_airflow
from airflow_slurm_sweep.errors import Fault, SettingsError, SlurmSweepError, SweepFileError
from airflow_slurm_sweep.plan import layers_of, plan_run
from airflow_slurm_sweep.schema import preset_schema, profile_schema, settings_page, sweep_schema
from airflow_slurm_sweep.sweep.convert import convert
from airflow_slurm_sweep.sweep.files import check_dag_id, doubles, is_read, root_of, yaml_files
from airflow_slurm_sweep.sweep.layers import DEFAULT_PROFILE, Folders, Layers, RunSettings
from airflow_slurm_sweep.sweep.naming import is_template
from airflow_slurm_sweep.sweep.run_command import warnings
from airflow_slurm_sweep.sweep.spec import MAX_COMBINATIONS, SweepSpec, load_sweep, most_combinations
from airflow_slurm_sweep.sweep.yaml_reader import read_text

_SCHEMAS = {"sweep": sweep_schema, "profile": profile_schema, "preset": preset_schema}
_SHOW_DEFAULT = "default: %(default)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return 1 if it finds errors."""
    options = _parsed(arguments)
    atexit.register(gc.freeze)  # else Python's last collection goes through all of Airflow, for seconds
    try:
        return int(options.run(options) or 0)
    except SlurmSweepError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... | head`
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line; overrides may stand behind options, too: ``s.yaml --nodes 2 lr=1``."""
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    if "--" in more and "overrides" in options:  # behind it, an override may begin with a dash
        place = more.index("--")
        options.overrides += more[place + 1 :]
        more = more[:place]
    if more and ("overrides" not in options or any(text.startswith("-") for text in more)):
        return parser.parse_args(arguments)  # which says what is wrong
    if more:
        options.overrides += more
    return options


class _Parser(argparse.ArgumentParser):
    """Takes whole names of options only: ``--n=3`` is no ``--nodes``, but perhaps a parameter that is called so."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, **arguments)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="airflow-slurm-sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="list all errors of sweep files")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a sweep file, or a folder of them")
    text = f"default: AIRFLOW__SLURM_SWEEP__MAX_COMBINATIONS, else {MAX_COMBINATIONS}"
    check.add_argument("--max-combinations", type=int, metavar="N", help=text)
    check.set_defaults(run=_check)

    text = "write the files of a first sweep of your own, the Airflow connection among them"
    init.add_arguments(commands.add_parser("init", help=text, description=init.__doc__))

    description = (
        "Show what a sweep would submit: a dry run. Cluster profiles are read from the folder clusters beside the "
        "sweep file's; environment variables such as LOG and ACCOUNT count as in a run."
    )
    preview.add_arguments(
        commands.add_parser("preview", help="show what a sweep would submit", description=description)
    )

    text = "run a sweep here, without a scheduler"
    run.add_arguments(commands.add_parser("run", help=text, description=run.__doc__))

    text = "print what became of a run's combinations: a table, CSV, JSON or Markdown"
    results.add_arguments(commands.add_parser("results", help=text, description=results.__doc__))

    text = "print another tool's sweep file (W&B, Hydra) as one of ours, with comments on what is left out"
    converter = commands.add_parser("convert", help=text)
    converter.add_argument("file", type=Path, metavar="FILE")
    converter.set_defaults(run=_convert)

    _add_check_cluster(commands)
    _add_generators(commands)
    return parser


def _add_generators(commands: Any) -> None:
    schema = commands.add_parser("schema", help="print the JSON Schema of sweep files, cluster profiles or presets")
    schema.add_argument("kind", choices=_SCHEMAS)
    schema.set_defaults(run=lambda options: print(json.dumps(_SCHEMAS[options.kind](), indent=2)))

    settings = commands.add_parser("settings", help="print all settings with their defaults: docs/settings.md")
    settings.set_defaults(run=lambda _: print(settings_page()))


def _add_check_cluster(commands: Any) -> None:
    description = (
        "Check a cluster profile, from the login to sbatch on the cluster, and name what is wrong. The command needs "
        "Airflow and its connections: run it where Airflow's settings are. The Dag check_cluster does the same in a "
        "worker."
    )
    text = "check a cluster profile: login, Slurm, directories"
    cluster = commands.add_parser("check-cluster", help=text, description=description)
    cluster.add_argument("profile", nargs="?", default=DEFAULT_PROFILE, metavar="NAME", help=_SHOW_DEFAULT)
    text = f"holds clusters and job.sh; {_SHOW_DEFAULT}"
    cluster.add_argument("--include", type=Path, default=Path("include"), metavar="FOLDER", help=text)
    text = "also submit a job of a minute, and look for what the command needs on its compute node"
    cluster.add_argument("--submit", action="store_true", help=text)
    text = "print a text for a bug report instead, without secrets and names"
    cluster.add_argument("--report", action="store_true", help=text)
    cluster.set_defaults(run=_check_cluster)


def _check(options: argparse.Namespace) -> bool:
    is_faulty, most = False, options.max_combinations or most_combinations(os.environ)
    for path in options.files:
        files = [each for files in yaml_files(path).values() for each in files] if path.is_dir() else [path]
        if not files:
            is_faulty = True
            print(f"{path}: expected sweep files, whose names end in .yaml or .yml, got none", file=sys.stderr)
        for file in files:
            try:
                print(_verdict(file, most))
            except SlurmSweepError as error:
                is_faulty = True
                print(error, file=sys.stderr)
    return is_faulty


def _verdict(path: Path, max_combinations: int) -> str:
    """Return what Airflow makes of a sweep file; a SweepFileError says why it makes nothing of it."""
    absolute, source = path.absolute(), str(path)
    folder = root_of(absolute, "sweeps")
    if path.exists() and not is_read(absolute, folder):
        return f"{source}: passed over; a sweep file's name ends in .yaml or .yml, and begins with no . or #"
    files = yaml_files(folder) if folder.name == "sweeps" else {}
    if fault := dict(doubles(files, folder)).get(absolute):
        raise SweepFileError(source, [fault])
    dag_id = check_dag_id(absolute, folder, source)
    spec = load_sweep(path, source=source, max_combinations=max_combinations)
    layers = layers_of(spec, Folders.around(path), os.environ)
    _check_jobs(spec, layers)
    unchecked = _check_with_airflow(spec, absolute, dag_id) if spec.dag.notify or spec.dag.executor else []
    return "\n".join([f"{source}: {spec.size} combinations of {spec.what}", *warnings(spec, layers), *unchecked])


def _check_jobs(spec: SweepSpec, layers: Layers) -> None:
    """Refuse a sweep that each run would refuse; what its form or its environment may add is not missed here."""
    if layers.lacks(RunSettings(section=spec.slurm)) or is_template(spec.slurm.jobname or ""):
        return
    try:
        plan_run(spec, layers)
    except SettingsError as error:
        raise SweepFileError(spec.source, [Fault(problem=str(error))]) from None


def _check_with_airflow(spec: SweepSpec, path: Path, dag_id: str) -> list[str]:
    """Check what only Airflow can tell, such as whether a notifier's class exists; return what was not checked."""
    try:
        from airflow_slurm_sweep.factory import checked_dag  # noqa: PLC0415  # it takes seconds, and few files need it
    except ModuleNotFoundError as error:
        return [f"{spec.source}: not checked without Airflow: dag ({error})"]
    checked_dag(spec, Folders.around(path), path, dag_id)
    return []


def _convert(options: argparse.Namespace) -> None:
    source = str(options.file)
    print(convert(read_text(options.file, source), source), end="")


def _check_cluster(options: argparse.Namespace) -> bool:
    with needs_airflow("check-cluster"):
        from airflow_slurm_sweep.check import operator  # noqa: PLC0415
    if options.report:
        found, report = operator.check_for_report(options.profile, options.include)
        print(report)
    else:
        show = partial(print, flush=True)
        found = operator.check_cluster(options.profile, options.include, show, submits=options.submit)
    print(operator.summary(found))
    return any(finding.grade is Grade.FAILED for finding in found)


if __name__ == "__main__":
    sys.exit(main())
