"""docs/spaces.md: each form of another tool becomes what stands beside it, and that can be planned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.sweep.convert import convert
from airflow_slurm_sweep.sweep.overrides import Value
from airflow_slurm_sweep.sweep.presets import PLAIN
from airflow_slurm_sweep.sweep.spec import parse_sweep
from tests.layers import make_layers

GUIDE = (Path(__file__).parents[3] / "docs" / "spaces.md").read_text()
WRAPPERS: dict[str, dict[str, Any]] = {  # what a file has besides the form
    "W&B": {"program": "train.py", "parameters": {"p": {"values": [1]}}},
    "Hydra": {"hydra": {"sweeper": {"params": {"p": 1}}}},
    "seml": {"seml": {}, "fixed": {"p": 1}},
}


def rows() -> list[tuple[str, str, str]]:
    found = []
    for tool in WRAPPERS:
        text = GUIDE[GUIDE.index(f"| {tool} | here |") :].split("\n\n", 1)[0]
        found += [(tool, *line.strip("| ").split(" | ")) for line in text.splitlines()[2:]]
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(("tool", "theirs", "ours"), rows())
def test_each_form_becomes_what_stands_beside_it(tool: str, theirs: str, ours: str) -> None:
    document = WRAPPERS[tool] | {key: value for text in spans(theirs) for key, value in yaml.safe_load(text).items()}
    if tool == "Hydra" and "params" not in str(document):
        document["hydra"]["overrides"] = {"task": ["p=1"], **document["hydra"].get("overrides", {})}
    converted = convert(yaml.safe_dump(document, sort_keys=False), "theirs.yaml")
    for text in spans(ours):
        assert text in converted.splitlines()
    assert jobs(converted)


def jobs(text: str) -> list[dict[str, Value]]:
    spec = parse_sweep(text, source="ours.yaml")
    layers = make_layers({"log": "/l"}, preset=PLAIN, command=spec.command)
    return [dict(job.parameters) for job in plan_run(spec, layers).jobs]


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
