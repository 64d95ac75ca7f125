"""The combinations of a Dag run as the page shows them: plan, task states, XComs and Slurm's states joined. Pure."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, TypeAlias

from airflow_slurm_sweep.means import means
from airflow_slurm_sweep.names import CANCELLED_BY, RETURN_KEY, SKIPPED_KEY, STATUS_KEY, SUBMIT, WAIT, log_path
from airflow_slurm_sweep.page import repeats
from airflow_slurm_sweep.page.repeats import fold, has_result
from airflow_slurm_sweep.page.stages import Stage, counts, stage_of
from airflow_slurm_sweep.planned import planned_job
from airflow_slurm_sweep.report import earlier_text, failures, hours, hours_text, metric_names, ranks
from airflow_slurm_sweep.report_text import result_text
from airflow_slurm_sweep.slurm.parameters import json_values
from airflow_slurm_sweep.slurm.plain import read_parameters
from airflow_slurm_sweep.slurm.reasons import in_words
from airflow_slurm_sweep.slurm.snapshot import LiveJob, seconds
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.naming import short_names
from airflow_slurm_sweep.sweep.overrides import bare_key, shown
from airflow_slurm_sweep.sweep.sweep_section import Objective

XComs: TypeAlias = Mapping[tuple[str, str, int], Any]  # by task id, key and map index
LiveJobs: TypeAlias = Mapping[tuple[int, str], LiveJob]  # by map index and job id
Combination: TypeAlias = dict[str, Any]  # as JSON
_Values: TypeAlias = Mapping[str, Any]  # an XCom


class Task(NamedTuple):
    """A task instance: Airflow's state, its end in seconds since 1970, and what people noted."""

    state: str | None
    ended: float | None
    note: str = ""


_NOT_MADE = Task(None, None)  # Airflow has not made the task instance yet


class Run(NamedTuple):
    """What a Dag run left."""

    plan: object  # the XCom of plan, whatever it is
    tasks: Mapping[tuple[str, int], Task]  # by task id and map index
    xcoms: XComs  # of submit and wait
    live: LiveJobs  # what triggerers said of jobs in Slurm
    note: str = ""
    metrics: Mapping[int, Mapping[str, float]] = {}  # the latest values of jobs in Slurm, by map index

    def task(self, task_id: str, map_index: int) -> Task:
        """Return an instance; before the group is expanded, each task has one that stands for all."""
        return self.tasks.get((task_id, map_index)) or self.tasks.get((task_id, -1), _NOT_MADE)


def view(run: Run, start: float | None, objective: Objective | None) -> dict[str, Any]:
    """Return all that the page shows of a run's combinations; ``start`` is the run's, in seconds since 1970."""
    found = combinations(run)
    swept = parameters(run.plan, found)
    ranked = rank(found, objective)
    folded = fold(run.plan, swept, found, objective)
    return {
        **counts(Counter(each["stage"] for each in found)),
        "expected_end": expected_end(start, found),
        "stuck": stuck(found),
        "failures": failures([each["cause"] for each in found if each["stage"] == Stage.FAILED]),
        "used": hours_text((each["gpu_hours"], each["cpu_hours"]) for each in found if each["used"]),
        **ranked,
        **folded,
        "parameters": swept,
        "means": repeats.by_value(folded["repeats"]) if folded["repeats"] else by_value(swept, found, objective),
        "constants": constants(run.plan),
        "combinations": found,
    }


def combinations(run: Run) -> list[Combination]:
    """Return a combination for each map index that the plan or a task instance has."""
    planned = len(run.plan) if isinstance(run.plan, list) else 0
    count = max([planned, *(map_index + 1 for _, map_index in run.tasks)])
    in_slurm: dict[int, list[str]] = defaultdict(list)
    for map_index, job_id in run.live:
        in_slurm[map_index].append(job_id)
    return [_combination(run, map_index, in_slurm[map_index]) for map_index in range(count)]


def _combination(run: Run, map_index: int, in_slurm: Sequence[str]) -> Combination:
    job = planned_job(run.plan, map_index) or {}
    submit, wait = (run.task(task_id, map_index) for task_id in (SUBMIT, WAIT))
    submitted, ended = _submitted_and_ended(run.xcoms, submit, wait, map_index)
    if done := mapping(job.get("done")):
        submitted = {"job_id": done.get("job_id", ""), "run_dir": job["run_dir"]}
        was_stopped = done.get("state") == JobState.STOPPED_EARLY.value
        ended = {**done, "text": earlier_text(stopped=was_stopped), "reason": ""}
    job_id = ended.get("job_id") or submitted.get("job_id", "")
    stage = stage_of(submit.state, wait.state)
    if stage is Stage.SUCCEEDED and ended.get("state") == JobState.STOPPED_EARLY.value:
        stage = Stage.STOPPED
    if stage is Stage.IN_SLURM and job.get("chain"):  # jobs of the chain before a clear may be there too
        job_id = max((job_id, *in_slurm), key=lambda each: int(each.partition("_")[0] or 0))
    live = run.live.get((map_index, job_id)) if stage is Stage.IN_SLURM else None
    if live is not None:
        stage = stage_of(submit.state, wait.state, JobState.parse(live.state))
    task_id, task = (WAIT, wait) if submit.state == "success" else (SUBMIT, submit)
    note = wait.note or submit.note
    left = mapping(run.xcoms.get((SUBMIT, SKIPPED_KEY, map_index))) if stage is Stage.SKIPPED else {}
    skipped = {"text": stage, "reason": left["why"]} if left else {}
    action = "clear" if skipped else stage.action  # it runs once its canary has succeeded
    return {
        "index": map_index,
        "number": job.get("index") or map_index + 1,  # the plan, and what `only` left out, may not be known here
        "name": job.get("name") or submitted.get("job_name", ""),
        "label": job.get("label", ""),
        "stage": stage,
        "action": action if (task_id, map_index) in run.tasks else None,
        **_state(stage, task_id, task._replace(note=note or run.note), live, ended or skipped),
        "note": note,
        "why": in_words(live.reason) if live and stage is Stage.PENDING else "",
        "cause": ended.get("cause", "") if stage is Stage.FAILED else "",
        "is_stuck": live.stuck if live else False,
        "is_done_earlier": bool(done) and done.get("state") != JobState.STOPPED_EARLY.value,
        "task": task_id,
        "exit_code": ended.get("exit_code", "").removeprefix("0:0"),
        "job_id": job_id,
        "log_path": log_path(submitted["run_dir"], job_id) if "run_dir" in submitted else "",
        "chain": ended.get("chain", ""),
        "nodes": live.nodes if live else ended.get("nodes", ""),
        **_times(stage, submit, live, ended),
        "ended": task.ended if stage.is_ended else None,
        **_used(job, ended, is_own=bool(stage.is_ended and job_id and not done)),
        "metrics": json_values(run.metrics.get(map_index, {}) if live else mapping(ended.get("metrics"))),
        "wandb": _address(ended.get("wandb")),
    }


def _used(job: _Values, ended: _Values, *, is_own: bool) -> dict[str, Any]:
    counted = hours(job.get("gpus_per_node", 0), ended.get("gpu_hours"), ended.get("cpu_hours"))
    return {"gpu_hours": counted[0], "cpu_hours": counted[1], "used": hours_text([counted]) if is_own else ""}


def _address(text: object) -> str:
    """Return an address that the page makes a link of. A job's log named it, so it may be anything."""
    return str(text) if str(text).startswith(("https://", "http://")) else ""


def _submitted_and_ended(xcoms: XComs, submit: Task, wait: Task, map_index: int) -> tuple[_Values, _Values]:
    """Return the submitted job and its end.

    After a clear the XComs of the earlier attempt may still be there: only those that belong to the states count.
    """
    submitted = mapping(xcoms.get((SUBMIT, RETURN_KEY, map_index))) if submit.state == "success" else {}
    key = {"success": RETURN_KEY, "failed": STATUS_KEY}.get(wait.state or "")
    ended = mapping(xcoms.get((WAIT, key, map_index))) if key else {}
    earlier = ended.get("earlier")
    first = earlier[0][0] if earlier else ended.get("job_id")
    return submitted, ended if first == submitted.get("job_id") else {}


def _state(stage: Stage, task_id: str, task: Task, live: LiveJob | None, ended: _Values) -> dict[str, str]:
    """Return state and reason: Slurm's where they are known, else who cancelled it, else Airflow's."""
    if live is not None:
        return {"state": live.state, "reason": live.reason}
    if state := ended.get("text", ""):
        reason = ended.get("reason", "")
        return {"state": state, "reason": "" if reason in ("None", state) else reason}
    if stage in (Stage.FAILED, Stage.SKIPPED) and task.note.startswith(CANCELLED_BY):
        return {"state": task.note.partition("\n")[0], "reason": ""}
    if stage is Stage.FAILED:
        state = "not submitted" if task.state == "upstream_failed" else f"{task_id.rpartition('.')[2]} failed"
        return {"state": state, "reason": ""}
    is_news = stage is Stage.WAITING and task.state not in (None, "scheduled")
    return {"state": stage, "reason": str(task.state) if is_news else ""}


def _times(stage: Stage, submit: Task, live: LiveJob | None, ended: _Values) -> dict[str, Any]:
    """Return the job's times, in seconds: those that are over, and since when those last that are not."""
    submitted = submit.ended if submit.state == "success" else None
    # Without Slurm's word the submission is the only time that is known.
    began = live.started if live else submitted if stage is Stage.IN_SLURM else None
    return {
        "submitted": submitted,
        "queued": live.queued if live else ended.get("queued"),
        "pending_since": submitted if stage is Stage.PENDING else None,
        "expected_start": live.starts if live else None,
        "ran": seconds(ended.get("elapsed", "")),
        "elapsed": ended.get("elapsed", ""),
        "running_since": began if stage in (Stage.RUNNING, Stage.IN_SLURM) else None,
    }


def parameters(plan: object, found: Sequence[Combination]) -> list[dict[str, Any]]:
    """Return the parameters that the jobs of a plan differ in, and give each combination its values of them, as text.

    Returns:
        Key, short name, and whether all values are numbers.
    """
    jobs = [read_parameters(planned_job(plan, each["index"]) or {}) for each in found]
    keys = dict.fromkeys(key for job in jobs for key in job)
    texts = {key: [value_text(job[key]) if key in job else "" for job in jobs] for key in keys}
    swept = [key for key in keys if len(set(texts[key])) > 1]
    for place, each in enumerate(found):
        each["parameters"] = [texts[key][place] for key in swept]
    return [
        {"key": bare_key(key), "name": name, "is_number": all(type(job.get(key, 0)) in (int, float) for job in jobs)}
        for key, name in zip(swept, short_names(swept), strict=True)
    ]


def constants(plan: object) -> dict[str, str]:
    """Return the parameters that have one value in all jobs of a plan, as text."""
    jobs = [read_parameters(job) for job in plan if isinstance(job, Mapping)] if isinstance(plan, list) else []
    first = jobs[0] if jobs else {}
    return {
        bare_key(key): value_text(value) for key, value in first.items() if all(job.get(key) == value for job in jobs)
    }


def value_text(value: Any) -> str:
    """Return a parameter's value as people read it: 1e-06, 'a b', [1,2]."""
    if isinstance(value, dict | list):  # JSON, since XComs have made text of the keys, which Hydra's grammar may lack
        return json.dumps(json_values(value), separators=(",", ":"), ensure_ascii=False)
    return shown(value)


def rank(found: Sequence[Combination], objective: Objective | None) -> dict[str, Any]:
    """Give each combination its rank by the objective, as `report` does; return objective, best one and metrics."""
    places = ranks(((has_result(each), each["metrics"]) for each in found), objective)
    for each, place in zip(found, places, strict=True):
        each["rank"] = place
    best = None
    if objective and 1 in places:
        winner = found[places.index(1)]
        text = result_text(winner["metrics"], winner["label"], objective)
        best = {"index": winner["index"], "number": winner["number"], "text": text}
    metric, goal = (objective.metric, objective.goal) if objective else (None, None)
    return {
        "objective": objective.model_dump() if objective else None,
        "best": best,
        # Larger values of a metric that is no objective are taken for the better ones.
        "metrics": [
            {"name": name, "is_objective": name == metric, "smaller_is_better": name == metric and goal == "minimize"}
            for name in metric_names((each["metrics"] for each in found), objective)
        ],
    }


def by_value(
    swept: Sequence[Mapping[str, Any]], found: Sequence[Combination], objective: Objective | None
) -> list[dict[str, Any]]:
    """Return the mean result by each parameter's value, as `report` does, of ranked combinations."""
    keys = [each["key"] for each in swept]
    results = [
        (
            {key: text for key, text in zip(keys, each["parameters"], strict=True) if text},
            each["metrics"][objective.metric],
        )
        for each in found
        if objective and each["rank"]
    ]
    return [asdict(mean) for mean in means(results)]


def stuck(found: Sequence[Combination]) -> list[str]:
    """Return a sentence for each reason for which jobs will not start by themselves."""
    numbers = Counter((each["reason"], each["why"]) for each in found if each["is_stuck"])
    return [
        f"{count} {'job' if count == 1 else 'jobs'} will not start without help ({reason}): {why}"
        for (reason, why), count in numbers.items()
    ]


def expected_end(start: float | None, found: Sequence[Combination]) -> float | None:
    """Return when the last combination will have ended if the rest takes as long as those before; None if unknown.

    Times, ``start`` of the run too, are seconds since 1970. Combinations that were skipped, or ended before the start
    since the run was cleared, took none of its time.
    """
    left = sum(not Stage(each["stage"]).is_ended for each in found)
    times = [each["ended"] for each in found if each["stage"] != Stage.SKIPPED]
    took: list[float] = [ended - start for ended in times if start is not None and ended is not None and ended > start]
    if start is None or len(took) < 2 or not left:
        return None
    return start + max(took) * (1 + left / len(took))


def mapping(value: Any) -> _Values:
    """Return an XCom that is a mapping, or text that is one as JSON, as triggers leave it; else an empty one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
