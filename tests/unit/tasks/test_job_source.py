"""Where the operators say that their jobs come from, and what they refuse."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task, task_group
from airflow.serialization.serialized_objects import DagSerialization

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks.job_source import JobSource
from airflow_slurm_sweep.tasks.operators import TIMEOUT_MARGIN, SlurmJobSensor, SlurmSubmitOperator

# Airflow uses what its libraries call old where it looks for plugins.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

JOB = JobRequest(ssh_conn_id="c", name="a", command="echo {{ ds }}", run_dir="/r/a", script="#!/bin/bash\n${#x}\n")


@task
def plan() -> list[dict[str, Any]]:
    """Return jobs."""
    return []


def arguments(operator: Any) -> dict[str, Any]:
    assert operator.start_from_trigger
    return dict(operator.start_trigger_args.trigger_kwargs)


def test_a_job_in_the_dag_file() -> None:
    with DAG("d"):
        submit = SlurmSubmitOperator(task_id="submit", job=JOB)
        wait = SlurmJobSensor(task_id="wait", job=submit.output)
    found = arguments(submit)
    assert (found["job"]["command"], found["job"]["script"]) == ("echo {{ ds }}", "")
    assert found["script"] == JOB.script, "not among the template fields: Jinja takes {# for a comment"
    assert (found["source"], found["partner"]) == (None, "wait")
    source = JobSource(task_id="submit", key="return_value")
    assert arguments(wait) == {"job": None, "source": asdict(source), "partner": "submit", "planned_by": None}
    assert wait.upstream_task_ids == {"submit"}


@pytest.mark.parametrize(("kwargs", "field"), [(False, None), (True, "job")])
def test_each_element_is_found_by_the_map_index(kwargs: bool, field: str | None) -> None:
    with DAG("d") as dag:

        @task_group
        def one(job: Any) -> None:
            submit = SlurmSubmitOperator(task_id="submit", job=job)
            SlurmJobSensor(task_id="wait", job=submit.output)

        if kwargs:
            one.expand_kwargs(plan())
        else:
            one.expand(job=plan())
    source = asdict(JobSource(task_id="plan", key="return_value", is_list=True, field=field))
    assert arguments(dag.get_task("one.submit")) == {
        "job": None,
        "source": source,
        "partner": "one.wait",
        "script": "",
    }
    assert arguments(dag.get_task("one.wait")) == {
        "job": None,
        "source": asdict(JobSource(task_id="one.submit", key="return_value", is_mapped=True)),
        "partner": "one.submit",
        "planned_by": source,
    }
    assert len(json.dumps(arguments(dag.get_task("one.wait")))) < 1024, "Airflow keeps them for each of thousands"
    serialized: Any = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("one.wait")
    assert serialized.start_from_trigger


def test_what_a_trigger_cannot_follow_is_refused_with_what_to_write() -> None:
    with DAG("d"):
        planned = plan()
        with pytest.raises(ValueError, match="SlurmSubmitOperator: job: expected the output of one task"):
            SlurmSubmitOperator(task_id="zipped", job=planned.zip(planned))

        @task_group
        def product(job: Any, other: Any) -> None:
            SlurmSubmitOperator(task_id="submit", job=job)
            del other

        with pytest.raises(ValueError, match=r"write a mapped task group"):
            product.expand(job=planned, other=[1, 2])

        @task_group
        def literal(job: Any) -> None:
            SlurmSubmitOperator(task_id="submit", job=job)

        with pytest.raises(ValueError, match=r"write a mapped task group"):
            literal.expand(job=[JOB.to_json()])

        @task_group
        def one(job: Any) -> Any:
            return SlurmSubmitOperator(task_id="submit", job=job).output

        outside = one.expand(job=plan.override(task_id="again")())
        with pytest.raises(ValueError, match=r"SlurmJobSensor: job: expected"):
            SlurmJobSensor(task_id="wait", job=outside)  # type: ignore[arg-type]


@pytest.mark.parametrize("operator", [SlurmSubmitOperator, SlurmJobSensor])
def test_expand_is_refused_with_what_to_write(operator: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"{operator.__name__}\.partial\(\) and \.expand\(\) would run each job"
    ) as caught:
        operator.partial(task_id="a").expand(job=[1])
    assert "one.expand(job=" in str(caught.value)


def test_retries_and_time_limits_are_the_triggers() -> None:
    with DAG("d", default_args={"retries": 3, "execution_timeout": timedelta(hours=2)}):
        submit = SlurmSubmitOperator(task_id="submit", job=JOB, retries=5)
        wait = SlurmJobSensor(task_id="wait", job=submit.output, timeout=60)
        for_ever = SlurmJobSensor(task_id="for_ever", job=submit.output, execution_timeout=None)
    limits = {"submit": timedelta(hours=2), "wait": timedelta(seconds=60), "for_ever": None}
    for operator in (submit, wait, for_ever):
        assert operator.retries == 0
        assert operator.execution_timeout is None, "Airflow would send the task to a worker"
        limit = limits[operator.task_id]
        assert operator.start_trigger_args
        assert operator.start_trigger_args.timeout == (limit + TIMEOUT_MARGIN if limit else None)
