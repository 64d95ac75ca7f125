"""Slurm kills a job for its memory. That takes cgroups, and so root: the node's slurmd sees those below its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.daemons import find_program
from tests.integration.test_long_jobs import Site, together

pytestmark = [pytest.mark.sandbox, pytest.mark.all]

SLURM_CONF = ("TaskPlugin=task/cgroup", "SelectTypeParameters=CR_Core_Memory")
CGROUP_CONF = "CgroupPlugin=cgroup/v1\\nCgroupAutomount=no\\nCgroupMountpoint={folder}\\nConstrainRAMSpace=yes\\n"
SLURMD = """\
#!/bin/sh
printf '{conf}' > "${{SLURM_CONF%/*}}/cgroup.conf"
exec unshare --mount --cgroup sh -c '{mount} && exec {slurmd} "$@"' slurmd "$@"
"""


@pytest.fixture
def box(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """One node that holds jobs to the memory they ask for."""
    folder = tmp_path_factory.mktemp("m")
    (folder / "memory").mkdir()
    (folder / "bin").mkdir()
    mount = f"mount -t cgroup -o memory none {folder}/memory"

    def below(then: str) -> int:
        command = ["unshare", "--mount", "--cgroup", "sh", "-c", f"{mount} && {then}"]
        return subprocess.run(command, check=False, capture_output=True).returncode

    if below("true"):
        pytest.skip("only root can give jobs cgroups, where cgroup v1 has the memory controller")
    program = folder / "bin" / "slurmd"
    conf = CGROUP_CONF.format(folder=folder)
    program.write_text(SLURMD.format(conf=conf, mount=mount, slurmd=find_program("slurmd")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin{os.pathsep}{os.environ['PATH']}")
    with Sandbox(folder / "c", nodes=1, slurm_conf=SLURM_CONF) as box:
        yield box
    assert below(f"find {folder}/memory -depth -mindepth 1 -path '*/slurm_n1*' -type d -exec rmdir {{}} +") == 0


def test_out_of_memory_is_cured_by_more_memory(
    box: Sandbox,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connected(box)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "1")
    caplog.set_level(logging.INFO, logger="airflow_slurm_sweep")
    site = Site(box=box, folder=tmp_path, jobs={})
    takes = f"{sys.executable} -c 'bytearray(150 << 20)'"

    def again(times: int) -> dict[str, Any]:
        rule = {"on": "OUT_OF_MEMORY", "times": times, "mem": "x2"}
        return {"chain": {"jobs": 0, "on": [], "retry": [rule]}, "options": {"mem": "60M"}, "warn": 0}

    contained = replace(site.request("contained", takes, **again(1)), **site.in_container())
    cured, hopeless, in_step = together(
        site.run(site.request("cured", takes, **again(2))),
        site.run(site.request("hopeless", takes, **again(1))),
        site.run(contained),
    )
    assert (cured.status.text, cured.status.chain) == ("COMPLETED", "2 retries, mem=240M"), cured.text
    first, second, third = site.jobs["cured"]
    assert f"Job {first} ended as OUT_OF_MEMORY (OutOfMemory); job {second} follows with mem=120M" in caplog.text
    assert (
        f"Job {second} ended as OUT_OF_MEMORY (OutOfMemory) (1 retry); job {third} follows with mem=240M" in caplog.text
    )
    assert (hopeless.status.text, len(site.jobs["hopeless"])) == ("OUT_OF_MEMORY", 2), hopeless.text
    assert hopeless.status.chain == "1 retry, mem=120M"
    assert (in_step.status.text, len(site.jobs["contained"])) == ("OUT_OF_MEMORY", 2), in_step.text
    assert in_step.status.reason.startswith("a step of the job, which itself FAILED")
