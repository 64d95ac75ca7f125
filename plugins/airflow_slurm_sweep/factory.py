"""Sweep files become Dags.

    # dags/sweeps.py
    globals().update(sweep_dags(Path(__file__).parents[1] / "include"))

Each Dag is ``plan -> combination[submit -> wait] -> report``, its id the file's name without ``.yaml``. A mapped task
group keeps it small however many combinations there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, XComArg, get_parsing_context, task_group
from airflow.sdk.exceptions import AirflowException

from airflow_slurm_sweep.check.operator import CheckClusterOperator
from airflow_slurm_sweep.copies import second_copy
from airflow_slurm_sweep.errors import Fault, SlurmSweepError, SweepFileError
from airflow_slurm_sweep.sweep.dag_section import DagSection
from airflow_slurm_sweep.sweep.layers import Folders, submits_arrays
from airflow_slurm_sweep.sweep.overrides import quote
from airflow_slurm_sweep.sweep.spec import SweepSpec, load_sweep
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.form import check_form, launch_form, sweep_form
from airflow_slurm_sweep.tasks.notify import TellOfCombination, TellOfSweep
from airflow_slurm_sweep.tasks.operators import SlurmJobSensor, SlurmSubmitOperator
from airflow_slurm_sweep.tasks.plan_task import PlanSweepOperator, ReportSweepOperator
from airflow_slurm_sweep.tasks.run_plan import SCRIPT_KEY

GROUP = "combination"
SUBMIT, WAIT = f"{GROUP}.submit", f"{GROUP}.wait"
LAUNCH = "launch"
CHECK = "check_cluster"
TAG = "sweep"  # of the Dags that the page shows
ASSET = "sweep_"  # and the Dag's id: the asset that a successful run updates
MAX_LAUNCHES = 16
RETRY_DELAY = timedelta(seconds=20)
_DAG_ID = re.compile(r"[\w.-]+", re.ASCII)
_CELL = 60  # characters of a parameter's values in the Dag's documentation


def sweep_dags(include: Path) -> dict[str, DAG]:
    """Return a Dag for each sweep file that loads, by Dag id.

    Where Airflow runs a task it wants one Dag only: then only that file is read.
    Files that do not load are left out here; `check_sweeps` tells of them.
    """
    dags = {}
    for path in _sweep_files(configuration.folders(include), only=get_parsing_context().dag_id):
        try:
            dags[path.stem] = sweep_dag(path, include)
        except SweepFileError:
            continue
    return dags


def check_sweeps(include: Path) -> None:
    """Load all sweep files.

    Raises:
        SlurmSweepError: Files do not load; the message lists all faults of all of them. Or this package is here twice.
    """
    messages = [twice] if (twice := second_copy()) else []
    for path in _sweep_files(configuration.folders(include)):
        try:
            sweep_dag(path, include)
        except SweepFileError as error:
            messages.append(str(error))
    if messages:
        raise SlurmSweepError("\n".join(messages))


def _sweep_files(folders: Folders, *, only: str | None = None) -> Iterator[Path]:
    yield from sorted(path for path in folders.sweeps.glob("*.yaml") if only in (None, path.stem))


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
        raise SweepFileError(source, [Fault(key="", problem=f"another name, please: the Dag {path.stem!r} is taken")])
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
        start_date=_in_timezone(section.start_date, section.timezone),
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
        report = _run_all(
            PlanSweepOperator(task_id="plan", sweep_file=str(path), include=str(include)),
            max_parallel_jobs=spec.slurm.max_parallel_jobs,
            needs_workers=_needs_workers(spec, configuration.folders(include)),
        )
        report.outlets = [Asset(f"{ASSET}{dag.dag_id}")]
    _tell(section, dag)
    return dag


def _tell(section: DagSection, dag: DAG) -> None:
    """Add the callbacks that the sweep file names.

    Raises:
        ValueError: One cannot be.
    """
    for each in section.notify:
        if each.on == "combination_failed":
            callback: Any = TellOfCombination(each.notifier, each.arguments, submitted_by=SUBMIT)
            tasks = {SUBMIT: ["on_failure_callback"], WAIT: ["on_failure_callback"]}
        else:
            callback = TellOfSweep(each.notifier, each.arguments)
            tasks = {"report": ["on_failure_callback", *(["on_success_callback"] if each.on == "finished" else [])]}
        for task_id, kinds in tasks.items():
            task = dag.get_task(task_id)
            for kind in kinds:
                setattr(task, kind, [*getattr(task, kind), callback])


def _needs_workers(spec: SweepSpec, folders: Folders) -> bool:
    """Tell whether submit and wait start in workers, which cannot submit arrays.

    Raises:
        ValueError: The file wants workers, and its cluster's profile wants arrays.
    """
    arrays = submits_arrays(spec.slurm, folders)
    if arrays and spec.dag.workers:
        raise ValueError("workers: true here, but the cluster's profile has submit: array, which workers cannot do")
    if spec.dag.workers is not None:
        return spec.dag.workers
    return not arrays and spec.size <= configuration.workers_up_to()


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
        _run_all(PlanSweepOperator(task_id="plan", include=str(include)))
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
    return dag


def _run_all(
    plan: PlanSweepOperator, *, max_parallel_jobs: int | None = None, needs_workers: bool = True
) -> ReportSweepOperator:
    """Add the tasks that run a plan, and return the one that reports.

    Args:
        plan: The task that makes it.
        max_parallel_jobs: How many of its jobs may be live at once.
        needs_workers: Whether submit and wait start in workers, which show the combination's name from the first
            second; otherwise in the triggerer, which takes thousands.
    """
    planned_by = None if needs_workers else plan.task_id

    @task_group(group_id=GROUP)
    def combination(job: Any) -> None:
        submit = SlurmSubmitOperator(
            task_id="submit",
            job=job,
            script=XComArg(plan, key=SCRIPT_KEY),
            awaited_by=WAIT,
            planned_by=planned_by,
            map_index_template="{{ task.job.get('label', '') }}",
            # The login node keeps the limit; this only spares it from those whose turn cannot have come.
            max_active_tis_per_dagrun=max_parallel_jobs,
        )
        SlurmJobSensor(
            task_id="wait",
            job=submit.output,
            submitted_by=submit.task_id,
            planned_by=planned_by,
            map_index_template="{{ task.job.get('label', '') }}",
        )

    report = ReportSweepOperator(
        task_id="report",
        plan_task_id="plan",
        submit_task_id=SUBMIT,
        wait_task_id=WAIT,
    )
    combination.expand(job=plan.output) >> report
    report.as_teardown(on_failure_fail_dagrun=True)
    # The Dag's own are enough: with a copy of the form in each task the Dag is three times as large, and it comes with
    # each trigger that starts a task.
    for task in plan.dag.tasks:
        task.params = {}
    return report


def _in_timezone(date: Any, timezone: str) -> Any:
    return None if date is None else pendulum.instance(date, tz=timezone)


def _documentation(spec: SweepSpec) -> str:
    rows = [
        f"| `{key}` | {len(values)} | {_cell(', '.join(map(quote, values)))} |"
        for key, values in spec.parameters.items()
    ]
    table = ["| parameter | values | |", "|---|---|---|", *rows]
    config = f" with `{spec.config_path}`" if spec.config_path else ""
    head = f"`{spec.source}`: {spec.size} combinations of `{spec.script_path}`{config}."
    goal = f" The report ranks by `{best.metric}`: {best.goal}." if (best := spec.dag.objective) else ""
    return "\n".join([head + goal, "", *table])


def _cell(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{shown if len(shown) <= _CELL else shown[:_CELL] + '…'}`"
