"""What the documentation promises exists, and what it shows is true. Its commands are run by integration/test_docs.py."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from airflow.cli.cli_parser import ALL_COMMANDS_DICT
from airflow.dag_processing.dagbag import DagBag

from airflow_slurm_sweep.check.verdicts import CHECKS
from airflow_slurm_sweep.plan import layers_of, plan_run
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.presets import load_preset
from airflow_slurm_sweep.sweep.settings import ClusterProfile, SlurmSection
from airflow_slurm_sweep.sweep.spec import load_profile, load_sweep
from airflow_slurm_sweep.tasks.form import launch_form
from tests.docs import ELSEWHERE, LANGUAGES, NOT_TRIED, PAGES, PROJECT, Block, blocks, spans

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
GUIDE = (DOCS / "launcher.md").read_text()
PROMISES = "".join((DOCS / name).read_text() for name in ("launcher.md", "security.md", "operations.md"))
SHOWN_BY = re.findall(r"`((?:unit|integration)/\S+::\w+)`", PROMISES)
BLOCKS = [block for page in PAGES for block in blocks(page)]
ENVIRONMENT = {"LOG": "/log", "ACCOUNT": "me", "CON": "/containers"}


def table(text: str, header: str) -> list[list[str]]:
    """Return the cells of a table's rows."""
    lines = text[text.index(header) :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# What pages promise


@pytest.mark.parametrize("name", sorted(set(SHOWN_BY)))
def test_every_claim_names_a_test_that_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert f"def {function}(" in (TESTS / path).read_text()


def test_the_checks_of_a_cluster_are_all_shown() -> None:
    shown = re.findall(r"^(?:ok|FAILED|skipped) +(.+?)  ", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert shown == list(CHECKS)


def test_every_row_has_a_test() -> None:
    promises = GUIDE[GUIDE.index("## Everything it promised") :].split("\n## ", 1)[0].split("\n- ")[1:]
    assert len(promises) > 20
    assert [promise for promise in promises if "::" not in promise] == []


def test_each_flag_has_its_setting_and_its_field() -> None:
    rows = table(GUIDE, "| you typed | in the sweep file |")
    flags = {row[0].split()[0].strip("`") for row in rows}
    documented = "script config sweep nodes time account partition container mounts jobname dry".split()
    assert flags == {*(f"--{name}" for name in documented), "key=value"}
    for flag, setting, fields in rows:
        assert set(re.findall(r"slurm: {(\w+):", setting)) <= SlurmSection.model_fields.keys(), flag
        named = re.findall(r'"(\w+)": ', fields)
        assert named, flag
        assert set(named) <= launch_form().keys(), flag


@pytest.mark.parametrize(
    "page", [*PAGES, PROJECT / "CHANGELOG.md", PROJECT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_no_line_is_longer_than_the_codes(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if len(line) > 120] == []


# Fenced blocks


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_each_block_can_be_tried(block: Block) -> None:
    what_to_do = "; tests/docs.py says how blocks are tried: use one of its ways, or add one there"
    assert block.language in LANGUAGES or block.text.startswith(tuple(ELSEWHERE)), (
        f"{block}: nobody tries a block of {block.language!r}{what_to_do}"
    )
    if block.language in NOT_TRIED:
        commands = re.findall(r"^(?:\$ |airflow |docker |pip |python |scripts/).*", block.text, re.MULTILINE)
        assert commands == [], f"{block}: commands that nobody tries, since the block is no `bash`{what_to_do}"


def test_what_runs_elsewhere_is_run_there() -> None:
    assert [file for file in ELSEWHERE.values() if not (PROJECT / file).is_file()] == []
    assert "scripts/test" in (PROJECT / ".ci/run").read_text()
    assert "pytest" in (PROJECT / "scripts/test").read_text()


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "yaml" and not block.is_on_cluster], ids=str
)
def test_yaml(block: Block, include: Path) -> None:
    """A profile loads; a sweep, or the optional sections of one, loads and is planned."""
    if block.text.startswith(tuple(ELSEWHERE)):
        return
    keys = set(yaml.safe_load(block.text))
    file = include / (block.file.removeprefix("include/") or "sweeps/block.yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(block.text)
    if keys & {"ssh_conn_id", "log"}:
        assert keys <= ClusterProfile.model_fields.keys()
        load_profile(file)
        return
    if file.parent.name == "presets":
        load_preset(file.stem, file.parent)
        return
    assert keys & {"script_path", "command"} or keys <= {"sweep", "slurm", "dag"}, (
        f"{block}: neither a sweep (script_path or command), nor a preset (include/presets), nor a profile (ssh_conn_id "
        "or log), nor sections of a sweep (sweep, slurm, dag); if it is something else, let tests/docs.py know how it is "
        "tried"
    )
    if not keys & {"script_path", "command"}:
        file.write_text(f"script_path: train.py\n{block.text}")
    spec = load_sweep(file)
    profile = (PROJECT / "include" / "clusters" / "example.yaml").read_text() + "container: null\n"
    (include / "clusters" / f"{spec.slurm.profile or 'default'}.yaml").write_text(profile)
    folders = Folders(include=include, sweeps=include / "sweeps", clusters=include / "clusters")
    assert len(plan_run(spec, layers_of(spec, folders, ENVIRONMENT)).jobs) == spec.size


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python" and not block.is_on_cluster], ids=str
)
def test_python(block: Block, include: Path) -> None:
    """Airflow finds Dags in a Dag file, and tasks in what stands in one."""
    (include / "sweeps" / "grpo.yaml").write_text((PROJECT / "include" / "sweeps" / "grpo.yaml").read_text())
    dags = include.parent / "dags"
    dags.mkdir()
    text = block.text
    if not any(words in text for words in ("airflow_slurm_sweep.factory", "DAG(", "@dag")):
        text = f"from airflow.sdk import DAG\nwith DAG('block'):\n{textwrap.indent(text, '    ')}"
    (dags / "block.py").write_text(text)
    bag = DagBag(dags)
    assert bag.import_errors == {}
    assert bag.dags or "check_sweeps(" in text, "no Dag is in there"
    assert all(dag.tasks for dag in bag.dags.values())


# Sentences


@pytest.mark.parametrize("span", [span for page in PAGES for span in spans(page) if "…" not in span.text], ids=str)
def test_a_command_of_airflows_exists(span: Block) -> None:
    program, *words = span.text.split()
    commands = ALL_COMMANDS_DICT if program == "airflow" else {}
    for word in words:
        if word not in commands:
            assert not commands or word.startswith("-"), f"{span}: Airflow has no `{span.text}`"
            return
        commands = {command.name: command for command in getattr(commands[word], "subcommands", ())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = unquote(target).partition("#")
        if path.startswith(("http:", "https:")):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_connections_extra_is_json() -> None:
    found = [text for block in BLOCKS for text in re.findall(r"'(\{.*?\})'", block.text, re.DOTALL)]
    assert found
    for text in found:
        json.loads(text)
