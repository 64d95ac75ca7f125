"""sbatch's own words: which options it has, and how a file may write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Long options of sbatch(1) in Slurm 22.05 and 24.11 that no setting of ours replaces.
LONG = (
    "acctg-freq", "batch", "bb", "bbf", "begin", "cluster-constraint", "comment", "constraint", "container-id",
    "contiguous", "core-spec", "cores-per-socket", "cpu-freq", "cpus-per-gpu", "cpus-per-task", "deadline",
    "delay-boot", "dependency", "exclude", "exclusive", "extra", "extra-node-info", "get-user-env", "gid", "gpu-bind",
    "gpu-freq", "gpus", "gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "hint", "hold", "ignore-pbs",
    "input", "kill-on-invalid-dep", "licenses", "mail-type", "mail-user", "mcs-label", "mem", "mem-bind",
    "mem-per-cpu", "mem-per-gpu", "mincpus", "network", "nice", "no-kill", "no-requeue", "nodefile", "nodelist",
    "ntasks", "ntasks-per-core", "ntasks-per-gpu", "ntasks-per-node", "ntasks-per-socket", "oom-kill-step",
    "open-mode", "overcommit", "oversubscribe", "power", "prefer", "priority", "propagate", "qos", "quiet", "reboot",
    "requeue", "reservation", "resv-ports", "segment", "signal", "sockets-per-node", "spread-job", "stepmgr",
    "switches", "thread-spec", "threads-per-core", "time-min", "tmp", "tres-bind", "tres-per-task", "uid",
    "use-min-nodes", "verbose", "wait-all-nodes", "wckey",
)  # fmt: skip

# Short options, and what a file calls them.
SHORT = {
    "A": "account", "a": "array", "B": "extra_node_info", "b": "begin", "C": "constraint", "c": "cpus_per_task",
    "D": "workdir", "d": "dependency", "F": "nodefile", "G": "gpus", "H": "hold", "i": "input", "J": "jobname",
    "k": "no_kill", "L": "licenses", "M": "clusters", "N": "nodes", "n": "ntasks", "O": "overcommit",
    "p": "partition", "Q": "quiet", "q": "qos", "S": "core_spec", "s": "oversubscribe", "t": "time", "v": "verbose",
    "w": "nodelist", "x": "exclude",
}  # fmt: skip

_MEMORY = {"mem", "mem-per-cpu", "mem-per-gpu"}

# Options that are there or not; some of them take a value, but none of these words.
_SWITCHES = {
    "contiguous", "exclusive", "get-user-env", "hold", "ignore-pbs", "no-requeue", "oom-kill-step", "overcommit",
    "oversubscribe", "propagate", "quiet", "reboot", "requeue", "resv-ports", "spread-job", "stepmgr", "use-min-nodes",
    "verbose",
}  # fmt: skip
_YES_OR_NO = {"yes", "no", "on", "off"}


def moved_below_sbatch(values: Mapping[str, Any], own: Mapping[str, Any], reserved: frozenset[str]) -> dict[str, Any]:
    """Return a section with sbatch's words below ``sbatch``, written with dashes; null there says "none".

    ``own`` are the section's own keys, ``reserved`` options of sbatch that have another word there.

    Raises:
        ValueError: A word is short, or stands there twice.
    """
    kept: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for key, value in values.items():
        word = str(key).replace("_", "-")
        if key not in own:
            check_length(str(key))
        if key not in own and (word in LONG or word in reserved):
            _add(words, word, False if value is None else value)
        else:
            kept[key] = value
    below = kept.get("sbatch")
    if below is None:
        return {**kept, "sbatch": words} if words else kept
    if not isinstance(below, Mapping):
        return kept
    dashed: dict[str, Any] = {}
    for key, value in below.items():
        _add(dashed, str(key).replace("_", "-"), value)
    if twice := sorted(words.keys() & dashed.keys()):
        raise ValueError(f"{twice[0]!r} stands below sbatch too; remove one of them")
    return {**kept, "sbatch": {**dashed, **words}}


def _add(options: dict[str, Any], word: str, value: Any) -> None:
    if word in options:
        raise ValueError(f"{word!r} stands there twice, with - and with _; remove one of them")
    options[word] = value


def check_length(name: str) -> None:
    """Raise ValueError for a short option."""
    if name in SHORT:
        raise ValueError(f"{name!r} is a short option of sbatch; write {SHORT[name]}")


def check_switch(name: str, value: str | int | bool) -> None:
    """Raise ValueError for yes or no, which YAML 1.2 reads as texts, where an option is there or not."""
    if name in _SWITCHES and str(value).lower() in _YES_OR_NO:
        raise ValueError(f"{name!r} has no value {value!r}; write true or false")


def check_memory(options: Mapping[str, Any]) -> None:
    """Raise ValueError for options of memory that exclude each other."""
    values = {name: options.get(name) for name in sorted(_MEMORY)}
    given = [name for name, value in values.items() if value is not None and value is not False]  # 0 is all memory
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other in Slurm; keep one of them")


def joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two layers of a mapping as one; of memory's options those above replace all of those below."""
    replaced = _MEMORY if _MEMORY & above.keys() else set()
    return {**{name: value for name, value in below.items() if name not in replaced}, **above}


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two layers of settings as one: the upper one wins.

    Mappings are joined, and so are the lines of setup, and what metrics says of files, names and step.
    """
    values = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(above[name], dict):
            values[name] = joined(below[name], above[name])
        elif name == "setup":
            values[name] = (*below[name], *above[name])
        elif name == "metrics":
            own = {key: getattr(above[name], key) for key in above[name].model_fields_set}
            values[name] = below[name].model_copy(update=own)
    return values
