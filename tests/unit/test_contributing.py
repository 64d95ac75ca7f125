"""What contributors are told and given holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
CHECKS = (PROJECT / "scripts" / "test").read_text()
GUIDE = (PROJECT / "CONTRIBUTING.md").read_text()
ADR = sorted((PROJECT / "docs" / "adr").iterdir())


def test_the_github_workflow_runs_what_ci_runs_and_nothing_else() -> None:
    jobs = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step] == [".ci/run"]


def test_the_hooks_are_the_checks_of_the_locked_tools() -> None:
    repositories = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    programs = set()
    for hook in repositories[0]["hooks"]:
        program, command = re.fullmatch(r"(?:env \S+ )?\.venv/bin/(\S+)(.*)", hook["entry"]).groups()  # type: ignore[union-attr]
        assert Path(sys.executable).with_name(program).exists(), program
        assert re.search(rf"^{program}{command.removesuffix(' --force-exclude')}", CHECKS, re.MULTILINE), hook["entry"]
        programs.add(program)
    assert programs == {"ruff", "mypy", "lint-imports"}


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_is_one_that_github_takes(name: str) -> None:
    form = yaml.safe_load((PROJECT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert form.keys() == {"name", "description", "labels", "body"}
    fields = form["body"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown"}
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_what_the_guide_names_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", GUIDE)
    named = re.findall(r"`((?:scripts|tests|plugins|sandbox|requirements|\.ci)/[\w./-]*)", GUIDE)
    commands = re.findall(r"^(scripts/\S+)", GUIDE, re.MULTILINE)
    assert len(links) > 2
    assert len(named) > 3
    assert len(commands) > 3
    assert [path for path in [*links, *named, *commands] if not (PROJECT / path).exists()] == []


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", path.name) for path in ADR]
    assert [int(number[1]) for number in numbers if number] == list(range(1, len(ADR) + 1))


@pytest.mark.parametrize("path", ADR, ids=lambda path: path.stem)
def test_a_decision_has_its_number_as_heading_and_no_dead_links(path: Path) -> None:
    text = path.read_text()
    assert re.match(rf"# {int(path.name[:4])}\. \w", text), text[:80]
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_release_notes_are_the_changelogs() -> None:
    def notes(version: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROJECT / "scripts" / "release-notes", version], text=True, capture_output=True, check=False
        )

    changelog = (PROJECT / "CHANGELOG.md").read_text()
    for section in changelog.split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        assert notes(heading.split()[0]).stdout.strip() == text.strip()
    unknown = notes("99.0")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("release-notes: CHANGELOG.md has no section for 99.0, but for: ")
