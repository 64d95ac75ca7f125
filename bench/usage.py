"""Memory and processor time of the parts of a system, as Linux counts them in /proc.

Memory is the proportional set size: pages that processes share, as Airflow's forked ones do, count once in the sum.
Processor time is that of all processes below a part's first one, those that have ended included.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.sampler import Sampler

PROC = Path("/proc")
INTERVAL = 1.0  # seconds between two looks
# Linux walks through all pages of a process to tell its proportional size, 2 ms for one of Airflow's. Where a look took
# long, the next one comes later: never more than this part of one processor is spent on looking.
SHARE = 1 / 50
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one part used.

    Attributes:
        peak_bytes: Highest memory of all its processes together that was seen.
        cpu_seconds: Processor time.
    """

    peak_bytes: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Process:
    """A line of /proc/PID/stat: the parent, and the processor time of the process and its children that have ended."""

    parent: int
    cpu_seconds: float


def parse_stat(text: str) -> Process:
    """Read /proc/PID/stat. The program's name stands in brackets and may itself hold blanks and brackets."""
    fields = text.rpartition(")")[2].split()
    return Process(parent=int(fields[1]), cpu_seconds=sum(map(int, fields[11:15])) / _TICKS)


def parse_pss(text: str) -> int:
    """Read the bytes of the proportional set size in /proc/PID/smaps_rollup; 0 if there are none."""
    found = _PSS.search(text)
    return int(found[1]) * 1024 if found else 0


def families(processes: Mapping[int, Process], roots: Mapping[str, int]) -> dict[str, set[int]]:
    """The processes of each part: its first one and all that descend from it."""
    part_of: dict[int, str | None] = {pid: part for part, pid in roots.items()}

    def find(pid: int) -> str | None:
        if pid not in part_of:
            part_of[pid] = find(processes[pid].parent) if pid in processes else None
        return part_of[pid]

    found: dict[str, set[int]] = {part: set() for part in roots}
    for pid in processes:
        part = find(pid)
        if part is not None:
            found[part].add(pid)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the processes of a part hold now.

    Attributes:
        threads: Their number.
        files: Open files, connections among them.
        bytes: Memory.
    """

    threads: int
    files: int
    bytes: int


def holdings(roots: Mapping[str, int]) -> dict[str, Holding]:
    """Return what each part holds; ``roots`` as for `Meter`."""
    return {
        part: Holding(
            threads=sum(_entries(pid, "task") for pid in pids),
            files=sum(_entries(pid, "fd") for pid in pids),
            bytes=sum(map(_memory, pids)),
        )
        for part, pids in families(_processes(), roots).items()
    }


class Meter:
    """Watches the parts from its making until `stop`.

    Args:
        roots: The first process of each part, by the part's name.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._peaks = dict.fromkeys(roots, 0)
        self._before = self._cpu = dict.fromkeys(roots, 0.0)
        self._next = 0.0
        self._look()
        self._before, self._busy = self._cpu, _busy_seconds()
        self._sampler = Sampler(self._look, INTERVAL)
        self._sampler.start()

    def stop(self) -> dict[str, Usage]:
        """End the watch, and return what each part used meanwhile."""
        self.close()
        self._look()
        return {
            part: Usage(peak_bytes=self._peaks[part], cpu_seconds=round(self._cpu[part] - self._before[part], 2))
            for part in self._roots
        }

    def close(self) -> None:
        """End the watch."""
        if self._sampler.is_alive():
            self._sampler.stop()

    def machine(self) -> float:
        """Processor seconds of the whole machine since the making, whoever used them."""
        return _busy_seconds() - self._busy

    def _look(self) -> None:
        processes = _processes()
        parts = families(processes, self._roots)
        for part, pids in parts.items():
            # A process whose parent died takes what its ended children used with it: the sum may shrink.
            seconds = sum(processes[pid].cpu_seconds for pid in pids)
            self._cpu = {**self._cpu, part: max(self._cpu[part], seconds)}
        if time.monotonic() >= self._next:
            began = time.thread_time()
            for part, pids in parts.items():
                self._peaks[part] = max(self._peaks[part], sum(map(_memory, pids)))
            self._next = time.monotonic() + (time.thread_time() - began) / SHARE


def _processes() -> dict[int, Process]:
    found = {}
    for name in os.listdir(PROC):  # noqa: PTH208 - a thousand processes each second: no objects for them
        if name.isdigit():
            with suppress(OSError):
                found[int(name)] = parse_stat((PROC / name / "stat").read_text())
    return found


def _memory(pid: int) -> int:
    process = PROC / str(pid)
    with suppress(OSError):
        return parse_pss((process / "smaps_rollup").read_text())
    with suppress(OSError):  # sshd lets nobody see the above: shared pages count in full then
        return int((process / "statm").read_text().split()[1]) * _PAGE
    return 0


def _entries(pid: int, folder: str) -> int:
    with suppress(OSError):
        return len(os.listdir(PROC / str(pid) / folder))  # noqa: PTH208 - their number is all
    return 0


def _busy_seconds() -> float:
    user, nice, system, _, _, irq, softirq = (PROC / "stat").read_text().split()[1:8]
    return sum(map(int, (user, nice, system, irq, softirq))) / _TICKS
