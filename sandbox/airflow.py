"""An Airflow home that runs this project against a sandbox: for the demonstration and for tests."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import CONFLICT
from pathlib import Path
from typing import IO, Any, Self
from urllib.error import HTTPError
from urllib.parse import urlsplit

from sandbox.cluster import Sandbox
from sandbox.config import LOOPBACK
from sandbox.layout import free_ports
from sandbox.processes import SandboxError, send, tree, wait_until

START = 300  # seconds: a machine with other work takes minutes
ASK_AGAIN = 5  # seconds
# What an Airflow for sweeps of thousands of combinations needs; README says why. All else is as Airflow ships it.
LARGEST = 20_000  # combinations
LARGE_SWEEPS: dict[str, object] = {
    "CORE__MAX_MAP_LENGTH": LARGEST,
    "DAG_PROCESSOR__MAX_CALLBACKS_PER_LOOP": 500,
    "SLURM_SWEEP__MAX_COMBINATIONS": LARGEST,
    "TRIGGERER__CAPACITY": LARGEST,
    "TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": 100,
}

PROJECT = Path(__file__).parents[1]
SWEEPS_FILE = "sweeps.py"  # the Dag file that makes a Dag of each sweep file
# The commands of Airflow's parts, in the order of their start.
PARTS = {
    "api-server": ["airflow", "api-server"],
    "dag-processor": ["airflow", "dag-processor"],
    "scheduler": ["airflow", "scheduler", "--skip-serve-logs"],
    "triggerer": ["airflow", "triggerer", "--skip-serve-logs"],
}


def airflow_environment(home: Path, box: Sandbox, *, sweeps: Path | None = None) -> dict[str, str]:
    """Prepare ``home`` and return the environment that every Airflow command of it needs.

    The cluster profile ``default`` is the sandbox's, the workspace of the examples is copied to the cluster, and jobs
    get this Python with its packages, so that ``uv run`` downloads nothing. Settings of another Airflow are left out.

    Args:
        home: Airflow's home; made if it is not there.
        box: The cluster, up.
        sweeps: The folder of sweep files; the project's own by default.
    """
    clusters = home / "clusters"
    clusters.mkdir(parents=True, exist_ok=True)
    programs = Path(sys.executable).parent
    jobs = {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "UV_NO_PROJECT": "1",
        "UV_OFFLINE": "1",
        "UV_PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # Names the combinations in the grid; where the package is installed, its entry point does.
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / "airflow_local_settings.py").write_text(
        "from airflow_slurm_sweep.policy import task_instance_mutation_hook\n"
    )
    # JSON is YAML, and quotes what has to be quoted.
    (clusters / "default.yaml").write_text(json.dumps({**box.profile, "env": jobs}, indent=2))
    shutil.copytree(PROJECT / "include" / "workspace", str(box.profile["workdir"]), dirs_exist_ok=True)
    settings = {
        "CORE__DAGS_FOLDER": PROJECT / "dags",
        "CORE__PLUGINS_FOLDER": PROJECT / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "SLURM_SWEEP__CLUSTERS_FOLDER": clusters,
        "SLURM_SWEEP__SWEEPS_FOLDER": sweeps or PROJECT / "include" / "sweeps",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_SLURM_SANDBOX": json.dumps(box.connection),
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }


def merge(environment: Mapping[str, str], **settings: object) -> dict[str, str]:
    """Return the environment with further settings of Airflow: ``merge(e, LOGGING__JSON_LOGS=True)``."""
    return {**environment, **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()}}


def api_server_settings(url: str) -> dict[str, object]:
    """Settings for an API server that this machine alone can reach, and for the parts that call it."""
    address = urlsplit(url)
    return {
        "API__HOST": address.hostname,
        "API__PORT": address.port,
        "API__BASE_URL": url,
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
    }


class Api:
    """Airflow's REST interface.

    Args:
        url: Where it is.
        home: The home of that Airflow, which keeps the password.

    Attributes:
        home: As above.
        patience: Seconds that an answer may take.
    """

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.patience = 30.0
        self.user = self.password = self._token = ""
        self.home = home

    def log_in(self) -> None:
        """Log in as the user whose password Airflow made up at its start."""
        passwords = self.home / "simple_auth_manager_passwords.json.generated"
        ((self.user, self.password),) = json.loads(passwords.read_text()).items()
        login = {"username": self.user, "password": self.password}
        self._token = self.call("POST", "/auth/token", login)["access_token"]

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call the interface and return the answer."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=self.patience) as answer:
            text = answer.read()
        return dict(json.loads(text) or {}) if text else {}  # null: there is nothing to say

    def act(self, method: str, path: str, body: object = None) -> None:
        """Do what a user does by a click, and once or twice more where Airflow answers 500: users click again, too.

        Airflow's transaction can deadlock with its scheduler's, and the database ends one of the two.
        """
        for last in (False, False, True):
            try:
                self.call(method, path, body)
                return
            except HTTPError as error:
                error.close()
                if error.code != 500 or last:
                    raise

    def mark_run(self, run: str, state: str) -> None:
        """Give a Dag run an end; ``run`` is its path in the interface."""
        self.act("PATCH", run, {"state": state})

    def mark_task(self, run: str, task_id: str, map_index: int, state: str) -> None:
        """Give an instance of a mapped task an end, as a user does; ``run`` is the Dag run's path in the interface."""
        self.act("PATCH", f"{run}/taskInstances/{task_id}/{map_index}", {"new_state": state})

    def clear_task(self, dag_id: str, run_id: str, task_id: str, map_index: int, *, downstream: bool) -> None:
        """Clear an instance of a mapped task, alone or with all that follows."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [[task_id, map_index]],
            "include_downstream": downstream,
            "only_failed": False,
        }
        self.act("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def is_healthy(self) -> bool:
        """Whether all parts of Airflow say that they are well."""
        try:
            parts = self.call("GET", "/api/v2/monitor/health")
        except OSError:
            return False
        names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(parts[name]["status"] == "healthy" for name in names)


class Standalone(Api):
    """The four parts of ``airflow standalone``, on free ports of the loopback address.

    Airflow's two log servers are left out: they listen on all addresses, and the API server reads the same files.

    Args:
        environment: What `airflow_environment` returned.
        log: The file for all that Airflow prints.
        below: The path of the API server's address.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, *, below: str = "") -> None:
        (port,) = free_ports(1)
        super().__init__(f"http://{LOOPBACK}:{port}{below}", Path(environment["AIRFLOW_HOME"]))
        self.log = log
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment = merge(environment, **api_server_settings(self.url))

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start it, give it when it is healthy, and stop it in any case; see `wait_until_healthy`."""
        self.start()
        try:
            self.wait_until_healthy()
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Start it, and return at once."""
        with self.log.open("ab") as file:
            self._processes = [launch(command, self.environment, file) for command in PARTS.values()]

    @property
    def pids(self) -> list[int]:
        """The processes that all others of Airflow descend from; none before the start."""
        return [process.pid for process in self._processes]

    def wait_until_healthy(self) -> None:
        """Return once all parts say that they are well, and log in.

        Raises:
            SandboxError: They did not in `START` seconds; the message shows the log's end.
        """
        wait_until(lambda: self._has_ended() or self.is_healthy(), START)
        if self._has_ended() or not self.is_healthy():
            end = "\n".join(self.log.read_text().splitlines()[-40:])
            raise SandboxError(f"Airflow did not start; the end of its log {self.log}:\n{end}")
        self.log_in()

    def _has_ended(self) -> bool:
        return any(process.poll() is not None for process in self._processes)

    def wait_for_dag(self, dag_id: str) -> None:
        """Return once Airflow has read the Dag's file; it is asked to read the sweeps again now, not within 30 s.

        Raises:
            SandboxError: It did not in `START` seconds.
        """
        asked = -math.inf

        def is_known() -> bool:
            nonlocal asked
            if dag_id in [dag["dag_id"] for dag in self._dags()]:
                return True
            if time.monotonic() - asked > ASK_AGAIN:
                asked = time.monotonic()
                self.read_sweeps_again()
            return False

        if not wait_until(is_known, START):
            raise SandboxError(f"Airflow does not know the Dag {dag_id}; see {self.log}")

    def _dags(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/api/v2/dags?limit=100")["dags"])

    def read_sweeps_again(self) -> None:
        """Have the Dag processor read the sweeps next."""
        for token in {dag["file_token"] for dag in self._dags() if dag["relative_fileloc"] == SWEEPS_FILE}:
            try:
                self.call("PUT", f"/api/v2/parseDagFile/{token}")
            except HTTPError as error:
                error.close()
                if error.code != CONFLICT:  # it has been asked already
                    raise

    def stop(self) -> None:
        """Stop it and all that it started."""
        stop_trees(self.pids)
        for process in self._processes:
            process.wait()


def launch(command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, all that it prints into ``log``."""
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


def stop_trees(roots: Collection[int]) -> None:
    """End processes and all that they started: by request, after 20 s by force.

    Only the roots are asked: a worker of LocalExecutor's that ends by itself can take the lock of the others' queue
    along, and the scheduler waits for them for ever.
    """
    pids = tree(roots)
    send(signal.SIGTERM, roots)
    if not wait_until(lambda: not tree(pids), 20):
        send(signal.SIGKILL, tree(pids))
