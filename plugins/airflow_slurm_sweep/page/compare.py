"""Several runs side by side: their combinations as those of one run, and what differs between the runs. Pure.

The runs have letters. A combination's number has its run's letter before it, its index the run's place: A4, 0.3. The
run is the first parameter of all, so that tables, plots and means take it like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from airflow_slurm_sweep.page.combinations import Combination, by_value, rank
from airflow_slurm_sweep.page.curves import Curves
from airflow_slurm_sweep.page.stages import Stage, counts
from airflow_slurm_sweep.report import failures
from airflow_slurm_sweep.slurm.finite import is_number
from airflow_slurm_sweep.sweep.naming import short_names
from airflow_slurm_sweep.sweep.sweep_section import Objective

MOST = 20  # runs
_RUN = "compared run"  # the key of the first parameter: a sweep's have no space
_VALUES = 6  # of a parameter in one run that are named


def compared(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return runs as `data.run` returns them as one."""
    values = [_values(run, letter) for run, letter in zip(runs, ascii_uppercase, strict=False)]
    every = [each for own in values for each in own]
    keys = dict.fromkeys(key for each in every for key in each)
    swept = [key for key in keys if len({each.get(key, "") for each in every}) > 1]
    found = [_combination(runs, place, each) for place, run in enumerate(runs) for each in run["combinations"]]
    for each, own in zip(found, every, strict=True):
        each["parameters"] = [own.get(key, "") for key in swept]
    objectives = [run["objective"] for run in runs]
    objective = Objective(**objectives[0]) if objectives[0] and objectives.count(objectives[0]) == len(runs) else None
    parameters = [
        {"key": key, "name": name, "is_number": all(is_number(each.get(key, "0")) for each in every)}
        for key, name in zip(swept, short_names(["run" if key == _RUN else key for key in swept]), strict=True)
    ]
    return {
        "live": any(run["live"] for run in runs),
        "stages": list(Stage),
        **counts(Counter(each["stage"] for each in found)),
        **_differences(runs, values, swept),
        "failures": failures([each["cause"] for each in found if each["stage"] == Stage.FAILED]),
        **rank(found, objective),
        "repeats": [],  # each job of each run stands for itself here
        "parameters": parameters,
        "means": by_value(parameters, found, objective),
        "constants": {key: every[0][key] for key in keys if key not in swept},
        "combinations": found,
    }


def compared_curves(runs: Sequence[Curves]) -> Curves:
    """Return the curves of runs as those of one, by the indices of its combinations."""
    found: Curves = {}
    for place, run in enumerate(runs):
        for name, jobs in run.items():
            found.setdefault(name, {}).update({_index(place, index): curve for index, curve in jobs.items()})
    return found


def _index(place: int, map_index: int | str) -> str:
    return f"{place}.{map_index}"


def _combination(runs: Sequence[Mapping[str, Any]], place: int, combination: Combination) -> Combination:
    ids = {"dag_id": runs[place]["dag_id"], "run_id": runs[place]["run_id"], "map_index": combination["index"]}
    number = f"{ascii_uppercase[place]}{combination['number']}"
    return {**combination, **ids, "index": _index(place, combination["index"]), "number": number, "action": None}


def _values(run: Mapping[str, Any], letter: str) -> list[dict[str, str]]:
    """Return the value of each parameter, as text, of each combination of a run."""
    keys = [each["key"] for each in run["parameters"]]
    return [
        {_RUN: letter, **run["constants"], **dict(zip(keys, each["parameters"], strict=True))}
        for each in run["combinations"]
    ]


def _differences(
    runs: Sequence[Mapping[str, Any]], values: Sequence[Sequence[Mapping[str, str]]], swept: Iterable[str]
) -> dict[str, Any]:
    """Return the runs, and for each of them what is not the same in all of them."""
    columns = [  # a parameter may have any of these names
        ("commit", [run["origin"].get("revision", "") for run in runs]),
        ("overrides", [" ".join(run["origin"].get("overrides", [])) for run in runs]),
        *((key, [_named(each.get(key, "") for each in own) for own in values]) for key in swept if key != _RUN),
    ]
    differing = [(name, texts) for name, texts in columns if len(set(texts)) > 1]
    return {
        "differing": [name for name, _ in differing],
        "runs": [
            {
                **{name: run[name] for name in ("dag_id", "run_id", "state", "counts", "ended", "all")},
                "letter": ascii_uppercase[place],
                "best": run["best"]["text"] if run["best"] else "",
                "differences": [texts[place] for _, texts in differing],
            }
            for place, run in enumerate(runs)
        ],
    }


def _named(values: Iterable[str]) -> str:
    """Return the different values in their order as text: 1e-06, 1e-05."""
    known = [value for value in dict.fromkeys(values) if value]
    more = f" … ({len(known)} values)" if len(known) > _VALUES else ""
    return ", ".join(known[:_VALUES]) + more
