"""Processes as Linux tells of them in /proc: which live, which listen, which belong to a sandbox.

A process belongs to the sandbox in DIR if one of these holds:

- its environment holds the marker ``SLURM_SANDBOX=DIR`` that all daemons and SSH sessions are started with,
- it is part of one of the cluster's jobs (SLURM_CONF and SLURMD_NODENAME in its environment),
- it writes to a file in ``DIR/logs`` (sshd and slurmstepd overwrite their environment with their title),
- its parent belongs to the sandbox.

Names of programs are never looked at, so that nobody else's daemons are met.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.config import LOOPBACK, MARKER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

PROC = Path("/proc")
LISTENS = "0A"  # the state of a TCP socket


class SandboxError(Exception):
    """The cluster could not be started, stopped or asked."""


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> bool:
    """Wait for a condition; False if it did not come true in time, by default what a machine with other work may take.

    Looking takes a tenth of the time, more only where a look takes over 50 ms: what is waited for needs the machine.
    """
    deadline = time.monotonic() + seconds
    while True:
        looked = time.monotonic()
        if condition():
            return True
        now = time.monotonic()
        if now > deadline:
            return False
        time.sleep(min(max(0.02, 9 * (now - looked)), 0.5))


def started_at(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot, None if it is dead; pid and start time never come twice."""
    stat = _stat(pid)
    return None if stat is None else int(stat[19])


def ancestors(pid: int) -> set[int]:
    """The process and its parents."""
    found: set[int] = set()
    while (stat := _stat(pid)) is not None:
        found.add(pid)
        pid = int(stat[1])
    return found


def tree(roots: Iterable[int]) -> set[int]:
    """The living ones of some processes and all their descendants."""
    parents = {pid: int(stat[1]) for pid in _pids() if (stat := _stat(pid)) is not None}
    found = parents.keys() & set(roots)
    while children := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= children
    return found


def parent(pid: int) -> int:
    """The parent of a process; 0 if it is dead."""
    stat = _stat(pid)
    return 0 if stat is None else int(stat[1])


def session(leader: int) -> set[int]:
    """All living processes of the session that a process leads or led."""
    return {pid for pid in _pids() if (stat := _stat(pid)) is not None and int(stat[3]) == leader}


def title(pid: int) -> str:
    """The command line of a process, as it may have rewritten it; empty if it is dead."""
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def belonging_to(directory: Path) -> set[int]:
    """All living processes of a sandbox, never the caller or its parents."""
    return tree(pid for pid in _pids() if _is_marked(pid, directory)) - ancestors(os.getpid())


def writing_to(files: Iterable[Path]) -> set[int]:
    """All living processes that have one of some files open for writing."""
    paths = tuple(map(str, files))
    return {pid for pid in _pids() if _writes_to(pid, *paths)}


def send(signal_number: signal.Signals, pids: Iterable[int]) -> None:
    """Signal processes; those that are gone do not matter."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def listens(address: int | str) -> bool:
    """Whether a process listens on a TCP port of this host or on a unix socket's path.

    Read from /proc, because a trial connection would leave errors in the daemons' logs.
    """
    if isinstance(address, str):
        rows = (line.split() for line in (PROC / "net/unix").read_text().splitlines())
        return any(row[-1] == address and row[3] == "00010000" for row in rows)
    rows = (line.split() for line in (PROC / "net/tcp").read_text().splitlines())
    return any(row[3] == LISTENS and int(row[1].partition(":")[2], 16) == address for row in rows if row[0] != "sl")


def reachable_from_outside(pids: Collection[int]) -> set[str]:
    """Return where some processes listen that is not the loopback address: ``slurmctld 0.0.0.0:6817``."""
    owners = {inode: pid for pid in pids for inode in _sockets(pid)}
    found = set()
    for table in ("tcp", "tcp6"):
        rows = (line.split() for line in (PROC / "net" / table).read_text().splitlines()[1:])
        for row in rows:
            host, _, port = row[1].partition(":")
            # Words of four bytes, each in this machine's order.
            words = (bytes.fromhex(host[start : start + 8]) for start in range(0, len(host), 8))
            address = ip_address(b"".join(word if sys.byteorder == "big" else word[::-1] for word in words))
            if row[3] == LISTENS and row[9] in owners and not address.is_loopback:
                found.add(f"{title(owners[row[9]]).partition(' ')[0]} {address}:{int(port, 16)}")
    return found


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    with suppress(OSError):
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found |= set(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    return found


def is_free(port: int) -> bool:
    """Whether a TCP port of the loopback address can be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on, None for a dead or defunct process."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name stands in brackets and may itself hold blanks and brackets.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields


def _is_marked(pid: int, directory: Path) -> bool:
    process = PROC / str(pid)
    # Other users' processes cannot be read: they are not ours.
    with suppress(OSError):
        variables = set((process / "environ").read_bytes().split(b"\0"))
        if f"{MARKER}={directory}".encode() in variables:
            return True
        if f"SLURM_CONF={directory}/slurm.conf".encode() in variables:
            return any(variable.startswith(b"SLURMD_NODENAME=") for variable in variables)
    return _writes_to(pid, f"{directory}/logs/")


def _writes_to(pid: int, *prefixes: str) -> bool:
    """Whether a process has a file open for writing, as a mere reader of a log has not, whose path starts so."""
    with suppress(OSError):
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError):
                if descriptor.lstat().st_mode & 0o200 and str(descriptor.readlink()).startswith(prefixes):
                    return True
    return False
