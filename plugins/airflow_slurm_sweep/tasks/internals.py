"""Everything private of Airflow that this package touches, each with what would replace it. Tried with Airflow 3.3.2.

This module imports nothing of Airflow when it is imported: `policy` uses it in every process.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

INSTANCE_NAME = "_rendered_map_index"  # of a task instance; `rendered_map_index` cannot be set


def mapped_list(argument: Any) -> tuple[Any, str | None] | None:
    """Return what a mapped task group hands to an argument of its function; None for any other value.

    Airflow has no public name for such an argument (``MappedArgument``) nor for its origin.

    Returns:
        The list that the group is expanded over, an `XComArg` or a literal; for several lists, all of them by argument.
        And the key of each element that the argument takes; None for the element itself.
    """
    expand_input, key = getattr(argument, "_input", None), getattr(argument, "_key", None)
    if expand_input is None or key is None:
        return None
    lists = expand_input.value
    if expand_input.EXPAND_INPUT_TYPE == "list-of-dicts":
        return lists, key
    return (lists[key] if len(lists) == 1 else lists), None


def mapped_group(operator: Any) -> Any:
    """Return the innermost mapped task group of an operator, or None; ``iter_mapped_task_groups`` is marked private."""
    return next(iter(operator.iter_mapped_task_groups()), None)


def drop_dag(trigger: Any, context: Any) -> None:
    """Release the Dag, 70 KiB, and its run, which Airflow gives to each of thousands of triggers that start tasks."""
    context.clear()
    trigger.task_instance.task = None
    trigger.task_instance._cached_template_context = None
    trigger.task_instance._ti_context_from_server = None


def timeout_after(trigger: Any) -> datetime | None:
    """Return when Airflow ends a trigger's task; the triggerer sets the attribute, no base class declares it."""
    moment: datetime | None = getattr(trigger, "timeout_after", None)
    return moment


def set_instance_name(task_instance: Any, name: str) -> None:
    """Set what the grid shows in place of a map index; ``map_index_template`` is rendered in workers only."""
    setattr(task_instance, INSTANCE_NAME, name)


def let_coroutines_ask() -> None:
    """Let coroutines of tasks in this process ask Airflow, as `Dag.test` runs them.

    It answers only blocking requests there, so that a coroutine finds no connection of the database.
    """
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    async def asend(self: Any, msg: Any) -> Any:
        return self.send(msg)

    if not hasattr(InProcessSupervisorComms, "asend"):
        InProcessSupervisorComms.asend = asend  # type: ignore[attr-defined]  # Airflow lacks it


def is_tested() -> bool:
    """Tell whether `Dag.test` runs this task, in its own process; the public context does not say."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    return isinstance(getattr(task_runner, "SUPERVISOR_COMMS", None), InProcessSupervisorComms)


def kept_question(ti_id: Any, operator: Any) -> tuple[str, str | None, list[str]]:
    """Put the question of a human-in-the-loop operator; return subject, body and users of the one that Airflow shows.

    That is an earlier one where the task was cleared: `upsert_hitl_detail`, which answers nothing, changes none.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

    names = ("options", "subject", "body", "defaults", "multiple", "assigned_users")
    own = {name: getattr(operator, name) for name in names}
    payload = CreateHITLDetailPayload(ti_id=ti_id, params=operator.serialized_params, **own)
    kept: Any = task_runner.SUPERVISOR_COMMS.send(payload)
    return kept.subject, kept.body, [user.id for user in kept.assigned_users or []]


def is_dag_processor() -> bool:
    """Tell whether this process reads Dag files for the dag-processor; workers read them for one Dag only."""
    is_component = os.environ.get("_AIRFLOW_PROCESS_CONTEXT") == "client"
    return is_component and "_AIRFLOW_PARSING_CONTEXT_DAG_ID" not in os.environ


def is_missing(kind: str, name: str) -> bool:
    """Tell whether Airflow answers that it has no such "variable" or "connection", or an empty one.

    `Variable.get` and `get_connection` also call missing what the API server gave no answer about.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection, GetVariable

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if comms is None:  # a command, which reads the database itself
        return True
    try:
        answer: Any = comms.send(GetVariable(key=name) if kind == "variable" else GetConnection(conn_id=name))
    except AirflowRuntimeError:
        return False
    if isinstance(answer, ErrorResponse):
        return answer.error in (ErrorType.VARIABLE_NOT_FOUND, ErrorType.CONNECTION_NOT_FOUND)
    return not (answer.value if kind == "variable" else answer.password)
