"""Write the files of a first sweep of your own, the Airflow connection among them, and print the next commands.

It overwrites no file. On a terminal it asks for what no option says.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path
from shlex import quote

from airflow_slurm_sweep.errors import SettingsError

_PROFILE = """\
# The cluster of all sweeps that name no other profile. All settings: airflow-slurm-sweep settings
ssh_conn_id: slurm # the Airflow connection of the login node
log: {log} # each job gets a folder in here; compute nodes see it too
workdir: {workdir} # where the command starts
# account: my_account
# partition: gpu
"""
_SWEEP = """\
# Each combination of the values is a job: six of them. `setup` runs before the command, on the compute node.
command: python3 train.py {flags} --out {run_dir}
lr: [0.1, 0.01]
seed: [1, 2, 3]
slurm:
  time: 0:30:0
  # setup: [source .venv/bin/activate]
"""
_DAG_FILES = {  # as in this project's folder dags
    "sweeps.py": '''\
"""Every sweep file in include/sweeps becomes an Airflow Dag. Files with faults are reported by sweep_errors.py."""

from pathlib import Path

from airflow_slurm_sweep.factory import sweep_dags

globals().update(sweep_dags(Path(__file__).parents[1] / "include"))
''',
    "sweep_errors.py": '''\
"""Holds no Dag: it shows the faults of sweep files as this file's Airflow import error.

Airflow takes down all Dags of a Python file that has an import error, so the faults must not come from sweeps.py.
"""

from pathlib import Path

from airflow_slurm_sweep.factory import check_sweeps

check_sweeps(Path(__file__).parents[1] / "include")
''',
}
_ENVIRONMENT = """\
# For the environment of each shell, and of all of Airflow's components.
export AIRFLOW_CONN_SLURM={connection}
export AIRFLOW__CORE__DAGS_FOLDER={dags}
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__API__HOST=127.0.0.1 # Airflow's interface is for this machine only
"""
_NEXT = """\

# Next: put your command into include/sweeps/first.yaml, then
{cd}. ./environment.sh # in each new shell, too
airflow db migrate
airflow-slurm-sweep check-cluster
airflow-slurm-sweep preview include/sweeps/first.yaml
airflow-slurm-sweep run include/sweeps/first.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="default: this one")
    parser.add_argument("--host", metavar="NAME", help="the login node, as for ssh: NAME or USER@NAME")
    parser.add_argument("--port", type=int, metavar="N", help="of its sshd; default: what ssh takes by itself")
    parser.add_argument("--user", metavar="NAME", help="your name there; default: the one here")
    parser.add_argument("--key", type=Path, metavar="FILE", help="a private key; default: what ssh takes by itself")
    text = "the folder on the cluster where your script is"
    parser.add_argument("--workdir", metavar="FOLDER", help=text)
    text = "a folder of yours on the cluster for what jobs leave; compute nodes have to see it"
    parser.add_argument("--log", metavar="FOLDER", help=text)
    parser.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> None:
    user, _, host = (options.host or _ask("--host", "Login node of the cluster (as for ssh)")).rpartition("@")
    if host.count(":") == 1:  # more: an IPv6 address
        raise SettingsError(f"--host: expected a name or an address, got {host!r}; --port says the port")
    user = options.user or user or _ask("--user", "User name there", getpass.getuser())
    key = options.key or _ask("--key", "Private key file (empty: what ssh takes by itself)", "")
    workdir = options.workdir or _ask("--workdir", "Folder on the cluster where your script is")
    log = options.log or _ask("--log", "Folder on the cluster for what jobs leave")
    for option, folder in (("--workdir", workdir), ("--log", log)):
        if not folder.startswith("/"):
            raise SettingsError(f"{option}: expected an absolute path on the cluster, got {folder!r}")
    path = Path(key).expanduser().absolute() if key else None
    if path and not path.is_file():
        raise SettingsError(f"--key: {path} does not exist; make one: ssh-keygen -t ed25519 -f {quote(str(path))}")
    profile = _PROFILE.format(workdir=json.dumps(workdir), log=json.dumps(log))
    _write(options.folder / "include" / "clusters" / "default.yaml", profile)
    _write(options.folder / "include" / "sweeps" / "first.yaml", _SWEEP)
    for name, text in _DAG_FILES.items():
        _write(options.folder / "dags" / name, text)
    port = {"port": options.port} if options.port else {}
    extra = {"extra": {"key_file": str(path)}} if path else {}
    connection = quote(json.dumps({"conn_type": "ssh", "host": host, "login": user, **port, **extra}))
    dags = quote(str((options.folder / "dags").absolute()))
    _write(options.folder / "environment.sh", _ENVIRONMENT.format(connection=connection, dags=dags))
    cd = "" if options.folder == Path() else f"cd {quote(str(options.folder))}\n"
    print(_NEXT.format(cd=cd), end="")


def _ask(option: str, question: str, default: str | None = None) -> str:
    """Return what somebody types; the default where they type nothing, or there is no terminal.

    Raises:
        SettingsError: There is neither.
    """
    if sys.stdin.isatty():
        print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
        if typed := sys.stdin.readline().strip():
            return typed
    if default is None:
        raise SettingsError(f"{option} is missing: {question[0].lower()}{question[1:]}")
    return default


def _write(path: Path, text: str) -> None:
    """Write a new file, and say so; leave one that exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(text)
        print(f"# {path} is written")
    except FileExistsError:
        print(f"# {path} exists, and stays as it is")
