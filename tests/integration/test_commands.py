"""What each placeholder hands to a program, as real jobs: argparse, Hydra, the environment, JSON. The values are hostile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.sweep.values import protected
from sandbox import Sandbox
from tests.integration.test_jobs import run_job
from tests.layers import make_layers

pytestmark = pytest.mark.sandbox

TEXTS = [
    "two words",
    "it's",
    'say "hi"',
    "$(touch x) `touch x`",
    "a\nb",
    "grüße 雪",
    "-x",
    "--flag",
    "a,b",
    "{}",
    "{lr} {{a}} {flags}",
    "null",
    "true",
    "1e-6",
    "",
    "ends with \\",
    "; touch x # no",
    "${HOME} *",
]
PARAMETERS: dict[str, Any] = {f"text{number}": text for number, text in enumerate(TEXTS)} | {
    "lr": 1e-6,
    "amp": True,
    "off": False,
    "none": None,
}
ARGPARSE = f"""\
import argparse, json, sys
parser = argparse.ArgumentParser()
for number in range({len(TEXTS)}):
    parser.add_argument(f"--text{{number}}")
parser.add_argument("--lr", type=float)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--off", action="store_true")
parser.add_argument("--none")
json.dump(vars(parser.parse_args()), open("arrived", "w"))
"""
HYDRA = """\
import hydra, json, os
from omegaconf import OmegaConf
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    json.dump(OmegaConf.to_container(config, resolve=False), open("arrived", "w"))
main()
"""
ENVIRONMENT = """\
import json, os
json.dump({key: value for key, value in os.environ.items() if key.startswith("SWEEP_")}, open("arrived", "w"))
"""
JSON = 'import json, sys; json.dump({"word": json.loads(sys.argv[1]), "file": json.load(open(sys.argv[2]))}, open("arrived", "w"))'
ONE = 'import json, sys; json.dump(sys.argv[1:], open("arrived", "w"))'


@pytest.fixture
def arrived(cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path) -> Callable[..., Any]:
    """Run a program with a command line in a job, and return what it found."""
    connected(cluster)

    def run(program: str, command: str, *, preset: str = "plain", **more: Any) -> tuple[Any, JobRequest]:
        (tmp_path / "program.py").write_text(program)
        keys = {"command": f"{sys.executable} {command}", "script_path": "program.py", **more, **PARAMETERS}
        spec = parse_sweep(
            json.dumps(keys | {name: [protected(value)] for name, value in PARAMETERS.items()}), source="s.yaml"
        )
        profile = {**cluster.profile, "workdir": str(tmp_path), "log": str(tmp_path / "log")}
        (request,) = plan_run(replace(spec, name="s"), make_layers(profile, preset=preset, command=spec.command)).jobs
        job, status = run_job(request)
        assert status.state is JobState.COMPLETED, Path(job.log_path).read_text()
        assert list(tmp_path.rglob("x")) == [], "nothing else is executed"
        return json.loads((tmp_path / "arrived").read_text()), request

    return run


@pytest.mark.parametrize("placeholder", ["{flags}", pytest.param("{flags_spaced}", marks=pytest.mark.all), ""])
def test_argparse(arrived: Callable[..., Any], placeholder: str) -> None:
    found, _ = arrived(ARGPARSE, f"{{script_path}} {placeholder}")
    assert found == PARAMETERS


def test_hydra(arrived: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("not: this\n")
    (tmp_path / "conf" / "own.yaml").write_text(json.dumps(dict.fromkeys(PARAMETERS)))
    command = "{script_path} {config_arguments} {overrides}"
    found, request = arrived(HYDRA, command, preset="hydra", config_path="conf/own.yaml")
    assert found == PARAMETERS
    assert (Path(request.run_dir) / ".hydra" / "config.yaml").exists(), "its output stands in the run directory"


def test_the_environment(arrived: Callable[..., Any]) -> None:
    found, _ = arrived(ENVIRONMENT, '{script_path} "$SWEEP_LR" and so on')
    words = {"lr": "1e-06", "amp": "true", "off": "false", "none": "null"}
    assert found == {f"SWEEP_{key.upper()}": words.get(key, value) for key, value in PARAMETERS.items()}


def test_json(arrived: Callable[..., Any]) -> None:
    found, _ = arrived(JSON, "{script_path} {json} {parameters_file}")
    assert found == {"word": PARAMETERS, "file": PARAMETERS}


@pytest.mark.all
def test_single_values(arrived: Callable[..., Any]) -> None:
    names = [f"text{number}" for number in range(len(TEXTS))]
    found, _ = arrived(ONE, "{script_path} " + " ".join(f"{{{name}}} --{name}={{{name}}}/x" for name in names))
    assert found == [word for name, text in zip(names, TEXTS, strict=True) for word in (text, f"--{name}={text}/x")]
