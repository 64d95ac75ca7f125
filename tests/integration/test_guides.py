"""Each section of docs/guides.md, done as it says: its files, its commands, and real jobs that train something small."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.docs import PROJECT, blocks, sections
from tests.integration.test_docs import Reader, looks_as_shown

pytestmark = pytest.mark.sandbox

PAGE = PROJECT / "docs" / "guides.md"
SECTIONS = dict(enumerate(sections(PAGE)[1:], start=2))
DOWNLOADS = ("PyTorch Lightning", "Hugging Face Trainer")  # torch: two gigabytes
ALWAYS = ("argparse, in a virtual environment",)  # the others with --all
# Where nothing may be downloaded, a virtual environment has the packages of the tests.
OWN_VENV = (
    f"{sys.executable} -m venv --without-pip venv && "
    f"echo {sysconfig.get_path('purelib')} > $(echo venv/lib/python*/site-packages)/tests.pth #"
)
RAY_SUB = """\
#!/bin/bash
#SBATCH --exclusive
# As NeMo RL's, without Ray and containers: setup, then the driver, whose output goes to a file of its own.
logs=$BASE_LOG_DIR/$SLURM_JOB_ID-logs
mkdir -p "$logs"
eval "$SETUP_COMMAND" || exit
bash -c "$COMMAND" > "$logs/ray-driver.log" 2>&1
"""


@pytest.fixture
def reader(environment: dict[str, str], cluster: Sandbox, tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path, {**environment, "AIRFLOW_CONN_SLURM": json.dumps(cluster.connection)}, cluster)
    yield reader
    shutil.rmtree(reader.home / "lustre")  # gigabytes of torch


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(number, id=title, marks=[] if title in ALWAYS else [pytest.mark.all])
        for number, title in SECTIONS.items()
    ],
)
def test_a_guide(reader: Reader, section: int) -> None:
    if SECTIONS[section] in DOWNLOADS:
        reader.seconds = 1800
    else:
        reader.replaced["python3 -m venv venv && venv/bin/pip install"] = OWN_VENV
    if "NeMo" in SECTIONS[section]:
        check_out_nemo_rl(reader.home / "lustre" / "nemo-rl")
    said = ""
    for block in [block for block in blocks(PAGE) if block.section in (1, section)]:
        if block.file:
            reader.saves(block)
        elif block.language == "bash":
            said = reader.runs(block)
        else:
            looks_as_shown(block, said)
    assert "combinations succeeded" in said


def check_out_nemo_rl(folder: Path) -> None:
    """Put in place of NeMo RL what runs without GPUs, under the names of its files."""
    examples = PROJECT / "include" / "workspace" / "examples"
    (folder / "examples" / "configs").mkdir(parents=True)
    shutil.copy(examples / "train_grpo.py", folder / "examples" / "run_grpo.py")
    shutil.copy(examples / "configs" / "grpo.yaml", folder / "examples" / "configs" / "grpo_math_1B.yaml")
    (folder / "ray.sub").write_text(RAY_SUB)
