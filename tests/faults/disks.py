"""Run directories without space, or that nobody can write to."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

KINDS = ("full", "read-only")


class Disks:
    """Run directories on small file systems of their own, full or read-only until mended. Needs the right to mount."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._mounted: list[Path] = []

    @staticmethod
    def possible() -> bool:
        """Whether this user may mount."""
        return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0

    def break_disk(self, kind: str, job_name: str) -> None:
        """Give a job name a run directory of that kind, one of `KINDS`."""
        folder = self._mount(job_name)
        if kind == "read-only":
            self._remount(folder, "ro")
        else:
            _fill(folder / "filler")

    def mend(self) -> None:
        """Make all of them writable, with space."""
        for folder in self._mounted:
            self._remount(folder, "rw,size=16m")
            (folder / "filler").unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take them all away."""
        for folder in self._mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)
        self._mounted = []

    def _mount(self, job_name: str) -> Path:
        folder = self._log / "nemo-rl" / job_name
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
        self._mounted.append(folder)
        return folder

    @staticmethod
    def _remount(folder: Path, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:  # "no space left" is what we want
        while file.write(b"0" * 4096):
            pass
