"""The settings of the section ``[slurm_sweep]`` in airflow.cfg, or ``AIRFLOW__SLURM_SWEEP__...`` in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk.configuration import conf

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.monitor import INTERVAL
from airflow_slurm_sweep.slurm.patience import PATIENCE
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.spec import MAX_COMBINATIONS
from airflow_slurm_sweep.tasks.internals import is_tested

_TOO_MANY = 200  # lines of Airflow's in the pipe at once, 400 bytes each; it holds 208 KiB, with all others
_SECTION = "slurm_sweep"


def folders(include: Path) -> Folders:
    """Return ``include/sweeps`` and ``include/clusters``, or what ``sweeps_folder`` and ``clusters_folder`` name.

    A relative path begins in ``include``, so that each Dag bundle has folders of its own.
    """
    return Folders(
        include=include,
        sweeps=include / conf.get(_SECTION, "sweeps_folder", fallback="sweeps"),
        clusters=include / conf.get(_SECTION, "clusters_folder", fallback="clusters"),
    )


def max_combinations() -> int:
    """Return how many combinations a sweep may have."""
    return int(conf.getint(_SECTION, "max_combinations", fallback=MAX_COMBINATIONS))


def obsolete() -> list[str]:
    """Say what replaced each setting that once had a meaning, and still stands there."""
    if not conf.has_option(_SECTION, "workers_up_to"):
        return []
    return [
        "[slurm_sweep] workers_up_to (AIRFLOW__SLURM_SWEEP__WORKERS_UP_TO) is no setting any more: submit and wait run "
        "in the triggerer at every size. Remove it"
    ]


def check_size(combinations: int) -> None:
    """Raise a ValueError where Airflow's own settings do not let a sweep of that size run."""
    limit = conf.getint("core", "max_map_length", fallback=1024)
    if combinations > limit:
        raise ValueError(
            f"{combinations} combinations are more than this Airflow takes ({limit}): raise [core] max_map_length "
            f"(AIRFLOW__CORE__MAX_MAP_LENGTH) in all its components"
        )


def check_executor(name: str | None) -> None:
    """Raise a ValueError if this Airflow lacks an executor: Airflow would refuse all sweeps for one."""
    if name is None or conf.getboolean("core", "multi_team", fallback=False):  # a team's own ones are Airflow's matter
        return
    from airflow.exceptions import UnknownExecutorException
    from airflow.executors.executor_loader import ExecutorLoader

    try:
        ExecutorLoader.lookup_executor_name_by_str(name)
    except UnknownExecutorException:
        known = conf.get("core", "executor")
        raise ValueError(f"dag.executor: expected one of [core] executor ({known}), got {name!r}") from None


def check_form(run_conf: Mapping[str, Any] | None) -> None:
    """Raise a SettingsError where Airflow ignores what a run's form or conf says: a dry run would not be one."""
    if run_conf and not conf.getboolean("core", "dag_run_conf_overrides_params", fallback=True):
        raise SettingsError(
            "[core] dag_run_conf_overrides_params is False: Airflow ignores the run's conf, such as its dry_run. Set "
            "it to True in all components, and restart them"
        )


def check_search() -> None:
    """Raise a SettingsError in ``airflow dags test``, which submits all jobs before it waits for the first one."""
    if is_tested():
        raise SettingsError(
            "search is tpe, and a test of the Dag submits all trials before any has a result; trigger the Dag in "
            "Airflow, or set search to random"
        )


def check_canary(combinations: int) -> None:
    """Raise a SettingsError where combinations that wait for canaries would keep the canaries out of the triggerer."""
    capacity = conf.getint("triggerer", "capacity", fallback=1000)
    if combinations > capacity and not is_tested():
        raise SettingsError(
            f"canary: {combinations} combinations are more than a triggerer sees to at a time ({capacity}), so that "
            f"those that wait would keep the canaries out: raise [triggerer] capacity (AIRFLOW__TRIGGERER__CAPACITY)"
        )


def warnings(combinations: int) -> list[str]:
    """Say which of Airflow's settings will hold up a sweep of that size."""
    capacity = conf.getint("triggerer", "capacity", fallback=1000)
    at_once = conf.getint("triggerer", "max_trigger_to_select_per_loop", fallback=50)
    found = []
    if combinations > capacity:
        found.append(
            f"A triggerer of this Airflow sees to {capacity} tasks at a time; the other combinations wait for a place: "
            f"raise [triggerer] capacity (AIRFLOW__TRIGGERER__CAPACITY) to {combinations}, or start more triggerers"
        )
    if min(at_once, combinations) > _TOO_MANY:
        found.append(
            f"A triggerer that starts {at_once} tasks at once can hang, as Airflow logs a line for each: lower "
            "[triggerer] max_trigger_to_select_per_loop (AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP) to 100"
        )
    return found


def installation() -> str:
    """Return the id of this Airflow, where the administrator has set one."""
    return str(conf.get(_SECTION, "installation", fallback=""))


def has_teams() -> bool:
    """Return whether this Airflow keeps Variables of teams apart."""
    return bool(conf.getboolean("core", "multi_team", fallback=False))


def interval() -> float:
    """Return the seconds between two questions to a cluster."""
    return float(conf.getfloat(_SECTION, "interval", fallback=INTERVAL))


def patience() -> float:
    """Return for how many seconds a task waits for a cluster that does not answer, or takes no jobs now."""
    return float(conf.getfloat(_SECTION, "patience", fallback=PATIENCE))
