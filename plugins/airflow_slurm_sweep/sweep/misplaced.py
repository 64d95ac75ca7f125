"""Settings that stand among the parameters of a sweep file, from where they would go to the script."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from airflow_slurm_sweep.sweep.dag_section import DagSection
from airflow_slurm_sweep.sweep.distributions import ours_of
from airflow_slurm_sweep.sweep.foreign import as_yaml
from airflow_slurm_sweep.sweep.settings import SlurmSection
from airflow_slurm_sweep.sweep.sweep_section import SweepSection
from airflow_slurm_sweep.sweep.value_forms import is_form

_WORDS = {
    "slurm": {*SlurmSection.model_fields, *SlurmSection.further_keys},
    "sweep": {*SweepSection.model_fields},
    "dag": {*DagSection.model_fields},
}
# Of these, scripts hardly have parameters.
_UNMISTAKABLE = {
    "partition", "qos", "gres", "mem", "mem_per_cpu", "mem_per_gpu", "cpus_per_task", "cpus_per_gpu", "gpus_per_node",
    "gpus_per_task", "ntasks", "ntasks_per_node", "nodelist", "mail_type", "mail_user", "setup", "chain", "retry",
}  # fmt: skip
_MAPPINGS = {
    "slurm": {"env", "sbatch", "chain", "retry"},
    "sweep": {"objective", "repeat", "metrics", "stop"},
    "dag": {"notify"},
}  # settings that are mappings, and parameters hardly
_TIME = re.compile(r"\d+-\d+(?::\d+){0,2}|\d+(?::\d+){1,2}")
_CRON = re.compile(r"@\w+|(?:[\d*/,-]+\s+){4}[\w*/,-]+")
_SBATCH = re.compile(r"^#\s*SBATCH\s+(\S.*)", re.MULTILINE)


def misplaced(key: str, value: Any) -> str:
    """Return what is wrong with a parameter that can only be meant as a setting; empty if it may be one."""
    head, _, word = key.replace("-", "_").partition(".")
    if head in _WORDS and word in _WORDS[head]:
        said = f"{head}: {as_yaml({word: value})}"
        return f"is a setting; write {said} (or, for a parameter of that name, --{key})"
    if not isinstance(value, Mapping) or is_form(value):
        return ""
    for section, words in _MAPPINGS.items():
        if head in words and not word and ours_of(value) is None:
            return f"is a setting; it stands below {section}:"
    for near in get_close_matches(head.lower(), _WORDS, n=1, cutoff=0.75):
        if any(str(each).replace("-", "_") in _WORDS[near] for each in value):
            return f"did you mean {near}?"
    return ""


def passed_on(parameters: Mapping[str, Sequence[Any]], of_slurm: Collection[str]) -> Iterator[str]:
    """Yield what is odd in parameters that have the name of a setting, such as ``of_slurm``, and go to the script."""
    for key, values in parameters.items():
        word, first = key.replace("-", "_"), str(values[0]) if values else ""
        is_time = word == "time" and _TIME.fullmatch(first)
        is_schedule = word == "schedule" and _CRON.fullmatch(first)
        if key in of_slurm or word in _UNMISTAKABLE or is_time:
            yield f"{key} is passed to the script; for Slurm write slurm: {{{key}: …}}"
        elif is_schedule:
            yield f"{key} is passed to the script; for Airflow write dag: {{{key}: …}}"


def comments_of_sbatch(text: str) -> Iterator[str]:
    """Yield what is odd in the lines #SBATCH of a YAML text."""
    for found in _SBATCH.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        said = f"#SBATCH {found[1].strip()}"
        yield f"line {line}: {said} is a comment of YAML's; write it below slurm:, as in slurm: {{mem: 32G}}"
