"""Airflow for the commands that need it: others do without, and Airflow takes seconds to import."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_slurm_sweep.errors import SettingsError


@contextmanager
def needs_airflow(command: str) -> Iterator[None]:
    """Say that a command needs Airflow, where the block cannot import it; connections come from its database, too."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")  # as Airflow's own commands say it
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(f"{command} needs Airflow ({error}): run it with the Python that Airflow has") from None


def unusable_database(reason: object) -> SettingsError:
    """Return the error of a database that is not there, or of another version of Airflow."""
    return SettingsError(
        f"Airflow's database cannot be used ({reason}); make it, or bring it up to date: airflow db migrate"
    )
