"""Which GPUs a job asks Slurm for: the automatic ``--gres=gpu:N``, or what the user's own options of sbatch say.

Slurm takes contradictory options without a word: 22.05 gives 2 GPUs for ``--gres=gpu:2 --gpus-per-node=4``.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TypeAlias

Options: TypeAlias = Mapping[str, str | int | bool]

_GPU = re.compile(r"(gres[:/])?gpu\b")


def gpu_options(options: Options) -> list[str]:
    """Return the names of the options that ask for GPUs, or with ``gres: none`` for nothing of the kind."""
    return [name for name, value in options.items() if _items(name, value) or (name, value) == ("gres", "none")]


def gres(options: Options, gpus_per_node: int) -> str | None:
    """Return the value of ``--gres``: the automatic one, unless the user's options replace it, and the user's own."""
    automatic = f"gpu:{gpus_per_node}" if gpus_per_node and not gpu_options(options) else ""
    return ",".join(filter(None, [automatic, str(options.get("gres") or "")])) or None


def requested_gpus(options: Options, nodes: int) -> int | None:
    """Return how many GPUs on each node the user's options ask for; None where they do not tell.

    Raises:
        ValueError: They contradict each other.
    """
    found = {}
    for name in gpu_options(options):
        factor = _per_node(name, options, nodes)
        items = _items(name, options[name])
        if items and factor is not None and (number := factor * sum(map(_count, items))).denominator == 1:
            found[name] = int(number)
    if len(set(found.values())) > 1:
        asked = " and ".join(f"{name} for {number}" for name, number in found.items())
        raise ValueError(f"the sbatch options contradict each other: on each node {asked} GPUs; keep one of them")
    return next(iter(found.values()), None)


def _items(name: str, value: str | int | bool) -> list[str]:
    """Return the parts of an option's value that ask for GPUs: ``4``, ``a100:4``, ``gpu:a100:4``, ``gres/gpu=4``."""
    items = [] if isinstance(value, bool) else str(value).split(",")
    if name.startswith("gpus"):
        return items
    return [item for item in items if _GPU.match(item)] if name in ("gres", "tres-per-task") else []


def _count(item: str) -> int:
    number = re.split("[:=]", item.partition("(")[0])[-1].strip()  # behind it perhaps the sockets: gpu:4(S:0-1)
    return int(number) if number.isdecimal() else 1


def _per_node(name: str, options: Options, nodes: int) -> Fraction | None:
    """Return the factor from an option's number to that of each node; None where it is not known."""
    if name == "gpus":
        return Fraction(1, nodes)
    if name in ("gpus-per-task", "tres-per-task"):
        tasks, places = options.get("ntasks-per-node"), 1
        if tasks is None:
            tasks, places = options.get("ntasks", nodes), nodes
        return Fraction(int(tasks), places) if str(tasks).isdecimal() else None
    return Fraction(1) if name in ("gres", "gpus-per-node") else None
