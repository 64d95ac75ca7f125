"""Sweep files become Dags.

    # dags/sweeps.py
    globals().update(sweep_dags(Path(__file__).parents[1] / "include"))

Each Dag is ``plan -> [approve] -> combination[submit -> wait] -> report``, its id the file's name (sweep/files.py); a
second Dag bundle in the same Airflow gives its Dags a prefix. A mapped task group keeps it small however many
combinations there are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, get_parsing_context, task_group
from airflow.sdk.exceptions import AirflowException

from airflow_slurm_sweep import names
from airflow_slurm_sweep.copies import second_copy
from airflow_slurm_sweep.errors import Fault, SettingsError, SlurmSweepError, SweepFileError
from airflow_slurm_sweep.plan import budgets, layers_of
from airflow_slurm_sweep.sweep.dag_section import AssetSchedule, DagSection
from airflow_slurm_sweep.sweep.files import check_dag_id, doubles, yaml_files
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.spec import SweepSpec, load_sweep, parse_sweep
from airflow_slurm_sweep.tasks import configuration, owners
from airflow_slurm_sweep.tasks.dag import SweepDag, documentation
from airflow_slurm_sweep.tasks.form import check_form, launch_form, sweep_form
from airflow_slurm_sweep.tasks.internals import is_dag_processor
from airflow_slurm_sweep.tasks.notify import Notification, failure_report, sweep_report
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator
from airflow_slurm_sweep.tasks.owners import Note, claim
from airflow_slurm_sweep.tasks.plan_task import PlanSweepOperator
from airflow_slurm_sweep.tasks.report_task import ReportSweepOperator

MAX_LAUNCHES = 16
RETRY_DELAY = timedelta(seconds=20)
_OF_WORKERS = ("queue", "pool", "executor", "priority_weight")  # Airflow's arguments of tasks that run in a worker


def sweep_dags(include: Path, *, prefix: str = "") -> dict[str, DAG]:
    """Return a Dag for each sweep file that loads, by Dag id: ``prefix`` and the file's name.

    Where Airflow runs a task it wants one Dag only: then only that file is read.
    Files that do not load are left out here; `check_sweeps` tells of them.
    """
    dags, _ = _load(include, prefix, only=get_parsing_context().dag_id)
    return dags


def check_sweeps(include: Path, *, prefix: str = "") -> None:
    """Load all sweep files.

    Raises:
        SlurmSweepError: Files do not load, their folder cannot be read, another Dag bundle has a Dag of the same id, a
            setting of airflow.cfg is obsolete, or this package is installed twice; the message lists all faults.
    """
    _, faults = _load(include, prefix)
    twice, folder = second_copy(), configuration.folders(include).sweeps
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        faults.append(f"{folder}: the folder of sweep files cannot be read: {error.strerror}")
    if messages := [*([twice] if twice else []), *configuration.obsolete(), *faults]:
        raise SlurmSweepError("\n".join(messages))


def _load(include: Path, prefix: str, *, only: str | None = None) -> tuple[dict[str, DAG], list[str]]:
    """Return the Dags of the sweep files by id, and the faults of the files that do not load."""
    dags, broken = {}, {}
    folders = configuration.folders(include)
    files = yaml_files(folders.sweeps)
    faults = [str(SweepFileError(folders.shown(path), [fault])) for path, fault in doubles(files, folders.sweeps)]
    for name, (path, *_) in files.items():
        dag_id = prefix + name
        if only in (None, dag_id):
            try:
                dags[dag_id] = sweep_dag(path, include, prefix=prefix)
            except SweepFileError as error:
                faults.append(str(error))
                broken[dag_id] = path
            except Exception as error:  # a fault of ours: without the net all Dags would be gone
                fault = Fault(problem=f"unexpected error, please report it: {type(error).__name__}: {error}")
                faults.append(str(SweepFileError(folders.shown(path), [fault])))
                broken[dag_id] = path
    for dag_id, dag in _stand_ins(include, broken, only).items():
        dags[dag_id] = dag
        if dag_id not in broken:
            faults.append(str(dag.description))
    return dags, faults


def _stand_ins(include: Path, broken: Mapping[str, Path], only: str | None) -> dict[str, DAG]:
    """Return Dags for unfinished runs whose sweep file is broken or missing: their plans need no file.

    Without a Dag Airflow would schedule nothing of such a run, and a worker could not report.
    """
    is_task = get_parsing_context().task_id is not None
    if not (is_task or is_dag_processor()):
        return {}
    folders = configuration.folders(include)
    notes = owners.notes(folders.sweeps)
    if is_task:  # perhaps on a machine without notes
        notes = {**{dag_id: Note(path, "") for dag_id, path in broken.items()}, **notes}
    found = {}
    for dag_id, note in notes.items():
        path = folders.sweeps / note.source.relative_to(folders.sweeps.resolve())
        if only not in (None, dag_id) or (path.exists() and dag_id not in broken):
            continue
        runs = [[names.APPROVE]] if is_task else owners.unfinished_runs(dag_id)
        if runs:
            asks = any(names.APPROVE in tasks for tasks in runs)
            found[dag_id] = _stand_in(dag_id, note, path, include, asks=asks)
        elif not path.exists():
            owners.forget(dag_id)
    return found


def _stand_in(dag_id: str, note: Note, path: Path, include: Path, *, asks: bool) -> DAG:
    source = configuration.folders(include).shown(path)
    problem = (
        f"{source}: the file {'has errors' if path.exists() else 'is missing'}; the Dag waits for its unfinished run"
    )

    def build(text: str) -> DAG:
        most = configuration.max_combinations()
        spec = parse_sweep(text, source=source, folder=path.parent, max_combinations=most)
        changes = {"schedule": None, "description": problem, "tags": (*spec.dag.tags, names.UNREADABLE)}
        return _build(replace(spec, dag=spec.dag.model_copy(update=changes)), path, include, dag_id, asks=asks)

    try:
        return build(note.text)
    except (AirflowException, SweepFileError, ValueError):  # it loaded once, but something else has changed since
        return build("script_path: unknown")


def sweep_dag(path: Path, include: Path, *, prefix: str = "") -> DAG:
    """Return the Dag of one sweep file.

    Raises:
        SweepFileError: The file has faults, or another Dag bundle has a Dag of the same id.
    """
    folders = configuration.folders(include)
    source = folders.shown(path)
    dag_id = check_dag_id(path, folders.sweeps, source, prefix)
    spec = load_sweep(path, source=source, max_combinations=configuration.max_combinations())
    return checked_dag(spec, folders, path, dag_id)


def checked_dag(spec: SweepSpec, folders: Folders, path: Path, dag_id: str) -> DAG:
    """Return the Dag of a sweep that was read from a file; see `sweep_dag`."""
    try:
        layers = layers_of(spec, folders, os.environ)
        configuration.check_size(spec.size)
        configuration.check_executor(spec.dag.executor)
        asks = any(each.approve for each in budgets(spec, layers).values())
        dag = _build(spec, path, folders.include, dag_id, asks=asks)
        dag.validate()
        claim(dag.dag_id, path)
    except (AirflowException, SettingsError, ValueError) as error:  # one file must not take the others down
        raise SweepFileError(spec.source, [Fault(key="dag", problem=str(error))]) from None
    return dag


def _build(spec: SweepSpec, path: Path, include: Path, dag_id: str, *, asks: bool) -> DAG:
    section = spec.dag
    dag = SweepDag(
        dag_id=dag_id,
        schedule=_schedule(section),
        start_date=_in_timezone(section.start_date, section.timezone),
        end_date=_in_timezone(section.end_date, section.timezone),
        catchup=section.catchup,
        tags=[names.TAG, *section.tags],
        description=section.description or f"{spec.size} combinations of {spec.what}",
        max_active_runs=section.max_active_runs,
        default_args={"owner": section.owner, "retries": section.retries, "retry_delay": RETRY_DELAY},
        doc_md=documentation(spec),
        params=sweep_form(spec),
        auto_register=False,  # or a Dag would count for every file that builds it, check_sweeps' among them
    )
    in_workers = {name: value for name in _OF_WORKERS if (value := getattr(section, name)) is not None}
    with dag:
        plan = PlanSweepOperator(task_id=names.PLAN, sweep_file=str(path), include=str(include), **in_workers)
        report = _run_all(plan, asks=asks, **in_workers)
        report.outlets = [Asset(f"{names.ASSET_PREFIX}{dag.dag_id}")]
    _add_notifications(section, dag)
    return dag


def _schedule(section: DagSection) -> Any:
    if not isinstance(section.schedule, AssetSchedule):
        return section.schedule
    # References: whoever makes the asset says what its name and its URI are.
    return [Asset.ref(uri=text) if "://" in text else Asset.ref(name=text) for text in section.schedule.assets]


def _in_timezone(date: datetime | None, timezone: str) -> datetime | None:
    """Return a date of the sweep file in its timezone, which the schedule then keeps to over daylight saving."""
    if date is None:
        return None
    zone = pendulum.timezone(timezone)
    return pendulum.instance(date, tz=zone).in_timezone(zone)  # a date without offset is local time


def _add_notifications(section: DagSection, dag: DAG) -> None:
    """Add the callbacks that the sweep file names; a ValueError if one cannot be used."""
    for each in section.notify:
        is_of_combination = each.on == "combination_failed"
        report = failure_report if is_of_combination else sweep_report
        callback = Notification(each.notifier, each.arguments, report)
        if each.on == "stuck":
            wait: Any = dag.get_task(names.WAIT)
            wait.trigger_arguments.setdefault("on_stuck", []).append(
                {"notifier": each.notifier, "arguments": each.arguments}
            )
            continue
        for task_id in (names.SUBMIT, names.WAIT) if is_of_combination else (names.REPORT,):
            task: Any = dag.task_dict[task_id]
            task.on_failure_callback = [*task.on_failure_callback, callback]
            if each.on == "finished":
                task.on_success_callback = [*task.on_success_callback, callback]


def launch_dag(include: Path, *, prefix: str = "") -> DAG:
    """Return the Dag ``launch``, which runs what its form says: a script once, or a sweep.

    Raises:
        SettingsError: Another Dag bundle has a Dag of the same id.
    """
    claim(prefix + names.LAUNCH, include)
    dag = SweepDag(
        dag_id=prefix + names.LAUNCH,
        schedule=None,
        tags=[names.TAG],
        description="Any script or sweep, from the trigger form",
        max_active_runs=MAX_LAUNCHES,
        default_args={"retries": DagSection().retries, "retry_delay": RETRY_DELAY},
        params=launch_form(),
        auto_register=False,
    )
    with dag:
        _run_all(PlanSweepOperator(task_id=names.PLAN, include=str(include)), asks=True)  # any sweep may come
    return dag


def check_dag(include: Path, *, prefix: str = "") -> DAG:
    """Return the Dag ``check_cluster``, which tries the cluster profile that its form names.

    Raises:
        SettingsError: Another Dag bundle has a Dag of the same id.
    """
    from airflow_slurm_sweep.check.operator import CheckClusterOperator, CheckLoginOperator  # noqa: PLC0415  # of one Dag

    claim(prefix + names.CHECK, include)
    dag = DAG(
        dag_id=prefix + names.CHECK,
        schedule=None,
        tags=[names.TAG, names.CHECK],
        description="Tries a cluster profile: login, Slurm, directories",
        params=check_form(),
        auto_register=False,
    )
    with dag:
        CheckClusterOperator(task_id="check", include=str(include), retries=0)
        CheckLoginOperator(task_id="login_from_triggerer", include=str(include), retries=0)
    return dag


def _run_all(plan: PlanSweepOperator, *, asks: bool, **in_workers: Any) -> ReportSweepOperator:
    """Add the tasks that run a plan, with ``approve`` if it ``asks``, and return the one that reports."""

    @task_group(group_id=names.GROUP)
    def combination(job: Any) -> None:
        submit = SlurmSubmitOperator(task_id="submit", job=job)
        SlurmJobSensor(task_id="wait", job=submit.output)

    report = ReportSweepOperator(task_id=names.REPORT, **in_workers)
    jobs: Any = plan
    if asks:
        from airflow_slurm_sweep.tasks.approve import ApproveOperator  # noqa: PLC0415  # most sweeps ask nobody

        jobs = plan >> ApproveOperator(task_id=names.APPROVE, **in_workers)
    combination.expand(job=jobs.output) >> report
    report.as_teardown(on_failure_fail_dagrun=True)
    # The Dag's own params are enough: with a copy of the form in each task the Dag is three times as large, and Airflow
    # sends it along with each trigger that starts a task.
    for task in plan.dag.tasks:
        if task.task_id != names.APPROVE:
            task.params = {}
    return report
