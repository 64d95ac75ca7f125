"""Each page's commands, run as they stand there, in their order, with the files that the page shows.

Each page has a copy of the project, as its reader has. Its Airflow has a database of its own; its cluster is the tests'. What a
page can only give an example of (the login node, a home) is replaced: see `_the_readers`.
"""

from __future__ import annotations

import getpass
import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.airflow import Api, airflow_environment
from sandbox.processes import wait_until
from tests.docs import PAGES, PROJECT, Block, blocks, complete, spans

pytestmark = [pytest.mark.sandbox, pytest.mark.all]

PARTS = ("dags", "include", "plugins", "sandbox")
SECONDS = 300  # for one block
COMMANDS = [
    page
    for page in PAGES
    if any(block.language == "bash" and block.commands for block in blocks(page)) or complete(spans(page))
]
BY_SECTION = "guides.md"  # test_guides.py follows it
DEMO_SWEEP = "script_path: examples/train_grpo.py\nconfig_path: examples/configs/grpo.yaml\noptim.lr: [1e-6, 5e-6]\n"


class Reader:
    """Somebody who follows a page."""

    def __init__(self, folder: Path, environment: dict[str, str], cluster: Sandbox) -> None:
        self.project, self.home = folder / "project", folder / "home"
        self.home.mkdir()
        for part in PARTS:
            shutil.copytree(PROJECT / part, self.project / part, ignore=shutil.ignore_patterns("__pycache__"))
        self._profile = Path(environment["AIRFLOW__SLURM_SWEEP__CLUSTERS_FOLDER"]) / "default.yaml"
        shutil.copy(self._profile, self.project / "include" / "clusters")
        self._environment = {
            **{name: value for name, value in environment.items() if not name.startswith("AIRFLOW__SLURM_SWEEP__")},
            "AIRFLOW__CORE__DAGS_FOLDER": f"{self.project}/dags",
            "AIRFLOW__CORE__PLUGINS_FOLDER": f"{self.project}/plugins",
            "PYTHONPATH": f"{self.project}/plugins",
            "HOME": str(self.home),
        }
        self._cluster = cluster
        self.seconds = SECONDS
        self.replaced: dict[str, str] = {}  # further texts of the page, and what stands in their place
        self._exported = folder / "exported"
        self._exported.touch()
        command = folder / "bin" / "airflow-slurm-sweep"  # as pip makes it
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m airflow_slurm_sweep "$@"\n')
        command.chmod(0o755)
        self._environment["PATH"] = f"{command.parent}:{self._environment['PATH']}"

    def saves(self, block: Block) -> None:
        """Put the file that a block is where its first line says."""
        path = self.project / self._the_readers(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._the_readers(block.text))

    def runs(self, block: Block) -> str:
        """Run a block's commands, and return what they print; the next ones find what they export, and their folder."""
        commands = self._the_readers(block.commands)
        if commands.startswith("# on the login node\n"):
            commands = f"(\n{commands}\n)"  # elsewhere: its folder is not the next block's
        script = f"set -euo pipefail\n. {self._exported}\n{commands}\n"
        script += f'{{ export -p; printf "cd %q\\n" "$PWD"; }} > {self._exported}\n'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.project,
            env=self._environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=self.seconds,
            check=False,
        )
        assert done.returncode == 0, f"{block}: exit code {done.returncode}\n{commands}\n{done.stdout[-4000:]}"
        return done.stdout

    def _the_readers(self, text: str) -> str:
        """Return a page's text with this machine's names in place of the examples."""
        ssh = self._cluster.directory / "ssh"
        connection = self._cluster.connection
        extra = connection["extra"]
        assert isinstance(extra, dict)
        port = connection["port"]
        jobs = json.dumps(json.loads(self._profile.read_text())["env"])
        names = {
            # scripts/test has done what scripts/setup does.
            "scripts/demo": "python -m sandbox.demo",
            # The sandbox's sshd has its keys elsewhere than a home.
            "ssh-copy-id -i ~/.ssh/slurm_sweep me@login.example.org": f"cat ~/.ssh/slurm_sweep.pub >> {ssh}/authorized_keys",
            "ssh-keyscan -t ed25519 login.example.org >>": f"ssh-keyscan -t ed25519 -p {port} 127.0.0.1 >>",
            "ssh-keyscan -t ed25519 login.example.org": f"ssh-keyscan -t ed25519 -p {port} 127.0.0.1 | sed 's/^[^ ]*/login.example.org/'",
            "me@login.example.org": f"-p {port} -o UserKnownHostsFile={ssh}/known_hosts {getpass.getuser()}@127.0.0.1",
            "--host login.example.org --user me": f"--host 127.0.0.1 --port {port} --user {getpass.getuser()}",
            '"host": "login.example.org", "login": "me"': f'"host": "127.0.0.1", "port": {port}, "login": "{getpass.getuser()}"',
            "ssh-ed25519 AAAA...": extra["host_key"],
            'env: {PATH: "/home/me/.local/bin:/usr/local/bin:/usr/bin:/bin"}': f"env: {jobs}",
            "/home/me": str(self.home),
            "/lustre/me": f"{self.home}/lustre",
            **self.replaced,
        }
        for example, own in names.items():
            text = text.replace(example, str(own))
        return text


@pytest.fixture(scope="module")
def prepared(cluster: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an Airflow that knows the project's Dags, and has no scheduler."""
    environment = airflow_environment(tmp_path_factory.mktemp("docs"), cluster)
    for command in ("db migrate", "dags reserialize"):
        subprocess.run(["airflow", *command.split()], env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture
def reader(prepared: dict[str, str], cluster: Sandbox, tmp_path: Path) -> Reader:
    return Reader(tmp_path, prepared, cluster)


@pytest.mark.parametrize("page", [page for page in COMMANDS if page.name != BY_SECTION], ids=lambda page: page.stem)
def test_the_commands_of_a_page(reader: Reader, page: Path) -> None:
    follow(reader, page)
    for span in complete(spans(page), already=page_text(page)):
        reader.runs(span)


def test_the_demo_with_its_interface(reader: Reader) -> None:
    (reader.project / "include" / "sweeps" / "first.yaml").write_text(DEMO_SWEEP)
    page = PROJECT / "README.md"
    try:
        started = reader.runs(Block(page=page, line=0, language="bash", text="scripts/demo --ui"))
        with_the_mouse(reader, started)
    finally:
        reader.runs(Block(page=page, line=0, language="bash", text="scripts/demo --stop"))


def with_the_mouse(reader: Reader, started: str) -> None:
    """Trigger a run that succeeds and one that fails, as in Airflow's interface."""
    url = re.search(r"http://\S+", started)
    folder = Path(json.loads((reader.project / ".demo").read_text())["folder"])
    assert url
    api = Api(url[0], folder / "airflow")
    api.log_in()
    assert wait_until(lambda: "first" in [dag["dag_id"] for dag in api.call("GET", "/api/v2/dags")["dags"]])
    form = {"overrides": ["grpo.num_episodes=many"], "only": "2", "jobname": "broken"}
    runs = [api.call("POST", "/api/v2/dags/first/dagRuns", {"conf": conf, "logical_date": None}) for conf in ({}, form)]
    for run, state in zip(runs, ("success", "failed"), strict=True):
        path = f"/api/v2/dags/first/dagRuns/{run['dag_run_id']}"
        assert wait_until(partial(has_state, api, path, "success", "failed"))
        assert has_state(api, path, state)
        task = "report/logs/1" if state == "success" else "combination.wait/logs/1?map_index=0"
        log = "\n".join(map(str, api.call("GET", f"{path}/taskInstances/{task}")["content"]))
        assert ("2 of 2 combinations" if state == "success" else "expected a whole number, got 'many'") in log


def has_state(api: Api, path: str, *states: str) -> bool:
    return api.call("GET", path)["state"] in states


def follow(reader: Reader, page: Path) -> None:
    """Do what a page's blocks say, one after the other."""
    before, said = None, ""
    for block in blocks(page):
        if block.file:
            reader.saves(block)
        elif block.language == "bash":
            said = reader.runs(block)
        elif block.language == "text" and before and (before.language, before.section) == ("bash", block.section):
            looks_as_shown(block, said)
        before = block


def looks_as_shown(block: Block, said: str) -> None:
    """Find each line of a block in what was printed, in their order; how many blanks stand between words does not count."""
    said, begin = " ".join(said.split()), 0
    for line in block.text.splitlines():
        pattern = ".*?".join(map(re.escape, " ".join(line.split()).split("…")))
        found = re.compile(pattern).search(said, begin)
        assert found, f"{block}: {line!r} is not in what was printed:\n{said[-4000:]}"
        begin = found.end()


def page_text(page: Path) -> str:
    return "\n".join(block.text for block in blocks(page))
