"""What Airflow knows of this package: the entry point of the installed one, and what plugins/ registers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from slurm_sweep.copies import second_copy
from slurm_sweep.errors import SlurmSweepError


class SlurmSweepPlugin(AirflowPlugin):
    """Makes the package known in Admin > Plugins."""

    name = "slurm_sweep"

    @classmethod
    def on_load(cls, *_args: Any, **_kwargs: Any) -> None:
        """Raise an error, which Airflow shows in Admin > Plugins and logs, if there are two copies of the package."""
        if twice := second_copy():
            raise SlurmSweepError(twice)
