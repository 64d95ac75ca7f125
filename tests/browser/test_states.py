"""What the page shows in states that a run seldom stays in, as they stand in Airflow's database; and that all has room."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from airflow_slurm_sweep.names import FAULT_KEY, OBJECTIVE_KEY
from airflow_slurm_sweep.slurm.states import JobState
from sandbox.postgres import Postgres
from tests.browser.conftest import Visit, picture
from tests.browser.test_page import address, frame, rows
from tests.fixtures import Airflow
from tests.unit.page.conftest import Run, Sweep, as_text

pytestmark = [pytest.mark.sandbox, pytest.mark.all]

SUBMIT, WAIT = "combination.submit", "combination.wait"
OBJECTIVE = {"metric": "reward", "goal": "maximize"}
OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
NO_SUCH_FILE = "no such file on the cluster: train.py (looked for from /home/alice/project)"
Shows = Callable[[Sweep], Run]


def failed(sweep: Sweep) -> Run:
    """All combinations failed: most for one reason, one for another."""
    run = sweep.run("run", "failed")
    size = len(sweep.jobs)
    run.tasks(
        [(task, index, "success" if task == SUBMIT else "failed") for task in (SUBMIT, WAIT) for index in range(size)]
    )
    run.xcoms([(SUBMIT, index, "return_value", as_text(run.job(index))) for index in range(size)])
    ends = [
        run.end(index, JobState.FAILED, "NonZeroExitCode") | {"cause": OUT_OF_MEMORY if index else "KeyError: 'seed'"}
        for index in range(size)
    ]
    run.xcoms([(WAIT, index, "status", as_text(end)) for index, end in enumerate(ends)])
    return run


def ended(sweep: Sweep, more: Callable[[int], dict[str, Any]] = lambda _: {}) -> Run:
    """All combinations succeeded; ``more`` is what a job's end says otherwise."""
    run = sweep.run("run", "success")
    size = len(sweep.jobs)
    run.tasks([(task, index, "success") for task in (SUBMIT, WAIT) for index in range(size)])
    run.xcoms([(SUBMIT, index, "return_value", as_text(run.job(index))) for index in range(size)])
    ends = [
        run.end(index, JobState.COMPLETED) | {"metrics": {"reward": index % 5 / 5}} | more(index)
        for index in range(size)
    ]
    run.xcoms([(WAIT, index, "return_value", as_text(end)) for index, end in enumerate(ends)])
    run.xcoms([("plan", -1, OBJECTIVE_KEY, OBJECTIVE)])
    return run


def without_plan(sweep: Sweep) -> Run:
    """The task ``plan`` failed."""
    run = sweep.run("run", "failed", plan="failed")
    run.xcoms([("plan", -1, FAULT_KEY, NO_SUCH_FILE)])
    return run


def stopped(sweep: Sweep) -> Run:
    """The first combination succeeded, and the others were stopped early."""

    def early(index: int) -> dict[str, Any]:
        why = f"asha: reward {index / 5:g} at step 300 is {index + 1} of 4"
        return {"text": "STOPPED_EARLY", "state": "STOPPED_EARLY", "reason": why} if index else {}

    return ended(sweep, early)


# What overlaps: two elements with text of their own, of which neither contains the other.
OVERLAPS = """() => {
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const shown = [...document.body.querySelectorAll("*")].filter(
    (element) => hasText(element) && element.checkVisibility() && !element.closest(".unseen, svg, caption, .scroll tbody"),
  );
  const boxes = shown.map((element) => [element, element.getBoundingClientRect()]).filter(([, box]) => box.width > 1);
  const found = [];
  for (const [at, [one, a]] of boxes.entries()) {
    for (const [other, b] of boxes.slice(at + 1)) {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 2 && height > 2 && !one.contains(other) && !other.contains(one)) {
        found.push(`${one.textContent.trim()} | ${other.textContent.trim()}`);
      }
    }
  }
  const wide = document.documentElement.scrollWidth - innerWidth;
  return wide > 1 ? [...found, `${wide} pixels stand out on the right`] : found;
}"""


def has_room(page: Page) -> None:
    for width in (1440, 1280):
        page.set_viewport_size({"width": width, "height": 720})
        found = frame(page).locator("body").evaluate(f"(body) => ({OVERLAPS})()")
        assert found == [], f"at {width} pixels"


STATES: dict[str, tuple[Shows, str, int, str]] = {
    "planning": (lambda sweep: sweep.run("run", plan="running"), "", 0, "0 of 0 ended"),
    "plan_failed": (without_plan, "", 0, "0 of 0 ended"),
    "planned": (lambda sweep: sweep.run("run"), "", 4, "0 of 4 ended"),
    "failed": (failed, "", 4, "4 of 4 ended: 4 failed"),
    "stopped": (stopped, "", 4, "4 of 4 ended: 1 succeeded, 3 stopped early"),
    "repeats": (ended, "sweep: {repeat: {start: [1, 2]}}\n", 8, "8 of 8 ended: 8 succeeded"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_state_says_what_it_is(airflow: Airflow, postgres: Postgres, visit: Visit, state: str) -> None:
    assert airflow.pids
    make, more, size, progress = STATES[state]
    with Session(create_engine(postgres.url)) as session:
        make(Sweep(session, f"state_{state}", more=more))
    page = visit(address(f"state_{state}", "run"))
    expect(frame(page).get_by_role("progressbar")).to_have_attribute("aria-valuetext", re.compile(f"^{progress}"))
    expect(rows(page)).to_have_count(size)
    if state == "failed":
        expect(frame(page).get_by_text(f"3 of 4 failed: {OUT_OF_MEMORY}")).to_be_visible()
        expect(rows(page).filter(has_text=f"FAILED: {OUT_OF_MEMORY}")).to_have_count(3)
    if state == "plan_failed":
        expect(frame(page).get_by_text(NO_SUCH_FILE)).to_be_visible()
    if state == "repeats":
        frame(page).get_by_text("Mean reward of repeats").click()
        means = frame(page).get_by_role("table", name="Mean reward of the repeats")
        expect(means.get_by_role("row")).to_have_count(5)
    has_room(page)
    picture(page, f"page-{state}.png")


def test_without_sweeps_the_list_says_how_to_have_one(visit: Visit) -> None:
    nothing: dict[str, Any] = {"sweeps": [], "runs": [], "faults": []}
    page = visit("/")
    page.route("**/slurm_sweep/sweeps", lambda route: route.fulfill(json=nothing))
    page.get_by_role("link", name="Sweeps").click()
    expect(frame(page).get_by_text("include/sweeps")).to_be_visible()
    has_room(page)
    picture(page, "page-empty.png")
