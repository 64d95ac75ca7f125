"""What is made from the declarations of settings: JSON Schemas, the fields of the form, and docs/settings.md.

Schemas know names and types, for editors (`python -m airflow_slurm_sweep schema` makes include/schemas). Errors that
need more than that, such as too many combinations, are found on loading.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from textwrap import fill
from typing import Any

from pydantic.fields import FieldInfo

from airflow_slurm_sweep.sweep.dag_section import DagSection
from airflow_slurm_sweep.sweep.distributions import CSV, DRAWN, LISTS
from airflow_slurm_sweep.sweep.presets import OURS, Preset, load_preset
from airflow_slurm_sweep.sweep.sbatch_options import LONG, SETTINGS
from airflow_slurm_sweep.sweep.section import Section
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions, SlurmSection, given
from airflow_slurm_sweep.sweep.sweep_section import SweepSection

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACES: dict[str, type[Section]] = {"form": RunOptions, "slurm": SlurmSection, "profile": ClusterProfile}
_INTRODUCTION = """\
# Settings

Made by `python -m airflow_slurm_sweep settings`, from where each setting is declared.

## Jobs

A setting may stand in the trigger form of a sweep and on the command line of `preview` (*form*), in the section
`slurm:` of a sweep file (*slurm*), and in a cluster profile (*profile*). The form of the Dag `launch` has the settings
of *form* and *slurm*. `rules` in the section `sweep:` may have those of *slurm* for some combinations, and win over it.
The first of these places that has the setting wins; for nodes and GPUs, the script's config stands between `slurm:` and
the profile where the preset says so. If none has it, an environment variable of Airflow's worker counts (those with `$`
below), then the preset's value, then the default. `env`, `sbatch` and `setup` are joined: all places count.
"""


def profile_schema() -> dict[str, Any]:
    """Return the schema of the files of include/clusters."""
    return _for_editors({**_with_words_of_sbatch(ClusterProfile), "title": "Cluster profile"})


def preset_schema() -> dict[str, Any]:
    """Return the schema of include/presets/*.yaml."""
    return _for_editors({**_with_words_of_sbatch(Preset), "title": "Preset"})


def sweep_schema() -> dict[str, Any]:
    """Return the schema of the files of include/sweeps."""
    sweep = SweepSection.model_json_schema()
    sweep["$defs"][SlurmSection.__name__] = {"$ref": "#/properties/slurm"}  # the same words
    sections = {
        "sweep": sweep,
        "slurm": _with_words_of_sbatch(SlurmSection),
        "dag": DagSection.model_json_schema(),
    }
    # References begin at the root of the whole.
    definitions = {name: schema for section in sections.values() for name, schema in section.pop("$defs", {}).items()}
    whole = {
        "$defs": definitions,
        "title": "Sweep",
        "type": "object",
        "properties": {
            **{name: ClusterProfile.model_json_schema()["properties"][name] for name in ("command", "preset")},
            "script_path": {"type": "string", "description": "The training script, relative to the working directory."},
            "config_path": {"type": ["string", "null"], "description": "Its base config, likewise; optional."},
            **{name: {"anyOf": [section, {"type": "null"}]} for name, section in sections.items()},
        },
        "patternProperties": {r"^(x-|\.)": {"description": "Holds anchors; no parameter."}},
        "additionalProperties": {
            "type": ["array", "string", "number", "boolean", "null", "object"],
            "minItems": 1,
            "description": "A parameter and its values, or several ('a, b') and a list of lists of theirs; each is "
            "combined with all those of the others. A mapping is a value form.",
            **_forms(),
        },
    }
    return _for_editors(whole)


def _for_editors(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of files, in which a whole number may stand for a text, as `Section` takes it: ``time: 60``."""
    return {"$schema": _DIALECT, **_with_numbers(schema)}


def _with_numbers(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_numbers(each) for key, each in schema.items()}
    return {**found, "type": ["string", "integer"]} if found.get("type") == "string" else found


def _forms() -> dict[str, Any]:
    """Return what a schema says of mappings as values: ours, and those of W&B that mean the same."""
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3}
    forms = {word: {**numbers, "description": example} for word, example in {**LISTS, **DRAWN}.items()}
    step = {
        "step": {"type": "number", "exclusiveMinimum": 0},
        CSV: {"type": "string", "description": "A table's file."},
    }
    of_wandb: dict[str, Any] = {"values": {"type": "array"}, "value": {}, "distribution": {"type": "string"}}
    of_wandb |= {key: {"type": "number"} for key in ("min", "max", "q")}
    return {
        "properties": {**forms, **step, **of_wandb},
        "propertyNames": {"enum": [*forms, *step, *of_wandb]},
        "minProperties": 1,
    }


def _with_words_of_sbatch(section: type[Section]) -> dict[str, Any]:
    """Return the schema of a section that takes sbatch's long options: with ``_`` for completion, with ``-`` too."""
    schema = section.model_json_schema()
    own: dict[str, Any] = schema["properties"]
    option = {"type": ["string", "integer", "boolean", "null"]}
    words = {word: {**option, "description": "Option of sbatch."} for word in section.further_keys}
    dashed = "|".join(word for word in LONG if "-" in word)
    patterns = {f"^({dashed})$": option, **{f"^{word}$": own[name] for word, name in SETTINGS.items()}}
    return {**schema, "properties": own | words, "patternProperties": patterns}


@cache
def field_schemas(section: type[Section]) -> dict[str, dict[str, Any]]:
    """Return the schema of each field, where null needs no mention: title, description, default, types and limits.

    ``type`` is the first of ``types``, and what a person enters into a form.
    """
    whole = section.model_json_schema()
    fields: dict[str, dict[str, Any]] = whole["properties"]
    for schema in fields.values():
        first, *others = [each for each in schema.pop("anyOf", [{}]) if each != {"type": "null"}]
        schema.update(first)
        if name := schema.pop("$ref", "").rpartition("/")[2]:
            schema |= {"type": whole["$defs"][name]["type"]}
        schema["types"] = [schema["type"], *(each["type"] for each in others)]
    return fields


def settings_page() -> str:
    """Return docs/settings.md."""
    of_jobs = SlurmSection.model_fields | ClusterProfile.model_fields
    of_runs = {name: field for name, field in RunOptions.model_fields.items() if name not in SlurmSection.model_fields}
    sections = {
        "`sweep:`": SweepSection.model_fields,
        "`dag:`": DagSection.model_fields,
        "Runs: the trigger form": of_runs,
    }
    lines = [_INTRODUCTION]
    lines += [_item(name, field, _places(name), _default_of_job(name, field)) for name, field in of_jobs.items()]
    for heading, fields in sections.items():
        lines += ["", f"## {heading}", ""]
        lines += [_item(name, field, "", _shown(field.default)) for name, field in fields.items()]
    return "\n".join(lines)


def _places(name: str) -> str:
    return ", ".join(place for place, section in _PLACES.items() if name in section.model_fields)


def _default_of_job(name: str, field: FieldInfo) -> str:
    return "`$LOG`, else required" if name == "log" else "; ".join(_defaults(name, field))


def _item(name: str, field: FieldInfo, places: str, default: str) -> str:
    """Return a setting as an item of a list: where it may stand, its default, and what it is."""
    head = " · ".join(filter(None, [f"`{name}`", places, default and f"default: {default}"]))
    return f"{_wrapped(head, '- ')}\\\n{_wrapped(field.description or '', '  ')}"


def _wrapped(text: str, begin: str) -> str:
    return fill(text, 116, initial_indent=begin, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _defaults(name: str, field: FieldInfo) -> Iterator[str]:
    """Yield the default of a setting, and what each preset of ours says in its place."""
    if text := _shown(field.default):
        yield text
    for file in sorted(OURS.glob("*.yaml")):
        preset = load_preset(file.stem, OURS)
        named = [f"`{preset.environment[name]}`"] if name in preset.environment else []
        own = (
            ["required"] if name in preset.required else [_shown(given(preset)[name])] if name in given(preset) else []
        )
        if (named or own) and name != "command":
            yield f"{file.stem}: {', else '.join([*named, *own])}"


def _shown(default: object) -> str:
    """Return a default as YAML has it; nothing for none."""
    if default is None or default in ((), {}, ""):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
