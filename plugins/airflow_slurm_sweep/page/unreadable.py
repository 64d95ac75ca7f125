"""A run of which a plan or an XCom is not what the tasks write: its row says so, and the others stay. Pure."""

from __future__ import annotations

from typing import Any

from airflow_slurm_sweep.names import RETURN_KEY, SKIPPED_KEY, STATUS_KEY, SUBMIT, WAIT
from airflow_slurm_sweep.page.combinations import Run, view
from airflow_slurm_sweep.sweep.sweep_section import Objective

UNREADABLE = "unreadable"  # the state of such a row
_KEYS = ((SUBMIT, RETURN_KEY), (SUBMIT, SKIPPED_KEY), (WAIT, RETURN_KEY), (WAIT, STATUS_KEY))
_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def readable_view(run: Run, start: float | None, objective: Objective | None) -> dict[str, Any]:
    """Return what `view` does; a combination that it cannot read is without its plan and XComs, and `UNREADABLE`."""
    try:
        return view(run, start, objective)
    except _ODD:
        planned = run.plan if isinstance(run.plan, list) else []
        indices = {*range(len(planned)), *(index for _, _, index in run.xcoms if index >= 0)}
        found = {index: why for index in indices if (why := _problem(_alone(run, index), start, objective))}
        plan = [None if index in found else job for index, job in enumerate(planned)]
        xcoms = {key: value for key, value in run.xcoms.items() if key[2] not in found}
        left = view(run._replace(plan=plan, xcoms=xcoms), start, objective)
        for each in left["combinations"]:
            if each["index"] in found:
                each |= {"state": UNREADABLE, "reason": found[each["index"]]}
        return left


def _alone(run: Run, index: int) -> Run:
    """Return a run that has one combination of another."""
    plan = [run.plan[index]] if isinstance(run.plan, list) and index < len(run.plan) else []
    tasks = {(task_id, 0): run.task(task_id, index) for task_id in (SUBMIT, WAIT)}
    xcoms = {(*key, 0): run.xcoms[*key, index] for key in _KEYS if (*key, index) in run.xcoms}
    return Run(plan, tasks, xcoms, {})


def _problem(run: Run, start: float | None, objective: Objective | None) -> str:
    try:
        view(run, start, objective)
    except _ODD as error:
        return f"its plan or XCom is not as the tasks write it: {error!r:.100}"
    return ""
