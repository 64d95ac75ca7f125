"""What Airflow knows of this package: the entry point of the installed one, and what plugins/ registers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_slurm_sweep.copies import second_copy
from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.packages import missing_packages
from airflow_slurm_sweep.page import PREFIX


@cache
def _apps() -> list[dict[str, Any]]:
    from airflow_slurm_sweep.page.app import build_app

    return [{"name": "sweeps", "url_prefix": f"/{PREFIX}", "app": build_app()}]


@cache
def _links() -> list[Any]:
    from airflow_slurm_sweep.page.link import PageLink

    return [PageLink()]


class _Lazy:
    """An attribute whose value is made, and its modules imported, where somebody asks for it: in the API server."""

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        self._make = make

    def __get__(self, plugin: object, owner: type | None = None) -> list[Any]:
        return self._make()


class SlurmSweepPlugin(AirflowPlugin):
    """Makes the package known in Admin > Plugins, and adds the page "Sweeps"."""

    name = "airflow_slurm_sweep"
    fastapi_apps = _Lazy(_apps)
    operator_extra_links = _Lazy(_links)
    external_views = [  # noqa: RUF012  # as AirflowPlugin declares it
        # Relative to Airflow's own address, which may have a path.
        {"name": "Sweeps", "href": f"{PREFIX}/", "url_route": "sweeps", "destination": "nav", "nav_top_level": True},
    ]

    @classmethod
    def on_load(cls, *_args: Any, **_kwargs: Any) -> None:
        """Raise an error, which Airflow shows in Admin > Plugins and logs, if the installation is not sound."""
        if problem := second_copy() or missing_packages():
            raise SlurmSweepError(problem)
