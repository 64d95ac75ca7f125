"""Each section of docs/guides.md, done as it says: its files, its commands, and real jobs that train something small."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.models.dagrun import DagRun
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from airflow_slurm_sweep.page.data import curves
from sandbox import Sandbox
from tests.docs import PROJECT, blocks, sections
from tests.integration.test_docs import Reader, looks_as_shown

pytestmark = pytest.mark.sandbox

PAGE = PROJECT / "docs" / "guides.md"
SEARCH = "A search that stops early"
SECTIONS = dict(enumerate(sections(PAGE)[1:], start=2))
# What downloads its libraries; the sweeps there, with their number of combinations.
DOWNLOADS = {"PyTorch Lightning": {"lightning": 4, "lightning_cli": 2}, "Hugging Face Trainer": {"hf": 2}}
ALWAYS = ("argparse, in a virtual environment",)  # the others with --all
PINS = "torch==2.13.0\nlightning==2.6.6\ntransformers==5.24.0\naccelerate==1.15.0\n"
SLOW = pytest.mark.slow("pip installs torch, up to two gigabytes, and real trainings run")
# Where nothing may be downloaded, a virtual environment has the packages of the tests.
OWN_VENV = (
    f"{sys.executable} -m venv --without-pip venv && "
    f"echo {sysconfig.get_path('purelib')} > $(echo venv/lib/python*/site-packages)/tests.pth #"
)
OWN_KEYS = "policy: {optimizer: {kwargs: {lr: 5.0e-6}}}\nloss_fn: {reference_policy_kl_penalty: 0.01}\n"  # of NeMo RL
RAY_SUB = """\
#!/bin/bash
#SBATCH --exclusive
# As NeMo RL's, without Ray and containers: setup, then the driver, whose output goes to a file of its own.
[ "$GPUS_PER_NODE" = 8 ] || { echo "GPUS_PER_NODE=$GPUS_PER_NODE, but a node has 8"; exit 1; }
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
        pytest.param(number, id=title, marks=[pytest.mark.all] * (title not in ALWAYS) + [SLOW] * (title in DOWNLOADS))
        for number, title in SECTIONS.items()
    ],
)
def test_a_guide(reader: Reader, environment: dict[str, str], section: int) -> None:
    if SECTIONS[section] in DOWNLOADS:
        reader.seconds = 1800
        pins = reader.home / "pins.txt"
        pins.write_text(PINS)
        reader.replaced["venv/bin/pip install"] = f"venv/bin/pip install --constraint {pins}"
        reader.replaced["[source venv/bin/activate]"] = "[export HF_HUB_OFFLINE=1, source venv/bin/activate]"
    else:
        reader.replaced["python3 -m venv venv && venv/bin/pip install"] = OWN_VENV
    if "NeMo" in SECTIONS[section]:
        check_out_nemo_rl(reader.home / "lustre" / "nemo-rl")
    said = told = ""
    for block in [block for block in blocks(PAGE) if block.section in (1, section)]:
        if block.file:
            reader.saves(block)
        elif block.language == "bash":
            said = reader.runs(block)
            told += said
        else:
            looks_as_shown(block, said)
    if SECTIONS[section] == SEARCH:  # test_search.py runs it: it needs a triggerer
        return
    assert "combinations succeeded" in told
    for sweep, size in DOWNLOADS.get(SECTIONS[section], {}).items():
        assert_curves(environment, sweep, size)


def assert_curves(environment: dict[str, str], sweep: str, size: int) -> None:
    """Look at what the page shows of a sweep's run: the loss of each combination over eight steps or more."""
    with Session(create_engine(f"sqlite:///{environment['AIRFLOW_HOME']}/airflow.db")) as session:
        (run,) = session.scalars(select(DagRun).where(DagRun.dag_id == sweep))
        found = curves(session, sweep, run.run_id, "loss")
    assert (found["metric"], list(found["curves"])) == ("loss", list(range(size)))
    for steps, losses in found["curves"].values():
        assert steps == sorted(set(steps))
        assert min(len(steps), len(losses), len(set(losses))) >= 8


@pytest.mark.parametrize("title", DOWNLOADS)
def test_no_script_of_a_guide_with_curves_has_a_line_of_ours(title: str) -> None:
    scripts = [block.text for block in blocks(PAGE) if block.language == "python" and SECTIONS[block.section] == title]
    assert scripts
    assert not [script for script in scripts if "metrics.json" in script or "BASE_LOG_DIR" in script]


def check_out_nemo_rl(folder: Path) -> None:
    """Put in place of NeMo RL what runs without GPUs, under the names of its files."""
    examples = PROJECT / "include" / "workspace" / "examples"
    (folder / "examples" / "configs").mkdir(parents=True)
    shutil.copy(examples / "train_grpo.py", folder / "examples" / "run_grpo.py")
    config = (examples / "configs" / "grpo.yaml").read_text().replace("gpus_per_node: 8", "gpus_per_node: 1")
    (folder / "examples" / "configs" / "grpo_math_1B.yaml").write_text(config + OWN_KEYS)
    (folder / "ray.sub").write_text(RAY_SUB)
