"""What users do in the middle of a sweep, through Airflow's REST interface."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from airflow_slurm_sweep.names import RECORD
from sandbox.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.faults.stage import Stage

WAIT = 180.0  # seconds until the last act


def intervene(stage: Stage, acts: Mapping[int, Callable[[Stage, int], None]]) -> None:
    """Do each act, by map index, a random moment after its task came where the act wants it, in whatever order."""
    due: dict[int, float] = {}
    pauses = {index: stage.rng.uniform(0, 2 if act is mark_submit_failed else 4) for index, act in acts.items()}
    pending = dict(acts)

    def proceed() -> bool:
        for index, act in list(pending.items()):
            task, states = (
                ("submit", {"running", "deferred"}) if act is mark_submit_failed else ("wait", {"running", "deferred"})
            )
            if stage.tasks.state(task, index) in states:
                due.setdefault(index, time.monotonic() + pauses[index])
            if index in due and time.monotonic() >= due[index]:
                act(stage, index)
                del pending[index]
        return not pending

    assert wait_until(proceed, WAIT), "; ".join(
        f"{stage.name(index)}: submit {stage.tasks.state('submit', index)}, wait {stage.tasks.state('wait', index)}"
        for index in pending
    )


def clear_submit(stage: Stage, index: int) -> None:
    """Clear submit with all that follows, while the job runs: the job shall be gone before its successor comes."""
    stage.again.add(stage.name(index))
    _clear(stage, "submit", index, downstream=True)


def clear_damaged(stage: Stage, index: int) -> None:
    """Likewise, after the file server has lost what the record said."""
    (stage.run_dir(index) / RECORD).write_text("")
    stage.note(f"the record of {stage.name(index)} is empty")
    clear_submit(stage, index)


def clear_wait(stage: Stage, index: int) -> None:
    """Clear wait alone, while the job runs: the same job is waited for."""
    _clear(stage, "wait", index, downstream=False)


def mark_failed(stage: Stage, index: int) -> None:
    """Mark wait failed, while the job runs."""
    _mark(stage, index, "failed")


def mark_success(stage: Stage, index: int) -> None:
    """Mark wait successful, while the job runs."""
    _mark(stage, index, "success")


def mark_submit_failed(stage: Stage, index: int) -> None:
    """Mark submit failed in the middle of a slow sbatch."""
    stage.excuse(index, marked=True)
    _patch(stage, "submit", index, "failed")


def mark_run_failed(stage: Stage) -> None:
    """Mark the whole Dag run failed."""
    stage.theatre.airflow.mark_run(stage.path, "failed")
    stage.note("user marks the Dag run failed")
    for index in stage.combinations:
        stage.excuse(index, marked=True)


def answer(stage: Stage, option: str) -> int:
    """Answer the run's question, and return the status code of Airflow's reply."""
    body = {"chosen_options": [option], "params_input": {"only": None}}
    code = 200
    try:
        stage.theatre.airflow.call("PATCH", f"{stage.path}/taskInstances/approve/-1/hitlDetails", body)
    except HTTPError as error:
        error.close()
        code = error.code
    stage.note(f"user answers {option}: {code}")
    return code


def _mark(stage: Stage, index: int, state: str) -> None:
    stage.excuse(index, marked=True)
    _patch(stage, "wait", index, state)


def _patch(stage: Stage, task: str, index: int, state: str) -> None:
    stage.theatre.airflow.mark_task(stage.path, f"combination.{task}", index, state)
    stage.note(f"user marks {task} of {stage.name(index)} {state}")


def _clear(stage: Stage, task: str, index: int, *, downstream: bool) -> None:
    task_id = f"combination.{task}"
    stage.theatre.airflow.clear_task(stage.dag_id, stage.run_id, task_id, index, downstream=downstream)
    stage.note(f"user clears {task} of {stage.name(index)}{', and what follows' if downstream else ' alone'}")
