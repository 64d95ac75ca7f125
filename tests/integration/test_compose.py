"""docker-compose.yaml, brought up for real; variables such as AIRFLOW_IMAGE (.env.example) hold here too."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from urllib.error import HTTPError

import pytest

from sandbox.airflow import Api
from sandbox.layout import free_ports


def has_compose() -> bool:
    return (
        which("docker") is not None
        and not subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode
    )


pytestmark = [
    pytest.mark.all,
    pytest.mark.sandbox,
    pytest.mark.slow("Docker builds two images"),
    pytest.mark.skipif(not has_compose(), reason="no Docker Compose is installed"),
]

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0  # seconds


class Stack(Api):
    """The services as a project of their own, on a free port."""

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self.name = f"sweeptest{self._port}"
        super().__init__(f"http://127.0.0.1:{self._port}", ROOT)
        self.patience = 120.0

    def compose(self, *arguments: str) -> str:
        environment = {**os.environ, "AIRFLOW_PORT": str(self._port), "SLURM_NODES": "2"}
        command = ["docker", "compose", "--project-name", self.name, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr[-3000:]}"
        return done.stdout

    def log_in(self) -> None:
        self.user = "admin"
        self.password = self.compose("exec", "-T", "api-server", "cat", "secrets/admin_password").strip()
        self._token = self.call("POST", "/auth/token", {"username": self.user, "password": self.password})[
            "access_token"
        ]

    def up(self) -> None:
        self.compose("up", "--detach", "--build")
        self.log_in()
        assert soon(self.is_healthy)

    def left(self, kind: str) -> list[str]:
        """What the engine still has of this project: containers, volumes or networks."""
        names = {"container": ["--all", "--format={{.Names}}"]}.get(kind, ["--format={{.Name}}"])
        label = f"--filter=label=com.docker.compose.project={self.name}"
        command = ["docker", kind, "ls", label, *names]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    def state(self, run: str) -> str:
        return str(self.call("GET", f"/api/v2/dags/demo/dagRuns/{run}")["state"])


@pytest.fixture
def stack() -> Iterator[Stack]:
    stack = Stack()
    yield stack
    stack.compose("down", "--volumes", "--remove-orphans")


def soon(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in `PATIENCE` seconds; asked once a second."""
    deadline = time.monotonic() + PATIENCE
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(1)
    return holds


def run_the_demo(stack: Stack, conf: dict[str, object]) -> str:
    """Trigger the Dag `demo`, wait for its end, and return the run's id."""
    assert soon(lambda: "demo" in [dag["dag_id"] for dag in stack.call("GET", "/api/v2/dags")["dags"]])
    assert stack.call("GET", "/api/v2/importErrors")["import_errors"] == []
    run = str(stack.call("POST", "/api/v2/dags/demo/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])
    assert soon(lambda: stack.state(run) in ("success", "failed"))
    tasks = stack.call("GET", f"/api/v2/dags/demo/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
    waited = [task["state"] for task in tasks if task["task_id"] == "combination.wait"]
    assert (stack.state(run), waited) == ("success", ["success"] * 4)
    return run


def test_a_first_sweep_and_what_down_and_up_keep(stack: Stack) -> None:
    stack.up()
    first, password = run_the_demo(stack, {}), stack.password
    jobs = stack.compose("exec", "-T", "slurm", "sh", "-c", "ls /slurm/log/nemo-rl").split()
    assert jobs == [f"demo_sweep_{number}" for number in range(1, 5)]

    # No secret is in what the engine knows of a container, nor in what a service says.
    secrets = stack.compose(
        "exec", "-T", "api-server", "sh", "-c", "cat secrets/*_key secrets/*_secret secrets/admin_password"
    )
    known = subprocess.run(
        ["docker", "inspect", *stack.left("container")], capture_output=True, text=True, check=True
    ).stdout + stack.compose("logs")
    assert password in secrets
    assert password not in known
    for service in json.loads(stack.compose("config", "--format", "json"))["services"]:
        if service not in ("secrets", "init", "worker", "redis", "scheduler-2", "triggerer-2"):
            assert stack.compose("exec", "-T", service, "id", "-u").strip() != "0"

    stack.compose("down")
    assert stack.left("container") == stack.left("network") == []
    stack.up()
    assert stack.password == password
    assert stack.state(first) == "success"
    with pytest.raises(HTTPError) as refused:
        stack.call("POST", "/auth/token", {"username": "admin", "password": "admin"})
    refused.value.close()
    run_the_demo(stack, {})

    stack.compose("down", "--volumes")
    assert stack.left("container") == stack.left("network") == stack.left("volume") == []
