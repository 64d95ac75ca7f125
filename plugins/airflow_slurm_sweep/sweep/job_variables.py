"""The variables that a job's command reads, and what `env` and `setup` say of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from airflow_slurm_sweep.slurm.parameters import variable
from airflow_slurm_sweep.sweep.command import expanded, placeholders, without_comments
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.overrides import bare_key
from airflow_slurm_sweep.sweep.settings import given
from airflow_slurm_sweep.sweep.spec import SweepSpec

Settings = Mapping[str, Mapping[str, Any]]
"""The settings of files by the places where they stand."""

_OF_SWEEP = re.compile(r"\$(?:\{(SWEEP_\w+)\}|(SWEEP_\w+))")
_READ = re.compile(r"(?<!\$)\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
# A file that may set any variable; those that activate an environment set others.
_SOURCED = re.compile(
    r"(?:^|[;&|({!]|\b(?:then|do|else|time|command|builtin)\b)[ \t]*(?:source|\.|eval)[ \t]+"
    r"(?!\S*(?:bin/activate|conda\.sh)\b|activate\b)",
    re.MULTILINE,
)
# Names in capitals: others may be mere text. The linker itself replaces these three.
_NAMED = re.compile(r"\$\{?(?!(?:ORIGIN|LIB|PLATFORM)\b)[A-Z][A-Z0-9_]*\b\}?")
_PROGRAMS = {"/bin", "/usr/bin", "/run/current-system/sw/bin"}


def settings_of(spec: SweepSpec, layers: Layers) -> Settings:
    """Return the settings that files have, by the places where they stand."""
    return {
        layers.preset_place: given(layers.preset),
        layers.profile_name: given(layers.profile),
        f"{spec.source}: slurm": given(spec.slurm),
        **{f"{spec.source}: {rule.place}": rule.slurm for rule in spec.space.rules},
    }


def setup_of(below: Settings) -> str:
    """Return the lines that run before the command in its shell."""
    return "\n".join(line for each in below.values() for line in each.get("setup", ()))


def refuse_unset(
    text: str, keys: Collection[str], below: Settings, job_script: str, ours: Collection[str] = ()
) -> None:
    """Raise ValueError for a variable such as $SWEEP_LR or $lr that nothing sets: the job would find an empty text.

    ``ours`` are the names of other placeholders.
    """
    said, known = without_comments(text), set(map(variable, keys))
    env = [name for each in below.values() for name in each.get("env", ())]
    options = [str(each.get("sbatch")) for each in below.values()]
    setting = "\n".join([said, setup_of(below), *env, *options, job_script])
    for found in _OF_SWEEP.finditer(said):
        name = found[1] or found[2]
        # Without a $ in front it stands where something sets it: export SWEEP_LR=1, read SWEEP_LR, a key of `env`.
        if name not in known and not re.search(rf"(?<![\w${{#!]){name}\b|\{{{name}:?=", setting):
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean ${near[0]}? " if near else ""
            raise ValueError(
                f"{found[0]} is the variable of no parameter, and `env` does not have it, so that it would be empty; "
                f"{hint}Where something else sets it, write ${{{name}:-}}"
            )
    variables = {bare_key(key): f"{{{bare_key(key)}}} or ${variable(key)}" for key in keys}
    known_here = {name: f"{{{name}}}" for name in ours} | variables
    for found in _READ.finditer(expanded(text)):
        name = found[1] or found[2]
        # One in capitals may come from the login.
        if name in known_here and name != name.upper() and name not in env and not _sets(name, setting):
            raise ValueError(
                f"nothing sets {found[0]}, so that it would be empty; write {known_here[name]}. Where something else "
                f"sets it, write ${{{name}:-}}"
            )


def _sets(name: str, text: str) -> bool:
    """Return whether a text for the shell may set a variable. An argument such as ``lr=$lr`` does not."""
    words = "declare|export|for|getopts|local|mapfile|printf|read|readarray|select|typeset"
    ways = (
        rf"(?<![\w$+./{{-]){name}\+?=(?![\"']?\$(?:{name}\b|\{{{name}\}}))",
        rf"\b(?:{words})\b[^\n;|&]*[ \t]{name}(?![\w.-])",
        rf"\(\([^)]*\b{name}\b|\$\{{{name}:?=",
    )
    return any(re.search(way, text) for way in (*ways, _SOURCED))


def unset_capitals(text: str, keys: Collection[str], below: Settings) -> Iterator[str]:
    """Yield what is odd in a command that reads $LR, which may come from the login, where lr is a parameter."""
    setting = "\n".join([without_comments(text), setup_of(below)])
    env = {name for each in below.values() for name in each.get("env", ())}
    variables = {bare_key(key).upper(): variable(key) for key in keys}
    read = dict.fromkeys(found[1] or found[2] for found in _READ.finditer(expanded(text)))
    for name in read:
        if name in variables and name not in env and not _sets(name, setting):
            yield f"${name} is no variable of the parameter, and may be empty; write ${variables[name]}"


def literal_parameters(parameters: Mapping[str, Sequence[Any]], ours: Collection[str]) -> Iterator[str]:
    """Yield what is odd in texts of parameters, in which neither we nor a shell replace anything."""
    names = [*ours, *map(bare_key, parameters)]
    is_said = re.compile(rf"(?<![$\\{{])\{{({'|'.join(map(re.escape, names))})\}}(?!\}})")
    for key, values in parameters.items():
        texts = [value for value in values if isinstance(value, str)]
        found = next((each for text in texts if (each := is_said.search(text))), None)
        if found:
            said = found.string
            yield f"{key} has {found[0]} as it is, in all jobs; for its value, write {said} into the command instead"
        elif text := next((each for each in texts if _is_of_shell(each)), ""):
            yield f"{key} has {text} as it is, since no shell replaces a part of it; write the whole text"


def _is_of_shell(text: str) -> bool:
    return not re.search(r"\s", text) and (text.startswith("~/") or _NAMED.search(text) is not None)


def refuse_placeholders(keys: Collection[str], below: Settings) -> None:
    """Raise ValueError for a placeholder of a parameter in `env` or `setup`, where it would stay as it is."""
    variables = {bare_key(key): variable(key) for key in keys}
    is_said = re.compile(rf"(?<![$\\{{])\{{({'|'.join(map(re.escape, variables)) or '(?!)'})\}}(?!\}})")
    for settings in below.values():
        env = {f"env: {name}": value for name, value in settings.get("env", {}).items() if isinstance(value, str)}
        said = [(key, value, is_said.findall(value)) for key, value in env.items()]
        said += [("setup", line, [*placeholders(line) & variables.keys()]) for line in settings.get("setup", ())]
        for key, text, names in said:
            if names:
                raise ValueError(
                    f"{key}: {{{names[0]}}} is a placeholder of `command` only, got {text!r}; in `setup` and the "
                    f"command's shell, ${variables[names[0]]} is its value"
                )


def literal_values(below: Settings) -> Iterator[str]:
    """Yield what is odd in the values of `env`, in which no shell replaces anything."""
    for place, settings in below.items():
        for name, value in settings.get("env", {}).items():
            if not isinstance(value, str):
                continue
            if (found := _NAMED.search(value)) and not re.search(r"\s", value):
                yield (
                    f"{place}: env: {name} has {found[0]} as it is, since no shell replaces it there; write in "
                    f'`setup`: export {name}="…"'
                )
            if name == "PATH" and not _PROGRAMS & {each.rstrip("/") for each in value.split(":")}:
                yield (
                    f"{place}: env: PATH has neither /usr/bin nor /bin, where a job finds rm, mv and date; write in "
                    f"`setup`: export PATH={value}:$PATH"
                )
