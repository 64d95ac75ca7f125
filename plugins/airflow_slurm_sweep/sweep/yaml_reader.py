"""YAML documents that people write: YAML 1.2's core schema, so that what looks like text or a number is one.

``1e-6`` is a float, ``8:0:0`` and ``no`` are text (yamlcore, for PyYAML). Keys that begin with ``x-`` or ``.`` hold
anchors and are left out; ``<<`` merges mappings, as in YAML 1.1. A key that stands twice is an error, or a warning
where both values are equal.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from yamlcore import CCoreLoader

from airflow_slurm_sweep.errors import Fault, SweepFileError
from airflow_slurm_sweep.sweep.foreign import LEADING_ZERO, as_yaml

_MOST = 1_000_000  # values of a document


def read_text(path: Path, source: str) -> str:
    """Read a file that a person wrote.

    Raises:
        SweepFileError: It cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SweepFileError(source, [Fault(problem=f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise SweepFileError(source, [Fault(problem=f"expected UTF-8 text: {error}")]) from None


class _Unclear(yaml.constructor.ConstructorError):
    """A text that is YAML, and that people and programs read differently."""


class _Loader(CCoreLoader):  # type: ignore[misc]  # yamlcore has no types
    """Plain values only; remembers which keys stand twice in a mapping."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.doubles: list[tuple[str, int, int, bool]] = []  # key, the two lines, and whether the values are equal

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; whatever a tag makes of a text that does not fit, the error has the line."""
        if isinstance(node, yaml.ScalarNode) and not node.style and LEADING_ZERO.fullmatch(node.value):
            sign, digits = node.value.rstrip("0123456789_"), node.value.lstrip("+-0_") or "0"
            problem = (
                f"{node.value} begins with 0, which readers of YAML take for different numbers; write {sign}{digits}, "
                f"or '{node.value}' in quotes"
            )
            raise _Unclear(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError):
            problem = f"{str(node.value)[:60]!r} cannot be read as {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002
        """Return the mapping of a node; of a key that stands twice the first value."""
        found: dict[Any, Any] = {}
        lines: dict[Any, int] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self.construct_object(key_node, deep=True)
            value = self.construct_object(value_node, deep=True)  # whole, so that it can be compared
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "found unhashable key", key_node.start_mark)
            if key == "<<" and not key_node.style:
                merged += value if isinstance(value, list) else [value]
            elif key in found:
                self.doubles.append((str(key), lines[key], line, repr(value) == repr(found[key])))
            else:
                found[key], lines[key] = value, line
        if not all(isinstance(each, dict) for each in merged):
            problem = "<< merges mappings only"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        for each in merged:
            found = {**found, **{key: value for key, value in each.items() if key not in found}}
        return found


_TOO_DEEP = Fault(problem="lists and mappings are nested too deep; write them into the script's config")


def read_mapping(text: str, source: str, warnings: list[str]) -> dict[str, Any]:
    """Read a YAML document that has to be a mapping with text as keys; add to ``warnings`` what is odd but harmless.

    Raises:
        SweepFileError: It is no YAML, or not such a mapping; the message has the line where YAML names one.
    """
    try:
        loader = _Loader(text)
        document = loader.get_single_data()
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError) as error:
        is_deep = isinstance(error, RecursionError) or "nesting depth" in str(error)  # PyYAML: old, new
        raise SweepFileError(source, [_TOO_DEEP if is_deep else _syntax_fault(error, text)]) from None
    if _size(document, {}) > _MOST:
        problem = f"its aliases make more than {_MOST} values; write fewer, or a table: {{csv: FILE}}"
        raise SweepFileError(source, [Fault(problem=problem)])
    if not isinstance(document, dict):
        raise SweepFileError(source, [Fault(problem=f"expected keys with values, got {kind(document)}")])
    faults = [
        Fault(key=as_yaml(key), problem="expected text as a key; put it in quotes")
        for key in document
        if not isinstance(key, str)
    ]
    for key, first, second, is_equal in loader.doubles:
        if is_equal:
            warnings.append(f"{source}: line {second}: the key {key!r} stands in line {first} too, with the same value")
            continue
        problem = f"the key {key!r} stands in line {first} too, with another value; delete one of them"
        faults.append(Fault(key=f"line {second}", problem=problem))
    if faults:
        raise SweepFileError(source, faults)
    left_out = {key for key in document if key.startswith(("x-", "."))}
    for key in () if "&" in text else sorted(left_out):  # no anchor in the file
        warnings.append(f"{source}: {key} is left out: it is for anchors; a parameter of that name is '--{key}'")
    return {key: value for key, value in document.items() if key not in left_out}


def _size(value: Any, known: dict[int, int]) -> int:
    """Return how many values a document has; aliases of aliases may make more than a process can hold."""
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        known[id(value)] = 1 + sum(_size(each, known) for each in parts)
    return known[id(value)]


def read_value(text: str, subject: str) -> Any:
    """Read one YAML value as it may stand within a list: a number, text, ``[1, 2]``, ``{a: 1}``.

    What only whole documents or several lines can say is text, such as ``#fff``, ``Answer: yes``, ``-`` and ``---``.

    Raises:
        ValueError: It is no YAML.
    """
    if not text.lstrip().startswith(("'", '"', "[", "{")):
        if re.search(r"(?:^|\s)#", text):
            return text.strip()
        if "\n" in text:  # YAML would fold it
            return text
    try:
        # A safe loader: plain values only.
        return yaml.load(text, Loader=_Loader) if _is_flow(text) else text.strip()  # noqa: S506
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError):
        raise ValueError(
            f"{subject}: expected a YAML value (quote text with special characters), got {text!r}"
        ) from None


def _is_flow(text: str) -> bool:
    """Tell whether a text is a YAML value of the kind that may stand within a list, without an anchor."""
    match [*yaml.parse(text, Loader=CCoreLoader)]:
        case [_, yaml.DocumentStartEvent(explicit=False), yaml.ScalarEvent(anchor=None, style=style), *_]:
            return style not in ("|", ">")
        case [_, yaml.DocumentStartEvent(explicit=False), yaml.CollectionStartEvent(anchor=None, flow_style=flow), *_]:
            return bool(flow)
    return False


def anchored_keys(text: str) -> set[str]:
    """Return the keys of a valid document whose values have an anchor: ``{"_common"}`` for ``_common: &a [1, 2]``.

    One that begins with ``_``, as anchors do elsewhere, may also have it within: ``_common: [&a 1, 2]``.
    """
    events = yaml.parse(text, Loader=CCoreLoader)
    found = set()
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            break
    for key in events:
        if isinstance(key, yaml.MappingEndEvent):
            break
        has_anchor = list(_anchors(events))
        if isinstance(key, yaml.ScalarEvent) and (has_anchor[0] or (any(has_anchor) and key.value.startswith("_"))):
            found.add(key.value)
    return found


def _anchors(events: Iterator[yaml.Event]) -> Iterator[bool]:
    """Take the events of one value, and yield whether it and each part of it has an anchor."""
    depth = 0
    for event in events:
        yield not isinstance(event, yaml.AliasEvent) and bool(getattr(event, "anchor", None))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth == 0:
            break


_BEGUN = ("while scanning a simple key", "while scanning a quoted scalar")  # PyYAML's error marks a later line


_CURES = {  # by PyYAML's first words
    "could not determine a constructor for the tag": "; tags are not taken: write the value itself",
    "could not find expected ':'": "; does a blank lack behind a colon?",
    "did not find expected alphabetic or numeric character": "; a text with *, & or # at its beginning needs quotes",
}


def _syntax_fault(error: Exception, text: str) -> Fault:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return Fault(problem=f"not YAML: {error}")  # characters that YAML does not allow
    if error.context in _BEGUN and error.context_mark is not None:
        mark = error.context_mark
    key = f"line {mark.line + 1}"
    if isinstance(error, _Unclear):
        return Fault(key=key, problem=str(error.problem))
    if error.problem == "but found another document":
        return Fault(key=key, problem="a second document begins here; put it into a file of its own")
    found = text.removeprefix("\ufeff")[mark.index : mark.index + 1]
    if found == "\t":
        return Fault(key=key, problem="a tab stands where YAML takes blanks only; write blanks")
    if error.problem == "found character that cannot start any token":
        return Fault(key=key, problem=f"a value cannot begin with {found}; put it in quotes")
    words = str(error.problem)
    cure = next((cure for begin, cure in _CURES.items() if words.startswith(begin)), "")
    return Fault(key=key, problem=f"not YAML: {words}{cure}")


def kind(value: object) -> str:
    """Name a YAML value's kind for an error message."""
    if value is None:
        return "nothing"
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
