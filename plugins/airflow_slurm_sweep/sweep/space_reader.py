"""The space of a sweep file: its parameters, and what its section ``sweep:`` says of their combinations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import isinf
from pathlib import Path
from typing import Any

from airflow_slurm_sweep.errors import Fault
from airflow_slurm_sweep.sweep.axes import Axis
from airflow_slurm_sweep.sweep.conditions import Condition, known_keys, read_condition, unknown_parameter
from airflow_slurm_sweep.sweep.foreign import as_yaml
from airflow_slurm_sweep.sweep.overrides import Value, bare_key
from airflow_slurm_sweep.sweep.settings import given
from airflow_slurm_sweep.sweep.spaces import Rule, Space
from airflow_slurm_sweep.sweep.sweep_section import RuleSection, SweepSection
from airflow_slurm_sweep.sweep.value_forms import is_form
from airflow_slurm_sweep.sweep.values import (
    NO_PARAMETER,
    NUL,
    OWN_KEY,
    OWN_KEYS,
    has_nul,
    is_parameter,
    meant,
    read_axis,
)


def read_space(axes: Sequence[Axis], section: SweepSection | None, folder: Path | None, faults: list[Fault]) -> Space:
    """Return what a sweep runs over, given its parameters; add what is wrong with it to ``faults``.

    ``section`` is None where it has faults of its own; ``folder`` as in `read_axis`.
    """
    if section is None:
        return Space(axes=tuple(axes))
    if section.exclude or section.include or section.search:  # a plain product runs doubled values twice
        axes = [axis.once() for axis in axes]
    keys = [key for axis in axes for key in axis.keys]
    repeat = [
        read_axis(key, value, is_anchored=False, folder=folder, faults=faults).once()
        for key, value in section.repeat.items()
    ]
    _refuse_doubles([*keys, *(key for axis in repeat for key in axis.keys)], faults)
    for axis in repeat:
        if axis.drawn:
            faults.append(Fault(key="sweep.repeat", problem=f"expected lists of values, got {axis.drawn}"))
    for axis in () if section.search else axes:
        if axis.drawn:
            problem = f"{axis.drawn} is drawn by a search; add sweep: {{search: random, trials: 40}}"
            faults.append(Fault(key=axis.keys[0], problem=problem))
    swept = [key for axis in axes if axis.count != 1 for key in axis.keys]
    return Space(
        axes=tuple(axes),
        exclude=tuple(_conditions("sweep.exclude", section.exclude, keys, faults)),
        include=tuple(_included(section.include, axes, swept, faults)),
        rules=tuple(_rules(section.rules, keys, swept, repeat, faults)),
        repeat=tuple(repeat),
        trials=section.trials,
        seed=section.seed,
    )


def _refuse_doubles(keys: Sequence[str], faults: list[Fault]) -> None:
    seen: dict[str, str] = {}
    for place, key in enumerate(keys):
        twin = seen.setdefault(bare_key(key), key)
        if twin != key or key in keys[:place]:
            faults.append(Fault(key=key, problem=f"sets the same parameter as {twin!r}; remove one of them"))


def _conditions(
    place: str, said: Sequence[Mapping[str, Any]], keys: Sequence[str], faults: list[Fault]
) -> Iterator[Condition]:
    for number, each in enumerate(said):
        yield read_condition(f"{place}.{number}", each, keys, faults)


def _included(
    said: Sequence[Mapping[str, Any]], axes: Sequence[Axis], swept: Collection[str], faults: list[Fault]
) -> Iterator[Mapping[str, Value]]:
    """Yield the included combinations, completed by the parameters that have one value."""
    known = known_keys([key for axis in axes for key in axis.keys])
    constants = {
        key: value for axis in axes if axis.count == 1 for key, value in zip(axis.keys, axis.rows[0], strict=True)
    }
    for number, each in enumerate(said):
        place = f"sweep.include.{number}"
        if unknown := [name for name in each if bare_key(name) not in known]:
            faults.append(Fault(key=place, problem=unknown_parameter(unknown[0], [*known.values()])))
            continue
        _refuse_doubles([*each], faults)
        own = {known[bare_key(name)]: value for name, value in _meant(place, each, faults).items()}
        if missing := [key for key in swept if key not in own]:
            problem = (
                f"expected a whole combination; {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            )
            faults.append(Fault(key=place, problem=problem))
            continue
        yield {key: own.get(key, constants.get(key)) for key in known.values()}


def _rules(
    said: Sequence[RuleSection],
    keys: Sequence[str],
    swept: Collection[str],
    repeat: Sequence[Axis],
    faults: list[Fault],
) -> Iterator[Rule]:
    known = known_keys(keys)
    refused = {bare_key(key) for key in swept} | {bare_key(key) for axis in repeat for key in axis.keys}
    _refuse_doubles(list(dict.fromkeys(name for each in said for name in each.set)), faults)
    for number, each in enumerate(said):
        place = f"sweep.rules.{number}"
        slurm = given(each.slurm) if each.slurm else {}
        if not each.set and not slurm:
            faults.append(Fault(key=place, problem="expected set or slurm beside if, such as slurm: {nodes: 8}"))
        for name in each.set:
            if bare_key(name) in refused:
                problem = "is swept, and a rule may set other parameters only; use exclude, or joint values as 'a, b'"
                faults.append(Fault(key=f"{place}.set.{name}", problem=problem))
            elif name in OWN_KEYS:
                faults.append(Fault(key=f"{place}.set.{name}", problem=OWN_KEY))
            elif not is_parameter(name):
                faults.append(Fault(key=f"{place}.set.{name}", problem=NO_PARAMETER))
        yield Rule(
            place=place,
            condition=read_condition(f"{place}.if", each.condition, keys, faults),
            set={
                known.get(bare_key(name), name): value
                for name, value in _meant(f"{place}.set", each.set, faults).items()
            },
            slurm=slurm,
        )


def _meant(place: str, values: Mapping[str, Any], faults: list[Fault]) -> dict[str, Value]:
    """Return parameters' values as they are meant."""
    found = dict(values)
    for name, value in values.items():
        if has_nul(value):
            faults.append(Fault(key=f"{place}.{name}", problem=NUL))
        try:
            found[name] = meant(value)
        except ValueError as error:
            faults.append(Fault(key=f"{place}.{name}", problem=str(error)))
    return found


def warnings(space: Space, section: SweepSection) -> Iterator[str]:
    """Yield what is odd in a space but harms nothing; only for one without a `Space.problem`."""
    for place, said, condition, count in _counted(space, section):
        # A search that drew no match is no oddity: only what it can never draw is.
        may_match = all(axis.may_match(condition) for axis in space.axes)
        if not count and not (space.trials and may_match):
            yield f"{place}: {as_yaml(said)} matches no combination"
    for place, value in _single_values(space, section):
        if isinstance(value, dict) and is_form(value):
            yield f"{place}: {as_yaml(value)} is one value here, a mapping; list the values of a form one by one"
    for axis in [*space.axes, *space.repeat]:
        if axis.warning:
            yield f"{', '.join(axis.keys)}: {axis.warning}"
        if axis.runs_twice:
            yield f"{', '.join(axis.keys)}: some values stand there twice, and their combinations run twice"
        if axis.had_doubles:
            yield f"{', '.join(axis.keys)}: some values stand there twice; each runs once"
    for axis in space.repeat:
        if len(axis.rows) == 1 and isinstance(axis.rows[0][0], int):
            yield f"sweep.repeat: {axis.keys[0]} has one value, so that nothing is repeated; list several: [1, 2, 3]"
    if space.trials and len(space.chosen) < space.trials:
        yield f"sweep.trials: {space.trials}, but the space has only {len(space.chosen)} combinations; all of them run"


def _single_values(space: Space, section: SweepSection) -> Iterator[tuple[str, Any]]:
    """Yield the values that cannot be value forms, with their places."""
    yield from (
        (", ".join(axis.keys), item) for axis in space.axes if axis.keys[1:] for row in axis.rows for item in row
    )
    for number, each in enumerate(section.include):
        yield from ((f"sweep.include.{number}.{name}", value) for name, value in each.items())
    for number, rule in enumerate(section.rules):
        yield from ((f"sweep.rules.{number}.set.{name}", value) for name, value in rule.set.items())


def notes(space: Space, section: SweepSection) -> Iterator[str]:
    """Yield what became of the product of all values: what is left out and why, and how often the rest runs."""
    product = "infinitely many" if isinf(space.product) else str(int(space.product))
    for place, said, _, count in _counted(space, section):
        if place.startswith("sweep.exclude") and count:
            of = "draws of the search" if space.trials else f"of {product} combinations"
            yield f"{place}: {as_yaml(said)} leaves out {count} {of}"
        elif count:
            yield f"{place}: {as_yaml(said)} holds for {count} combination{'' if count == 1 else 's'}"
    if space.trials:
        yield f"sweep.search: {section.search} takes {len(space.chosen)} of {product} combinations"
    elif space.exclude or space.include:
        yield f"sweep.exclude and sweep.include: {product} combinations become {len(space.chosen)}"
    if space.repeat:
        names = ", ".join(space.repeated)
        yield f"sweep.repeat: each of {len(space.chosen)} combinations runs {space.repeats} times, over {names}"


def _counted(space: Space, section: SweepSection) -> Iterator[tuple[str, Mapping[str, Any], Condition, int]]:
    """Yield place, text and condition of exclusions and rules, and for how many combinations each holds."""
    pairs = zip(section.exclude, space.exclude, space.left_out, strict=True)
    for number, (said, condition, count) in enumerate(pairs):
        yield f"sweep.exclude.{number}", said, condition, count
    for each, rule in zip(section.rules, space.rules, strict=True):
        yield rule.place, each.condition, rule.condition, sum(map(space.meets(rule.condition), space.chosen))
