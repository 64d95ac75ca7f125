"""The fenced blocks and the commands of README.md and docs/, and how each is tried.

| block | tried by |
|---|---|
| ``yaml`` | unit/test_docs.py loads and plans it. One whose first line is ``# include/...`` is also put there, for the page's commands |
| ``python`` | unit/test_docs.py has Airflow load it as a Dag file |
| ``bash`` | integration/test_docs.py runs it, in a copy of the project, with an Airflow and a cluster, unless it stands in `ELSEWHERE` |
| ``text`` behind ``bash``, in its section | integration/test_docs.py looks for its lines in what the commands print; ``…`` stands for anything |
| any whose first line is ``# /lustre/me/...`` | a file on the cluster: integration/test_guides.py puts it there, and runs the page by its sections |
| other ``text``, no language | a picture, or output that needs more than the page's commands: not tried |

Commands between backticks in a sentence are run like ``bash``, behind the page's blocks, if they are complete: no ``...``, no NAME
to be filled in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])

# What is not run for the documentation's sake, by its beginning, and what runs it instead: a file of the project.
ELSEWHERE = {
    "scripts/test": ".ci/run",
    "pytest ": "scripts/test",
    "scripts/bench": "tests/integration/test_bench.py",
    """airflow dags test grpo --conf '{"dry_run": false}'""": "tests/integration/test_airflow.py",
    "FAULT_SEED=": "tests/faults/test_faults.py",
    "FAULTS=": "tests/faults/test_faults.py",
    "pip install ./airflow-slurm-sweep": "tests/integration/test_package.py",
    "python3 -m venv ~/airflow-venv": "tests/integration/test_package.py",
    "ssh -M -S ": "tests/integration/test_ways_in.py",
    "docker compose": "tests/integration/test_compose.py",
    "services:": "tests/integration/test_compose.py",
}
NOT_TRIED = "text", ""
LANGUAGES = ("bash", "python", "yaml", *NOT_TRIED)

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`((?:airflow|airflow-slurm-sweep|python -m) [^`]+)`")
_INCOMPLETE = re.compile(
    r"…|\.\.\.|\[-|\||\b[A-Z]{2,}\b|--\w+$|^(airflow( \S+){1,2}|(airflow-slurm-sweep|python -m \S+)( \S+)?)$"
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block, or a command in a sentence."""

    page: Path
    line: int
    language: str
    section: int = 0  # of the page, by number
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"

    @property
    def file(self) -> str:
        """The file of the project, or on the cluster, that the block is, if its first line says so."""
        found = re.match(r"# ((?:include|/lustre/me)/\S+)\n", self.text)
        return found[1] if found else ""

    @property
    def is_on_cluster(self) -> bool:
        """Whether the block is a file on the cluster."""
        return self.file.startswith("/")

    @property
    def commands(self) -> str:
        """The lines that are not run elsewhere."""
        lines = self.text.replace("\\\n", "\\\0").split("\n")
        return "\n".join(line for line in lines if not line.startswith(tuple(ELSEWHERE))).replace("\0", "\n").strip()


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text, end, section, result = page.read_text(), 0, 0, []
    for found in _FENCE.finditer(text):
        section += len(re.findall("^#", text[end : found.start()], re.MULTILINE))
        end = found.end()
        result.append(
            Block(
                page=page,
                line=text.count("\n", 0, found.start()) + 1,
                section=section,
                language=found["language"],
                text=re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            )
        )
    return result


def sections(page: Path) -> list[str]:
    """Return the headings of a page; a block's `section` is the number of its heading, from 1."""
    return re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), re.MULTILINE)


def spans(page: Path) -> list[Block]:
    """Return Airflow's and Python's commands in a page's sentences."""
    text = page.read_text()
    prose = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    return [
        Block(page=page, line=prose.count("\n", 0, found.start()) + 1, language="bash", text=found[1])
        for found in _SPAN.finditer(prose)
    ]


def complete(spans: list[Block], already: str = "") -> list[Block]:
    """Return those that can be run as they stand, each once, without those that stand in ``already``."""
    once = {span.text: span for span in reversed(spans) if span.commands and not _INCOMPLETE.search(span.text)}
    return [span for span in reversed(once.values()) if span.text not in already]
