"""The page "Sweeps" as people use it: in Chromium, in Airflow, with real jobs behind it."""

from __future__ import annotations

import csv
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, Route, expect
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from airflow_slurm_sweep.names import OBJECTIVE_KEY
from airflow_slurm_sweep.slurm.history import History
from airflow_slurm_sweep.slurm.states import JobState
from sandbox import Sandbox
from sandbox.postgres import Postgres
from sandbox.processes import wait_until
from tests.browser.conftest import Visit, picture
from tests.fixtures import Airflow
from tests.unit.page.conftest import Sweep, as_text

pytestmark = pytest.mark.sandbox

WANDB = "https://wandb.invalid/me/runs"
LR, PENALTY, REWARD = "parameters.optim.lr", "parameters.grpo.kl_penalty", "metrics.reward"
IN_SLURM = re.compile("in Slurm|PENDING|CONFIGURING|RUNNING|COMPLETING")  # its own word, where it is known


def frame(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title=Sweeps]")


def rows(page: Page) -> Locator:
    return frame(page).locator("tbody tr[data-key]")


def head(page: Page, column: str) -> Locator:
    """Return the head of a column by its name in the address: ``parameters.optim.lr``, ``state``, ``metrics.reward``."""
    return frame(page).locator(f'thead th:has([data-column="{column}"])')


def cell(page: Page, column: str, within: Locator | None = None) -> Locator:
    """Return the cells of a column, of all rows or of some."""
    place = head(page, column).evaluate("(head) => head.cellIndex + 1")
    return (within or rows(page)).locator(f"td:nth-child({place})")


def cells(page: Page, column: str) -> list[str]:
    return cell(page, column).all_inner_texts()


def address(dag_id: str, run_id: str, **more: object) -> str:
    return f"/plugin/sweeps/air/slurm_sweep/?{urlencode({'dag_id': dag_id, 'run_id': run_id, **more})}"


def in_airflow(page: Page) -> dict[str, str]:
    """Return the query of Airflow's own address, which people share."""
    return dict(parse_qsl(urlsplit(page.url).query))


def answer(page: Page, change: Callable[[dict[str, Any]], object]) -> None:
    """Have the page's data of a run changed on its way, from the next look on: what no test can bring about at will."""

    def on_the_way(route: Route) -> None:
        headers = {name: value for name, value in route.request.headers.items() if name.lower() != "if-none-match"}
        response = route.fetch(headers=headers)
        found = response.json()
        change(found)
        route.fulfill(response=response, json=found)

    page.route("**/slurm_sweep/run?*", on_the_way)


def brightness(place: Locator, name: str) -> float:
    """Return how bright a colour of an element is, from 0 to 255, whatever it is written in."""
    return float(
        place.evaluate(
            """(place, name) => {
              const drawing = document.createElement("canvas").getContext("2d");
              drawing.fillStyle = getComputedStyle(place)[name];
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
    assert wait_until(lambda: airflow.call("GET", run)["state"] == "failed")
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
    states = cell(page, "state")
    expect(states.filter(has_text=IN_SLURM).first).to_be_visible()
    expect(states.filter(has_text="COMPLETED")).to_have_count(4)
    expect(states.filter(has_text="FAILED: train_grpo: grpo.kl_penalty: expected a number")).to_have_count(2)
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
    frame(page).get_by_role("button", name="#").click()
    assert cells(page, "number") == ["1", "2", "3", "4", "5", "6"]
    assert cells(page, PENALTY) == ["0.01", "0.05", "much"] * 2
    button = head(page, PENALTY).get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    expect(head(page, PENALTY)).to_have_attribute("aria-sort", "ascending")
    expect(frame(page).get_by_text("Sorted by kl_penalty, ascending")).to_be_attached()
    assert cells(page, PENALTY) == ["0.01", "0.01", "0.05", "0.05", "much", "much"]
    page.keyboard.press("Enter")
    expect(head(page, PENALTY)).to_have_attribute("aria-sort", "descending")
    expect(button).to_be_focused()
    assert cells(page, PENALTY) == ["much", "much", "0.05", "0.05", "0.01", "0.01"]

    frame(page).get_by_label("Filter combinations").fill("lr=1e-06 completed")
    expect(rows(page)).to_have_count(2)
    expect(frame(page).get_by_text("2 of 6 combinations", exact=True)).to_be_visible()
    frame(page).get_by_label("Filter combinations").fill("")
    frame(page).get_by_role("button", name="2 failed", exact=True).click()
    expect(rows(page)).to_have_count(2)
    assert cells(page, PENALTY) == ["much", "much"]


@pytest.fixture
def objective(airflow: Airflow, ended: str) -> Iterator[Callable[[str], None]]:
    """Return what gives the run that has ended an objective with a goal, as its task plan does."""
    entries = f"/api/v2/dags/rates/dagRuns/{ended}/taskInstances/plan/xcomEntries"

    def clear() -> None:
        if any(entry["key"] == OBJECTIVE_KEY for entry in airflow.call("GET", entries)["xcom_entries"]):
            airflow.call("DELETE", f"{entries}/{OBJECTIVE_KEY}")

    def replace(goal: str) -> None:
        clear()
        value = {"metric": "reward", "goal": goal}
        airflow.call("POST", entries, {"key": OBJECTIVE_KEY, "value": value, "map_index": -1})

    yield replace
    clear()


def test_the_best_is_first_and_marked(visit: Visit, ended: str, objective: Callable[[str], None]) -> None:
    page = visit(address("rates", ended))
    expect(rows(page)).to_have_count(6)
    rewards = {
        number: float(reward)
        for number, reward in zip(cells(page, "number"), cells(page, REWARD), strict=True)
        if reward
    }
    objective("maximize")
    page.reload()
    line = frame(page).get_by_text("Best: reward")
    expect(line).to_be_visible()
    ranked = sorted(rewards, key=lambda number: -rewards[number])
    assert cells(page, "number") == [*ranked, "3", "6"]
    expect(line).to_contain_text(f"with lr=1e-05 kl_penalty=0.01 (#{ranked[0]})")
    expect(head(page, REWARD)).to_have_attribute("aria-sort", "descending")
    assert head(page, "state").evaluate("(state) => state.nextSibling.textContent") == "★ reward, the objective"
    expect(rows(page).first.get_by_label("the best")).to_be_visible()
    shades = [re.search("[0-9]+%", style or "") for style in styles(page)]
    assert [shade and shade.group() for shade in shades][:: len(ranked) - 1] == ["45%", "0%"], "darker is better"
    picture(page, "page.png")

    objective("minimize")
    page.reload()
    expect(line).to_contain_text(f"(#{ranked[-1]})")
    assert cells(page, "number") == [*ranked[::-1], "3", "6"]
    expect(head(page, REWARD)).to_have_attribute("aria-sort", "ascending")
    # The reader's own order stays, whatever comes in.
    head(page, "number").get_by_role("button").click()
    assert cells(page, "number") == ["1", "2", "3", "4", "5", "6"]
    frame(page).get_by_text("Best: reward").get_by_role("link").click()
    expect(frame(page).get_by_role("complementary", name=f"Combination {ranked[-1]}")).to_contain_text("(the best)")


def styles(page: Page) -> list[str | None]:
    return [shaded.get_attribute("style") for shaded in cell(page, REWARD).all() if shaded.inner_text()]


def test_slurms_state_is_shown_where_it_is_known(visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended), anew=True)  # its clock will be wrong

    def in_slurm(run: dict[str, Any]) -> None:
        now = time.time()
        counts = {"running": 1, "pending": 1, "in Slurm": 4}
        stuck = ["2 jobs will not start without help (InvalidQOS): its QOS does not exist (any more)"]
        run.update(state="running", live=True, end=None, live_at=now - 90, counts=counts, ended=0, stuck=stuck)
        nothing: dict[str, object] = {"reason": "", "metrics": {}, "nodes": "", "queued": None, "ran": None}
        nothing |= {"why": "", "is_stuck": False, "expected_start": None}
        nothing |= {"elapsed": "", "running_since": None, "pending_since": None, "ended": None}
        states: list[dict[str, object]] = [
            {"stage": "running", "state": "RUNNING", "nodes": "n2", "queued": 65, "running_since": now - 3600},
            {"stage": "pending", "state": "PENDING", "reason": "Priority", "pending_since": now - 600}
            | {"why": "jobs with a higher priority come first", "expected_start": now + 600},
            *[{"stage": "in Slurm", "state": "in Slurm", "running_since": now - 60}] * 4,  # nobody knows
        ]
        for row, state in zip(run["combinations"], states, strict=True):
            row.update(nothing | state)

    expect(rows(page)).to_have_count(6)  # Playwright sets the clock of each frame: all of them have to be there
    answer(page, in_slurm)
    page.clock.set_system_time(time.time() + 7200)  # the reader's clock is wrong
    page.reload()
    running, pending, unknown = (rows(page).nth(place) for place in range(3))
    head(page, "number").get_by_role("button").click()
    expect(running).to_contain_text("RUNNING")
    expect(cell(page, "time", running)).to_contain_text(re.compile("^1:00:"))
    expect(cell(page, "queued", running)).to_have_text("1:05")
    expect(pending).to_contain_text("PENDING (Priority)")
    starts = re.compile(
        r"^PENDING \(Priority\); jobs with a higher priority come first; Slurm expects it to start at .*\d"
    )
    expect(cell(page, "state", pending)).to_have_attribute("title", starts)
    expect(cell(page, "queued", pending)).to_contain_text(re.compile("^10:"))
    expect(frame(page).get_by_text("2 jobs will not start without help (InvalidQOS): its QOS does")).to_be_visible()
    expect(cell(page, "time", pending)).to_have_text("")
    expect(unknown).to_contain_text("in Slurm")
    expect(cell(page, "time", unknown)).to_contain_text(re.compile("^1:"))
    expect(frame(page).get_by_text(re.compile("Slurm's word is 1:[0-9]+ old"))).to_be_visible()
    before = cell(page, "time", running).inner_text()
    expect(cell(page, "time", running)).not_to_have_text(before)  # it goes on by itself
    frame(page).get_by_role("button", name="1 pending").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("PENDING (Priority)")
    cell(page, "number", rows(page)).get_by_role("link").click()
    details = frame(page).get_by_role("complementary")
    expect(details).to_contain_text("jobs with a higher priority come first")
    expect(details).to_contain_text("Expected start")


def test_a_combination_has_an_address_and_all_that_is_known_of_it(airflow: Airflow, visit: Visit, ended: str) -> None:
    page = visit(f"/plugin/sweeps?{urlencode({'dag_id': 'rates', 'run_id': ended, 'index': 1})}")  # without a path
    details = frame(page).get_by_role("complementary", name="Combination 2")
    for text in ("ended_sweep_2", "COMPLETED", "grpo.kl_penalty", "0.05", "best_arm_probability"):
        expect(details).to_contain_text(text)
    expect(rows(page).nth(1)).to_have_class(re.compile("chosen"))
    assert in_airflow(page) == {"dag_id": "rates", "run_id": ended, "index": "1"}

    rows(page).nth(3).get_by_role("link", name="Combination 4", exact=True).focus()
    page.keyboard.press("Enter")
    details = frame(page).get_by_role("complementary", name="Combination 4")
    expect(details.get_by_role("heading", name="Combination 4")).to_be_focused()
    assert in_airflow(page)["index"] == "3"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    details.get_by_role("button", name="Copy the log's path").click()
    expect(details.get_by_text("Copied")).to_be_visible()
    assert re.search(r"/ended_sweep_4/logs/slurm-\d+\.out$", page.evaluate("navigator.clipboard.readText()"))
    details.get_by_role("link", name="Log of combination 4").click()
    page.wait_for_url(re.compile("/tasks/combination.wait/mapped/3"))
    page.go_back()
    expect(details.get_by_role("heading", name="Combination 4")).to_be_visible()
    details.get_by_role("button", name="Copy").focus()
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(rows(page).nth(3).get_by_role("link", name="Combination 4", exact=True)).to_be_focused()
    assert "index" not in in_airflow(page)

    link = rows(page).nth(3).get_by_role("link", name="Combination 4", exact=True).get_attribute("href")
    assert link == airflow.url + address("rates", ended, index=3)


@pytest.mark.all
def test_the_end_of_a_failed_jobs_log_is_read_when_its_details_are_opened(visit: Visit, ended: str) -> None:
    """By the keyboard, in the dark; its text is no HTML."""
    page = visit(address("rates", ended), dark=True)
    expect(rows(page)).to_have_count(6)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/slurm_sweep/log?" in request.url else None)
    link = rows(page).get_by_role("link", name="Combination 3", exact=True)
    log = frame(page).get_by_role("region", name="Last lines of the log of combination 3")
    for _ in range(2):
        link.focus()
        page.keyboard.press("Enter")
        expect(log).to_contain_text("expected a number, got 'much'")
        page.keyboard.press("Escape")
        expect(log).to_be_hidden()
    assert len(asked) == 1
    page.keyboard.press("Enter")  # the focus is on the link again
    for _ in range(20):
        page.keyboard.press("Tab")
        if log.evaluate("(log) => log === document.activeElement"):
            break
    expect(log).to_be_focused()
    back, text = (brightness(log, name) for name in ("backgroundColor", "color"))
    assert back < 80 and text > 170, (back, text)  # noqa: PT018  # both are in the message

    def with_markup(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | {"lines": "<b>bold</b>"})

    page.route("**/slurm_sweep/log?*", with_markup)
    rows(page).get_by_role("link", name="Combination 6", exact=True).click()
    expect(frame(page).get_by_role("region", name="Last lines of the log of combination 6")).to_have_text("<b>bold</b>")


def test_the_logs_of_compared_runs_are_each_its_own(airflow: Airflow, postgres: Postgres, visit: Visit) -> None:
    """Even of jobs with the same id, which two clusters may give."""
    assert airflow.pids
    with Session(create_engine(postgres.url)) as session:
        sweep = Sweep(session, "logs")
        for run in (sweep.run("a", "failed"), sweep.run("b", "failed")):
            run.tasks([("combination.submit", 1, "success"), ("combination.wait", 1, "failed")])
            run.xcoms([("combination.submit", 1, "return_value", as_text(run.job(1)))])
            run.xcoms([("combination.wait", 1, "status", as_text(run.end(1, JobState.FAILED)))])
            run.xcoms([("combination.wait", 1, "log", as_text({"job_id": "101", "lines": f"the log of {run.run_id}"}))])
    page = visit(f"/plugin/sweeps/air/slurm_sweep/?{urlencode([('run', 'logs/a'), ('run', 'logs/b')])}")
    for number, name in (("A2", "a"), ("B2", "b")):
        rows(page).get_by_role("link", name=f"Combination {number}", exact=True).click()
        log = frame(page).get_by_role("region", name=f"Last lines of the log of combination {number}")
        expect(log).to_have_text(f"the log of {name}")


def test_an_answer_that_could_not_be_shown_is_asked_for_again(visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    expect(rows(page)).to_have_count(6)
    broken = ["the first answer after this"]

    def on_the_way(route: Route) -> None:
        if not broken:
            return route.continue_()
        broken.clear()
        response = route.fetch()
        return route.fulfill(response=response, json=response.json() | {"metrics": None})

    page.route("**/slurm_sweep/run?*", on_the_way)
    page.reload()
    expect(rows(page)).to_have_count(6)
    expect(frame(page).locator("#message")).to_be_hidden()
    assert not broken


def test_a_task_leads_to_its_combination(airflow: Airflow, visit: Visit, ended: str) -> None:
    page = visit(f"/dags/rates/runs/{ended}/tasks/combination.wait/mapped/3/details")
    page.get_by_role("link", name="On the page Sweeps").click()
    expect(page.get_by_role("complementary", name="Combination 4")).to_contain_text("ended_sweep_4")
    # Here the page stands alone, for those who may not read plugins; its links stay where they may go.
    link = page.get_by_role("link", name="Combination 4", exact=True)
    query = urlencode({"dag_id": "rates", "run_id": ended, "index": 3})
    expect(link).to_have_attribute("href", f"{airflow.url}/slurm_sweep/?{query}")


def test_a_link_shows_what_its_sender_saw(visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    expect(rows(page)).to_have_count(6)
    head(page, PENALTY).get_by_role("button").dblclick()
    frame(page).get_by_label("Filter combinations").fill("lr=1e-05")
    frame(page).get_by_role("button", name="succeeded").click()
    frame(page).get_by_text("Plot", exact=True).click()
    frame(page).get_by_label("Heat map").check()
    sent = in_airflow(page)
    assert sent["sort"] == f"-{PENALTY}"
    assert sent["filter"] == "lr=1e-05"
    assert sent["only"] == "succeeded"
    assert (sent["plot"], sent["x"], sent["z"]) == ("heat", "optim.lr", "grpo.kl_penalty")

    other = visit(page.url.removeprefix(f"http://{urlsplit(page.url).netloc}/air"), "viewer")
    expect(rows(other)).to_have_count(2)
    assert cells(other, PENALTY) == ["0.05", "0.01"]
    expect(frame(other).get_by_role("table", name=re.compile("over lr and kl_penalty"))).to_be_visible()
    assert in_airflow(other) == sent
    frame(other).get_by_role("link", name="Sweeps").click()
    expect(frame(other).get_by_role("heading", name="Latest runs")).to_be_visible()


def test_plots(visit: Visit, ended: str, objective: Callable[[str], None]) -> None:
    objective("maximize")
    page = visit(address("rates", ended))
    frame(page).get_by_text("Plot", exact=True).click()
    points = frame(page).get_by_role("img", name="reward against lr").locator("circle.value")
    expect(points).to_have_count(4)
    best = points.and_(frame(page).locator(".best"))
    expect(best).to_have_count(1)
    best.hover()
    reading = frame(page).locator(".reading")
    expect(reading).to_contain_text("lr=1e-05 kl_penalty=0.01: reward")
    expect(rows(page).first).to_have_class(re.compile("pointed"))

    scatter = frame(page).get_by_label("Scatter")
    scatter.focus()
    page.keyboard.press("ArrowRight")  # as one goes through a choice
    lines = frame(page).get_by_role("img", name="reward and all parameters").locator("path.value")
    expect(lines).to_have_count(4)
    picture(page, "page-plot.png")
    drawing = frame(page).get_by_role("application", name="reward")
    drawing.focus()
    page.keyboard.press("End")
    expect(reading).to_contain_text("lr=1e-05 kl_penalty=0.01: reward")
    page.keyboard.press("ArrowLeft")
    expect(reading).not_to_contain_text("lr=1e-05 kl_penalty=0.01: reward")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(frame(page).get_by_role("complementary")).to_contain_text("(the best)")
    frame(page).get_by_label("Filter combinations").fill("lr=1e-06")
    expect(lines.and_(frame(page).locator(".faint"))).to_have_count(2)
    frame(page).get_by_label("Filter combinations").fill("")

    frame(page).get_by_label("Best so far").check()
    by_end = frame(page).get_by_role("img", name="reward against the number of ended combinations")
    expect(by_end.locator("circle.value")).to_have_count(4)
    expect(by_end.locator("path.so-far")).to_have_attribute("d", re.compile(r"^M[\d.]+ [\d.]+L"))

    frame(page).get_by_label("Heat map").check()
    heat = frame(page).get_by_role("table", name="reward over lr and kl_penalty")
    expect(heat.get_by_role("columnheader")).to_have_text(["kl_penalty \\ lr", "1e-06", "1e-05"])
    expect(heat.get_by_role("rowheader")).to_have_text(["0.01", "0.05"])
    expect(heat.get_by_role("cell")).to_have_text([re.compile(r"^0\.\d{2,4}$")] * 4)
    expect(frame(page).get_by_label("Of several combinations in a cell")).to_be_hidden()
    frame(page).get_by_label("Second parameter").select_option("optim.lr")
    ways = frame(page).get_by_label("Of several combinations in a cell")
    expect(ways.locator("option")).to_have_text(["best (largest)", "mean", "smallest"])
    expect(frame(page).locator(".heat td[title*='largest reward']")).to_have_count(2)


def test_curves_grow_while_jobs_run(airflow: Airflow, cluster: Sandbox, visit: Visit) -> None:
    airflow.trigger("curves", "curves")
    page = visit(address("curves", "curves", plot="curves"), dark=True)
    lines = frame(page).get_by_role("img", name="loss over the steps").locator("path.value")
    expect(lines).to_have_count(3)
    expect(cell(page, "metrics.loss")).to_have_text(["15", "25", "35"])
    expect(frame(page).locator(".legend")).to_have_text(" worst best")
    colours = [line.evaluate("(line) => getComputedStyle(line).stroke") for line in lines.all()]
    assert len(set(colours)) == 3

    frame(page).get_by_role("application", name="loss").focus()
    page.keyboard.press("Home")
    reading = frame(page).locator(".reading")
    expect(reading).to_have_text("#1 loss=1: loss 15 at step 5")
    expect(frame(page).locator(".plot path.mark")).to_be_visible()
    page.keyboard.press("Enter")
    expect(frame(page).get_by_role("complementary")).to_contain_text("Combination 1")
    frame(page).get_by_label("Colour").select_option("loss")
    expect(frame(page).locator(".legend")).to_have_text(" 1 2 3")
    before = lines.first.get_attribute("d")
    frame(page).get_by_label("Log axis").check()
    expect(lines.first).not_to_have_attribute("d", str(before))
    assert in_airflow(page).items() >= {"plot": "curves", "colour": "loss", "log": "1"}.items()
    drawing = frame(page).get_by_role("application", name="loss")
    steps = frame(page).locator(".plot text[text-anchor=middle]")
    for key, shown in (("+", "2,4"), ("Shift+ArrowRight", "2.5,4.5"), ("-", "1.5,5")):
        drawing.press(key)
        expect(page).to_have_url(re.compile(f"steps={quote(shown)}$"))
    expect(steps).to_have_text(["2", "3", "4", "5"])
    drawing.press("Escape")
    expect(page).not_to_have_url(re.compile("steps="))
    expect(steps).to_have_text(["1", "2", "3", "4", "5"])

    (Path(str(cluster.profile["log"])) / "curves" / "end").touch()
    expect(cell(page, "metrics.loss")).to_have_text([re.compile("0.01")] * 3)
    expect(frame(page).locator(".plot text").filter(has_text="100")).to_be_visible()
    frame(page).get_by_role("application", name="loss").focus()
    page.keyboard.press("Home")
    expect(reading).to_contain_text("loss 0.01 at step 100")
    frame(page).get_by_label("Filter combinations").fill("loss=2")
    expect(lines.and_(frame(page).locator(".faint"))).to_have_count(2)


RUNS = 200


@pytest.fixture(scope="module")
def steps(airflow: Airflow, postgres: Postgres) -> str:
    """A run of `RUNS` combinations that took a thousand steps each, as it stands in Airflow's database."""
    assert airflow.pids
    with Session(create_engine(postgres.url)) as session:
        run = Sweep(session, "steps", size=RUNS).run("steps", "success")
        both = "combination.submit", "combination.wait"
        run.tasks([(task, index, "success") for task in both for index in range(RUNS)])
        run.xcoms([(both[0], index, "return_value", as_text(run.job(index))) for index in range(RUNS)])
        end = {"metrics": {"loss": 1, "acc": 1}}
        ends = [run.end(index, JobState.COMPLETED) | end for index in range(RUNS)]
        run.xcoms([(both[1], index, "return_value", as_text(end)) for index, end in enumerate(ends)])
        for index in range(RUNS):
            history = History("loss")
            for step in range(1000):
                history.add("loss", step, 2 + math.sin(step * index / 9000) + math.sin(step) / 9)
                history.add("acc", step, step / 1000)
            run.xcoms([(both[1], index, "history", as_text(history.to_json()))])
    return "steps"


@pytest.mark.alone
@pytest.mark.all
def test_two_hundred_curves_are_there_in_a_second_and_the_pointer_does_not_stutter(visit: Visit, steps: str) -> None:
    page = visit(address(steps, steps, y="loss"))
    expect(rows(page).first).to_be_visible()
    body = frame(page).locator("body")
    # From the click until all lines are painted, and the longest task while the pointer moves over them.
    took = body.evaluate("""async (body) => {
      const began = performance.now();
      body.querySelector("details.plots").open = true;
      body.querySelector("input[value=curves]").click();
      while (body.querySelectorAll(".plot path.value").length < 200) await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      return performance.now() - began;
    }""")
    assert took < 1000, f"the first paint took {took:.0f} ms"
    longest = hover(body)
    assert longest == 0, f"a task took {longest:.0f} ms"  # shorter ones than 50 ms are not told
    box = frame(page).locator(".layers").bounding_box()
    assert box
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 100, steps=20)
    page.mouse.up()
    expect(frame(page).get_by_role("button", name="All steps")).to_be_visible()
    expect(page).to_have_url(re.compile("steps="))
    first, last = map(float, in_airflow(page)["steps"].split(","))
    assert 50 < first < last < 250
    longest = hover(body)
    assert longest == 0, f"a task took {longest:.0f} ms while zoomed in"
    page.mouse.dblclick(box["x"] + 80, box["y"] + 20)
    expect(frame(page).get_by_role("button", name="All steps")).to_be_hidden()


def hover(body: Locator) -> float:
    """Return the longest task of the browser, in milliseconds, while the pointer moves over the curves."""
    return float(
        body.evaluate("""async (body) => {
      let longest = 0;
      const watch = new PerformanceObserver((tasks) => {
        for (const task of tasks.getEntries()) longest = Math.max(longest, task.duration);
      });
      watch.observe({ type: "longtask" });
      const { left, top, width, height } = body.querySelector(".layers").getBoundingClientRect();
      for (let step = 0; step < 200; step += 1) {
        const [clientX, clientY] = [left + (width * step) / 200, top + height * (0.2 + 0.6 * Math.random())];
        body.querySelector(".plot").dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, bubbles: true }));
        await new Promise(requestAnimationFrame);
      }
      await new Promise((done) => setTimeout(done, 200));
      return longest;
    }""")
    )


def test_scales(visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    expect(rows(page)).to_have_count(6)
    kinds, marks = (
        frame(page)
        .locator("body")
        .evaluate(
            """async () => {
              const { axis, kindOf } = await import(new URL("static/scales.js", document.baseURI).href);
              const kinds = [["1", "10"], ["1e-6", "1e-4"], ["0", "1000"], ["-1", "100"], ["1", ""], ["a", "1"]];
              const many = (values) => axis(values, 0, 100).marks.map((mark) => mark.text);
              const upTo = (size) => Array.from({ length: size }, (_, place) => place);
              const axes = [upTo(100), upTo(9).map((power) => 10 ** power), ["b", "a", ""], [5]];
              const decade = axis([1.2, 1.5, 1.7, 1.9, 2.1, 2.3, 2.5], 0, 100, 14, "log").marks;
              return [kinds.map(kindOf), [...axes.map(many), decade.map((mark) => mark.text)]];
            }"""
        )
    )
    assert kinds == ["linear", "log", "linear", "linear", "names", "names"]
    assert marks == [
        ["0", "20", "40", "60", "80"],
        ["1", "100", "10000", "1000000", "100000000"],
        ["b", "a", "(none)"],
        ["5"],
        ["1.5", "2", "2.5"],
    ]


def test_runs_are_compared(airflow: Airflow, postgres: Postgres, visit: Visit) -> None:
    assert airflow.pids
    both = "combination.submit", "combination.wait"
    with Session(create_engine(postgres.url)) as session:
        sweep = Sweep(session, "pair")
        for at, run in enumerate((sweep.run("a", "success"), sweep.run("b", "success"))):
            run.xcoms([("plan", -1, "origin", {"revision": f"commit {run.run_id}"})])
            run.xcoms([("plan", -1, OBJECTIVE_KEY, {"metric": "reward", "goal": "maximize"})])
            run.tasks([(task, index, "success") for task in both for index in range(4)])
            run.xcoms([(both[0], index, "return_value", as_text(run.job(index))) for index in range(4)])
            for index in range(4):
                end = run.end(index, JobState.COMPLETED) | {"metrics": {"reward": 10 * at + index}}
                history = {"reward": [[1, 2], [0, 10 * at + index]]}
                run.xcoms(
                    [(both[1], index, "return_value", as_text(end)), (both[1], index, "history", as_text(history))]
                )
    page = visit("/plugin/sweeps?dag_id=pair")
    for name in ("a", "b"):
        frame(page).get_by_label(f"Compare pair/{name}").focus()
        page.keyboard.press("Space")
    frame(page).get_by_role("link", name="Compare 2 runs").focus()
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(8)
    expect(page).to_have_url(re.compile(r"\?run=pair%2Fa&run=pair%2Fb$"))
    assert cells(page, "number") == ["B4", "B3", "B2", "B1", "A4", "A3", "A2", "A1"]
    assert cells(page, "parameters.compared run") == [*"BBBBAAAA"]
    runs = frame(page).get_by_role("table", name="What differs between the runs")
    expect(runs.get_by_role("columnheader")).to_contain_text(["", "Sweep", "Run", "commit", "State"])
    expect(runs.get_by_role("row").nth(2)).to_contain_text("commit b")
    frame(page).get_by_text("Mean reward by value").click()
    mean = frame(page).get_by_role("table", name="Mean reward by compared run")
    expect(mean.get_by_role("row")).to_have_text(["runnmeanspread", "A41.5± 1.3", "B411.5± 1.3"])
    frame(page).get_by_text("Plot", exact=True).click()
    frame(page).get_by_label("Curves").check()
    frame(page).get_by_label("Colour").select_option("compared run")
    expect(frame(page).locator(".plot path.value")).to_have_count(8)
    expect(frame(page).locator(".legend")).to_have_text(" A B")
    rows(page).last.get_by_role("link", name="Combination A1", exact=True).click()
    expect(page).to_have_url(re.compile(r"index=0\.0"))
    page.reload()
    expect(frame(page).get_by_role("complementary", name="Combination A1")).to_contain_text("COMPLETED")
    rows(page).last.get_by_role("link", name="Log of combination A1").click()
    page.wait_for_url(f"{airflow.url}/dags/pair/runs/a/tasks/combination.wait/mapped/0")


@pytest.mark.parametrize("path", ["{}", "/slurm_sweep/?{}"], ids=["in Airflow", "alone"])
def test_what_the_table_shows_is_a_file(visit: Visit, ended: str, path: str) -> None:
    inside = address("rates", ended, sort=f"-{PENALTY}", filter="lr=1e-06")
    page = visit(inside if path == "{}" else path.format(urlsplit(inside).query))
    place = frame(page) if path == "{}" else page
    expect(place.locator("tbody tr[data-key]")).to_have_count(3)
    with page.expect_download() as download:
        place.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "rates ended.csv"
    lines = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [(line[LR], line[PENALTY], line["state"]) for line in lines] == [
        ("1e-06", "much", "FAILED (NonZeroExitCode)"),
        ("1e-06", "0.05", "COMPLETED"),
        ("1e-06", "0.01", "COMPLETED"),
    ]
    assert lines[0][REWARD] == ""
    assert 0 < float(lines[1][REWARD]) < 1
    assert "actions" not in lines[0]


def test_all_columns_can_be_reached_in_a_narrow_window(visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    page.set_viewport_size({"width": 900, "height": 600})
    expect(rows(page)).to_have_count(6)
    region = frame(page).get_by_role("region", name="Combinations")
    expect(region).to_have_class(re.compile("more-right"))
    overlaps = """(region) => {
      const [first, ...cells] = [...region.querySelector("tbody tr[data-key]").cells];
      const [last, links] = cells.slice(-2).map((cell) => cell.getBoundingClientRect());
      region.scrollLeft = 0;
      const gap = cells[0].getBoundingClientRect().left - first.getBoundingClientRect().right;
      region.scrollLeft = region.scrollWidth;
      const [end, start] = [cells.at(-2), cells.at(-1)].map((cell) => cell.getBoundingClientRect());
      const [left, edge] = [first.getBoundingClientRect().left, region.getBoundingClientRect().left];
      return { gap, end: start.left - end.right, first: left - edge, links: links.left - start.left };
    }"""
    measured = region.evaluate(overlaps)
    assert abs(measured["gap"]) < 1, "the first column hides the second one's start"
    assert abs(measured["end"]) < 1, "the links hide the last column's end"
    assert abs(measured["links"]) < 1, "the links move"
    assert abs(measured["first"]) <= 2, "the number moves"
    expect(region).to_have_class(re.compile("more-left"))
    picture(page, "page-narrow.png")


def test_the_keyboard_gets_everywhere(visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    expect(rows(page)).to_have_count(6)
    frame(page).get_by_label("Filter combinations").focus()
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            frame(page)
            .locator("body")
            .evaluate("""() => {
              const at = document.activeElement;
              return at.ariaLabel || at.textContent.trim() || at.labels?.[0]?.textContent || at.tagName;
            }""")
        )
    wanted = ["Run failed again (2)", "Plot", "Combinations", "#", "lr", "kl_penalty", "State", "Combination 1"]
    assert [name for name in reached if name in wanted] == wanted
    assert "Log of combination 1" in reached
    assert "Run again: combination 1" in reached
    # What is new in the table leaves the focus where it is.
    link = rows(page).first.get_by_role("link", name=re.compile("Log of"))
    link.focus()
    answer(page, lambda run: run["combinations"][0].update(reason="changed"))
    page.evaluate("document.querySelector('iframe').contentDocument.dispatchEvent(new Event('visibilitychange'))")
    expect(rows(page).first).to_contain_text("(changed)")
    expect(link).to_be_focused()


def test_a_viewer_sees_no_buttons_that_change_something(visit: Visit, ended: str) -> None:
    for user, buttons in (("admin", 7), ("viewer", 0)):
        page = visit(address("rates", ended), user)
        expect(rows(page)).to_have_count(6)
        assert frame(page).get_by_role("button", name=re.compile("again")).count() == buttons
        expect(rows(page).get_by_role("link", name=re.compile("Log of"))).to_have_count(6)


def test_failed_combinations_run_again_after_a_question(airflow: Airflow, visit: Visit, ended: str) -> None:
    page = visit(address("rates", ended))
    failed = rows(page).filter(has_text=re.compile("FAILED"))  # in capitals: Slurm's word
    expect(failed).to_have_count(2)
    before = cell(page, "job", failed).all_inner_texts()
    clear = frame(page).get_by_role("button", name="Run failed again (2)")
    clear.click()
    dialog = frame(page).get_by_role("dialog")
    expect(dialog).to_contain_text("Run the 2 combinations that failed again?")
    dialog.get_by_role("button", name="Back").click()
    expect(dialog).to_be_hidden()
    assert airflow.call("GET", "/api/v2/dags/rates/dagRuns/ended")["state"] == "failed"
    clear.click()
    dialog.get_by_role("button", name="Run failed again").click()
    expect(failed).to_have_count(0)
    expect(rows(page).filter(has_text="COMPLETED")).to_have_count(4)
    expect(failed).to_have_count(2)
    after = cell(page, "job", failed).all_inner_texts()
    assert not set(before) & set(after), "the same job"


def test_a_job_is_cancelled_and_then_the_sweep(airflow: Airflow, cluster: Sandbox, visit: Visit) -> None:
    airflow.trigger("long", "long")
    page = visit(address("long", "long"))
    row = rows(page).filter(has_text=IN_SLURM).first
    expect(row).to_be_visible()
    expect(rows(page).filter(has_text=IN_SLURM)).to_have_count(2)
    expect(rows(page).filter(has_text="RUNNING")).to_have_count(2)
    assert all(re.fullmatch(r"n\d", nodes) for nodes in cells(page, "nodes")), "told by the triggerer, while they run"
    picture(page, "page-running.png")
    job_id = cell(page, "job", row).inner_text()
    row.get_by_role("button", name="Cancel job").click()
    dialog = frame(page).get_by_role("dialog")
    expect(dialog).to_contain_text("The combination fails")
    dialog.get_by_role("button", name="Cancel job").click()
    cancelled = rows(page).filter(has_text="cancelled by admin")
    expect(cancelled).to_have_count(1)
    state = ("squeue", "--states=all", "--noheader", "--format=%T", f"--jobs={job_id}")
    assert wait_until(lambda: cluster.slurm(*state).strip() == "CANCELLED")
    frame(page).get_by_role("button", name="Cancel sweep").click()
    expect(dialog).to_contain_text("1 combination has not ended")
    dialog.get_by_role("button", name="Cancel sweep").click()
    expect(cancelled).to_have_count(2)
    expect(frame(page).get_by_text("Note: cancelled by admin")).to_be_visible()
    picture(page, "page-cancelled.png")
    live = ("squeue", "--noheader", "--format=%i", "--name=long_sweep_1,long_sweep_2")
    assert wait_until(lambda: not cluster.slurm(*live).strip())


def test_it_is_dark_where_airflow_is(visit: Visit, ended: str) -> None:
    for dark in (False, True):
        page = visit(address("rates", ended), dark=dark)
        expect(rows(page)).to_have_count(6)
        back, text = (brightness(frame(page).locator("body"), name) for name in ("backgroundColor", "color"))
        assert (back < 80 and text > 170) if dark else (back > 230 and text < 90), (back, text)
        if dark:
            picture(page, "page-dark.png")


SIZE = 3000


@pytest.fixture(scope="module")
def huge(airflow: Airflow, postgres: Postgres) -> str:
    """A run of `SIZE` combinations, as it stands in Airflow's database."""
    assert airflow.pids
    with Session(create_engine(postgres.url)) as session:
        run = Sweep(session, "huge", size=SIZE).run("huge", "success")
        both = "combination.submit", "combination.wait"
        run.tasks([(task, index, "success") for task in both for index in range(SIZE)])
        run.xcoms([(both[0], index, "return_value", as_text(run.job(index))) for index in range(SIZE)])
        ends = (
            run.end(index, JobState.COMPLETED) | {"metrics": {"reward": index / SIZE}, "wandb": f"{WANDB}/{index}"}
            for index in range(SIZE)
        )
        run.xcoms([(both[1], index, "return_value", as_text(end)) for index, end in enumerate(ends)])
    return "huge"


def test_three_thousand_rows(visit: Visit, huge: str) -> None:
    page = visit(address(huge, huge))
    table = frame(page).get_by_role("table", name="Combinations")
    expect(table).to_have_attribute("aria-rowcount", str(SIZE + 1))
    expect(rows(page).nth(1).get_by_role("link", name="W&B")).to_have_attribute("href", f"{WANDB}/1")
    assert rows(page).count() < 100, "only what is on the screen is in the document"
    region = frame(page).get_by_role("region", name="Combinations")
    region.evaluate("(region) => region.scrollTop = region.scrollHeight")
    expect(rows(page).last).to_contain_text("3000")
    frame(page).get_by_role("button", name="reward").dblclick()
    region.evaluate("(region) => region.scrollTop = 0")
    expect(rows(page).first.locator("td").first).to_have_text("3000")
    frame(page).get_by_text("Plot", exact=True).click()
    expect(frame(page).get_by_role("img", name="reward against seed").locator("circle.value")).to_have_count(SIZE)
    frame(page).get_by_label("Parallel coordinates").check()
    drawing = frame(page).get_by_role("img", name="reward and all parameters")
    expect(drawing.locator("path.value")).to_have_count(SIZE)
    frame(page).get_by_label("Heat map").check()
    expect(frame(page).get_by_text("seed has 1500 values, and a heat map room for 60")).to_be_visible()
    frame(page).get_by_text("Plot", exact=True).click()
    frame(page).get_by_label("Filter combinations").fill("seed=77")
    expect(rows(page)).to_have_count(2)
    assert cells(page, "parameters.seed") == ["77", "77"]
    picture(page, "page-large.png")


@pytest.mark.alone
def test_three_thousand_rows_scroll_smoothly(visit: Visit, huge: str) -> None:
    page = visit(address(huge, huge))
    region = frame(page).get_by_role("region", name="Combinations")
    expect(rows(page).first).to_be_visible()
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
    frame(page).get_by_text("Plot", exact=True).click()
    frame(page).get_by_label("Parallel coordinates").check()
    drawing = frame(page).get_by_role("img", name="reward and all parameters")
    expect(drawing.locator("path.value")).to_have_count(SIZE)
    # The pointer over all lines, a step each frame.
    slowest = drawing.evaluate("""async (drawing) => {
      const { left, top, width, height } = drawing.getBoundingClientRect();
      let slowest = 0, last = performance.now();
      for (let step = 0; step < 40; step += 1) {
        const [clientX, clientY] = [left + (width * step) / 40, top + height / 2];
        drawing.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, bubbles: true }));
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        [slowest, last] = [Math.max(slowest, now - last), now];
      }
      return slowest;
    }""")
    assert slowest < 500, f"a frame took {slowest:.0f} ms"
