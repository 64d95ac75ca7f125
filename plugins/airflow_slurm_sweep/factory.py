"""Sweep files become Dags.

    # dags/sweeps.py
    globals().update(sweep_dags(Path(__file__).parents[1] / "include"))

Each Dag is ``plan -> combination[submit -> wait] -> report``, its id the file's name without ``.yaml``. A mapped task
group keeps it small however many combinations there are.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, get_parsing_context, task_group
from airflow.sdk.exceptions import AirflowException

from airflow_slurm_sweep.check.operator import CheckClusterOperator, CheckLoginOperator
from airflow_slurm_sweep.copies import second_copy
from airflow_slurm_sweep.errors import Fault, SlurmSweepError, SweepFileError
from airflow_slurm_sweep.names import ASSET_PREFIX, CHECK, GROUP, LAUNCH, PLAN, REPORT, SUBMIT, TAG, WAIT
from airflow_slurm_sweep.sweep.dag_section import DagSection
from airflow_slurm_sweep.sweep.overrides import quote
from airflow_slurm_sweep.sweep.spec import SweepSpec, load_sweep
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.form import check_form, launch_form, sweep_form
from airflow_slurm_sweep.tasks.notify import Notification, failure_report, sweep_report
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator
from airflow_slurm_sweep.tasks.plan_task import PlanSweepOperator
from airflow_slurm_sweep.tasks.report_task import ReportSweepOperator

MAX_LAUNCHES = 16
RETRY_DELAY = timedelta(seconds=20)
_DAG_ID = re.compile(r"[\w.-]+", re.ASCII)
_CELL = 60  # characters of a parameter's values in the Dag's documentation


def sweep_dags(include: Path) -> dict[str, DAG]:
    """Return a Dag for each sweep file that loads, by Dag id.

    Where Airflow runs a task it wants one Dag only: then only that file is read.
    Files that do not load are left out here; `check_sweeps` tells of them.
    """
    dags, _ = _load(include, only=get_parsing_context().dag_id)
    return dags


def check_sweeps(include: Path) -> None:
    """Load all sweep files.

    Raises:
        SlurmSweepError: Files do not load, a setting of airflow.cfg is obsolete, or this package is installed twice;
            the message lists all faults.
    """
    _, faults = _load(include)
    twice = second_copy()
    if messages := [*([twice] if twice else []), *configuration.obsolete(), *faults]:
        raise SlurmSweepError("\n".join(messages))


def _load(include: Path, *, only: str | None = None) -> tuple[dict[str, DAG], list[str]]:
    """Return the Dags of the sweep files by id, and the faults of the files that do not load."""
    dags, faults = {}, []
    for path in sorted(configuration.folders(include).sweeps.glob("*.yaml")):
        if only in (None, path.stem):
            try:
                dags[path.stem] = sweep_dag(path, include)
            except SweepFileError as error:
                faults.append(str(error))
    return dags, faults


def sweep_dag(path: Path, include: Path) -> DAG:
    """Return the Dag of one sweep file.

    Raises:
        SweepFileError: The file has faults.
    """
    folders = configuration.folders(include)
    source = folders.shown(path)
    if not _DAG_ID.fullmatch(path.stem):
        problem = f"expected a file name of letters, digits and _ . -, since it names the Dag, got {path.stem!r}"
        raise SweepFileError(source, [Fault(key="", problem=problem)])
    if path.stem in (LAUNCH, CHECK):
        raise SweepFileError(source, [Fault(key="", problem=f"the name {path.stem!r} is reserved; rename the file")])
    spec = load_sweep(path, source=source, max_combinations=configuration.max_combinations())
    try:
        configuration.check_size(spec.size)
        dag = _build(spec, path, include)
        dag.validate()
    except (AirflowException, ValueError) as error:  # Airflow's own limits: one file must not take the others down
        raise SweepFileError(source, [Fault(key="dag", problem=str(error))]) from None
    return dag


def _build(spec: SweepSpec, path: Path, include: Path) -> DAG:
    section = spec.dag
    dag = DAG(
        dag_id=path.stem,
        schedule=section.schedule,
        start_date=section.start_date and pendulum.instance(section.start_date, tz=section.timezone),
        catchup=section.catchup,
        tags=[TAG, *section.tags],
        description=section.description or f"{spec.size} combinations of {spec.script_path}",
        max_active_runs=section.max_active_runs,
        default_args={"owner": section.owner, "retries": section.retries, "retry_delay": RETRY_DELAY},
        doc_md=_documentation(spec),
        params=sweep_form(spec),
        auto_register=False,  # or a Dag would count for every file that builds it, check_sweeps' among them
    )
    with dag:
        report = _run_all(PlanSweepOperator(task_id=PLAN, sweep_file=str(path), include=str(include)))
        report.outlets = [Asset(f"{ASSET_PREFIX}{dag.dag_id}")]
    _add_notifications(section, dag)
    return dag


def _add_notifications(section: DagSection, dag: DAG) -> None:
    """Add the callbacks that the sweep file names; a ValueError if one cannot be used."""
    for each in section.notify:
        is_of_combination = each.on == "combination_failed"
        report = failure_report if is_of_combination else sweep_report
        callback = Notification(each.notifier, each.arguments, report)
        for task_id in (SUBMIT, WAIT) if is_of_combination else (REPORT,):
            task: Any = dag.get_task(task_id)
            task.on_failure_callback = [*task.on_failure_callback, callback]
            if each.on == "finished":
                task.on_success_callback = [*task.on_success_callback, callback]


def launch_dag(include: Path) -> DAG:
    """Return the Dag ``launch``, which runs what its form says: a script once, or a sweep."""
    dag = DAG(
        dag_id=LAUNCH,
        schedule=None,
        tags=[TAG],
        description="Any script or sweep, from the trigger form",
        max_active_runs=MAX_LAUNCHES,
        default_args={"retries": DagSection().retries, "retry_delay": RETRY_DELAY},
        params=launch_form(),
        auto_register=False,
    )
    with dag:
        _run_all(PlanSweepOperator(task_id=PLAN, include=str(include)))
    return dag


def check_dag(include: Path) -> DAG:
    """Return the Dag ``check_cluster``, which tries the cluster profile that its form names."""
    dag = DAG(
        dag_id=CHECK,
        schedule=None,
        tags=[TAG],
        description="Tries a cluster profile: login, Slurm, directories",
        params=check_form(),
        auto_register=False,
    )
    with dag:
        CheckClusterOperator(task_id="check", include=str(include), retries=0)
        CheckLoginOperator(task_id="login_from_triggerer", include=str(include), retries=0)
    return dag


def _run_all(plan: PlanSweepOperator) -> ReportSweepOperator:
    """Add the tasks that run a plan, and return the one that reports."""

    @task_group(group_id=GROUP)
    def combination(job: Any) -> None:
        submit = SlurmSubmitOperator(task_id="submit", job=job)
        SlurmJobSensor(task_id="wait", job=submit.output)

    report = ReportSweepOperator(task_id=REPORT)
    combination.expand(job=plan.output) >> report
    report.as_teardown(on_failure_fail_dagrun=True)
    # The Dag's own params are enough: with a copy of the form in each task the Dag is three times as large, and Airflow
    # sends it along with each trigger that starts a task.
    for task in plan.dag.tasks:
        task.params = {}
    return report


def _documentation(spec: SweepSpec) -> str:
    parameters = spec.parameters.items()
    rows = [f"| `{key}` | {len(values)} | {_cell(', '.join(map(quote, values)))} |" for key, values in parameters]
    config = f" with `{spec.config_path}`" if spec.config_path else ""
    head = f"`{spec.source}`: {spec.size} combinations of `{spec.script_path}`{config}."
    goal = f" The report ranks by `{best.metric}`: {best.goal}." if (best := spec.dag.objective) else ""
    return "\n".join([head + goal, "", "| parameter | values | |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{shown if len(shown) <= _CELL else shown[:_CELL] + '…'}`"
