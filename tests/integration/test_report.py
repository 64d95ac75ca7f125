"""check-cluster --report: what a bug report needs, and nothing that a stranger must not read."""

from __future__ import annotations

import getpass
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.airflow import PROJECT
from tests.integration.sshd import second_sshd
from tests.integration.test_check_cluster import OTHER_KEY, bashrc, program

pytestmark = pytest.mark.sandbox

Report = Callable[..., str]
PERSON, LOGIN_NODE = getpass.getuser(), "localhost"


@pytest.fixture
def report(cluster: Sandbox, environment: dict[str, str], include: Path) -> Report:
    """Print the report on a profile of the cluster's values and others, by way of a connection."""
    Path(str(cluster.profile["workdir"])).mkdir(exist_ok=True)

    def run(connection: dict[str, Any], **changes: Any) -> str:
        profile = {**cluster.profile, "gpus_per_node": 8, "time": "4:0:0", "ssh_conn_id": "reported", **changes}
        (include / "clusters" / "mine.yaml").write_text(json.dumps(profile))
        done = subprocess.run(
            [sys.executable, "-m", "airflow_slurm_sweep", "check-cluster", "mine", f"--include={include}", "--report"],
            env={
                **environment,
                "PYTHONPATH": str(PROJECT / "plugins"),
                "AIRFLOW__SLURM_SWEEP__CLUSTERS_FOLDER": str(include / "clusters"),
                "AIRFLOW_CONN_REPORTED": json.dumps(connection),
                "AIRFLOW_VAR_HF_TOKEN": "s3cret-variable",
                "AIRFLOW_CONN_WANDB": json.dumps({"conn_type": "http", "password": "s3cret-wandb"}),
            },
            text=True,
            capture_output=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.stdout

    return run


def connection(box: Sandbox, port: int, **extra: Any) -> dict[str, Any]:
    """Return a connection with a secret in each field that may hold one."""
    key = (box.directory / "ssh" / "id_ed25519").read_text()
    own: dict[str, Any] = {"private_key": key, "private_key_passphrase": "s3cret-passphrase", "other": "s3cret-extra"}
    host_key = box.connection["extra"]["host_key"]  # type: ignore[index]
    login = {**box.connection, "host": LOGIN_NODE, "port": port, "password": "s3cret-password"}
    return {**login, "extra": {"host_key": host_key, **own, **extra}}


PROFILE: dict[str, Any] = {
    "env": {"TOKEN": "s3cret-env", "HF_TOKEN": {"variable": "HF_TOKEN"}, "WANDB": {"connection": "WANDB"}},
    "login_setup": ["export SETUP_TOKEN=s3cret-setup"],
    "sbatch": {"comment": "s3cret-comment"},
    "account": "s3cret-account",
}
REPORTED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "all is well": ({}, {}, r"ok +sbatch +a job of 1 node with 8 GPUs.* comment SECRET"),
    "a line of login_setup fails": (
        {"login_setup": ["SETUP_TOKEN=s3cret-setup false"]},
        {},
        r"FAILED +shell +the login shell did not run our script; it said: \.\.\.",
    ),
    "the key is refused": ({}, {"private_key": "OTHER"}, r"FAILED +login +Connection 'reported': USER@HOST.* refuses the login: .*"),
    "the key is broken": ({}, {"private_key": "-----BEGIN s3cret-key-----"}, r"expected a whole private key"),
    "another host key": ({}, {"host_key": OTHER_KEY}, r"FAILED +host key +.* not the one that we know .* It shows: KEY$"),
    "no host key": ({}, {"host_key": f"ssh-ed25519 {'A' * 8}s3cret"}, r"expected lines such as"),
    "the profile is no YAML": ({"time": "s3cret-time"}, {}, r"FAILED +profile$"),
}  # fmt: skip


CASES = [
    pytest.param(*case, id=name, marks=[pytest.mark.all] if number > 1 else ())
    for number, (name, case) in enumerate(REPORTED.items())
]


@pytest.mark.parametrize(("profile", "extra", "said"), CASES)
def test_no_secret_is_in_the_report(
    cluster: Sandbox, report: Report, tmp_path: Path, profile: dict[str, Any], extra: dict[str, Any], said: str
) -> None:
    (tmp_path / "banner").write_text("Welcome, the code of the door is s3cret-banner\n")
    if extra.get("private_key") == "OTHER":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
        extra = {"private_key": (tmp_path / "key").read_text()}
    wrapper = 'echo "the token is s3cret-env" >&2; exec /usr/bin/sbatch "$@"'
    noise = "echo the night shift: s3cret-noise\nexport SBATCH_COMMENT=s3cret-login SBATCH_EXPORT=NONE\n"
    with (
        second_sshd(cluster, f"Banner {tmp_path}/banner") as sshd,
        program(cluster, "sbatch", wrapper),
        bashrc(cluster, noise),
    ):
        text = report(given := connection(cluster, sshd.port, **extra), **{**PROFILE, **profile})
    assert re.search(said, text, re.MULTILINE), text
    assert "s3cret" not in text
    key_lines = [line for line in given["extra"]["private_key"].splitlines() if not line.startswith("-----")]
    own_key = (cluster.directory / "ssh" / "host_key.pub").read_text()
    host_keys = [key.split()[1] for key in (given["extra"]["host_key"], own_key)]
    assert not [line for line in [*key_lines, *host_keys] if line in text]
    for name in (PERSON, LOGIN_NODE, socket.gethostname(), "127.0.0.1"):
        assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text), name


def test_the_report_says_what_a_bug_needs(cluster: Sandbox, report: Report) -> None:
    with bashrc(cluster, "export SBATCH_EXPORT=NONE\n"):
        text = report(cluster.connection, env={"TOKEN": "x"}, login_setup=["PATH=$PATH # slurm"], nodes=2)
    asyncssh, airflow, ssh = (version(name) for name in ("asyncssh", "apache-airflow", "apache-airflow-providers-ssh"))
    for line in (
        rf"airflow-slurm-sweep \S+, Python 3\.\S+, apache-airflow {airflow}, apache-airflow-providers-ssh {ssh}, "
        rf"asyncssh {asyncssh}",
        "way in: asyncssh, 0 jump hosts; the connection has key_file, host_keys",
        r"sshd: (SSH-2.0-)?OpenSSH_\S+",
        r"login shell: \w+; it exports: (\w+, )*SBATCH_EXPORT(, \w+)*",
        r"profile: account: set; container: null; env: \{TOKEN\}; gpus_per_node: 8; log: set; login_setup: set; "
        'mounts: null; nodes: 2; partition: set; ssh_conn_id: set; time: "4:0:0"; workdir: set',
        r"ok       commands    slurm-wlm \S+, and all else that our scripts need",
        r"ok       controller  Slurmctld\(primary\) at HOST is UP",
    ):
        assert re.search(f"^{line}$", text, re.MULTILINE), (line, text)
