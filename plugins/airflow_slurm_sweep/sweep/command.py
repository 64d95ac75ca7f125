"""Command lines with placeholders: ``python train.py {flags} --out {run_dir}``.

``{name}`` is a placeholder unless a ``$`` or a backslash stands before it; ``{{`` is a brace, and so is the ``}}`` that
closes it. What replaces a placeholder is quoted for the shell, so within quotes, backticks or a here-document, where it
would mean something else, a placeholder is an error. Comments are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from shlex import join

from airflow_slurm_sweep.slurm.parameters import variable, word
from airflow_slurm_sweep.sweep.overrides import Value

NAME = r"(?:--)?[A-Za-z_$][\w$-]*(?:[./][\w$-]+)*"
_NAME = re.compile(rf"(?<!\$)\{{({NAME})\}}")
_ODD = rf"(?<!\$)\{{{NAME}(?:[:!][^{{}}\n]*\}}|(?=[\s;&|)]|\Z))"  # {lr:.3f}, or {lr with no brace behind it
_SAID = re.compile(rf"\{{({NAME})(?:\}}|[:!][^{{}}\n]*\}})?")
_BRACES = re.compile(r"\{\{([^{}\n]*)\}\}|\{\{")
# The shell's grammar, as far as it quotes.
_COMMON = r"""
    (?P<escaped>\\.) | (?P<braces>\{\{[^{}\n]*\}\}|\{\{) | (?P<name>(?<!\$)\{NAME\}) | (?P<double>")
  | (?P<open>\$\(|\$\{OPEN) | (?P<close>CLOSE) | (?P<backticks>`(?:\\.|[^`\\])*`?)""".replace("NAME", NAME)
_IN_QUOTES = re.compile(_COMMON.replace("OPEN", "").replace("CLOSE", r"\}") + "| .", re.DOTALL | re.VERBOSE)
_IN_COMMAND = re.compile(
    _COMMON.replace("OPEN", r"|\(").replace("CLOSE", r"[)}]")
    + r"""
  | (?P<odd>ODD)
  | (?P<quotes>'[^']*'?|\$'(?:\\.|[^'\\])*'?) | (?P<comment>(?<![^\s;&|(])\#[^\n]*) | <<< | (?P<newline>\n)
  | (?P<heredoc><<-?[ \t]*(?:'([^'\n]+)'|"([^"\n]+)"|\\?([A-Za-z_][\w.-]*))) | .""".replace("ODD", _ODD),
    re.DOTALL | re.VERBOSE,
)
_BEFORE_WORD = " \t\n;&|("
_BEHIND_WORD = " \t\n;&|)<>"
# After these a command's arguments are over.
_CLOSED = re.compile(r"(?:^|[\s;])(?:done|fi|esac|\}|\)|\]\])\s*\Z|[;&|)\\]\s*\Z|#[^\n]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """A place in a command; ``is_word`` tells whether it is a whole word, which several words can replace."""

    name: str
    is_word: bool
    text: str  # as the command has it
    quoted_by: str = ""  # why it cannot be replaced

    @property
    def is_odd(self) -> bool:
        """Whether it has a format, or lacks its closing brace."""
        return self.text != f"{{{self.name}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line, or a script of several lines, in its parts."""

    parts: tuple[str | Placeholder, ...]

    @property
    def names(self) -> set[str]:
        """The names of the placeholders."""
        return {part.name for part in self.parts if isinstance(part, Placeholder)}

    def render(self, words: Callable[[str], Sequence[str]]) -> str:
        """Return the command with the words that each placeholder stands for, quoted for the shell.

        Raises:
            ValueError: Several words, or none, would replace a part of a word.
        """
        done: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                done.append(part[1:] if done and done[-1] == "" and part.startswith(" ") else part)
                continue
            found = words(part.name)
            if len(found) != 1 and not part.is_word:
                problem = f"stands for {len(found)} words here; put blanks around it"
                raise ValueError(f"the placeholder {{{part.name}}} {problem}")
            done.append(join(found))
        return "".join(done).rstrip(" ")


def read_command(text: str, valid: Collection[str]) -> Command:
    """Return a command line in its parts.

    Args:
        text: The command line.
        valid: The names that placeholders may have. Within quotes only these count as placeholders.

    Raises:
        ValueError: A placeholder has another name, or stands within quotes.
    """
    parts: list[str | Placeholder] = []
    for part in _parts(text.strip()):
        if part == "":
            continue
        if isinstance(part, str):
            parts.append(_BRACES.sub(lambda found: "{" if found[1] is None else f"{{{found[1]}}}", part))
        elif part.name not in valid and (part.quoted_by or part.is_odd):
            parts.append(part.text)
        elif part.is_odd:
            raise ValueError(
                f"{part.text} is no placeholder; write {{{part.name}}}, which has the value as the file says it (for a "
                "brace write {{)"
            )
        elif part.quoted_by:
            raise ValueError(
                f"the placeholder {{{part.name}}} stands within {part.quoted_by}, where its value would mean something "
                f"else to the shell; take it out of there, or write ${variable(part.name)} there, in double quotes"
            )
        elif part.name not in valid:
            near = get_close_matches(part.name, valid, n=1)
            hint = f"did you mean {{{near[0]}}}? " if near else ""
            names = ", ".join(f"{{{name}}}" for name in sorted(valid))
            raise ValueError(f"unknown placeholder {{{part.name}}}; {hint}Valid ones: {names}. For a brace write {{{{")
        else:
            parts.append(part)
    return Command(parts=tuple(parts))


def with_flags(command: Command) -> Command:
    """Return the command with ``{flags}`` at its end.

    Raises:
        ValueError: What stands there takes no arguments.
    """
    last = command.parts[-1] if command.parts else ""
    if isinstance(last, str) and _CLOSED.search(last):
        raise ValueError("the command has no placeholder of parameters, and its end takes no arguments; write {flags} ")
    return replace(command, parts=(*command.parts, " ", Placeholder(name="flags", text="{flags}", is_word=True)))


def fill(value: Value, values: Mapping[str, Value]) -> Value:
    """Return a value with its placeholders replaced, of the replacement's type if it is a placeholder and no more.

    Raises:
        ValueError: A placeholder has another name.
    """
    if not isinstance(value, str):
        return value
    if unknown := [name for name in _NAME.findall(value) if name not in values]:
        raise ValueError(f"unknown placeholder {{{unknown[0]}}} in {value!r}; valid ones: {', '.join(sorted(values))}")
    if whole := _NAME.fullmatch(value):
        return values[whole[1]]
    return _NAME.sub(lambda found: word(values[found[1]]), value)


def _parts(text: str) -> Iterator[str | Placeholder]:
    """Yield the text in order: what stands between placeholders, and those."""
    begin = 0
    for place, quoted_by in _places(text):
        found = _SAID.match(text, place)
        assert found
        if place < begin:
            continue
        yield text[begin:place]
        begin = found.end()
        is_word = text[place - 1 : place] in _BEFORE_WORD and text[begin : begin + 1] in _BEHIND_WORD
        yield Placeholder(name=found[1], text=found[0], is_word=is_word, quoted_by=quoted_by)
    yield text[begin:]


def _places(text: str) -> Iterator[tuple[int, str]]:
    """Yield where placeholders begin, and what quotes each."""
    inside = ["command"]  # then one for each that is open: ", (, ${, and "${ for one within double quotes
    delimiters: list[str] = []  # of the here-documents that begin behind this line
    at = 0
    while at < len(text):
        here, begin = inside[-1], at
        token = (_IN_QUOTES if here.startswith('"') else _IN_COMMAND).match(text, at)
        assert token  # each has an alternative for any character
        kind, at = token.lastgroup, token.end()
        if kind in ("name", "odd"):
            yield begin, "double quotes" if here.startswith('"') else ""
        elif kind in ("quotes", "backticks"):
            yield from _quoted(text, begin, at, kind)
        elif kind == "double":
            inside.append('"') if here != '"' else inside.pop()
        elif kind == "open":
            inside.append("(" if token[0].endswith("(") else '"${' if here.startswith('"') else "${")
        elif kind == "close":
            if here.endswith({")": "(", "}": "${"}[token[0]]):
                inside.pop()
        elif kind == "heredoc":
            delimiters.append(next(filter(None, token.groups()[-3:])))
        elif kind == "newline":
            for delimiter in delimiters:
                begin = at
                closing = re.compile(rf"^\t*{re.escape(delimiter)}$", re.MULTILINE).search(text, at)
                at = closing.end() if closing else len(text)
                yield from _quoted(text, begin, at, "a here-document")
            delimiters.clear()


def _quoted(text: str, begin: int, end: int, what: str) -> Iterator[tuple[int, str]]:
    for found in _NAME.finditer(text, begin, end):
        if found.start() == 0 or text[found.start() - 1] not in "${\\":
            yield found.start(), what
