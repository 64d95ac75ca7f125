"""What a bug report needs to say of a cluster: versions, the way in, the profile's keys, and the verdicts.

It holds no secret: of the profile and the connection it shows keys, and values only where they cannot be secret. Of
the verdicts it leaves out what they quote of the login; names of people, hosts and accounts become USER, HOST, ACCOUNT.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from airflow_slurm_sweep import __version__
from airflow_slurm_sweep.check.findings import Finding
from airflow_slurm_sweep.errors import SlurmSweepError
from airflow_slurm_sweep.slurm.shell import MARKER
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.settings import given
from airflow_slurm_sweep.tasks.ssh.node import LoginNode, read_login_node
from airflow_slurm_sweep.tasks.ssh.shell import SshShell

_PACKAGES = ("apache-airflow", "apache-airflow-providers-ssh", "asyncssh")
_MEANS = ("password", "key_file", "private_key", "passphrase", "host_keys", "known_hosts", "control_path")
_HARMLESS = ("time", "queue_limit", "gpu_request", "submit")  # texts of a form that holds no secret
_COUNTS = ("cpus", "gpus", "gres", "mem", "ntasks", "tres")  # options of sbatch that ask for so much of something
_LONGEST = 60.0  # seconds that the questions behind the checks may take
_TEXT, _WORD = 4, 8  # characters of a secret at least; as part of a text, so that `module load slurm` hides no `slurm`

# Without prelude.sh, which unsets them: the login shell, and the names of Slurm's variables.
_ASK = rf"""printf '%s\n' {MARKER} "${{SHELL##*/}}"
env | sed -nE 's/^((SACCT|SBATCH|SCANCEL|SCONTROL|SINFO|SLURM|SQUEUE|SRUN)_[A-Z0-9_]*)=.*/\1/p'
"""

# What verdicts quote of others, and what stands in its place.
_QUOTED = (
    (r"(said|says|is ignored|run our scripts|line \d+: exit status \d+|'s here|existing one): .*", r"\1: ..."),
    (r"\S+ AAAA\S{20,}", "KEY"),
    (r"[\w.+-]+@[\w.-]+", "USER@HOST"),
    (r"\b(at )[\w.-]+(?= is (UP|DOWN))|\b(host:)[\w.-]+(?=:\d)", r"\1\3HOST"),
    (r"on nodes \S+", "on nodes NODES"),
    (r"\b\d+\.\d+\.\d+\.\d+\b", "HOST"),
)


def bug_report(layers: Layers | None, found: Iterable[Finding]) -> str:
    """Return the report on a profile that was checked; ``layers`` is None if the profile cannot be read."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    lines = [f"airflow-slurm-sweep {__version__}, Python {sys.version.split()[0]}, {packages}"]
    if layers is None:  # which values are secret is unknown
        return "\n".join([*lines, *(f"{finding.grade.value:8} {finding.check}" for finding in found)])
    node, facts = asyncio.run(_way_in(layers.profile.ssh_conn_id))
    shown = (f"{name}: {_shown(name, value)}" for name, value in sorted(given(layers.profile).items()))
    lines += [*facts, f"profile: {'; '.join(shown)}"]
    secrets, names = list(_secrets(layers, node)), dict(_names(layers, node))
    return "\n".join([*lines, *(_clean(str(finding), secrets, names) for finding in found)])


async def _way_in(ssh_conn_id: str) -> tuple[LoginNode | None, list[str]]:
    try:
        node = await read_login_node(ssh_conn_id)
    except SlurmSweepError:
        return None, ["way in: the connection cannot be used"]
    means = [name for name in _MEANS if getattr(node, name)] + ([] if node.checks_host_key else ["no_host_key_check"])
    transport = "OpenSSH" if node.control_path else "asyncssh"
    way = f"way in: {transport}, {len(node.jumps)} jump hosts; the connection has {', '.join(means) or 'no key'}"
    try:
        async with asyncio.timeout(_LONGEST), SshShell(ssh_conn_id) as shell:
            connection = getattr(await shell.connect(), "connection", None)
            said = (await shell.run(_ASK)).stdout.partition(f"{MARKER}\n")[2].split()
    except (SlurmSweepError, TimeoutError):
        return node, [way, "sshd, login shell: not known, no answer"]
    sshd = connection.get_extra_info("server_version").split()[0] if connection else "behind OpenSSH"
    shell_name, *variables = said or ["not known"]
    return node, [way, f"sshd: {sshd}", f"login shell: {shell_name}; it exports: {', '.join(variables) or 'nothing'}"]


def _shown(name: str, value: Any) -> str:
    """Return a setting's value if that cannot be secret, or else what it is."""
    if value is None or isinstance(value, (bool, int)) or name in _HARMLESS:
        return json.dumps(value)
    return f"{{{', '.join(value)}}}" if isinstance(value, dict) else "set"


def _secrets(layers: Layers, node: LoginNode | None) -> Iterator[str]:
    """Yield each text that may be or hold a secret, and its long words: a message may quote a part."""
    profile = layers.profile
    texts = [*profile.login_setup, *profile.setup, *(value for value in profile.env.values() if isinstance(value, str))]
    texts += [str(value) for name, value in profile.sbatch.items() if not name.startswith(_COUNTS)]
    values = [getattr(node, name) for name in _MEANS] if node else []
    texts += [line for value in values if value for line in ([value] if isinstance(value, str) else value)]
    for text in texts:
        yield from [text] if len(text) >= _TEXT else []
        yield from (word for word in re.split(r"[\s=:;'\"]+", text) if len(word) >= _WORD)


def _names(layers: Layers, node: LoginNode | None) -> Iterator[tuple[str, str]]:
    """Yield names of people, hosts and accounts, and the words that replace them."""
    places = [node.account, *node.jumps] if node else []
    for place in [*places, f"{getpass.getuser()}@{socket.gethostname()}"]:
        user, _, host = place.rpartition("@")
        yield user, "USER"
        yield from ((name, "HOST") for name in (host.partition(":")[0], host.partition(".")[0]))
    yield from ((name or "", "ACCOUNT") for name in (layers.profile.account, os.environ.get("ACCOUNT")))


def _clean(text: str, secrets: Iterable[str], names: dict[str, str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(" ".join(secret.split()), "SECRET")  # as a finding's line has it
    for pattern, word in _QUOTED:
        text = re.sub(pattern, word, text)
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", names[name], text)
    return text
