"""The Dag run behind `run`: made as `Dag.test` makes one, but it can be left, and gone on with later.

`Dag.test` always begins anew, and deletes an earlier run of its date; so this is its loop, over a run that stays. What
is private of Airflow in here was tried with 3.3.2; a public way to run an existing Dag run would replace all of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from airflow import settings
from airflow.jobs.job import most_recent_job
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.sdk import DAG, DagRunState, TaskInstanceState, timezone
from airflow.sdk.definitions.dag import _run_task
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from airflow_slurm_sweep.cli.needs_airflow import unusable_database
from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import APPROVE, PLAN, REPORT, SUBMIT, WAIT
from airflow_slurm_sweep.tasks.internals import let_coroutines_ask

_CUT_OFF = (TaskInstanceState.SCHEDULED, TaskInstanceState.QUEUED, TaskInstanceState.RUNNING)


class LocalRun:
    """A run of a Dag whose tasks run in this process, one after the other; one process has it at a time.

    Attributes:
        is_old: Whether an earlier process began it.
    """

    def __init__(self, dag: DAG, owner: str, conf: Mapping[str, Any]) -> None:
        """Take up the newest unfinished run that this owner began with this conf, or begin one.

        Raises:
            SettingsError: Airflow has no database yet, or its scheduler would run the same tasks.
        """
        self._dag = dag
        # Not the scoped session: in this process that one lost the state of an abandoned run.
        self._session: Any = settings.NonScopedSession()  # type: ignore[misc]  # Airflow has set it
        try:
            self._refuse_scheduler()
            unfinished = select(DagRun).where(
                DagRun.dag_id == dag.dag_id,
                DagRun.state == DagRunState.RUNNING,
                DagRun.triggering_user_name == owner,
            )
            runs = self._session.scalars(unfinished.order_by(DagRun.id.desc())).all()
        except DBAPIError as error:
            raise unusable_database(error.orig) from None
        old = next((run for run in runs if run.conf == dict(conf)), None)
        self.is_old = old is not None
        scheduler_dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        self._run = old or self._begin(scheduler_dag, owner, conf)
        self._run.dag = scheduler_dag
        self.release()

    def _refuse_scheduler(self) -> None:
        model = self._session.get(DagModel, self._dag.dag_id)
        job = most_recent_job("SchedulerJob", session=self._session)
        if model and not model.is_paused and not model.is_stale and job and job.is_alive():
            raise SettingsError(
                f"the Dag {self._dag.dag_id} is active in this Airflow, whose scheduler would run the same tasks: "
                f"trigger it there (airflow dags trigger {self._dag.dag_id}), or pause it (airflow dags pause "
                f"{self._dag.dag_id})"
            )

    def _begin(self, scheduler_dag: Any, owner: str, conf: Mapping[str, Any]) -> Any:
        self._register()
        now = timezone.utcnow()
        run = scheduler_dag.create_dagrun(
            run_id=f"run__{now:%Y%m%dT%H%M%S.%f}",
            logical_date=now,
            data_interval=(now, now),
            run_after=now,
            start_date=now,
            conf=dict(conf),
            run_type=DagRunType.MANUAL,
            state=DagRunState.RUNNING,
            triggered_by=DagRunTriggeredByType.TEST,
            triggering_user_name=owner,
            session=self._session,
        )
        self._session.commit()
        return run

    def _register(self) -> None:
        """Make the Dag known to Airflow's database, unless a Dag bundle already did."""
        from airflow.dag_processing.bundles.manager import DagBundlesManager  # noqa: PLC0415  # not where a run is old
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db  # noqa: PLC0415

        if DagVersion.get_latest_version(self._dag.dag_id, session=self._session):
            return
        bundles = DagBundlesManager()
        bundles.sync_bundles_to_db(session=self._session)
        self._session.commit()
        bag = DagBag(collect_dags=False)
        bag.dags[self._dag.dag_id] = self._dag
        sync_bag_to_db(bag, next(iter(bundles.get_all_dag_bundles())).name, None, session=self._session)
        # No bundle has read it: a scheduler must not take it up.
        self._session.get(DagModel, self._dag.dag_id).is_stale = True
        self._session.commit()

    def play(self) -> Iterator[tuple[Any, BaseException | None]]:
        """Run the tasks that remain, and yield each task instance that has ended, with its error if it has one."""
        let_coroutines_ask()
        run = self._run
        while run.state == DagRunState.RUNNING:
            self._session.expire_all()
            schedulable, _ = run.update_state(session=self._session)
            for task in schedulable:
                task.try_number += 1
                task.state = TaskInstanceState.SCHEDULED
                task.scheduled_dttm = timezone.utcnow()
            self._session.commit()
            ready = [task for task in self.tasks() if task.state == TaskInstanceState.SCHEDULED]
            if not ready and run.state == DagRunState.RUNNING:
                time.sleep(1)  # a task waits for its retry
            for task in ready:
                result = _run_task(ti=task, task=self._dag.task_dict[task.task_id], run_triggerer=True)
                if result and isinstance(result.error, KeyboardInterrupt):  # Airflow takes it for the task's failure
                    raise KeyboardInterrupt
                yield task, result.error if result else RuntimeError(f"{task.task_id} failed: see Airflow's log")

    @property
    def succeeded(self) -> bool:
        """Whether the run has ended well."""
        return bool(self._run.state == DagRunState.SUCCESS)

    def tasks(self) -> list[Any]:
        """Return the run's task instances, in the order in which they run."""
        order = {task_id: place for place, task_id in enumerate((PLAN, APPROVE, SUBMIT, WAIT, REPORT))}
        found = self._run.get_task_instances(session=self._session)
        return sorted(found, key=lambda task: (order.get(task.task_id, 0), task.map_index))

    def xcom(self, task_id: str, key: str, map_index: int = -1) -> Any:
        """Return what a task left; None if it left nothing."""
        place = {"dag_id": self._run.dag_id, "run_id": self._run.run_id, "task_id": task_id, "map_index": map_index}
        return self._session.scalar(select(XComModel.value).filter_by(**place, key=key))

    def release(self) -> None:
        """Let tasks that were cut off run again: as the same attempt, so that the cluster finds their jobs."""
        self._session.rollback()
        for task in self.tasks():
            if task.state in _CUT_OFF:
                task.state = None
                task.try_number -= 1
        self._session.commit()

    def abandon(self) -> None:
        """End the run as failed: nothing goes on with it."""
        self._session.rollback()
        self._run.set_state(DagRunState.FAILED)
        self._session.commit()
