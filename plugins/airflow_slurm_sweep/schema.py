"""JSON Schemas of what people write, for their editors: `python -m airflow_slurm_sweep schema` makes include/schemas.

They know names and types. Faults that need more than that (a product that is too large) are found on loading.
"""

from __future__ import annotations

from typing import Any

from airflow_slurm_sweep.sweep.settings import ClusterProfile, DagSection, SlurmSection

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def profile_schema() -> dict[str, Any]:
    """Return the schema of include/clusters/*.yaml."""
    return {"$schema": _DIALECT, **ClusterProfile.model_json_schema(), "title": "Cluster profile"}


def sweep_schema() -> dict[str, Any]:
    """Return the schema of include/sweeps/*.yaml."""
    sections = {"slurm": SlurmSection.model_json_schema(), "dag": DagSection.model_json_schema()}
    # References begin at the root of the whole.
    definitions = {name: schema for section in sections.values() for name, schema in section.pop("$defs", {}).items()}
    return {
        "$schema": _DIALECT,
        "$defs": definitions,
        "title": "Sweep",
        "type": "object",
        "required": ["script_path"],
        "properties": {
            "script_path": {"type": "string", "description": "The training script, relative to the working directory."},
            "config_path": {"type": ["string", "null"], "description": "Its base config, likewise; optional."},
            **{name: {"anyOf": [section, {"type": "null"}]} for name, section in sections.items()},
        },
        "additionalProperties": {
            "type": ["array", "string", "number", "boolean", "null"],
            "minItems": 1,
            "description": "A parameter and its values; each is combined with all those of the others.",
        },
    }
