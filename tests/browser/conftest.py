"""A browser in front of a real Airflow, below a path as behind a proxy, with a real cluster and two users."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

from sandbox import Sandbox
from sandbox.airflow import LARGE_SWEEPS, Standalone, airflow_environment, merge
from sandbox.postgres import Postgres, temporary_postgres

PATH = "/air"
USERS = ("admin", "viewer")  # by their roles
CHROMIUM = [
    "--no-sandbox",  # it has none as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60_000  # milliseconds: for what Airflow's workers do
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder: the documentation's pictures are made there


class Airflow(Standalone):
    """Airflow at a path of its host's, with one user of each role in `USERS`."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        super().__init__(environment, log)
        self.url += PATH
        users = ",".join(f"{role}:{role}" for role in USERS)
        (self.home / "simple_auth_manager_passwords.json.generated").write_text(
            json.dumps({role: role for role in USERS})
        )
        self._environment = merge(
            self._environment,
            API__BASE_URL=self.url,
            CORE__EXECUTION_API_SERVER_URL=f"{self.url}/execution/",
            CORE__SIMPLE_AUTH_MANAGER_USERS=users,
        )

    def log_in(self) -> None:
        """Log in as the administrator."""
        self._token = self.call("POST", "/auth/token", {"username": "admin", "password": "admin"})["access_token"]

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run whose jobs have the run's name: no run may use another's directories."""
        self.wait_for_dag(dag_id)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": {"jobname": run_id}}
        self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("b"), nodes=2) as box:
        yield box


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps")
    common = "script_path: examples/train_grpo.py\nconfig_path: examples/configs/grpo.yaml\n"
    (folder / "rates.yaml").write_text(
        f"{common}optim.lr: [1e-6, 1e-5]\ngrpo.kl_penalty: [0.01, 0.05, much]\n"
        "slurm: {gpus_per_node: 1, time: 0:10:0, jobname: rates}\n"
        "dag: {description: Two learning rates and three penalties}\n"
    )
    (folder / "long.yaml").write_text(
        f"{common}grpo.step_seconds: [5, 6]\nslurm: {{gpus_per_node: 0, jobname: long}}\n"
    )
    return folder


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with temporary_postgres() as server:
        assert server, "scripts/setup --tests installs Postgres"
        yield server


@pytest.fixture(scope="module")
def airflow(
    cluster: Sandbox, sweeps: Path, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    environment = airflow_environment(tmp_path_factory.mktemp("airflow"), cluster, sweeps=sweeps)
    settings = LARGE_SWEEPS | {"SLURM_SWEEP__INTERVAL": 2}
    environment = merge(environment, DATABASE__SQL_ALCHEMY_CONN=postgres.url, **settings)
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    with Airflow(environment, tmp_path_factory.mktemp("standalone") / "airflow.log").running() as airflow:
        yield airflow


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        yield playwright


Visit = Callable[..., Page]


@pytest.fixture
def visit(airflow: Airflow, playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Log in as a user, and open a page of Airflow's; nothing that the browser complains of is passed over."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    outside: list[str] = []

    def visit(path: str, user: str = "admin", *, dark: bool = False) -> Page:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path="/usr/bin/chromium",
            args=CHROMIUM,
            color_scheme="dark" if dark else "light",
            viewport={"width": 1280, "height": 720},
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on(
            "request", lambda request: outside.append(request.url) if host(request.url) != host(airflow.url) else None
        )
        page.goto(f"{airflow.url}/auth/login?next={quote(airflow.url + path, safe='')}")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", user)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(re.escape(airflow.url + path)))
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [text for text in complaints if "slurm_sweep" in text or "Content Security" in text] == []
    assert [url for url in outside if url.startswith("http")] == [], "something was asked of another host"


def host(url: str) -> str:
    return urlsplit(url).netloc


def picture(page: Page, name: str) -> None:
    """Make one of the documentation's pictures, if it is asked for."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / name)
