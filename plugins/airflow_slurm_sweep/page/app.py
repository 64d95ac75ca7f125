"""The page's own small web application, which Airflow's API server mounts at `PREFIX`.

Airflow lets anybody call a mounted application. Each answer that has data therefore takes Airflow's own user and asks
Airflow's auth manager. The page itself changes nothing: its buttons call Airflow's REST API as that user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from airflow_slurm_sweep.names import CANCELLED_BY
from airflow_slurm_sweep.page import data, listing
from airflow_slurm_sweep.page.compare import MOST

STATIC = Path(__file__).with_name("static")
# The page loads nothing from other sites, and no other site may frame it.
_POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; object-src 'none'"
_ENTITIES = (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
_READ = [Depends(requires_access_dag("GET", entity)) for entity in _ENTITIES]


class _Static(StaticFiles):
    """Files that a browser revalidates each time, so that it never mixes files of two versions."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def build_app() -> FastAPI:
    """Return the application. It answers 401 to users who are not logged in, 403 to those who may not read a Dag."""
    app = FastAPI(title="Sweeps", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/", response_class=FileResponse)(index)
    app.get("/sweeps")(sweeps)
    app.get("/run", dependencies=_READ)(run)
    app.get("/curves", dependencies=_READ)(curves)
    app.get("/compare")(compare)
    app.get("/compare/curves")(compare_curves)
    app.get("/log", dependencies=[*_READ, Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))])(log)
    app.mount("/static", _Static(directory=STATIC))  # no secrets
    return app


def _runs(
    request: Request, user: GetUserDep, run: Annotated[list[str], Query(min_length=1, max_length=MOST)]
) -> list[tuple[str, str]]:
    """Return the Dag and run ids of runs, given as DAG/RUN, all of which the user may read."""
    found = [(dag_id, run_id) for dag_id, _, run_id in (each.partition("/") for each in dict.fromkeys(run))]
    for dag_id in dict.fromkeys(dag_id for dag_id, _ in found):
        for entity in _ENTITIES:
            requires_access_dag("GET", entity, dag_id)(request, user)
    return found


Runs = Annotated[list[tuple[str, str]], Depends(_runs)]


def index() -> FileResponse:
    """Return the page."""
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(STATIC / "index.html", headers=headers)


def sweeps(session: SessionDep, user: GetUserDep, dag_id: str | None = None) -> dict[str, Any]:
    """Return the sweeps that the user may read, their latest runs, and what is wrong with sweep files."""
    manager = get_auth_manager()
    readable = manager.get_authorized_dag_ids(user=user, method="GET", session=session)
    teams = DagModel.get_dag_id_to_team_name_mapping(list(readable))
    may_read_errors = manager.is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=user)

    def may_read(dag_id: str, *entities: DagAccessEntity) -> bool:
        details = DagDetails(id=dag_id, team_name=teams.get(dag_id))
        return all(
            manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user)
            for entity in entities
        )

    of_runs = DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE
    found = listing.sweeps(session, readable, dag_id, lambda each: may_read(each, *of_runs))
    dag_ids = {run["dag_id"] for run in found["runs"] if run["best"]}
    with_best = {each for each in dag_ids if may_read(each, DagAccessEntity.XCOM)}
    for run in found["runs"]:
        run["best"] = run["best"] if run["dag_id"] in with_best else ""
    return {**found, "most_compared": MOST, "faults": listing.faults(session) if may_read_errors else []}


def run(
    session: SessionDep, user: GetUserDep, dag_id: str, run_id: str, if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """Return a Dag run with all its combinations, or 304 if nothing has changed since the answer with that ETag."""
    version = data.run_version(session, dag_id, run_id)
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    may_edit = get_auth_manager().is_authorized_dag(
        method="PUT", access_entity=DagAccessEntity.TASK_INSTANCE, details=details, user=user
    )
    etag = f'W/"{version}{"+" if may_edit else "-"}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    found = data.run(session, dag_id, run_id)
    if found is None:
        raise HTTPException(404, f"The Dag {dag_id!r} has no run {run_id!r}; see the list of runs")
    cancel_note = f"{CANCELLED_BY} {user.get_name()}"
    return JSONResponse({**found, "may_edit": may_edit, "cancel_note": cancel_note}, headers=headers)


def curves(
    session: SessionDep, dag_id: str, run_id: str, metric: str = "", if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """Return the curves of one metric of a Dag run's jobs, or 304 if the run has not changed since that ETag."""
    etag = _etag(session, [(dag_id, run_id)])
    return _answer(etag, if_none_match, lambda: data.curves(session, dag_id, run_id, metric))


def compare(session: SessionDep, runs: Runs, if_none_match: Annotated[str, Header()] = "") -> Response:
    """Return several runs as one, or 304 if none of them has changed since that ETag."""

    def found() -> dict[str, Any]:
        if compared := data.compared(session, runs):
            return {**compared, "may_edit": False}
        raise HTTPException(404, "One of these runs is not there any more; see the list of runs")

    return _answer(_etag(session, runs), if_none_match, found)


def compare_curves(
    session: SessionDep, runs: Runs, metric: str = "", if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """Return the curves of one metric of several runs, or 304 if none of them has changed since that ETag."""
    return _answer(_etag(session, runs), if_none_match, lambda: data.compared_curves(session, runs, metric))


def _etag(session: SessionDep, runs: Sequence[tuple[str, str]]) -> str:
    return f'W/"{".".join(str(data.run_version(session, *ids)) for ids in runs)}"'


def _answer(etag: str, known: str, found: Callable[[], dict[str, Any]]) -> Response:
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    return Response(status_code=304, headers=headers) if known == etag else JSONResponse(found(), headers=headers)


def log(session: SessionDep, dag_id: str, run_id: str, index: int) -> dict[str, str]:
    """Return the last lines of the log of a failed job, given as its map index, and the job's id; empty for none."""
    return data.log(session, dag_id, run_id, index)
