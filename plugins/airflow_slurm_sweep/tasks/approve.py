"""The task between plan and the combinations of a sweep: it waits for a person where the run needs one's approval.

It is Airflow's own human-in-the-loop: a waiting task is a row in the database, and holds no worker and no trigger.
"""

from __future__ import annotations

import getpass
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowSkipException
from tabulate import tabulate

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import ASKED_KEY, ATTEMPT_KEY, CONSENT_KEY, PLAN, SCRIPT_KEY
from airflow_slurm_sweep.plan import read_options
from airflow_slurm_sweep.schema import field_schemas
from airflow_slurm_sweep.slurm.durations import hours
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.budget import Consent, Cost
from airflow_slurm_sweep.sweep.combinations import select
from airflow_slurm_sweep.sweep.setting_types import only_pattern
from airflow_slurm_sweep.sweep.settings import RunOptions
from airflow_slurm_sweep.tasks.internals import is_tested, kept_question
from airflow_slurm_sweep.tasks.operators import airflow_errors

ONLY = "only"
_ROWS = 200  # of the table

ask: Callable[[str], bool] | None = None
"""How to ask the person at the terminal, where a process runs a sweep for one."""


class ApproveOperator(ApprovalOperator):
    """Return the jobs that run: all of the plan's, or those that a person approves where the plan asks for it.

    The person answers in Airflow's pages or its REST interface, and may choose combinations by their numbers. What was
    approved stands in XCom as a whole: a combination that is cleared runs again as it was approved, whatever becomes of
    the sweep file. Rejected, or not answered in time, the task is skipped, and so are all combinations.

    In ``airflow dags test`` the run's conf may say ``{"approved": true}``: whoever runs it has Airflow's database.

    Returns (XCom): a list, a `JobRequest` as JSON for each combination. The XCom ``script`` is the plan's, ``consent``
    says in words who approved or rejected what.
    """

    ui_color = "#ffe6cc"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(subject="", **kwargs)
        self._set_form(only_pattern(1))

    def _set_form(self, pattern: str) -> None:
        field = field_schemas(RunOptions)[ONLY]
        text = f"{field['description']} If empty: all."
        # Airflow shows those fields only whose source is the task.
        own = Param(
            None,
            type=["null", "string"],
            title=field["title"],
            description=text,
            pattern=f"^$|{pattern}",
            source="task",
        )
        self.params = ParamsDict({ONLY: own})

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the plan's jobs, or ask."""
        ti: Any = context["ti"]
        jobs, found = ti.xcom_pull(task_ids=PLAN), ti.xcom_pull(task_ids=PLAN, key=CONSENT_KEY)
        ti.xcom_push(key=ATTEMPT_KEY, value=str(ti.id))
        ti.xcom_push(key=ASKED_KEY, value=ti.xcom_pull(task_ids=PLAN, key=ATTEMPT_KEY))
        ti.xcom_push(key=SCRIPT_KEY, value=ti.xcom_pull(task_ids=PLAN, key=SCRIPT_KEY))
        if found is None:
            return list(jobs)
        consent = Consent(**found)
        requests = [JobRequest.from_json(job) for job in jobs]
        self.subject = f"{ti.dag_id} {ti.run_id}: {len(requests)} jobs, {Cost.of(requests)}"
        if is_tested() and (answer := self._answer_here(context)) is not None:
            return self._decide(ti, jobs, f"{getpass.getuser()} on the command line", is_approved=answer)
        self.body = question(requests, consent)
        self.assigned_users = [{"id": user, "name": user} for user in consent.by]
        if consent.within and hours(consent.within) < float("inf"):
            self.response_timeout, self.defaults = timedelta(hours=hours(consent.within)), [self.REJECT]
        self._set_form(only_pattern(max(job.index or 1 for job in requests)))
        with airflow_errors():
            _refuse_another_plan(kept_question(ti.id, self), self._question)
        super().execute(context)  # raises what makes the task wait
        return []

    def _answer_here(self, context: Context) -> bool | None:
        """Return what the person says who runs the Dag in this process; None where only others can answer."""
        if (context["dag_run"].conf or {}).get("approved") is True:
            return True
        if ask is not None:
            with airflow_errors():
                return ask(self.subject)
        self.log.warning(
            "the run waits for approval: answer over an API server on the same database, or start it with --conf "
            "'{\"approved\": true}'"
        )
        return None

    @property
    def _question(self) -> tuple[str, str | None, list[str]]:
        return self.subject, self.body, [user["id"] for user in self.assigned_users or []]

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the approved jobs; ask again if the answer cannot be followed."""
        if "error" in event:
            self.process_trigger_event_error(dict(event))
        ti: Any = context["ti"]
        jobs, user = ti.xcom_pull(task_ids=PLAN), event["responded_by_user"]
        only = (event["params_input"] or {}).get(ONLY) or None
        is_approved = event["chosen_options"] == [self.APPROVE]
        if is_approved:
            asked = ti.xcom_pull(task_ids=self.task_id, key=ASKED_KEY)
            with airflow_errors():
                _refuse_another_plan(asked, ti.xcom_pull(task_ids=PLAN, key=ATTEMPT_KEY))
            try:
                narrowed(jobs, only)
            except (SettingsError, ValueError) as error:
                self.log.error("the answer was not taken, and the run goes on waiting for one: %s", error)
                return self.execute(context)
        who = dict.fromkeys((user["name"], user["id"])) if user else ()
        return self._decide(ti, jobs, " ".join(who), only, is_approved=is_approved)

    def _decide(
        self, ti: Any, jobs: Sequence[dict[str, Any]], who: str, only: str | None = None, *, is_approved: bool = True
    ) -> list[dict[str, Any]]:
        """Note who decided what, nobody where ``who`` is empty, and return the chosen jobs or skip the task."""
        chosen = narrowed(jobs, only) if is_approved else []
        if is_approved:
            part = f", only {only}: {len(chosen)} of {len(jobs)} combinations" if only else ""
            text = f"approved by {who}{part}"
        else:
            text = f"{f'rejected by {who}' if who else 'not approved by anybody in time'}; nothing was submitted"
        ti.xcom_push(key=CONSENT_KEY, value=text)
        self.log.info(text)
        if not is_approved:
            raise AirflowSkipException(text)
        return chosen


def _refuse_another_plan(asked: object, now: object) -> None:
    """Raise a SettingsError where Airflow shows another plan than the present one: it keeps a run's first question."""
    if asked != now:
        raise SettingsError(
            "the plan has changed since this run first asked for approval, and Airflow goes on showing the first "
            "plan: start a new run"
        )


def narrowed(jobs: Sequence[dict[str, Any]], only: str | None) -> list[dict[str, Any]]:
    """Return the jobs with these numbers in the sweep, such as ``1-4,9``; all without ``only``.

    Raises:
        SettingsError: The text is no such numbers.
        ValueError: The run has no combination of that number.
    """
    if only is None:
        return list(jobs)
    numbers = {job["index"] for job in jobs}
    chosen = select(str(read_options({ONLY: only}).only), max(numbers))
    if left_out := sorted(chosen - numbers):
        raise ValueError(f"only: the run has no combination {left_out[0]}")
    return [job for job in jobs if job["index"] in chosen]


def question(jobs: Sequence[JobRequest], consent: Consent) -> str:
    """Return what a person has to know who approves jobs, as Markdown."""
    rows = [[job.index, job.label, job.name, str(Cost.of([job]))] for job in jobs if not job.done]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows[:_ROWS]]
    users = f" {', '.join(consent.by)} may approve it." if consent.by else ""
    wait = f" Not approved within {consent.within}, it submits nothing." if consent.within else ""
    more = [f"{len(rows) - _ROWS} more are in the log of {PLAN}."] if len(rows) > _ROWS else []
    plan = hashlib.sha256(json.dumps([job.to_json() for job in jobs], sort_keys=True).encode()).hexdigest()[:12]
    return "\n\n".join(
        [
            f"**{len(rows)} jobs, {Cost.of(jobs)}.** The run waits because {consent.why}.{users}{wait}",
            tabulate(cells, headers=["number", "combination", "job", "cost"], tablefmt="github", disable_numparse=True),
            *more,
            f"Plan {plan}.",  # tells plans apart whose tables are alike
        ]
    )
