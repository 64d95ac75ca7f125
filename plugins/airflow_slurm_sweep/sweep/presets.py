"""Presets: what one kind of training script expects, as a YAML file in the language of cluster profiles.

The package brings ``nemo-rl``, ``hydra`` and ``plain``; files of include/presets add others. A preset with ``preset:
NAME`` of its own builds on that one: its values win, mappings are joined, and null drops an automatic key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from airflow_slurm_sweep.errors import Fault, SettingsError, SweepFileError
from airflow_slurm_sweep.sweep import setting_types as types
from airflow_slurm_sweep.sweep.files import yaml_files
from airflow_slurm_sweep.sweep.metrics_setting import MetricsSetting
from airflow_slurm_sweep.sweep.sbatch_options import over
from airflow_slurm_sweep.sweep.section import validate
from airflow_slurm_sweep.sweep.settings import ClusterProfile, CommandSetting, JobSettings, PresetSetting, given
from airflow_slurm_sweep.sweep.yaml_reader import read_mapping, read_text

PLAIN, DEFAULT = "plain", "nemo-rl"
OURS = Path(__file__).parents[1] / "presets"


def _check_settings(names: Any) -> Any:
    if unknown := [name for name in names if name not in ClusterProfile.model_fields]:
        raise ValueError(f"expected settings of a cluster profile, got {unknown[0]!r}")
    return names


def _check_environment(variables: dict[str, str]) -> dict[str, str]:
    if place := sorted(variables.keys() & {"ssh_conn_id", "clusters", "login_setup"}):
        raise ValueError(f"{place[0]} stands in the profile only: it tells where the cluster is")
    return dict(_check_settings(variables))


def _check_counts(counts: dict[str, str]) -> dict[str, str]:
    if unknown := counts.keys() - {"nodes", "gpus_per_node"}:
        raise ValueError(f"expected nodes or gpus_per_node, got {sorted(unknown)[0]!r}")
    return counts


class Preset(JobSettings, PresetSetting, CommandSetting, MetricsSetting):
    """What one kind of training script expects."""

    config_arguments: str = Field(
        default="", description="What the placeholder {config_arguments} stands for where a sweep names a config."
    )
    automatic: dict[str, Any] = Field(
        default={}, description="Parameters that each job gets unless the sweep or the form sets the same; null: none."
    )
    counts: Annotated[dict[str, str], AfterValidator(_check_counts)] = Field(
        default={}, description="Keys of the script's config, and parameters, that say the same as a setting."
    )
    run_dir: Annotated[str, types.Expanded] = Field(
        default="{log}/{base}/{job_name}", description="The run directory of each job."
    )
    folders: tuple[types.Name, ...] = Field(default=(), description="Folders made in each run directory, beside logs.")
    progress: Annotated[str, types.Expanded] = Field(
        default="", description="Which files in the run directory show that a job of a chain made progress; empty: any."
    )
    base: Literal["sweep", "script"] = Field(
        default="sweep", description="Whether job names begin with the name of the sweep file or of the script."
    )
    environment: Annotated[dict[str, str], AfterValidator(_check_environment)] = Field(
        default={}, description="Settings from the environment of Airflow's worker where no file has them: $NAME/rest."
    )
    required: Annotated[tuple[str, ...], AfterValidator(_check_settings)] = Field(
        default=(), description="Settings without which nothing is submitted; null is a value."
    )


def load_preset(name: str, folder: Path) -> Preset:
    """Read a preset: a file of that folder, or one of the package's.

    Raises:
        SettingsError: There is none of that name.
        SweepFileError: It has faults.
    """
    source, values = _merged(name, folder, ())
    faults: list[Fault] = []
    preset = validate(Preset, values, "", faults)  # with what it builds on
    if preset is None:
        raise SweepFileError(source, faults)
    return preset


def _merged(name: str, folder: Path, children: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return what messages call a preset's file, and its values over those of the preset that it builds on."""
    found = {**yaml_files(OURS), **yaml_files(folder)}
    if name not in found or name in children:
        problem = (
            "it builds on itself"
            if name in found
            else f"there is no such preset; existing ones: {', '.join(sorted(found))}"
        )
        raise SettingsError(f"preset {name!r}: {problem}")
    path = found[name][0]
    source = f"presets/{path.name}"
    faults: list[Fault] = []
    preset = validate(Preset, read_mapping(read_text(path, source), source, []), "", faults)
    if preset is None:
        raise SweepFileError(source, faults)
    own = given(preset)
    parent = own.pop("preset", None)
    return source, over(_merged(parent, folder, (*children, name))[1], own) if parent else own
