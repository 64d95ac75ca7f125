"""The page's own small web application, which Airflow's API server mounts at `PREFIX`.

Airflow lets anybody call a mounted application. Each answer that has data therefore takes Airflow's own user and asks
Airflow's auth manager. The page itself changes nothing: its buttons call Airflow's REST API as that user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from airflow_slurm_sweep.names import CANCELLED_BY
from airflow_slurm_sweep.page import data

STATIC = Path(__file__).with_name("static")
# The page loads nothing from other sites, and no other site may frame it.
_POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; object-src 'none'"
_READ = [
    Depends(requires_access_dag("GET", entity))
    for entity in (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
]


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
    app.get("/log", dependencies=[*_READ, Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))])(log)
    app.mount("/static", _Static(directory=STATIC))  # no secrets
    return app


def index() -> FileResponse:
    """Return the page."""
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(STATIC / "index.html", headers=headers)


def sweeps(session: SessionDep, user: GetUserDep, dag_id: str | None = None) -> dict[str, Any]:
    """Return the sweeps that the user may read, their latest runs, and what is wrong with sweep files."""
    manager = get_auth_manager()
    readable = manager.get_authorized_dag_ids(user=user, method="GET", session=session)
    may_read_errors = manager.is_authorized_view(access_view=AccessView.IMPORT_ERRORS, user=user)
    return {**data.sweeps(session, readable, dag_id), "faults": data.faults(session) if may_read_errors else []}


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
    headers = {"ETag": f'W/"{data.run_version(session, dag_id, run_id)}"', "Cache-Control": "no-cache"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return JSONResponse(data.curves(session, dag_id, run_id, metric), headers=headers)


def log(session: SessionDep, dag_id: str, run_id: str, index: int) -> dict[str, str]:
    """Return the last lines of the log of a failed job, given as its map index, and the job's id; empty for none."""
    return data.log(session, dag_id, run_id, index)
