"""Jobs that are run again, with other resources, for an end that has a known cure. Pure; see `slurm.chain`.

A rule is a mapping, ``{"on": "OUT_OF_MEMORY", "times": 2, "mem": "x2"}``: the keys of `RetrySetting` in sweep/. A value
``x2`` multiplies what the job before was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_slurm_sweep.slurm.durations import minutes
from airflow_slurm_sweep.slurm.states import JobState

Rule = Mapping[str, Any]
_COMMA = re.compile(r",(?![^\[]*\])")  # between the nodes of a list, not within the brackets of n[1-2,4]
_MEMORY = re.compile(r"([0-9]+)([KMGT]?)B?", re.IGNORECASE)


def applies(rule: Rule, state: JobState, exit_code: str = "") -> bool:
    """Whether a rule is about an end, by its state and its exit code ``75:0``."""
    codes = rule.get("exit_codes")
    return state.value == rule["on"] and (not codes or not exit_code or exit_code in [f"{code}:0" for code in codes])


def changes(
    rules: Sequence[Rule], ends: Sequence[tuple[JobState, str]], options: Mapping[str, Any], time: str | None
) -> dict[str, str]:
    """Return the options of sbatch that differ after those ends, states and nodes, from those of the first job.

    Each end changes what the job before was given. ``time`` is the first one's time limit; None for none.

    Raises:
        ValueError: A rule multiplies what the job does not ask for.
    """
    changed: dict[str, str] = {}
    for nodes, rule in [(nodes, rule) for state, nodes in ends for rule in rules if applies(rule, state)]:
        if rule.get("mem"):
            name, value = _memory({**options, **changed})
            changed[name] = _times(rule["mem"], value, "mem", changed.get(name))
        if rule.get("time"):
            limit = str(minutes(changed.get("time", time)) or "")
            changed["time"] = _times(rule["time"], limit, "time", changed.get("time"))
        if rule.get("exclude_node") and nodes and not nodes.startswith("None"):  # sacct's "None assigned"
            names = _COMMA.split(str(changed.get("exclude", options.get("exclude") or "")))
            changed["exclude"] = ",".join(dict.fromkeys([*filter(None, names), *_COMMA.split(nodes)]))
    return changed


def check(rules: Sequence[Rule], options: Mapping[str, Any], time: str | None) -> None:
    """Raise ValueError for a rule that multiplies what the job does not ask for."""
    for rule in rules:
        changes([rule], [(JobState.parse(rule["on"]), "")], options, time)


def _memory(options: Mapping[str, Any]) -> tuple[str, str]:
    found = [(name, str(options[name])) for name in ("mem", "mem-per-cpu", "mem-per-gpu") if options.get(name)]
    return found[0] if found else ("mem", "")


def _times(value: str, base: str, name: str, by_rule: str | None) -> str:
    """Return a rule's value, multiplied where it is a factor; ``by_rule`` is what a rule has said before."""
    if not value.startswith("x"):
        return value
    found = _MEMORY.fullmatch(base)
    if found and (number := int(found[1])):
        least = number + 1 if float(value[1:]) > 1 else 1  # 1G by 1.2 would be 1G again
        return f"{max(least, round(number * float(value[1:])))}{found[2]}"
    if by_rule is not None:  # all memory, or no limit: there is no more
        return by_rule
    raise ValueError(f"retry: {name}: {value} multiplies the job's {name}, which is not set; set it, or name a value")
