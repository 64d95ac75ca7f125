"""How a job follows from a combination's parameters.

A searched run makes its jobs while it goes on, so its plan leaves the recipe beside the jobs, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.axes import Axis
from airflow_slurm_sweep.sweep.command import Command, Placeholder, fill
from airflow_slurm_sweep.sweep.conditions import ValueTest
from airflow_slurm_sweep.sweep.drawn import Drawn
from airflow_slurm_sweep.sweep.naming import label
from airflow_slurm_sweep.sweep.overrides import Value, config_key, override_key
from airflow_slurm_sweep.sweep.run_command import RunCommand
from airflow_slurm_sweep.sweep.settings import ClusterProfile
from airflow_slurm_sweep.sweep.spaces import Space
from airflow_slurm_sweep.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What all jobs of a run have in common beside their settings.

    Attributes:
        command: Of the jobs.
        automatic: The preset's keys, with their placeholders.
        overrides: Of the trigger form, where the command takes some.
        swept: The parameters that differ; ``repeated`` are those of them that tell repeats apart.
        places: What ``{log}`` and ``{base}`` stand for.
    """

    command: RunCommand
    automatic: Mapping[str, Value]
    overrides: tuple[str, ...]
    swept: tuple[str, ...]
    repeated: tuple[str, ...]
    places: Mapping[str, Value]

    def arguments(self, parameters: Mapping[str, Value], places: Mapping[str, Value]) -> dict[str, Any]:
        """Return those arguments of `JobRequest` that follow from parameters; ``places`` are the job's placeholders.

        Raises:
            ValueError: A value has no form in the place where it should stand.
        """
        said = {*map(config_key, parameters), *map(override_key, self.overrides)}
        known = {**self.places, **places}
        automatic = {key: fill(value, known) for key, value in self.automatic.items() if config_key(key) not in said}
        swept = {key: value for key, value in parameters.items() if key in self.swept}
        return {
            "label": label(swept or parameters) or " ".join(self.overrides),
            "parameters": parameters,
            "swept": list(swept) or (),
            "repeated": [key for key in self.repeated if key in swept] or (),
            "overrides": self.overrides,
            "command": self.command.render(parameters, automatic, known, self.overrides),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A searched run: what proposes parameters, and how a job follows from them."""

    space: Space
    recipe: Recipe
    maximize: bool

    def arguments(self, parameters: Mapping[str, Value], job: JobRequest) -> dict[str, Any]:
        """Return what becomes of a planned job with other parameters, as `Recipe.arguments` does."""
        places: dict[str, Value] = {
            "job_name": job.name,
            "index": job.index,
            "nodes": job.nodes,
            "gpus_per_node": job.gpus_per_node,
            "run_dir": job.run_dir,
        }
        return self.recipe.arguments(parameters, places)

    def notes(self, parallel: int) -> list[str]:
        """Return what the person who starts a run should know; ``parallel`` trials run at a time."""
        found = ["search: once ten trials have ended, others are proposed in place of the combinations shown here"]
        if 4 * parallel > (self.space.trials or 0):
            found.append("search: with max_parallel_jobs above a fourth of trials, most trials know few results")
        return found

    def to_text(self) -> str:
        """Return it as text: Airflow's XComs have no NaN, and Postgres reads 1e16 as an int."""
        values = asdict(self)
        values["space"] = {
            "axes": values["space"]["axes"],
            "exclude": values["space"]["exclude"],
            "include": values["space"]["include"],
            "trials": self.space.trials,
            "seed": self.space.seed,
            "overridden": values["space"]["overridden"],
        }
        return json.dumps(values)

    @classmethod
    def from_text(cls, text: str) -> Search:
        """Build it from what `to_text` returned."""
        values = json.loads(text)
        space, recipe = values["space"], values["recipe"]
        command = recipe["command"]
        parts = (part if isinstance(part, str) else Placeholder(**part) for part in command["command"]["parts"])
        return cls(
            maximize=values["maximize"],
            space=Space(
                axes=tuple(map(_axis, space["axes"])),
                exclude=tuple(
                    {key: ValueTest(**_with_tuples(test)) for key, test in each.items()} for each in space["exclude"]
                ),
                include=tuple(space["include"]),
                trials=space["trials"],
                seed=space["seed"],
                overridden=space["overridden"],
            ),
            recipe=Recipe(
                command=RunCommand(**{**command, "command": Command(parts=tuple(parts))}),
                automatic=recipe["automatic"],
                overrides=tuple(recipe["overrides"]),
                swept=tuple(recipe["swept"]),
                repeated=tuple(recipe["repeated"]),
                places=recipe["places"],
            ),
        )


def check_search(sweep: SweepSpec, settings: ClusterProfile, counts: Mapping[str, str], existing: str) -> None:
    """Raise ValueError for what does not go with `search: tpe`."""
    if sweep.sweep.search != "tpe":
        return
    counted = [key for key in sweep.space.swept if config_key(key) in counts.values()]
    if not settings.max_parallel_jobs:
        raise ValueError(
            "search is tpe, and max_parallel_jobs is missing: a trial is proposed when there is a place for it; add "
            "slurm: {max_parallel_jobs: 8}"
        )
    if settings.submit == "array":
        raise ValueError("search is tpe, and submit is array, whose jobs come all at once; set submit to each")
    if existing == "resume":
        raise ValueError("search is tpe, and existing is resume: a search begins anew; set existing to new or refuse")
    if counted:
        raise ValueError(f"search is tpe, and {counted[0]} counts nodes or GPUs; give it one value")


def _axis(values: Mapping[str, Any]) -> Axis:
    return Axis(
        keys=tuple(values["keys"]),
        rows=tuple(map(tuple, values["rows"])),
        drawn=values["drawn"] and Drawn(**values["drawn"]),
        had_doubles=values["had_doubles"],
    )


def _with_tuples(test: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in test.items()}
