"""A browser in front of a real Airflow, below a path as behind a proxy, with a real cluster and two users."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.fixtures import Airflow

CHROMIUM = [
    "--no-sandbox",  # it has none as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 180_000  # milliseconds: for what Airflow does on a machine with other work
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder: the documentation's pictures are made there


@pytest.fixture(scope="module", autouse=True)
def rates_and_long(sweeps: Path) -> None:
    """Two sweeps: one with failures, one that takes its time."""
    common = "script_path: examples/train_grpo.py\nconfig_path: examples/configs/grpo.yaml\n"
    (sweeps / "rates.yaml").write_text(
        f"{common}optim.lr: [1e-6, 1e-5]\ngrpo.kl_penalty: [0.01, 0.05, much]\n"
        "slurm: {gpus_per_node: 1, time: 0:10:0, jobname: rates}\n"
        "dag: {description: Two learning rates and three penalties}\n"
    )
    (sweeps / "curves.yaml").write_text(
        "command: |\n"
        "  for step in 1 2 3 4 5; do echo '{\"step\": '$step', \"loss\": '$SWEEP_LOSS$step'}' >> {run_dir}/metrics.jsonl; done\n"
        "  while [ ! -e {run_dir}/../end ]; do sleep 0.2; done\n"
        '  echo \'{"step": 100, "loss": 0.01}\' >> {run_dir}/metrics.jsonl\n'
        "loss: [1, 2, 3]\n"
        "slurm: {gpus_per_node: 0, jobname: curves}\n"
        "sweep: {objective: {metric: loss, goal: minimize}}\n"
    )
    (sweeps / "long.yaml").write_text(
        f"{common}grpo.step_seconds: [5, 6]\nslurm: {{gpus_per_node: 0, jobname: long}}\n"
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield browser
        browser.close()


class Visitors:
    """People who are logged in; each has a browser profile, which loads Airflow's programs once for all tests."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._known: dict[tuple[str, bool], BrowserContext] = {}

    def page(self, user: str, *, dark: bool, anew: bool) -> Page:
        """Return a new page in a person's browser, in one without a past if ``anew``."""
        context = None if anew else self._known.get((user, dark))
        if context is None:
            context = self._browser.new_context(
                color_scheme="dark" if dark else "light", viewport={"width": 1280, "height": 720}
            )
            self._log_in(context, user)
            if not anew:
                self._known[user, dark] = context
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        return page

    def _log_in(self, context: BrowserContext, user: str) -> None:
        page = context.new_page()
        page.goto(f"{self._url}/auth/login?next={quote(f'{self._url}/', safe='')}")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", user)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(re.escape(f"{self._url}/") + "$"))
        page.close()


@pytest.fixture(scope="module")
def visitors(airflow: Airflow, browser: Browser) -> Visitors:
    return Visitors(browser, airflow.url)


Visit = Callable[..., Page]


@pytest.fixture
def visit(airflow: Airflow, visitors: Visitors) -> Iterator[Visit]:
    """Open a page of Airflow's as a user; nothing that the browser complains of is passed over."""
    pages: list[Page] = []
    complaints: list[str] = []
    outside: list[str] = []

    def visit(path: str, user: str = "admin", *, dark: bool = False, anew: bool = False) -> Page:
        page = visitors.page(user, dark=dark, anew=anew)
        pages.append(page)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on(
            "request", lambda request: outside.append(request.url) if host(request.url) != host(airflow.url) else None
        )
        page.goto(airflow.url + path)
        return page

    yield visit
    for page in pages:
        page.close()
    assert [text for text in complaints if "slurm_sweep" in text or "Content Security" in text] == []
    assert [url for url in outside if url.startswith("http")] == [], "something was asked of another host"


def host(url: str) -> str:
    return urlsplit(url).netloc


def picture(page: Page, name: str) -> None:
    """Make one of the documentation's pictures, if it is asked for."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / name)
