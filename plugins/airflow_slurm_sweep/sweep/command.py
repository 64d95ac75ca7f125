"""Command lines with placeholders: ``python train.py {flags} --out {run_dir}``.

``{name}`` is a placeholder unless a ``$`` or a backslash stands before it; ``{{`` is a brace, and so is the ``}}`` that
closes it. What replaces a placeholder is quoted for the shell, so within quotes, backticks or a here-document, where it
would mean something else, a placeholder is an error. Comments are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from shlex import join

from airflow_slurm_sweep.slurm.parameters import word
from airflow_slurm_sweep.sweep.overrides import Value

NAME = r"(?:--)?[A-Za-z_$][\w$-]*(?:[./][\w$-]+)*"
_NAME = re.compile(rf"(?<!\$)\{{({NAME})\}}")
_ODD = rf"(?<!\$)\{{{NAME}(?:[:!][^{{}}\n]*\}}|(?=[\s;&|)]|\Z))"  # {lr:.3f}, or {lr with no brace behind it
_SAID = re.compile(rf"\{{({NAME})(?:\}}|[:!][^{{}}\n]*\}})?")
_BRACES = re.compile(r"\{\{|\}\}")
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


def read_command(text: str, valid: Mapping[str, str]) -> Command:
    """Return a command line in its parts.

    Args:
        text: The command line.
        valid: The names that placeholders may have, each with the environment variable that has its value, or with an
            empty text. Within quotes only these count as placeholders.

    Raises:
        ValueError: A placeholder has another name, or stands within quotes.
    """
    parts: list[str | Placeholder] = []
    opened = 0  # {{ that await their }}

    def brace(found: re.Match[str]) -> str:
        nonlocal opened
        if found[0] == "}}" and not opened:
            return "}}"
        opened += 1 if found[0] == "{{" else -1
        return found[0][0]

    for part in _parts(text.strip()):
        if part == "":
            continue
        if isinstance(part, str):
            parts.append(_BRACES.sub(brace, part))
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
                f"else to the shell; {_cure(part, valid[part.name])}"
            )
        elif part.name not in valid:
            near = get_close_matches(part.name, valid, n=1)
            hint = f"did you mean {{{near[0]}}}? " if near else ""
            names = ", ".join(f"{{{name}}}" for name in sorted(valid))
            raise ValueError(f"unknown placeholder {{{part.name}}}; {hint}Valid ones: {names}. For a brace write {{{{")
        else:
            parts.append(part)
    return Command(parts=tuple(parts))


def _cure(part: Placeholder, variable: str) -> str:
    """Return what to write in place of a placeholder within quotes; ``variable`` has its value, if one does."""
    if part.quoted_by == "backticks":
        return "write $(…) in place of the backticks"
    if part.quoted_by == "a here-document":
        instead = f", or write ${variable} there, behind a delimiter without quotes" if variable else ""
    else:
        words = f"bash -c '… \"$@\"' _ {part.text}"
        instead = f", or write ${variable} there, in double quotes" if variable else f", as in {words}"
    return f"take it out of there{instead}"


def placeholders(text: str) -> set[str]:
    """Return the names of a command's placeholders, whether they are valid or not."""
    parts = (part for part in _parts(text.strip()) if isinstance(part, Placeholder))
    return {part.name for part in parts if not part.quoted_by and not part.is_odd}


def without_comments(text: str) -> str:
    """Return a command's text without its comments."""
    return "".join(token for kind, token, _ in tokens(text) if kind != "comment")


def expanded(text: str) -> str:
    """Return those parts of a command's text in which the shell surely replaces variables."""
    literal = {"comment", "escaped", "quotes", "backticks", "a here-document"}
    return "".join(" " if kind in literal else token for kind, token, _ in tokens(text))


def directive(text: str) -> str:
    """Return the first line for sbatch, ``#SBATCH --option``, in a text for the shell; empty if it has none."""
    comments = (token for kind, token, _ in tokens(text) if kind == "comment")
    return next((each for each in comments if re.match(r"#SBATCH\s", each)), "")


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
    at = 0
    for kind, token, here in tokens(text):
        if kind in ("name", "odd"):
            yield at, "double quotes" if here.startswith('"') else ""
        elif kind in ("quotes", "backticks", "a here-document"):
            yield from _quoted(text, at, at + len(token), kind)
        at += len(token)


def tokens(text: str) -> Iterator[tuple[str | None, str, str]]:
    """Yield the tokens of a text, each with its kind, and with what it stands in: ``command`` at the outermost."""
    inside = ["command"]  # then one for each that is open: ", (, ${, and "${ for one within double quotes
    delimiters: list[str] = []  # of the here-documents that begin behind this line
    at = 0
    while at < len(text):
        here = inside[-1]
        found = (_IN_QUOTES if here.startswith('"') else _IN_COMMAND).match(text, at)
        assert found  # each has an alternative for any character
        kind, at = found.lastgroup, found.end()
        yield kind, found[0], here
        if kind in ("quotes", "backticks") and not re.fullmatch(r"\$?(['`]).*\1", found[0], re.DOTALL):
            yield "unclosed", "", here
        elif kind == "double":
            inside.append('"') if here != '"' else inside.pop()
        elif kind == "open":
            inside.append("(" if found[0].endswith("(") else '"${' if here.startswith('"') else "${")
        elif kind == "close":
            if here.endswith({")": "(", "}": "${"}[found[0]]):
                inside.pop()
        elif kind == "heredoc":
            delimiters.append(next(filter(None, found.groups()[-3:])))
        elif kind == "newline":
            for delimiter in delimiters:
                closing = re.compile(rf"^\t*{re.escape(delimiter)}$", re.MULTILINE).search(text, at)
                end = closing.end() if closing else len(text)
                yield "a here-document", text[at:end], here
                at = end
            delimiters.clear()
    if len(inside) > 1:
        yield "unclosed", "", inside[-1]


def _quoted(text: str, begin: int, end: int, what: str) -> Iterator[tuple[int, str]]:
    for found in _NAME.finditer(text, begin, end):
        if found.start() == 0 or text[found.start() - 1] not in "${\\":
            yield found.start(), what
