"""Where a sweep runs, and each setting's value there.

First found wins: the trigger form > the sweep's ``slurm:`` section > the script's config (nodes and GPUs only) > the
cluster profile > the predecessor's environment variables ``LOG``, ``ACCOUNT``, ``PARTITION``, ``CON`` > the built-in
default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT
from airflow_slurm_sweep.sweep.settings import ClusterProfile, JobSettings, RunOptions, SlurmSection, check_absolute
from airflow_slurm_sweep.sweep.spec import load_profile

DEFAULT_CLUSTER = "default"
DEFAULT_IMAGE = "nemo_rl_base.sqsh"  # below CON
_DEFAULTS: Mapping[str, Any] = {
    "max_parallel_jobs": None,
    "submit": "each",
    "stream_log": False,
    "nodes": 1,
    "gpus_per_node": 8,
    "time": "4:0:0",
    "partition": "batch",
    "mounts": "/lustre:/lustre",
    "workdir": None,
    "batch_script": None,
}
_FROM_ENVIRONMENT = {"account": "ACCOUNT", "partition": "PARTITION"}
_REQUIRED = {"account": "ACCOUNT", "container": "CON"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where sweeps and clusters are described.

    Attributes:
        include: The project's folder ``include``. A ``job.sh`` in it replaces our batch script.
        sweeps: The sweep files.
        clusters: The cluster profiles.
    """

    include: Path
    sweeps: Path
    clusters: Path

    def shown(self, path: Path) -> str:
        """Return the path as messages name it: from the project's folder on where it lies in there."""
        root = self.include.absolute().parent
        return str(path.absolute().relative_to(root) if path.absolute().is_relative_to(root) else path)


def _profile_file(section: SlurmSection, folders: Folders) -> tuple[Path, str]:
    """Return the file of a sweep's cluster profile, and its name for messages."""
    path = folders.clusters / f"{section.cluster or DEFAULT_CLUSTER}.yaml"
    return path, folders.shown(path)


def find_site(section: SlurmSection, folders: Folders, environment: Mapping[str, str]) -> Site:
    """Read the cluster profile that a sweep names, or the one called default if there is one.

    Raises:
        SettingsError: There is no profile of that name.
        SweepFileError: The profile has faults.
    """
    path, shown = _profile_file(section, folders)
    if path.exists():
        profile = load_profile(path, source=shown)
    elif section.cluster:
        known = ", ".join(sorted(file.stem for file in folders.clusters.glob("*.yaml"))) or "none"
        raise SettingsError(f"slurm.cluster: there is no profile {shown}; profiles there: {known}")
    else:
        profile = ClusterProfile()
    own = folders.include / "job.sh"
    job_script = own.read_text("utf-8") if own.exists() else JOB_SCRIPT
    return Site(profile=profile, profile_name=shown, environment=environment, job_script=job_script)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a sweep runs and what is said there about jobs.

    Attributes:
        profile: The cluster profile; an empty one where there is no file.
        profile_name: The file that holds it or could hold it, as messages name it.
        environment: Environment variables of the process that plans.
        job_script: The text of the batch script for clusters that name none of their own.
    """

    profile: ClusterProfile
    profile_name: str
    environment: Mapping[str, str]
    job_script: str

    def settings(self, section: SlurmSection, options: RunOptions, from_config: Mapping[str, int]) -> dict[str, Any]:
        """Return the value of every `JobSettings` field, and of ``log``.

        Args:
            section: The sweep's settings.
            options: The run's.
            from_config: What the script's config says of ``nodes`` and ``gpus_per_node``.

        Raises:
            SettingsError: Required ones are missing; the message names all of them and every place for each.
        """
        environment = {name: value for name, value in self.environment.items() if value}
        settings = dict(_DEFAULTS)
        settings |= {name: environment[key] for name, key in _FROM_ENVIRONMENT.items() if key in environment}
        if "CON" in environment:
            settings["container"] = f"{environment['CON'].rstrip('/')}/{DEFAULT_IMAGE}"
        settings |= _given(self.profile) | dict(from_config) | _given(section)
        settings |= options.model_dump(include=set(JobSettings.model_fields), exclude_none=True)
        settings["log"] = self.profile.log or environment.get("LOG")
        self._refuse_missing(settings)
        if settings["submit"] == "array" and settings["max_parallel_jobs"]:
            raise SettingsError(
                f"slurm.submit: array, and max_parallel_jobs is {settings['max_parallel_jobs']}: keep one of them (an "
                f"array is in Slurm's hands as a whole)"
            )
        try:
            settings["log"] = check_absolute(settings["log"])
        except ValueError as error:
            raise SettingsError(f"The log directory: {error}") from None
        settings["env"] = {**self.profile.env, **section.env}
        settings["sbatch"] = {**self.profile.sbatch, **section.sbatch}
        return settings

    def workdir(self, section: SlurmSection) -> str | None:
        """Return the directory on the cluster that the sweep's paths start from."""
        given: str | None = (_given(self.profile) | _given(section)).get("workdir")
        return given

    def _refuse_missing(self, settings: Mapping[str, Any]) -> None:
        missing = []
        if settings["log"] is None:
            missing.append(f"the log directory: `log` in {self.profile_name}, or LOG in the environment")
        for name, variable in _REQUIRED.items():
            if name not in settings:
                places = f"`slurm.{name}` in the sweep file, `{name}` in {self.profile_name}"
                missing.append(
                    f"the {name}: the trigger form, {places}, or {variable} in the environment (null in a file: none)"
                )
        if missing:
            raise SettingsError("Missing " + "; ".join(missing))


def _given(layer: JobSettings) -> dict[str, Any]:
    """Return what a file says, null included."""
    return {name: getattr(layer, name) for name in layer.model_fields_set & JobSettings.model_fields.keys()}
