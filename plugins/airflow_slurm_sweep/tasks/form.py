"""The trigger form: what a person may say when starting a run.

Airflow checks the values against these Params, whether they come from the form, the REST interface or
``airflow dags trigger --conf``, and refuses the run with the same words. What JSON Schema cannot tell, `plan` finds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow.sdk import Param

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.schema import field_schemas
from airflow_slurm_sweep.sweep.layers import DEFAULT_PROFILE
from airflow_slurm_sweep.sweep.section import nearest
from airflow_slurm_sweep.sweep.setting_types import only_pattern
from airflow_slurm_sweep.sweep.settings import NONE_IN_A_FORM, ClusterProfile, RunOptions, SlurmSection, given
from airflow_slurm_sweep.sweep.spec import SweepSpec

_NO_FIELDS = {"approved", "openlineage"}  # of `approve`, see there; of Airflow's TriggerDagRunOperator
_LIMITS = ("minimum", "items", "enum")


def sweep_form(spec: SweepSpec) -> dict[str, Param]:
    """Return the Params of a sweep's Dag; an empty field means "as in the sweep file"."""
    form = _run_form()
    only = field_schemas(RunOptions)["only"]
    text = f"{only['description']} This sweep has {spec.size}: from 1 to {spec.size}."
    form["only"] = _param({**only, "description": text, "pattern": only_pattern(spec.size)}, None)
    in_file = {name: "null" if value is None else value for name, value in given(spec.slurm).items()}
    for name in SlurmSection.model_fields:
        if name in RunOptions.model_fields:
            form[name] = _setting(name, f"{in_file[name]}, as in the sweep file" if name in in_file else _below(name))
    return form


def launch_form() -> dict[str, Param]:
    """Return the Params of the Dag ``launch``: what to run, and all settings of a sweep file."""
    return {
        "script": _text("Script", "Training script on the cluster."),
        "config": _text("Config", "Base config of the script, if it takes one."),
        "command": _text("Command", "Command line of each job, where the sweep names none.", format="multiline"),
        "preset": _text("Preset", "What kind of script it is: nemo-rl, hydra, plain, or a file of include/presets."),
        "sweep": _text("Sweep file", "File of include/sweeps to run instead, without .yaml."),
        "sweep_text": _text("Sweep", "Sweep to run instead, as YAML text.", format="multiline"),
        **_run_form(),
        **{name: _setting(name, _below(name, "as in the sweep")) for name in SlurmSection.model_fields},
    }


def _text(title: str, description: str, **more: Any) -> Param:
    return Param(None, type=["null", "string"], title=title, description=description, **more)


def check_form() -> dict[str, Param]:
    """Return the Params of the Dag ``check_cluster``."""
    field = {name: field_schemas(SlurmSection)["profile"][name] for name in ("type", "pattern", "title")}
    description = "Name of a profile in include/clusters, without .yaml."
    submit = "Also submit a job of a minute, and look for what the profile's command needs on its compute node."
    return {
        "profile": Param(DEFAULT_PROFILE, description=description, **field),
        "submit": Param(False, description=submit, type="boolean", title="Submit a job"),
    }


def refuse_unknown(conf: Mapping[str, Any], fields: Collection[str]) -> None:
    """Raise a SettingsError for a key of a run's conf that the form lacks: the run would differ from what was asked."""
    for key in sorted(conf.keys() - fields - _NO_FIELDS):
        near = nearest(key, fields, SlurmSection.other_words)
        hint = f"; did you mean {near!r}?" if near else "."
        if key.replace("-", "_") in SlurmSection.further_keys:
            hint = "; options of sbatch stand in a sweep file, or below sbatch in the form of launch."
        elif key in SlurmSection.former_keys:
            hint = f"; {SlurmSection.former_keys[key]}."
        if "overrides" in fields:
            hint += f' A parameter goes into overrides: ["{key}=…"].'
        raise SettingsError(f"conf: unknown key {key!r}{hint} Valid keys: {', '.join(sorted(fields))}")


def _run_form() -> dict[str, Param]:
    """Return the fields that are about the run and no settings of jobs."""
    fields = field_schemas(RunOptions).items()
    return {
        name: _param(schema, schema.get("default")) for name, schema in fields if name not in SlurmSection.model_fields
    }


def _below(name: str, above: str = "") -> str:
    """Say which value a setting has that the form leaves empty; empty where its description does."""
    below = "as in the profile" if name in ClusterProfile.model_fields else SlurmSection.model_fields[name].default
    return ", else ".join(filter(None, (above, below))).replace("else as", "else")


def _setting(name: str, if_empty: str) -> Param:
    schema = field_schemas(SlurmSection)[name]
    text = f"{schema['description']} If empty: {if_empty}." if if_empty else schema["description"]
    if name in NONE_IN_A_FORM and "pattern" in schema:
        schema = {**schema, "pattern": f"^null$|{schema['pattern']}"}
    return _param({**schema, "description": text}, None, section="Slurm")


def _param(schema: dict[str, Any], default: Any, **more: Any) -> Param:
    """Return a field of the form: it may be left empty, unless it is a switch."""
    limits = {name: schema[name] for name in _LIMITS if name in schema}
    if "pattern" in schema:
        limits["expected"] = schema[
            "description"
        ]  # no word of JSON Schema's: Airflow shows it where a value is refused
        limits["pattern"] = f"^$|{schema['pattern']}"
    if "enum" in schema:
        limits["enum"] = [*schema["enum"], None]
    kind = schema["type"] if isinstance(default, bool) else ["null", *schema["types"]]
    return Param(default, type=kind, title=schema["title"], description=schema["description"], **limits, **more)
