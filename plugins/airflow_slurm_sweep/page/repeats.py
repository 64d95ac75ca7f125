"""The repeats of each combination as one, as the report folds them: the objective is their mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from airflow_slurm_sweep.means import deviation, finite, mean, means
from airflow_slurm_sweep.page.stages import Stage
from airflow_slurm_sweep.planned import planned_job
from airflow_slurm_sweep.report import ranks
from airflow_slurm_sweep.report_text import result_text
from airflow_slurm_sweep.sweep.naming import label
from airflow_slurm_sweep.sweep.overrides import bare_key
from airflow_slurm_sweep.sweep.sweep_section import Objective


def has_result(combination: Mapping[str, Any]) -> bool:
    """Tell whether a combination succeeded, in this run or an earlier one."""
    return combination["stage"] == Stage.SUCCEEDED or bool(combination["is_done_earlier"])


def fold(
    plan: object, swept: Sequence[Mapping[str, Any]], found: Sequence[dict[str, Any]], objective: Objective | None
) -> dict[str, Any]:
    """Rank combinations by the mean of their repeats, and return the means and the best one.

    Args:
        plan: The run's plan; its jobs say which parameters tell repeats apart.
        swept: Those parameters that the jobs differ in, as the page has them.
        found: A combination for each job, with its value of each of them.
        objective: The sweep's.

    Returns:
        ``repeats``, the best first: combination, parameters, its first job's index, number of results and of jobs,
        mean, spread and rank; and ``best``.
        Only an empty ``repeats`` where the sweep repeats nothing, or has no objective.
    """
    repeated = set(map(bare_key, (planned_job(plan, 0) or {}).get("repeated", ())))
    if not repeated or objective is None:
        return {"repeats": []}
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    own = [at for at, each in enumerate(swept) if each["key"] not in repeated]
    for each in found:
        groups.setdefault(tuple(each["parameters"][at] for at in own), []).append(each)
    folds = [
        _fold({swept[at]["key"]: text for at, text in zip(own, texts, strict=True)}, jobs, objective.metric)
        for texts, jobs in groups.items()
    ]
    values = ((each["number"] == each["jobs"], {objective.metric: each["mean"]}) for each in folds)
    for each, jobs, rank in zip(folds, groups.values(), ranks(values, objective), strict=True):
        each["rank"] = rank
        for job in jobs:
            job["rank"] = rank
    best = None
    for each, (job, *_) in zip(folds, groups.values(), strict=True):
        if each["rank"] == 1:
            text = result_text({objective.metric: each["mean"]}, each["combination"], objective)
            text = f"{text}, the mean of {each['jobs']}"
            best = {"index": job["index"], "number": job["number"], "text": text}
    return {"repeats": sorted(folds, key=lambda each: each["rank"] or len(found)), "best": best}


def by_value(repeats: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean result by each parameter's value, of what `fold` returned: a combination counts once."""
    ranked = sorted((each for each in repeats if each["rank"]), key=lambda each: each["index"])
    return [asdict(each) for each in means([(each["parameters"], each["mean"]) for each in ranked])]


def _fold(parameters: Mapping[str, str], jobs: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    values = [float(job["metrics"][metric]) for job in jobs if has_result(job) and metric in job["metrics"]]
    return {
        "combination": label(parameters),
        "parameters": {key: text for key, text in parameters.items() if text},
        "index": jobs[0]["index"],
        "number": len(values),
        "jobs": len(jobs),
        "mean": finite(mean(values)) if values else None,
        "spread": deviation(values),
    }
