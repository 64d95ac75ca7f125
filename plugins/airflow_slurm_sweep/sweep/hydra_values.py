r"""Values as Hydra's override grammar reads them: ``01,1_000`` is the text ``01`` and the number 1000.

`overrides` writes that grammar, this module reads it, for `convert`: YAML would read ``01`` as a number, ``1_000`` as
a text and ``{a:1}`` as a key without a value. Grammar: hydra.cc/docs/advanced/override_grammar/basic; Hydra's own
parser is the judge in tests/unit/sweep/test_hydra_values.py.
"""

from __future__ import annotations

import re

from airflow_slurm_sweep.sweep.overrides import Value

_ESCAPED = r"\\[\\()\[\]{}:=, \t]"
_INTERPOLATION = r"\$\{[^}]+\}"
_TOKEN = re.compile(
    rf"""(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") | (?P<interpolation>{_INTERPOLATION})
      | (?P<escaped>(?:{_ESCAPED})+) | (?P<open>[ \t]*\([ \t]*|[\[{{][ \t]*) | (?P<close>[ \t]*[)\]}}])
      | (?P<comma>[ \t]*,[ \t]*) | (?P<equal>[ \t]*=[ \t]*) | (?P<colon>[ \t]*:[ \t]*) | (?P<blank>[ \t]+)
      | (?P<word>(?:[A-Za-z0-9_/+.%*@?|-]|\\(?!{_ESCAPED[2:]})|\$(?!{_INTERPOLATION[2:]}))+)""",
    re.DOTALL | re.VERBOSE,
)
_DIGITS = r"[0-9](?:_?[0-9])*"
_WHOLE = r"(?:0|[1-9](?:_?[0-9])*)"
_POINT = rf"(?:{_WHOLE}\.|{_WHOLE}?\.{_DIGITS})"
_INT = re.compile(rf"[+-]?{_WHOLE}")
_FLOAT = re.compile(rf"[+-]?(?:{_POINT}|(?:{_WHOLE}|{_POINT})e[+-]?{_DIGITS}|inf|nan)", re.IGNORECASE | re.ASCII)
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS: dict[str, Value] = {"null": None, "true": True, "false": False}
_OF_PRIMITIVES = {"word", "interpolation", "escaped", "colon", "blank"}
_OF_KEYS = {"word", "escaped", "blank"}


class _Choices(list[Value]):
    """The values of a function that sweeps, such as ``choice(1,2)``."""


def choices(text: str) -> list[Value] | None:
    """Return the values that an override's text sweeps over; None where it is none, or a range or an interval."""
    text = text.lstrip(" \t")
    if not text:
        return [""]
    try:
        return _Reader(text).choices()
    except (ValueError, TypeError, RecursionError):
        return None


class _Reader:
    """A recursive descent, with a method for each rule of the grammar; ValueError where the text breaks one."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []  # kind and text
        place = 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise ValueError
            self._tokens.append((str(found.lastgroup), found[0]))
            place = found.end()
        self._tokens.append(("end", ""))
        self._at = 0

    def choices(self) -> list[Value]:
        """value: element | element (COMMA element)+."""
        found = self._elements("")
        if len(found) == 1 and isinstance(found[0], _Choices):
            return found[0]
        return _plain(found)

    def _elements(self, closing: str) -> list[Value]:
        """Return the elements up to a closing bracket, or to the end for none."""
        found: list[Value] = []
        if closing and self._is_closing(closing):
            return found
        while True:
            found.append(self._element())
            kind, _ = self._tokens[self._at]
            if kind != "comma":
                break
            self._at += 1
        if not (self._is_closing(closing) if closing else kind == "end"):
            raise ValueError
        return found

    def _element(self) -> Value:
        kind, text = self._next()
        follower = self._tokens[self._at]
        if kind == "quoted":
            return _unquoted(text)
        if kind == "open" and text[0] == "[":
            return _plain(self._elements("]"))
        if kind == "open" and text[0] == "{":
            return self._mapping()
        if kind == "word" and _ID.fullmatch(text) and follower[0] == "open" and "(" in follower[1]:
            self._at += 1
            return _called(text, self._elements(")"))
        self._at -= kind != "end"
        return self._primitive(_OF_PRIMITIVES)

    def _mapping(self) -> Value:
        found: dict[str | int | float | bool | None, Value] = {}
        while not self._is_closing("}"):
            if found and self._next()[0] != "comma":
                raise ValueError
            key = self._primitive(_OF_KEYS)
            if self._next()[0] != "colon":
                raise ValueError
            found[key] = _plain([self._element()])[0]
        return found

    def _primitive(self, kinds: set[str]) -> str | int | float | bool | None:
        """Return one token by its type, several as a text."""
        begin = self._at
        while self._tokens[self._at][0] in kinds:  # the end is of no kind
            self._at += 1
        tokens = self._tokens[begin : self._at]
        if tokens and tokens[-1][0] == "blank":
            tokens.pop()
        if not tokens:
            raise ValueError
        text = "".join(text[1::2] if kind == "escaped" else text for kind, text in tokens)
        return _typed(text) if len(tokens) == 1 and tokens[0][0] == "word" else text

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += token[0] != "end"
        return token

    def _is_closing(self, bracket: str) -> bool:
        """Skip a closing bracket, and tell whether it was there."""
        is_there = self._tokens[self._at][1].strip(" \t") == bracket and self._tokens[self._at][0] == "close"
        self._at += is_there
        return is_there


def _plain(values: list[Value]) -> list[Value]:
    if any(isinstance(value, _Choices) for value in values):
        raise ValueError
    return values


def _typed(text: str) -> str | int | float | bool | None:
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _WORDS.get(text.lower(), text)  # type: ignore[return-value]  # scalars only


def _unquoted(text: str) -> str:
    """Return the text within quotes: backslashes mean themselves, except in front of a quote and at the end."""
    return re.sub(rf"\\+(?:{text[0]}|\Z)", lambda found: found[0][1::2], text[1:-1])


def _called(name: str, arguments: list[Value]) -> _Choices:
    """Return what a function that sweeps over listed values gives."""
    inner = arguments[-1] if arguments and isinstance(arguments[-1], _Choices) else None
    if name == "tag" and inner is not None:
        return inner
    if name == "choice" and arguments:
        return _Choices(_plain(arguments))
    values = inner if inner is not None and len(arguments) == 1 else _plain(arguments)
    if name in ("int", "float") and values:
        return _Choices(_number(name, each) for each in values)
    if name in ("sort", "shuffle") and (inner is not None or len(values) > 1):  # of one list they make another one
        return _Choices(sorted(values) if name == "sort" else values)  # type: ignore[type-var]  # mixed ones are refused
    raise ValueError


def _number(name: str, value: Value) -> Value:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError
    return int(value) if name == "int" else float(value)
