"""Chains whose jobs lose their nodes or are preempted: no link used up, and one writer in a run directory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.integration.test_long_jobs import TRAIN, Site
from tests.integration.test_requeue import restore, until

pytestmark = pytest.mark.sandbox

LINES = (
    "SlurmdTimeout=9",
    "PartitionName=grace Nodes=ALL PriorityTier=1 PreemptMode=CANCEL GraceTime=5",
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Two nodes that count as lost after 9 s without an answer, and forget ended jobs after 5 s."""
    with Sandbox(tmp_path_factory.mktemp("l"), nodes=2, min_job_age=5, accounting=True, slurm_conf=LINES) as box:
        yield box


@pytest.fixture
def site(box: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    connected(box)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "1")
    (tmp_path / "train.py").write_text(TRAIN)
    return Site(box=box, folder=tmp_path, jobs={})


def writers(site: Site, name: str) -> list[str]:
    """Return the jobs that wrote steps, in the order of the lines; one that wrote again later is there twice."""
    lines = (site.folder / name / "steps").read_text().splitlines()
    found: list[str] = []
    for line in lines:
        job = line.split()[1]
        if found[-1:] != [job]:
            found.append(job)
    return found


@pytest.mark.slow("Slurm takes 9 s for it, and the next job waits until the lost one has read that it is lost")
@pytest.mark.all
def test_a_job_that_goes_on_on_a_lost_node_ends_before_the_next_one_writes(site: Site, box: Sandbox) -> None:
    request = site.training("lost", 900, 10, chain={"jobs": 1}, time="10")

    async def work() -> None:
        running = asyncio.create_task(site.run(request))
        while "lost" not in site.jobs:
            await asyncio.sleep(0.1)
        node = (await until(box, site.jobs["lost"][0], "RUNNING")).split()[-1]
        while not (site.folder / "lost" / "steps").exists():
            await asyncio.sleep(0.1)
        box.stop(node)
        try:
            end = await asyncio.wait_for(running, 240)
        finally:
            restore(box, node)
        assert (end.status.text, end.status.chain) == ("COMPLETED", "1 of 1 jobs"), end.text

    asyncio.run(work())
    first, second = site.jobs["lost"]
    assert writers(site, "lost") == [first, second]


@pytest.mark.parametrize(
    ("partition", "saves", "in_container"),
    [
        ("low", ["SIGTERM"], False),
        ("grace", ["SIGTERM"], False),
        ("grace", ["SIGTERM"], True),
        ("grace", [], False),
        ("grace", [], True),
    ],
    ids=["requeue", "grace", "grace in a container", "dies", "dies in a container"],
)
@pytest.mark.all
def test_a_preempted_job_is_followed(
    site: Site, box: Sandbox, partition: str, saves: list[str], in_container: bool
) -> None:
    options = {"exclusive": True}
    request = site.training("low", 400, 10, *saves, partition=partition, nodes=2, options=options, time="10")
    request = replace(request, **site.in_container()) if in_container else request

    async def work() -> None:
        running = asyncio.create_task(site.run(request))
        while "low" not in site.jobs:
            await asyncio.sleep(0.1)
        while not (site.folder / "low" / "steps").exists():  # what gets SIGTERM while it starts, dies of it
            await asyncio.sleep(0.1)
        box.slurm("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
        end = await asyncio.wait_for(running, 240)
        assert (end.status.text, end.status.chain) == ("COMPLETED", "1 of 6 jobs"), end.text
        print(end.text, box.slurm("sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode"), site.signal("low", 0))

    asyncio.run(work())
    first, second = site.jobs["low"]
    assert writers(site, "low") == [first, second]
    assert set(site.steps("low")) == set(range(1, 401))
    assert json.loads((site.folder / "low" / "checkpoint.json").read_text()) == {"step": 400}
