"""The trigger form: what a person may say when starting a run.

Airflow checks the values against these Params, whether they come from the form, the REST interface or
``airflow dags trigger --conf``, and refuses the run with the same words. What JSON Schema cannot tell, `plan` finds.
"""

from __future__ import annotations

import sys
from typing import Any

from airflow.sdk import Param

from airflow_slurm_sweep.sweep.layers import DEFAULT_CLUSTER
from airflow_slurm_sweep.sweep.settings import NAME_PATTERN, ONLY_PATTERN, TIME_PATTERN, SlurmSection
from airflow_slurm_sweep.sweep.spec import SweepSpec

LAUNCH_SETTINGS = ("cluster", "workdir", "batch_script", "env", "sbatch")
_OR_EMPTY = r"^$|"


def sweep_form(spec: SweepSpec) -> dict[str, Param]:
    """Return the Params of a sweep's Dag; an empty field means "as in the sweep file"."""
    return _run_form(spec.slurm, f"Indices from 1 to {spec.size}, such as 1-4,9.")


def launch_form() -> dict[str, Param]:
    """Return the Params of the Dag ``launch``: what to run, and the fields that every sweep has."""
    section = SlurmSection()
    return {
        "script": Param(
            None, type=["null", "string"], title="Script", description="The training script on the cluster."
        ),
        "config": Param(None, type=["null", "string"], title="Config", description="Its base config, if it takes one."),
        "sweep": Param(
            None, type=["null", "string"], title="Sweep file", description="Or a file of include/sweeps, without .yaml."
        ),
        "sweep_text": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Sweep",
            description="Or a whole sweep, as YAML text.",
        ),
        **_run_form(section, "Indices such as 1-4,9."),
        "cluster": _text("Cluster", "A profile in include/clusters.", section, "cluster", NAME_PATTERN),
        "workdir": _text("Working directory", "Where jobs run, on the cluster.", section, "workdir"),
        "batch_script": _text("Batch script", "The cluster's own, such as ray.sub.", section, "batch_script"),
        "env": Param(
            None, type=["null", "object"], title="Environment", description="Further variables.", section="Slurm"
        ),
        "sbatch": Param(
            None,
            type=["null", "object"],
            title="sbatch options",
            description="Further ones, by their long names.",
            section="Slurm",
        ),
    }


def check_form() -> dict[str, Param]:
    """Return the Params of the Dag ``check_cluster``."""
    return {
        "cluster": Param(
            DEFAULT_CLUSTER,
            type="string",
            pattern=NAME_PATTERN,
            title="Cluster",
            description="A profile in include/clusters, without .yaml.",
        )
    }


def _run_form(section: SlurmSection, indices: str) -> dict[str, Param]:
    return {
        "dry_run": Param(
            is_dags_test(),
            type="boolean",
            title="Dry run",
            description="Show what would be submitted, and submit nothing.",
        ),
        "resume": Param(
            False,
            type="boolean",
            title="Resume",
            description="Go on in an earlier run's directories, from its checkpoints. Otherwise they are refused.",
        ),
        "only": Param(
            None,
            type=["null", "string"],
            pattern=_OR_EMPTY + ONLY_PATTERN,
            title="Only these combinations",
            description=indices,
        ),
        "overrides": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "pattern": r"^(\+{0,2}[^=+~\s][^=\s]*=|~[^=\s]+)"},
            title="Overrides",
            description="A line each, key=value in Hydra's grammar, for any key. They win over the sweep's parameters.",
        ),
        "jobname": _text(
            "Job name", "What job names and run directories begin with.", section, "jobname", NAME_PATTERN
        ),
        "nodes": _count("Nodes", "Nodes of each job.", section, "nodes", 1),
        "gpus_per_node": _count("GPUs per node", "0 asks for none.", section, "gpus_per_node", 0),
        "time": _text("Time limit", "Minutes, h:m:s, d-h or d-h:m:s.", section, "time", TIME_PATTERN),
        "account": _text("Account", "The Slurm account that pays.", section, "account"),
        "partition": _text("Partition", "The partition that jobs wait in.", section, "partition"),
        "container": _text("Container", "The image's path on the cluster.", section, "container"),
        "mounts": _text("Mounts", "source:target, separated by commas.", section, "mounts"),
    }


def is_dags_test() -> bool:
    """Tell whether this process is ``airflow dags test``: there a dry run is the default."""
    return sys.argv[1:3] == ["dags", "test"]


def _text(title: str, description: str, section: SlurmSection, name: str, pattern: str = "") -> Param:
    schema: dict[str, Any] = {"pattern": _OR_EMPTY + pattern} if pattern else {}
    return Param(
        None,
        type=["null", "string"],
        title=title,
        description=_described(description, section, name),
        section="Slurm",
        **schema,
    )


def _count(title: str, description: str, section: SlurmSection, name: str, minimum: int) -> Param:
    return Param(
        None,
        type=["null", "integer"],
        minimum=minimum,
        title=title,
        description=_described(description, section, name),
        section="Slurm",
    )


def _described(description: str, section: SlurmSection, name: str) -> str:
    value = getattr(section, name)
    return f"{description} Empty: {'as set for the cluster' if value is None else f'{value}, as in the sweep file'}."
