"""docs/troubleshooting.md has each message that the package and the sandbox can raise, warn of, or say in a shell; and no other.

A message is compared as a template: its fixed text, with … for what a run puts in. In Python these are the texts that
reach an exception, a `Fault`, the log as a warning or error, or the reason of a job's end; in shell scripts what
``refuse`` and ``stop`` are called with, and what goes to standard error. The guide's lists begin with the same templates.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_slurm_sweep.slurm.refusals import is_passing

PROJECT = Path(__file__).parents[2]
PACKAGES = PROJECT / "plugins" / "airflow_slurm_sweep", PROJECT / "sandbox"
SCRIPTS = [*PACKAGES[0].rglob("*.sh"), PROJECT / "scripts" / "setup"]
GUIDE = (PROJECT / "docs" / "troubleshooting.md").read_text()
LOGGED = ("error", "warning", "exception", "critical")
SHELL = re.compile(
    r"""(?:\brefuse |\bfail_login |\bstop \d+ |\bsaid=|\becho (?=.*>&2))(?:"((?:[^"\\]|\\.)*)"|'([^']*)')"""
)
SHELL_VALUE = re.compile(r"\$\{[^}]*\}|\$\([^)]*\)|\$\w+|\$\?")


def template(text: str) -> str:
    """Return a message's fixed text as it is compared: blanks are one, what varies is one …, at its ends nothing."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"…(?:…| (?=…))*", "…", text)
    return re.sub(r"^(?:…: )+", "", text.strip())


def has_words(text: str) -> bool:
    return re.search(r"[A-Za-z]{2}", text) is not None


class Source:
    """The messages of the package."""

    def __init__(self) -> None:
        files = (path for package in PACKAGES for path in sorted(package.rglob("*.py")))
        self.modules = {path: ast.parse(path.read_text()) for path in files}
        self.functions = {
            node.name: node
            for tree in self.modules.values()
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }

    def messages(self) -> Iterator[tuple[str, str]]:
        """Yield place and template of each message."""
        for path, tree in self.modules.items():
            for line, text in self._calls(tree, tree):
                yield f"{path.relative_to(PROJECT)}:{line}", template(text)
        for path in [*SCRIPTS, *self.modules]:
            for number, code in enumerate(path.read_text().splitlines(), start=1):
                for found in SHELL.findall(code):
                    yield f"{path.relative_to(PROJECT)}:{number}", template(SHELL_VALUE.sub("…", "".join(found)))

    def all_texts(self) -> set[str]:
        """Return the templates of all texts, those of hints and news among them."""
        nodes = (node for tree in self.modules.values() for node in ast.walk(tree) if isinstance(node, ast.expr))
        return {template(text) for node in nodes for text in self._texts(node, node)}

    def _calls(self, node: ast.AST, scope: ast.AST) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield from ((child.lineno, text) for text in self._of_call(child, scope))
            yield from self._calls(child, child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scope)

    def _of_call(self, call: ast.Call, scope: ast.AST) -> Iterator[str]:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if name == "expect":
            (subject, *_), (expectation, *_) = ([*self._texts(call.args[place], scope)] for place in (1, 3))
            yield f"{subject}: expected {expectation}, got …"
        elif name == "quote":  # for the shell; two words are a message
            yield from (text for text in self._texts(call.args[0], scope) if re.search(r"[a-z] [a-z]", text))
        elif said := keywords.get({"Fault": "problem", "JobStatus": "reason"}.get(name, "")):
            yield from self._texts(said, scope)
        elif call.args and (name in LOGGED or (name.endswith(("Error", "Exception")) and name != "SweepFileError")):
            yield from self._texts(call.args[0], scope)

    def _texts(self, node: ast.expr, scope: ast.AST) -> Iterator[str]:
        """Yield what an expression may be, with … for what only a run can tell."""
        match node:
            case ast.Constant(value=str(text)):
                yield re.sub(r"%\.?\d*[sdf]", "…", text)
            case ast.JoinedStr(values=parts):
                yield "".join(self._part(part, scope) for part in parts)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                yield from (first + last for first in self._texts(left, scope) for last in self._texts(right, scope))
            case ast.IfExp(body=body, orelse=orelse):
                yield from (text for branch in (body, orelse) for text in self._texts(branch, scope))
            case ast.Await(value=call):
                yield from self._texts(call, scope)
            case ast.Name(id=name) if values := assigned(scope, name):
                yield from (text for value in values for text in self._texts(value, scope))
            case ast.Call(func=ast.Name(id=name)) if function := self.functions.get(name):
                for inner in ast.walk(function):
                    if isinstance(inner, ast.Return) and inner.value is not None:
                        yield from self._texts(inner.value, function)
            case _:
                yield "…"

    def _part(self, part: ast.expr, scope: ast.AST) -> str:
        if isinstance(part, ast.Constant):
            return str(part.value)
        name = part.value if isinstance(part, ast.FormattedValue) else None
        values = assigned(scope, name.id) if isinstance(name, ast.Name) else []
        one = len(values) == 1 and isinstance(values[0], ast.JoinedStr)
        return next(self._texts(values[0], scope)) if one else "…"


def assigned(scope: ast.AST, name: str) -> list[ast.expr]:
    """Return what is assigned to a name in a function."""
    nodes = (node for node in ast.walk(scope) if isinstance(node, ast.Assign))
    return [node.value for node in nodes if [getattr(target, "id", "") for target in node.targets] == [name]]


def entries() -> list[list[str]]:
    """Return the messages of each list item of the guide, with cause and cure as its last text.

    A message ends with a backslash. Two sections are left out: what they list are no messages.
    """
    sections = re.split(r"^##+ ", GUIDE, flags=re.MULTILINE)
    told = [section for section in sections if not section.startswith(("No message at all", "Why a job waits"))]
    items = [item for section in told for item in re.findall(r"^- (.*\n(?:  .*\n)*)", section, re.MULTILINE)]
    return [parts for item in items if len(parts := item.split("\\\n")) > 1]


def refusals() -> list[list[str]]:
    """Return the rows of the table of what Slurm itself says."""
    table = GUIDE.split("| Slurm | waited for | what to do |\n|---|---|---|\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def messages(cell: str) -> list[str]:
    return [template(text.strip()) for _, text in re.findall(r"(?<!`)(`+)(?!`)(.+?)\1(?!`)", cell, re.DOTALL)]


SOURCE = Source()
ENTRIES = entries()
HEADINGS = {message for *heads, _ in ENTRIES for head in heads for message in messages(head)}


def test_each_message_is_in_the_guide() -> None:
    said = [(place, text) for place, text in SOURCE.messages() if has_words(text)]
    assert len(said) > 150, "the messages are not found any more"
    missing = [f"{place}: {text}" for place, text in said if text not in HEADINGS]
    assert missing == [], "give each an entry in docs/troubleshooting.md: message as here, cause, cure"


def test_the_guide_has_no_message_that_nobody_says() -> None:
    said = SOURCE.all_texts() | {text for _, text in SOURCE.messages()}
    assert sorted(HEADINGS - said) == [], "no source says these: correct the entries, or delete them"


def test_each_message_has_a_cause_and_a_cure() -> None:
    assert [heads for *heads, text in ENTRIES if not re.fullmatch(r"\s*\S.*\*Do:\*\s+\S.*", text, re.DOTALL)] == []
    assert [head for *heads, _ in ENTRIES for head in heads if len(messages(head)) != 1] == []


@pytest.mark.parametrize("row", refusals(), ids=lambda row: str(row[0]))
def test_what_is_waited_for(row: list[str]) -> None:
    (words,) = messages(row[0])
    assert is_passing(f"sbatch: error: {words}") == (row[1] == "yes")
