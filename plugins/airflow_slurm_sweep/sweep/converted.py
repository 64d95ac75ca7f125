"""What `convert` has taken over of another tool's sweep file, and what it has not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.sweep.distributions import DRAWN
from airflow_slurm_sweep.sweep.foreign import as_yaml
from airflow_slurm_sweep.sweep.sbatch_options import LONG, SETTINGS
from airflow_slurm_sweep.sweep.section import read_settings
from airflow_slurm_sweep.sweep.settings import SlurmSection

NO_PROGRAM = "the program, which the file does not name: replace train.py"
_TRIALS = 40  # of a search whose file does not say how many
_GOALS = {"min": "minimize", "max": "maximize"}  # by the first letters
_OF_SUBMITIT = {
    "timeout_min": "time",
    "mem_gb": "mem",
    "tasks_per_node": "ntasks-per-node",
    "name": "jobname",
    "array_parallelism": "max_parallel_jobs",
}
_LONG = {*LONG, *SETTINGS}
_WORDS_OF_SLURM = {*_LONG, *(word.replace("-", "_") for word in _LONG), *SlurmSection.model_fields} - {"setup"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A sweep of ours in the making."""

    command: str
    parameters: dict[str, list[Any] | dict[str, Any]] = field(default_factory=dict)
    section: dict[str, Any] = field(default_factory=dict)  # ``sweep:``
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    unsaid: list[str] = field(default_factory=list)  # why something is left out

    @property
    def is_drawn(self) -> bool:
        """Whether values of it are drawn."""
        return any(isinstance(values, dict) and values.keys() & DRAWN for values in self.parameters.values())

    def rank_by(self, metric: Any, goal: Any, places: tuple[str, str]) -> None:
        """Say what the report ranks by, if the file does; ``places`` are the keys of the metric and the goal."""
        goals = goal if isinstance(goal, list) and goal else [goal or "minimize"]  # as the tools do by default
        word = _GOALS.get(str(goals[0])[:3].lower())
        if len(goals) > 1:
            reason = "since the report ranks by one metric"
        elif not metric or not isinstance(metric, str) or "${" in metric:
            reason = "since the file gives no name of a metric"
        elif word is None:
            reason = "since the goal is neither minimize nor maximize"
        else:
            self.section["objective"] = {"metric": metric, "goal": word}
            files = "files in each run directory, such as metrics.json (docs/results.md)"
            self.unsaid.append(f"how the metric is read: the report reads it from {files}")
            if not goal:
                self.unsaid.append(f"the goal, which the file does not say: {word}")
            return
        given = ((place, value) for place, value in zip(places, (metric, goal), strict=True) if value)
        self.unsaid.extend(f"{place}: {as_yaml(value)}, {reason}" for place, value in given)

    def ask_slurm(self, options: Mapping[str, Any], place: str) -> None:
        """Take over options of sbatch that stand at a place of the file."""
        for name, value in options.items():
            word = _OF_SUBMITIT.get(name, name)
            own = f"{value}G" if name == "mem_gb" else value
            if isinstance(value, str | int) and word in _WORDS_OF_SLURM and _is_setting(word, own):
                self.sections.setdefault("slurm", {})[word] = own
            elif name != "_target_":
                self.unsaid.append(f"{place}.{name}")

    def search(self, trials: Any) -> None:
        """Say how many combinations a search draws; ``trials`` is what the file says."""
        if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
            self.unsaid.append(f"the number of trials, which the file does not say: {_TRIALS}")
            trials = _TRIALS
        self.section.update(search="random", trials=trials)


def _is_setting(word: str, value: str | int) -> bool:
    """Tell whether a sweep file may have that setting; one with ``${...}`` is another tool's to fill in."""
    try:
        read_settings(SlurmSection, {word: value})
    except SettingsError:
        return False
    return "${" not in str(value)
