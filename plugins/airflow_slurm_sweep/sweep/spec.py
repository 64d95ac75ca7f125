"""Sweep files: what they may say, and reading one with all its faults at once.

script_path: examples/train_grpo.py        # required
config_path: examples/configs/grpo.yaml    # optional
optim.lr: [1e-6, 5e-6]                     # every other key: a parameter and its values
slurm: {nodes: 2}                          # optional sections, see sweep/settings.py
dag: {schedule: "@daily"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.errors import Fault, SweepFileError
from airflow_slurm_sweep.sweep.document import kind, read_mapping, validate
from airflow_slurm_sweep.sweep.naming import base_name
from airflow_slurm_sweep.sweep.overrides import Value, bare_key, is_key, quote
from airflow_slurm_sweep.sweep.settings import ClusterProfile, DagSection, SlurmSection

MAX_COMBINATIONS = 1000
NODES, GPUS = "cluster.num_nodes", "cluster.gpus_per_node"
COUNTS = {NODES: "nodes", GPUS: "gpus_per_node"}  # Slurm is asked for the same number that the script is told
_OWN_KEYS = ("script_path", "config_path", "slurm", "dag")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """A sweep file, read and checked.

    Attributes:
        source: The file, as messages name it.
        script_path: The training script, on the cluster, relative to the working directory.
        config_path: Its base config, likewise; None for none.
        parameters: Each parameter (``+`` and ``++`` included) with its values, in the file's order.
        slurm: The section of that name; so is ``dag``.
    """

    source: str
    script_path: str
    config_path: str | None
    parameters: Mapping[str, tuple[Value, ...]]
    slurm: SlurmSection
    dag: DagSection

    @property
    def size(self) -> int:
        """The number of combinations; 1 without parameters."""
        return prod(len(values) for values in self.parameters.values())


def load_sweep(path: Path, *, source: str | None = None, max_combinations: int = MAX_COMBINATIONS) -> SweepSpec:
    """Read a sweep file from disk; see `parse_sweep`."""
    source = source or path.name
    return parse_sweep(read_text(path, source), source=source, max_combinations=max_combinations)


def load_profile(path: Path, *, source: str | None = None) -> ClusterProfile:
    """Read a cluster profile from disk.

    Raises:
        SweepFileError: The file has faults; the message lists them all.
    """
    source = source or path.name
    faults: list[Fault] = []
    profile = validate(ClusterProfile, read_mapping(read_text(path, source), source), "", faults)
    if profile is None:
        raise SweepFileError(source, faults)
    return profile


def parse_sweep(
    text: str,
    *,
    source: str,
    max_combinations: int = MAX_COMBINATIONS,
    script: str | None = None,
    config: str | None = None,
) -> SweepSpec:
    """Read a sweep file's text.

    Args:
        text: YAML, see the module's docstring.
        source: What messages call it.
        max_combinations: More are refused, before anything is built.
        script: The script as a person named it beside the file; where both do, they have to match.
        config: Likewise the config.

    Raises:
        SweepFileError: The text has faults; the message lists them all.
    """
    document = read_mapping(text, source)
    faults: list[Fault] = []
    parameters = {key: value for key, value in document.items() if key not in _OWN_KEYS}
    script_path = _path(document, "script_path", script, faults)
    config_path = _path(document, "config_path", config, faults)
    if script_path is None and document.get("script_path") is None:
        faults.append(Fault(key="script_path", problem=_missing_script(parameters)))
    values = {key: _values(key, value, faults) for key, value in parameters.items()}
    _refuse_doubles(values, faults)
    slurm = validate(SlurmSection, _section(document, "slurm"), "slurm", faults)
    if slurm:
        _refuse_disagreement(values, slurm, faults)
    dag = validate(DagSection, _section(document, "dag"), "dag", faults)
    if slurm and script_path:
        try:
            base_name(slurm.jobname, script_path)
        except ValueError as error:
            faults.append(Fault(key="slurm.jobname", problem=str(error)))
    if dag and dag.schedule not in (None, "@once") and dag.start_date is None:
        problem = f"expected a date such as 2026-01-31, since schedule is {dag.schedule!r}: runs begin there"
        faults.append(Fault(key="dag.start_date", problem=problem))
    if slurm and slurm.submit == "array":
        _refuse_one_by_one(slurm, faults)
    size = prod(len(items) for items in values.values())
    if size > max_combinations:
        problem = f"{size} combinations, at most {max_combinations} are allowed (setting max_combinations)"
        faults.append(Fault(key="", problem=problem))
    if faults or script_path is None or slurm is None or dag is None:
        raise SweepFileError(source, faults)
    return SweepSpec(
        source=source, script_path=script_path, config_path=config_path, parameters=values, slurm=slurm, dag=dag
    )


def _refuse_one_by_one(slurm: SlurmSection, faults: list[Fault]) -> None:
    """Find what does not go with arrays."""
    if slurm.max_parallel_jobs:
        problem = f"{slurm.max_parallel_jobs} here, but slurm.submit is array: keep one of them"
        faults.append(Fault(key="slurm.max_parallel_jobs", problem=problem))


def read_text(path: Path, source: str) -> str:
    """Read a file that a person wrote.

    Raises:
        SweepFileError: It cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SweepFileError(source, [Fault(key="", problem=f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise SweepFileError(source, [Fault(key="", problem=f"expected UTF-8 text: {error}")]) from None


def _section(document: dict[str, Any], key: str) -> Any:
    value = document.get(key)
    return {} if value is None else value


def _path(document: dict[str, Any], key: str, said: str | None, faults: list[Fault]) -> str | None:
    """Return the path that the document or the person who started the run gives for ``key``."""
    value = document.get(key)
    if value is None:
        value = said
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or value.startswith("-"):
        faults.append(Fault(key=key, problem=f"expected a path on the cluster, got {kind(value)}: {value!r}"))
        return None
    if said is not None and said != value:
        name = key.removesuffix("_path")
        problem = f"{value!r} here, but the run was started with {name} {said!r}; they have to match: drop one of them"
        faults.append(Fault(key=key, problem=problem))
    return value


def _missing_script(parameters: dict[str, Any]) -> str:
    near = get_close_matches("script_path", parameters, n=1)
    hint = f" (is {near[0]!r} a slip of the pen?)" if near else ""
    return f"missing{hint}; name the training script, relative to the working directory on the cluster"


def _values(key: str, value: Any, faults: list[Fault]) -> tuple[Value, ...]:
    if not is_key(key):
        faults.append(Fault(key=key, problem="expected a parameter's name as Hydra takes it, such as optim.lr or +a.b"))
    if isinstance(value, dict):
        problem = "expected a list of values, got a mapping (a dotted name reaches into one: optim.lr)"
        faults.append(Fault(key=key, problem=problem))
        return ()
    if value == []:
        faults.append(Fault(key=key, problem="expected a list of values, got an empty one"))
    values = tuple(value) if isinstance(value, list) else (value,)
    for item in values:
        try:
            quote(item)
        except ValueError as error:
            faults.append(Fault(key=key, problem=f"{error}, in {item!r}"))
    return values


def _refuse_doubles(parameters: Mapping[str, object], faults: list[Fault]) -> None:
    seen: dict[str, str] = {}
    for key in parameters:
        if (twin := seen.setdefault(bare_key(key), key)) != key:
            faults.append(Fault(key=key, problem=f"sets the same parameter as {twin!r}: keep one of them"))


def _refuse_disagreement(parameters: Mapping[str, Sequence[Value]], slurm: SlurmSection, faults: list[Fault]) -> None:
    """Find two different numbers of nodes, or of GPUs."""
    for name, values in parameters.items():
        setting = COUNTS.get(bare_key(name), "")
        said = getattr(slurm, setting) if setting in slurm.model_fields_set else None
        if said is not None and any(value != said for value in values):
            shown = ", ".join(map(str, values))
            faults.append(Fault(key=name, problem=f"{shown} here, but slurm.{setting} is {said}: keep one of them"))
