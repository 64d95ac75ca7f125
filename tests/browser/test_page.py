"""The page "Sweeps" as people use it: in Chromium, in Airflow, with real jobs behind it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from sandbox import Sandbox
from sandbox.postgres import Postgres
from sandbox.processes import wait_until
from slurm_sweep.slurm.states import JobState
from tests.browser.conftest import Airflow, Visit, picture
from tests.unit.page.conftest import Sweep, as_text

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

WANDB = "https://wandb.invalid/me/runs"


def frame(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title=Sweeps]")


def rows(page: Page) -> Locator:
    return frame(page).locator("tbody tr[data-key]")


def cells(page: Page, column: int) -> list[str]:
    return rows(page).locator(f"td:nth-child({column})").all_inner_texts()


def address(dag_id: str, run_id: str) -> str:
    return f"/plugin/sweeps/air/slurm_sweep/?dag_id={dag_id}&run_id={run_id}"


def brightness(page: Page, name: str) -> float:
    """Return how bright a colour of the page is, from 0 to 255, whatever it is written in."""
    return float(
        frame(page)
        .locator("body")
        .evaluate(
            """(body, name) => {
              const drawing = document.createElement("canvas").getContext("2d");
              drawing.fillStyle = getComputedStyle(body)[name];
              drawing.fillRect(0, 0, 1, 1);
              const [red, green, blue] = drawing.getImageData(0, 0, 1, 1).data;
              return (red + green + blue) / 3;
            }""",
            name,
        )
    )


@pytest.fixture(scope="module")
def ended(airflow: Airflow) -> str:
    """A run of the sweep ``rates`` that has ended: of its six combinations the two with a penalty "much" failed."""
    airflow.trigger("rates", "ended")
    run = "/api/v2/dags/rates/dagRuns/ended"
    assert wait_until(lambda: airflow.call("GET", run)["state"] == "failed", 180)
    return "ended"


def test_a_run_is_followed_from_the_trigger_to_a_failed_jobs_log(airflow: Airflow, visit: Visit) -> None:
    page = visit("/")
    page.get_by_role("link", name="Sweeps").click()
    expect(frame(page).get_by_role("heading", name="Latest runs")).to_be_visible()
    expect(frame(page).get_by_role("link", name="rates").first).to_be_visible()
    airflow.trigger("rates", "watched")
    page.reload()  # the list follows what runs; of a new run it hears within 20 s
    frame(page).get_by_role("link", name="watched").click()
    expect(rows(page)).to_have_count(6)
    page.evaluate("window.same = true")
    states = rows(page).locator("td:nth-child(4)")
    expect(states.filter(has_text="in Slurm").first).to_be_visible()
    expect(states.filter(has_text="COMPLETED")).to_have_count(4)
    expect(states.filter(has_text="FAILED (NonZeroExitCode)")).to_have_count(2)
    expect(frame(page).get_by_role("progressbar")).to_have_attribute(
        "aria-valuetext", "6 of 6 ended: 4 succeeded, 2 failed"
    )
    assert page.evaluate("window.same"), "the page was loaded again"

    row = rows(page).filter(has_text="much").first
    expect(row).to_contain_text("1e-06")
    row.get_by_role("link", name="Log of combination 3").click()
    page.wait_for_url(f"{airflow.url}/dags/rates/runs/watched/tasks/combination.wait/mapped/2")
    expect(page.get_by_text("expected a number, got 'much'").first).to_be_visible()


def test_rows_are_sorted_and_filtered(visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    expect(rows(page)).to_have_count(6)
    assert cells(page, 1) == ["1", "2", "3", "4", "5", "6"]
    assert cells(page, 3) == ["0.01", "0.05", "much"] * 2
    head = frame(page).get_by_role("columnheader", name="kl_penalty")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert cells(page, 3) == ["0.01", "0.01", "0.05", "0.05", "much", "much"]
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert cells(page, 3) == ["much", "much", "0.05", "0.05", "0.01", "0.01"]
    picture(page, "page.png")

    frame(page).get_by_label("Filter combinations").fill("lr=1e-06 completed")
    expect(rows(page)).to_have_count(2)
    expect(frame(page).get_by_text("2 of 6 combinations")).to_be_visible()
    frame(page).get_by_label("Filter combinations").fill("")
    frame(page).get_by_role("button", name="2 failed", exact=True).click()
    expect(rows(page)).to_have_count(2)
    assert cells(page, 3) == ["much", "much"]


def test_a_viewer_sees_no_buttons_that_change_something(visit: Visit, ended: str) -> None:
    for user, buttons in (("admin", 7), ("viewer", 0)):
        page = visit(address("rates", ended), user)
        expect(rows(page)).to_have_count(6)
        assert frame(page).get_by_role("button", name=re.compile("^clear", re.IGNORECASE)).count() == buttons
        expect(rows(page).get_by_role("link", name=re.compile("Log of"))).to_have_count(6)


def test_failed_ones_are_cleared_after_a_question(airflow: Airflow, visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    failed = rows(page).filter(has_text=re.compile("FAILED"))  # in capitals: Slurm's word
    expect(failed).to_have_count(2)
    before = failed.locator("td:nth-child(5)").all_inner_texts()
    clear = frame(page).get_by_role("button", name="Clear failed (2)")
    clear.click()
    dialog = frame(page).get_by_role("dialog")
    expect(dialog).to_contain_text("Clear the 2 combinations that failed?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert airflow.call("GET", "/api/v2/dags/rates/dagRuns/ended")["state"] == "failed"
    clear.click()
    dialog.get_by_role("button", name="Clear failed").click()
    expect(failed).to_have_count(0)
    expect(rows(page).filter(has_text="COMPLETED")).to_have_count(4)
    expect(failed).to_have_count(2)
    after = failed.locator("td:nth-child(5)").all_inner_texts()
    assert not set(before) & set(after), "the same job"


def test_a_job_is_cancelled_by_marking_its_combination_failed(airflow: Airflow, cluster: Sandbox, visit: Visit) -> None:
    airflow.trigger("long", "long")
    page = visit(address("long", "long"))
    row = rows(page).filter(has_text="in Slurm").first
    expect(row).to_be_visible()
    expect(rows(page).filter(has_text="in Slurm")).to_have_count(2)
    job_id = row.locator("td:nth-child(4)").inner_text()
    row.get_by_role("button", name="Mark failed").click()
    dialog = frame(page).get_by_role("dialog")
    expect(dialog).to_contain_text("Its job is cancelled.")
    dialog.get_by_role("button", name="Mark failed").click()
    expect(rows(page).filter(has_text="wait failed")).to_have_count(1)
    state = ("squeue", "--states=all", "--noheader", "--format=%T", f"--jobs={job_id}")
    assert wait_until(lambda: cluster.slurm(*state).strip() == "CANCELLED", 30)
    airflow.mark_run("/api/v2/dags/long/dagRuns/long", "failed")


def test_it_is_dark_where_airflow_is(visit: Visit, ended: str) -> None:
    for dark in (False, True):
        page = visit(address("rates", ended), dark=dark)
        expect(rows(page)).to_have_count(6)
        back, text = (brightness(page, name) for name in ("backgroundColor", "color"))
        assert (back < 80 and text > 170) if dark else (back > 230 and text < 90), (back, text)
        if dark:
            picture(page, "page-dark.png")


@pytest.mark.usefixtures("airflow")  # its database
def test_three_thousand_rows(postgres: Postgres, visit: Visit) -> None:
    size = 3000
    with Session(create_engine(postgres.url)) as session:
        run = Sweep(session, "huge", size=size).run("huge", "success")
        both = "combination.submit", "combination.wait"
        run.tasks([(task, index, "success") for task in both for index in range(size)])
        run.xcoms([(both[0], index, "return_value", as_text(run.job(index))) for index in range(size)])
        ends = (
            run.end(index, JobState.COMPLETED) | {"metrics": {"reward": index / size}, "wandb": f"{WANDB}/{index}"}
            for index in range(size)
        )
        run.xcoms([(both[1], index, "return_value", as_text(end)) for index, end in enumerate(ends)])
    page = visit(address("huge", "huge"))
    table = frame(page).get_by_role("table", name="Combinations")
    expect(table).to_have_attribute("aria-rowcount", str(size + 1))
    expect(rows(page).nth(1).get_by_role("link", name="W&B")).to_have_attribute("href", f"{WANDB}/1")
    assert rows(page).count() < 100, "only what is on the screen is in the document"
    region = frame(page).get_by_role("region", name="Combinations")
    # A screen further each frame, to the end: how long the slowest frame took.
    slowest = region.evaluate("""async (region) => {
      let slowest = 0, last = performance.now();
      while (region.scrollTop + region.clientHeight < region.scrollHeight - 1) {
        region.scrollTop += region.clientHeight;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        [slowest, last] = [Math.max(slowest, now - last), now];
      }
      return slowest;
    }""")
    expect(rows(page).last).to_contain_text("3000")
    assert slowest < 500, f"a frame took {slowest:.0f} ms"
    frame(page).get_by_role("button", name="reward").dblclick()
    region.evaluate("(region) => region.scrollTop = 0")
    expect(rows(page).first.locator("td").first).to_have_text("3000")
    frame(page).get_by_text("Plot", exact=True).click()
    expect(frame(page).get_by_role("img", name="reward against seed").locator("circle")).to_have_count(size)
    frame(page).get_by_text("Plot", exact=True).click()
    frame(page).get_by_label("Filter combinations").fill("seed=77")
    expect(rows(page)).to_have_count(2)
    assert cells(page, 2) == ["77", "77"]
    picture(page, "page-large.png")
