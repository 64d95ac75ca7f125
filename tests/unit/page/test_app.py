"""Who may see what: the page as Airflow's API server mounts it, with Airflow's own users and their tokens."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from tests.unit.page.conftest import Sweep, as_text

Get = Callable[..., httpx.Response]

# Airflow's own API server, as it starts, uses what its libraries call old.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:Using `httpx` with", "ignore:.* is deprecated. Use"
)


@pytest.fixture(scope="module")
def app(database: Callable[[], Session]) -> Iterator[Any]:
    """Airflow's API server with the plugin in ``plugins/``, and a sweep ``seen`` with a run."""
    from airflow.api_fastapi.app import cached_app, purge_cached_app  # noqa: PLC0415

    with database() as session:
        run = Sweep(session, "seen").run("r1", "success")
        run.tasks([("combination.submit", 0, "success")])
        run.tasks([("combination.wait", 0, "failed"), ("combination.wait", 1, "running")])  # the latter was cleared
        kept = as_text({"job_id": "100", "lines": "<b>\nlast"})
        run.xcoms([("combination.wait", index, "log", kept) for index in (0, 1)])
        run.tasks([("report", -1, "success")])
        run.xcoms([("report", -1, "best", "loss 1 with lr=1")])
    purge_cached_app()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s" * 64)  # the one that Airflow makes up is called too short
        yield cached_app(apps="core")
    purge_cached_app()


@pytest.fixture(params=["cookie", "bearer"])
def get(app: Any, request: pytest.FixtureRequest) -> Get:
    """Ask as a user of a role, who may be of no role at all, or anonymously."""
    from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser  # noqa: PLC0415

    async def ask(path: str, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(f"/slurm_sweep/{path}", headers=headers)

    def get(path: str, role: str | None = "admin", *, anonymous: bool = False, **headers: str) -> httpx.Response:
        if not anonymous:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=role or "nobody", role=role))
            cookie = request.param == "cookie"
            headers |= {"Cookie": f"_token={token}"} if cookie else {"Authorization": f"Bearer {token}"}
        return asyncio.run(ask(path, headers))

    return get


RUN = "run?dag_id=seen&run_id=r1"
COMPARE = "compare?run=seen/r1&run=hidden/r1"
LOG = "log?dag_id=seen&run_id=r1&index=0"


@pytest.mark.parametrize("path", ["", "sweeps", RUN, COMPARE, LOG])
def test_a_request_without_a_valid_login_gets_nothing(get: Get, path: str) -> None:
    assert get(path, anonymous=True).status_code == 401
    assert get(path, anonymous=True, Authorization="Bearer forged").status_code == 403


def test_a_user_who_may_read_no_dags_sees_none(get: Get) -> None:
    assert get(RUN, None).status_code == get(LOG, None).status_code == 403
    assert get("sweeps", None).json() == {"sweeps": [], "runs": [], "most_compared": 20, "faults": []}


def test_the_list_has_what_the_user_may_read_of_runs(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity  # noqa: PLC0415
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager  # noqa: PLC0415

    def best(*refused: DagAccessEntity) -> list[str]:
        # Airflow's simple auth manager has no user who may read some parts of a Dag only.
        allows = lambda *_, access_entity=None, **_rest: access_entity not in refused  # noqa: E731
        monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", allows)
        found = get("sweeps?dag_id=seen").json()
        assert "seen" in [sweep["dag_id"] for sweep in found["sweeps"]]
        return [run["best"] for run in found["runs"]]

    assert best() == ["loss 1 with lr=1"]
    assert best(DagAccessEntity.XCOM) == [""]
    assert best(DagAccessEntity.RUN) == best(DagAccessEntity.TASK_INSTANCE) == []


def test_runs_are_compared_by_those_only_who_may_read_all_of_them(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager  # noqa: PLC0415

    alone = get("compare?run=seen/r1&run=seen/r1")
    assert len(alone.json()["combinations"]) == 4, "the same run once"
    same = {"If-None-Match": alone.headers["ETag"]}
    assert get("compare?run=seen/r1", **same).status_code == 304
    assert get("compare/curves?run=seen/r1").json() == {"metrics": [], "metric": "", "curves": {}}
    assert get("compare").status_code == 422
    assert get(COMPARE).status_code == 404
    # Airflow's simple auth manager has no user who may read some Dags only.
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", lambda *_, details, **_rest: details.id == "seen")
    assert get("compare?run=seen/r1").status_code == 200
    for path in (COMPARE, COMPARE.replace("?", "/curves?")):
        assert get(path).status_code == 403


@pytest.mark.parametrize(("role", "may_edit"), [("viewer", False), ("user", True), ("admin", True)])
def test_a_viewer_sees_the_run_and_may_not_change_it(get: Get, role: str, may_edit: bool) -> None:
    found = get(RUN, role).json()
    assert found["may_edit"] is may_edit
    assert len(found["combinations"]) == 4
    assert "seen" in [run["dag_id"] for run in get("sweeps", role).json()["runs"]]


def test_the_log_of_a_failed_job_is_there_for_whoever_may_read_logs(get: Get) -> None:
    assert get(LOG, "viewer").json() == {"job_id": "100", "lines": "<b>\nlast"}
    for index in (1, 7):
        assert get(f"log?dag_id=seen&run_id=r1&index={index}").json() == {"job_id": "", "lines": ""}


def test_an_unchanged_run_is_not_sent_again(get: Get) -> None:
    same = {"If-None-Match": get(RUN).headers["ETag"]}
    assert get(RUN, **same).status_code == 304
    assert get(RUN, "viewer", **same).status_code == 200, "the buttons are others"


def test_an_unknown_run_is_named_in_the_error(get: Get) -> None:
    answer = get("run?dag_id=seen&run_id=no")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "The Dag 'seen' has no run 'no'; see the list of runs",
    )


def test_the_page_loads_nothing_from_other_sites(get: Get) -> None:
    answer = get("")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "http" not in answer.text
    for file in ("page.js", "page.css"):
        assert f'"static/{file}"' in answer.text
        assert get(f"static/{file}").status_code == 200


def test_only_the_api_server_builds_the_page() -> None:
    code = "import sys, airflow_slurm_sweep.plugin; sys.exit('airflow_slurm_sweep.page.app' in sys.modules or 'fastapi' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
