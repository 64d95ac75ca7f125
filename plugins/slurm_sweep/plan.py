"""A sweep and its settings, joined: what exactly will be submitted, one `JobRequest` a combination.

Settings, first found wins: the sweep's ``slurm:`` section > the cluster profile > the predecessor's environment
variables ``LOG``, ``ACCOUNT``, ``PARTITION``, ``CON`` > the built-in default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from shlex import join
from typing import Any

from slurm_sweep.errors import SettingsError
from slurm_sweep.slurm.job import JobRequest
from slurm_sweep.sweep.combinations import Combination, expand
from slurm_sweep.sweep.names import base_name, job_name, label
from slurm_sweep.sweep.overrides import Value, bare_key, override
from slurm_sweep.sweep.settings import ClusterProfile, JobSettings, SlurmSection, check_absolute
from slurm_sweep.sweep.spec import SweepSpec

DEFAULT_IMAGE = "nemo_rl_base.sqsh"  # below CON
_DEFAULTS: Mapping[str, Any] = {
    "nodes": 1,
    "gpus_per_node": 8,
    "time": "4:0:0",
    "partition": "batch",
    "mounts": "/lustre:/lustre",
    "workdir": None,
    "batch_script": None,
}
_FROM_ENVIRONMENT = {"account": "ACCOUNT", "partition": "PARTITION"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a sweep runs and what is said there about jobs.

    Attributes:
        profile: The cluster profile; an empty one where there is no file.
        profile_name: The file that holds it or could hold it, as messages name it.
        environment: Environment variables of the process that plans.
        job_script: The text of our batch script, for clusters that name none of their own.
    """

    profile: ClusterProfile
    profile_name: str
    environment: Mapping[str, str]
    job_script: str


def plan(spec: SweepSpec, site: Site) -> list[JobRequest]:
    """Return what to submit, one request a combination, in the sweep's order.

    Raises:
        SettingsError: Required settings are missing; the message names all of them and every place for each.
    """
    settings = _settings(spec.slurm, site)
    base = base_name(spec.slurm.jobname, spec.script_path)
    return [
        _request(spec, site, settings, combination, job_name(base, combination.index, spec.size))
        for combination in expand(spec.parameters)
    ]


def _settings(section: SlurmSection, site: Site) -> dict[str, Any]:
    """Find each setting's value; what is missing is collected first and then told at once."""
    settings = dict(_DEFAULTS)
    missing = []
    environment = {name: value for name, value in site.environment.items() if value}
    for name, variable in _FROM_ENVIRONMENT.items():
        if variable in environment:
            settings[name] = environment[variable]
    if "CON" in environment:
        settings["container"] = f"{environment['CON'].rstrip('/')}/{DEFAULT_IMAGE}"
    for layer in (site.profile, section):
        settings |= {name: getattr(layer, name) for name in layer.model_fields_set & JobSettings.model_fields.keys()}
    log = site.profile.log or environment.get("LOG")
    if log is None:
        missing.append(f"the log directory: `log` in {site.profile_name}, or LOG in the environment")
    for name, variable in (("account", "ACCOUNT"), ("container", "CON")):
        if name not in settings:
            places = (
                f"`slurm.{name}` in the sweep file, `{name}` in {site.profile_name}, or {variable} in the environment"
            )
            missing.append(f"the {name}: {places} (null stands for none)")
    if missing:
        raise SettingsError("Missing " + "; ".join(missing))
    try:
        settings["log"] = check_absolute(str(log))
    except ValueError as error:
        raise SettingsError(f"The log directory: {error}") from None
    settings["env"] = {**site.profile.env, **section.env}
    settings["sbatch"] = {**site.profile.sbatch, **section.sbatch}
    return settings


def _request(
    spec: SweepSpec, site: Site, settings: Mapping[str, Any], combination: Combination, name: str
) -> JobRequest:
    own = {bare_key(key): value for key, value in combination.parameters.items()}
    nodes = _count(own, "cluster.num_nodes", settings["nodes"])
    run_dir = f"{settings['log']}/nemo-rl/{name}"
    script_and_config = [spec.script_path, *([spec.config_path] if spec.config_path else [])]
    return JobRequest(
        ssh_conn_id=site.profile.ssh_conn_id,
        name=name,
        label=label(_told_apart_by(spec, combination)),
        command=_command(spec, _automatic(run_dir, name, nodes), combination),
        run_dir=run_dir,
        workdir=settings["workdir"],
        # An absolute path may exist in the container only; a relative one is looked up where the job starts.
        inputs=[
            path for path in script_and_config if not (settings["container"] and PurePosixPath(path).is_absolute())
        ],
        script="" if settings["batch_script"] else site.job_script,
        batch_script=settings["batch_script"],
        nodes=nodes,
        gpus_per_node=_count(own, "cluster.gpus_per_node", settings["gpus_per_node"]),
        time=settings["time"],
        account=settings["account"],
        partition=settings["partition"],
        container=settings["container"],
        mounts=settings["mounts"],
        env=settings["env"],
        options=settings["sbatch"],
    )


def _told_apart_by(spec: SweepSpec, combination: Combination) -> dict[str, Value]:
    """Return the parameters with more than one value; all of them where none has."""
    swept = {key: value for key, value in combination.parameters.items() if len(spec.parameters[key]) > 1}
    return swept or dict(combination.parameters)


def _count(own: Mapping[str, Value], key: str, setting: int) -> int:
    """Return the combination's own number of nodes or GPUs: Slurm is asked for what the script is told."""
    value = own.get(key, setting)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{key}: expected a whole number, got {value!r}")
    return value


def _automatic(run_dir: str, name: str, nodes: int) -> dict[str, str]:
    """Return the overrides that every job gets unless its sweep sets them."""
    values: dict[str, Value] = {
        "logger.log_dir": f"{run_dir}/logs",
        "logger.wandb_enabled": True,
        "logger.wandb.name": name,
        "checkpointing.checkpoint_dir": f"{run_dir}/checkpoints",
        "cluster.num_nodes": nodes,
    }
    return {key: override(key, value) for key, value in values.items()}


def _command(spec: SweepSpec, automatic: Mapping[str, str], combination: Combination) -> str:
    return join(_words(spec, automatic, combination))


def _words(spec: SweepSpec, automatic: Mapping[str, str], combination: Combination) -> Iterator[str]:
    yield from ("uv", "run", spec.script_path)
    if spec.config_path:
        yield from ("--config", spec.config_path)
    own = {bare_key(key) for key in combination.parameters}
    yield from (text for key, text in automatic.items() if key not in own)
    yield from (override(key, value) for key, value in combination.parameters.items())
