"""The settings below a sweep's own, without files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow_slurm_sweep.slurm.job import JOB_SCRIPT
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.presets import DEFAULT, load_preset
from airflow_slurm_sweep.sweep.settings import ClusterProfile


def make_layers(
    profile: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
    *,
    preset: str = DEFAULT,
    command: str | None = None,
    presets: Path = Path("presets"),
) -> Layers:
    """Return layers as a project's files give them: a profile, the environment, a preset, the sweep's own command."""
    return Layers(
        profile=ClusterProfile.model_validate(profile),
        profile_name="include/clusters/default.yaml",
        preset=load_preset(preset, presets),
        preset_name=preset,
        command=command,
        environment=environment or {},
        job_script=JOB_SCRIPT,
    )
