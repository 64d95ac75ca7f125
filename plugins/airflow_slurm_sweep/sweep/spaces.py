"""The space of a sweep, and the combinations of it that run.

Axes span the space. A grid has their whole product in the file's order, the last axis changing fastest; a search has
some of it. What ``exclude`` matches is left out, what ``include`` names is added, ``rules`` change what combinations
of some kind run with, and ``repeat`` runs each combination several times.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from itertools import chain, islice, product
from math import inf, prod
from typing import Any, NamedTuple, TypeVar

from airflow_slurm_sweep.sweep.axes import Axis, distinct
from airflow_slurm_sweep.sweep.conditions import Condition, matches
from airflow_slurm_sweep.sweep.overrides import Value, bare_key
from airflow_slurm_sweep.sweep.sampling import points
from airflow_slurm_sweep.sweep.sbatch_options import joined

MOST = 100_000  # combinations that are looked through, where some are excluded
_Item = TypeVar("_Item")
_DRAWS, _DRAWS_OF_TRIAL = 1000, 50  # points that a search looks at


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What combinations of some kind run with besides: further parameters, settings of their jobs."""

    place: str  # in the sweep file: ``sweep.rules.0``
    condition: Condition
    set: Mapping[str, Value]
    slurm: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One value for each parameter; ``index`` counts from 1."""

    index: int
    parameters: Mapping[str, Value]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of its job, by the rule that has them


class _Chosen(NamedTuple):
    """The combinations before `repeat`, and how many of the product each exclusion left out."""

    parameters: list[dict[str, Value]]
    left_out: list[int]


@dataclass(frozen=True, kw_only=True)  # no slots: what is computed of it is kept
class Space:
    """What a sweep runs over. Ask `problem` first: else the number of combinations may be without bound."""

    axes: tuple[Axis, ...] = ()
    exclude: tuple[Condition, ...] = ()
    include: tuple[Mapping[str, Value], ...] = ()  # each has a value for all keys of the axes
    rules: tuple[Rule, ...] = ()
    repeat: tuple[Axis, ...] = ()
    trials: int | None = None  # how many combinations a search draws; None for the whole product
    seed: int = 0
    overridden: Mapping[str, Value] = field(default_factory=dict)  # what a run replaced: conditions see it

    @property
    def keys(self) -> list[str]:
        """The parameters of the axes."""
        return [key for axis in self.axes for key in axis.keys]

    @property
    def repeated(self) -> list[str]:
        """The parameters that tell the runs of one combination apart."""
        return [key for axis in self.repeat for key in axis.keys]

    @property
    def product(self) -> float:
        """The number of combinations of the axes; infinity where one has no end."""
        counts = [axis.count for axis in self.axes]
        return inf if inf in counts else prod(map(int, counts))

    @property
    def repeats(self) -> int:
        """How many times each combination runs."""
        return prod(len(axis.rows) for axis in self.repeat)

    @property
    def size(self) -> int:
        """The number of combinations that run, each as often as it is repeated."""
        if self.exclude or self.include or self.trials:
            return len(self.chosen) * self.repeats
        return int(self.product) * self.repeats

    def problem(self, most: int) -> str:
        """Say why the space is too large, or too small for its trials; empty for one that can run."""
        if self.trials and (drawn := min(self.trials, self.product + len(self.include)) * self.repeats) > most:
            return _too_many(int(drawn), most)
        if not self.trials and not self.exclude and self.product * self.repeats > most:
            return _too_many(int(self.product) * self.repeats, most)
        if not self.trials and self.exclude and self.product > MOST:
            return (
                f"{int(self.product)} combinations, of which sweep.exclude leaves some out, but at most {MOST} can be "
                "looked through; list fewer values, or add sweep: {search: random, trials: 40}"
            )
        found = len(self.chosen)
        if self.trials and self.product > MOST and found < self.trials:
            return _too_few(found, self.trials, excludes=bool(self.exclude))
        if self.size > most:
            return _too_many(self.size, most)
        return "" if found else "sweep.exclude leaves no combination; exclude less"

    @cached_property
    def combinations(self) -> tuple[Combination, ...]:
        """All combinations that run, in order."""
        found: list[Combination] = []
        repeats = [*_product(self.repeat)]
        tests = [(rule, self.meets(rule.condition)) for rule in self.rules]
        for chosen in self.chosen:
            rules = [rule for rule, holds in tests if holds(chosen)]
            own = {**chosen} | {key: value for rule in rules for key, value in rule.set.items()}
            settings = {rule.place: rule.slurm for rule in rules if rule.slurm}
            for each in repeats:
                found.append(Combination(index=len(found) + 1, parameters={**own, **each}, settings=settings))
        return tuple(found)

    @cached_property
    def parameters(self) -> dict[str, tuple[Value, ...]]:
        """The values that each parameter takes which all combinations have, in the file's order."""
        columns: dict[str, Iterable[Value]] = {}
        if self.trials:
            columns = {key: [each[key] for each in self.chosen] for key in self.keys}
        else:
            for axis in self.axes:
                columns.update(zip(axis.keys, zip(*axis.rows, strict=True), strict=True))
            columns = {key: [*column, *(each[key] for each in self.include)] for key, column in columns.items()}
        for axis in self.repeat:
            columns.update(zip(axis.keys, zip(*axis.rows, strict=True), strict=True))
        return {key: distinct(column) for key, column in columns.items()}

    @property
    def swept(self) -> list[str]:
        """The parameters that differ; of a search all that may, whatever it draws."""
        drawn = {key for axis in self.axes if axis.count != 1 for key in axis.keys} if self.trials else ()
        return [key for key, values in self.parameters.items() if len(values) > 1 or key in drawn]

    @property
    def every_value(self) -> dict[str, tuple[Value, ...]]:
        """The values of all parameters, also those of which rules give some combinations one."""
        values = {key: [*items] for key, items in self.parameters.items()}
        for rule in self.rules:
            for key, value in rule.set.items():
                values.setdefault(key, []).append(value)
        return {key: distinct(items) for key, items in values.items()}

    def without(self, overridden: Mapping[str, Value], entered: Mapping[str, Value]) -> Space:
        """Return the space of a run that replaces parameters by one value each.

        ``overridden`` has what they are, by the keys that the config has, ``entered`` those of them that stay
        parameters. Combinations that become equal run once.
        """
        axes = [kept for axis in self.axes if (kept := axis.without(overridden))]
        axes += [Axis(keys=(key,), rows=((value,),)) for key, value in entered.items()]
        lost = [key for key in (*self.keys, *self.repeated) if bare_key(key) in overridden]
        include = distinct({**_without(each, overridden), **entered} for each in self.include)
        return replace(
            self,
            axes=tuple(axes),
            include=include,
            rules=tuple(replace(rule, set=_without(rule.set, overridden)) for rule in self.rules),
            repeat=tuple(kept for axis in self.repeat if (kept := axis.without(overridden))),
            overridden={key: overridden[bare_key(key)] for key in lost},
        )

    def without_settings(self, settings: Mapping[str, Any]) -> Space:
        """Return the space with rules that leave settings alone; of mappings their keys, and setup is joined."""
        return replace(self, rules=tuple(replace(rule, slurm=_below(settings, rule.slurm)) for rule in self.rules))

    def meets(self, condition: Condition) -> Callable[[Mapping[str, Value]], bool]:
        """Return a test of a combination's parameters against a condition."""
        return lambda parameters: matches(condition, {**parameters, **self.overridden})

    @property
    def chosen(self) -> Sequence[Mapping[str, Value]]:
        """The parameters of the combinations, before rules and `repeat`."""
        return self._chosen.parameters

    @property
    def left_out(self) -> Sequence[int]:
        """How many combinations of the product, or draws of a search, each exclusion left out."""
        return self._chosen.left_out

    @cached_property
    def _chosen(self) -> _Chosen:
        left_out = [0] * len(self.exclude)
        tests = [self.meets(condition) for condition in self.exclude]

        def is_kept(parameters: Mapping[str, Value]) -> bool:
            found = [place for place, holds in enumerate(tests) if holds(parameters)]
            for place in found:
                left_out[place] += 1
            return not found

        if self.trials:
            return _Chosen(self._draw(is_kept), left_out)
        kept = [each for each in _product(self.axes) if is_kept(each)]
        if not self.include:
            return _Chosen(kept, left_out)
        return _Chosen(list(distinct([*kept, *self._included()])), left_out)

    def _draw(self, is_kept: Callable[[Mapping[str, Value]], bool]) -> list[dict[str, Value]]:
        """Return the trials: those of ``include``, then points of a sequence that fills the space, none twice."""
        trials, keys = int(min(self.trials or 0, self.product + len(self.include))), self.keys
        found = {repr(each): each for each in self._included()}
        dimensions = sum(axis.count > 1 for axis in self.axes)
        for point in islice(points(dimensions, self.seed), _DRAWS + _DRAWS_OF_TRIAL * trials):
            if len(found) >= trials:
                return [*found.values()]
            shares = iter(point)
            rows = (axis.at(next(shares) if axis.count > 1 else 0.0) for axis in self.axes)
            each = dict(zip(keys, chain.from_iterable(rows), strict=True))
            if repr(each) not in found and is_kept(each):
                found[repr(each)] = each
        if self.product <= MOST:  # what is left is scattered in the space: take of it by chance
            left = (each for each in _product(self.axes) if repr(each) not in found and is_kept(each))
            found |= {repr(each): each for each in sorted(left, key=self._chance)[: trials - len(found)]}
        return [*found.values()]

    def _chance(self, parameters: Mapping[str, Value]) -> str:
        return sha256(f"{self.seed} {parameters}".encode("utf-8", "surrogatepass")).hexdigest()

    def _included(self) -> Iterator[dict[str, Value]]:
        return ({key: each[key] for key in self.keys} for each in self.include)


def _too_many(size: int, most: int) -> str:
    return f"{size} combinations, but at most {most} are allowed (setting max_combinations)"


def _too_few(found: int, trials: int, *, excludes: bool) -> str:
    if excludes:
        return f"sweep.exclude leaves so little that {found} of {trials} trials were found; exclude less"
    return f"the space has so few values that {found} of {trials} trials were found; lower sweep.trials"


def _product(axes: Sequence[Axis]) -> Iterator[dict[str, Value]]:
    keys = [key for axis in axes for key in axis.keys]
    for rows in product(*(axis.all() for axis in axes)):
        yield dict(zip(keys, chain.from_iterable(rows), strict=True))


def _below(settings: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a rule's own settings still say where others win."""
    kept = {name: value for name, value in own.items() if name not in settings or name == "setup"}
    for name, above in settings.items():
        if name in own and isinstance(above, Mapping):
            kept[name] = {key: value for key, value in joined(own[name], above).items() if key not in above}
    return kept


def _without(values: Mapping[str, _Item], keys: Collection[str]) -> dict[str, _Item]:
    return {key: value for key, value in values.items() if bare_key(key) not in keys}
