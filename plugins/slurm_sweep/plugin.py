"""What Airflow knows of this package: the entry point of the installed one, and what plugins/ registers."""

from __future__ import annotations

from functools import cache
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from slurm_sweep.copies import second_copy
from slurm_sweep.errors import SlurmSweepError

PREFIX = "slurm_sweep"  # of the page's addresses, below Airflow's own


@cache
def _apps() -> list[dict[str, Any]]:
    from slurm_sweep.page.app import build_app

    return [{"name": "sweeps", "url_prefix": f"/{PREFIX}", "app": build_app()}]


class _Apps:
    """The page's web application, imported only where one asks for it: in Airflow's API server."""

    def __get__(self, plugin: object, owner: type | None = None) -> list[dict[str, Any]]:
        return _apps()


class SlurmSweepPlugin(AirflowPlugin):
    """Makes the package known in Admin > Plugins, and adds the page "Sweeps"."""

    name = "slurm_sweep"
    fastapi_apps = _Apps()
    external_views = [  # noqa: RUF012  # as AirflowPlugin declares it
        # Relative to Airflow's own address, which may have a path.
        {"name": "Sweeps", "href": f"{PREFIX}/", "url_route": "sweeps", "destination": "nav", "nav_top_level": True},
    ]

    @classmethod
    def on_load(cls, *_args: Any, **_kwargs: Any) -> None:
        """Raise an error, which Airflow shows in Admin > Plugins and logs, if there are two copies of the package."""
        if twice := second_copy():
            raise SlurmSweepError(twice)
