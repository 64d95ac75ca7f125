"""Start, show and stop a private Slurm cluster in one directory.

It has virtual nodes with 16 CPUs and 8 GPUs (none of them real) each, an sshd that takes the login of the user who
starts it, and no need of root. Everything is kept below DIR. Debian packages: slurm-wlm munge openssh-server; with
--accounting also slurmdbd slurm-wlm-mysql-plugin mariadb-server.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time

from sandbox import Sandbox, SandboxError
from sandbox.config import LOOPBACK

LOOK_SECONDS = 5


def main() -> int:
    """Run one command; returns the exit code."""
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.command == "up":
            box = Sandbox(
                arguments.directory,
                nodes=arguments.nodes,
                accounting=arguments.accounting,
                min_job_age=arguments.min_job_age,
            )
            return up(box, as_json=arguments.json)
        if arguments.command == "run":
            box = Sandbox(arguments.directory, nodes=arguments.nodes)
            box.ssh_address = (arguments.listen, arguments.ssh_port)
            return run(box)
        return {"down": down, "status": status}[arguments.command](Sandbox(arguments.directory))
    except (SandboxError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def up(box: Sandbox, *, as_json: bool) -> int:
    """Start the cluster and print how to reach it; remarks go to standard error."""
    if not box.up():
        print(f"{box.directory}: the sandbox already runs, with the options of its start", file=sys.stderr)
    if as_json:
        print(json.dumps({"connection": box.connection, "profile": box.profile, "environment": box.environment}))
        return 0
    print(json.dumps(box.connection))
    for key, value in box.profile.items():
        print(f"{key}: {'null' if value is None else value}")
    return 0


def run(box: Sandbox) -> int:
    """Keep the cluster running until SIGTERM or Ctrl-C (returns 0), or until one of its daemons ends (returns 1)."""
    try:
        box.up()
        print(f"{box.directory}: the cluster is up", flush=True)
        while not (ended := [name for name, pid in box.status().items() if pid is None]):
            time.sleep(LOOK_SECONDS)
        print(f"error: {', '.join(ended)} ended; see {box.directory}/logs", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        box.down()
        print(f"{box.directory}: stopped", flush=True)


def status(box: Sandbox) -> int:
    """Print each daemon with its pid and the nodes; returns 0 if all daemons live, else 3."""
    pids = box.status()
    if not pids:
        print(f"{box.directory}: no sandbox was started here")
        return 3
    for name, pid in pids.items():
        print(f"{name:<10} {'down' if pid is None else f'up  {pid}'}")
    if pids["munge"] and pids["slurmctld"]:
        print(box.slurm("sinfo", "--summarize", check=False), end="")
    return 0 if all(pids.values()) else 3


def down(box: Sandbox) -> int:
    """Stop the cluster."""
    stopped = box.down()
    print(f"{box.directory}: {'stopped' if stopped else 'the sandbox does not run'}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(
        prog="python -m sandbox", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    start = _add(commands, "up", "start the cluster; print its Airflow connection (JSON) and its profile (YAML)")
    _add_nodes(start)
    start.add_argument(
        "--accounting", action="store_true", help="run slurmdbd and MariaDB: sacct works, unknown accounts are refused"
    )
    start.add_argument(
        "--min-job-age",
        type=int,
        default=300,
        metavar="SECONDS",
        help="how long squeue shows a finished job, at least 2 (default: %(default)s)",
    )
    start.add_argument("--json", action="store_true", help="print one JSON object: connection, profile and environment")
    keep = _add(commands, "run", "start the cluster, and stop it on SIGTERM or Ctrl-C: for containers")
    _add_nodes(keep)
    keep.add_argument(
        "--listen", default=LOOPBACK, metavar="ADDRESS", help="address that sshd listens on (default: %(default)s)"
    )
    keep.add_argument("--ssh-port", type=int, default=2222, metavar="PORT", help="port of sshd (default: %(default)s)")
    _add(commands, "status", "show each daemon and the nodes; exit code 0 if all daemons live, else 3")
    _add(commands, "down", "stop the cluster, its jobs and its SSH sessions; files and job history stay")
    return root


def _add_nodes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--nodes", type=int, default=8, metavar="N", help="number of nodes (default: %(default)s)")


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    command.add_argument("directory", metavar="DIR", help="the cluster's directory, at most 72 bytes long")
    return command


if __name__ == "__main__":
    sys.exit(main())
