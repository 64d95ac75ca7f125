"""A person says yes, in part, or no to a run that waits: in Airflow's own pages, with two accounts."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.browser.conftest import Visit
from tests.browser.test_page import address, frame, rows
from tests.fixtures import Airflow
from tests.integration.test_consent import APPROVE, REJECT, Asking

pytestmark = [pytest.mark.sandbox, pytest.mark.all]

BY_OP = "approve: {above_cpu_hours: 0, by: [op]}"
NO_ANSWER_YET = "Approval Required"


def question(visit: Visit, run: Asking, user: str) -> Page:
    """Open Airflow's page with the run's question."""
    return visit(f"/dags/{run.name}/runs/{quote(run.id)}/tasks/approve/required_actions", user)


def button(page: Page, option: str) -> Locator:
    return page.get_by_test_id(f"hitl-option-{option}")


def jobs(run: Asking) -> list[int]:
    """Return how many jobs each combination has had."""
    return [len(run.jobs(index)) for index in range(4)]


def test_who_is_not_in_by_cannot_answer_and_who_is_approves_all(
    airflow: Airflow, cluster: Sandbox, sweeps: Path, visit: Visit
) -> None:
    run = Asking(airflow, cluster, sweeps, "two_accounts", rule=BY_OP)
    run.wait_until_asked()
    assert not set(run.tasks().values()) & {"scheduled", "queued", "running", "deferred"}, (
        "it holds a worker or trigger"
    )
    task = airflow.call("GET", f"{run.path}/taskInstances/approve")
    assert (task["state"], task["trigger"], task["triggerer_job"]) == ("awaiting_input", None, None)

    page = question(visit, run, "admin")
    expect(page.get_by_role("cell", name="seed=3")).to_be_visible()
    expect(page.get_by_text("op may approve it")).to_be_visible()
    button(page, APPROVE).click()
    expect(page.get_by_text("You do not have permission to perform this action.")).to_be_visible()
    assert run.tasks()["approve", -1] == "awaiting_input"
    assert jobs(run) == [0, 0, 0, 0]

    page = question(visit, run, "op")
    button(page, APPROVE).click()
    expect(button(page, APPROVE)).to_be_disabled()
    assert run.wait_for_end() == "success"
    assert "approved by op" in run.report()
    assert jobs(run) == [1, 1, 1, 1]


def test_narrowed_in_the_form_and_then_a_combination_runs_again(
    airflow: Airflow, cluster: Sandbox, sweeps: Path, visit: Visit
) -> None:
    run = Asking(airflow, cluster, sweeps, "narrowed_in_form")
    run.wait_until_asked()
    page = question(visit, run, "admin")
    page.locator("[name=element_only]").fill("2-3")
    button(page, APPROVE).click()
    assert run.wait_for_end() == "success"
    assert "approved by admin, only 2-3: 2 of 4 combinations" in run.report()
    assert jobs(run) == [0, 1, 1, 0]

    page = visit(address(run.name, run.id))
    expect(rows(page)).to_have_count(2)
    run.clear("submit", 1, downstream=True)
    assert wait_until(lambda: jobs(run) == [0, 1, 2, 0])
    assert run.wait_for_end() == "success"
    assert jobs(run) == [0, 1, 2, 0], "the same combination once more, no other"


def test_rejected_or_not_answered_the_page_says_so(
    airflow: Airflow, cluster: Sandbox, sweeps: Path, visit: Visit
) -> None:
    silent = Asking(airflow, cluster, sweeps, "no_answer", rule='approve: {above_cpu_hours: 0, within: "0:5"}')
    rejected = Asking(airflow, cluster, sweeps, "rejected_there")
    rejected.wait_until_asked()
    page = question(visit, rejected, "admin")
    button(page, REJECT).click()
    for run, what in (
        (rejected, "rejected by admin"),
        (silent, "not approved by anybody in time"),
    ):
        assert run.wait_for_end() == "success"
        expect(button(question(visit, run, "admin"), APPROVE)).to_be_disabled()
        page = visit(address(run.name, run.id))
        expect(frame(page).get_by_text(f"The run was {what}; nothing was submitted.")).to_be_visible()
        assert jobs(run) == [0, 0, 0, 0]
