"""The settings of the section ``[slurm_sweep]`` in airflow.cfg, or ``AIRFLOW__SLURM_SWEEP__...`` in the environment."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk.configuration import conf

from slurm_sweep.site import Folders
from slurm_sweep.slurm.monitor import INTERVAL
from slurm_sweep.slurm.patience import PATIENCE
from slurm_sweep.sweep.spec import MAX_COMBINATIONS

_SECTION = "slurm_sweep"


def folders(include: Path) -> Folders:
    """Return ``include/sweeps`` and ``include/clusters``, or what ``sweeps_folder`` and ``clusters_folder`` name."""
    return Folders(
        include=include,
        sweeps=Path(conf.get(_SECTION, "sweeps_folder", fallback=str(include / "sweeps"))),
        clusters=Path(conf.get(_SECTION, "clusters_folder", fallback=str(include / "clusters"))),
    )


def max_combinations() -> int:
    """Return how many combinations a sweep may have."""
    return int(conf.getint(_SECTION, "max_combinations", fallback=MAX_COMBINATIONS))


def interval() -> float:
    """Return the seconds between two questions to a cluster."""
    return float(conf.getfloat(_SECTION, "interval", fallback=INTERVAL))


def patience() -> float:
    """Return for how many seconds a task waits for a cluster that does not answer, or takes no jobs now."""
    return float(conf.getfloat(_SECTION, "patience", fallback=PATIENCE))
