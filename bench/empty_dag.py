"""Two triggers a combination that end their tasks at once, or wait: what Airflow itself costs in a sweep's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import DAG, BaseOperator, Param, task, task_group
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSuccessEvent, TriggerEvent


class EmptyTrigger(BaseTrigger):
    """Ends its task, after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        return f"{__name__}.{type(self).__name__}", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the success."""
        await asyncio.sleep(self.seconds)
        yield TaskSuccessEvent()


class EmptyOperator(BaseOperator):
    """A task that starts and ends in the triggerer."""

    def __init__(self, *, seconds: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{__name__}.{EmptyTrigger.__name__}",
            next_method="execute",
            trigger_kwargs={"seconds": seconds},
        )


def empty_dag(dag_id: str, seconds: float = 0.0) -> DAG:
    """Return a Dag with a sweep's tasks, which do nothing; ``wait`` does so for ``seconds``. Its runs take ``size``."""
    with DAG(dag_id, schedule=None, params={"size": Param(1, type="integer")}) as dag:

        @task
        def plan(params: Any = None) -> list[int]:
            return list(range(params["size"]))

        @task_group
        def combination(number: int) -> None:  # noqa: ARG001
            EmptyOperator(task_id="submit") >> EmptyOperator(task_id="wait", seconds=seconds)

        @task(trigger_rule="all_done")
        def report() -> None:
            return

        combination.expand(number=plan()) >> report()
    return dag
