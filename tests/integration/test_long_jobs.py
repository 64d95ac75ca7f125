"""Trainings that outlast their limit, on real Slurm: what docs/long_jobs.md promises, row by row."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.errors import TaskTimeoutError
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, JobRequest, SubmittedJob
from airflow_slurm_sweep.slurm.snapshot import seconds
from airflow_slurm_sweep.tasks.chained import Chained
from airflow_slurm_sweep.tasks.cluster import cluster_session
from airflow_slurm_sweep.tasks.one_job import JobEnd, await_job
from sandbox import Sandbox
from sandbox.airflow import PROJECT
from tests.integration.test_jobs import attempt
from tests.integration.test_requeue import until

pytestmark = pytest.mark.sandbox

# A training of so many steps of a tenth of a second. It saves every so many steps, and when it is warned if it wants to.
TRAIN = """\
import json, os, pathlib, signal, sys, time
steps, every, handles = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
folder = pathlib.Path(os.environ["BASE_LOG_DIR"])
saved = folder / "checkpoint.json"
step = json.loads(saved.read_text())["step"] if saved.exists() else 0
warned = []
for name in handles:
    signal.signal(getattr(signal, name), lambda *_: warned.append(1))
def save():
    (folder / "checkpoint.new").write_text(json.dumps({"step": step}))
    os.replace(folder / "checkpoint.new", saved)
    (folder / "metrics.json").write_text(json.dumps({"total_steps": step}))
while step < steps and not warned:
    step += 1
    with open(folder / "steps", "a") as lines:
        print(step, os.environ["SLURM_JOB_ID"], file=lines)
    time.sleep(0.1)
    if every and step % every == 0:
        save()
save()
"""

# What pyxis does with srun's options for containers, without a container: it takes them away.
SRUN = """\
#!/bin/bash
printf '%s\\n' "$@" | grep '^--container-' > "$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.options"
for word; do case $word in --container-*) ;; *) set -- "$@" "$word" ;; esac; shift; done
exec /usr/bin/srun "$@"
"""


@dataclass(kw_only=True)
class Site:
    """A cluster, and the jobs that each training had."""

    box: Sandbox
    folder: Path
    jobs: dict[str, list[str]]

    def request(self, name: str, command: str, **changes: Any) -> JobRequest:
        folder = str(self.folder / name)
        request = JobRequest(
            ssh_conn_id="slurm_sandbox",
            name=name,
            command=command,
            run_dir=folder,
            script=JOB_SCRIPT,
            time="1",
            warn=15,
        )
        return replace(request, **changes)

    def training(self, name: str, *arguments: object, **changes: Any) -> JobRequest:
        words = " ".join(map(str, arguments))
        return self.request(
            name, f"{sys.executable} {self.folder}/train.py {words}", **{"chain": {"jobs": 6}, **changes}
        )

    def in_container(self) -> dict[str, Any]:
        """Return the changes that put a request's command into a step of srun's, where pyxis would put a container."""
        (self.folder / "bin").mkdir()
        program = self.folder / "bin" / "srun"
        program.write_text(SRUN)
        program.chmod(0o755)
        container = {"container": "/images/x.sqsh", "mounts": "/a:/b,/c:/d"}
        return {**container, "env": {"PATH": f"{self.folder}/bin:/usr/bin:/bin"}}

    async def run(self, request: JobRequest) -> JobEnd:
        """Submit a job, and wait for it and those that follow, as the two tasks do."""
        task = replace(attempt(), task_id=request.name, id=request.name)
        async with cluster_session(request.site) as cluster:
            job = (await cluster.submit(request, task)).of(request)
        return await self.wait(job, request, "w")

    async def wait(self, job: SubmittedJob, request: JobRequest, task_id: str, seconds: float | None = None) -> JobEnd:
        jobs = self.jobs.setdefault(request.name, [job.job_id])

        async def resolve(request: JobRequest) -> JobRequest:
            return request

        waits = replace(attempt(), task_id=task_id, id=f"{task_id}-{request.name}")
        chained = Chained(request=request, attempt=waits, resolve=resolve, on_next=lambda job: jobs.append(job.job_id))
        return await await_job(job, seconds=seconds, chained=chained if request.chain else None)

    def steps(self, name: str) -> list[int]:
        return [int(line.split()[0]) for line in (self.folder / name / "steps").read_text().splitlines()]

    def signal(self, name: str, number: int = -1) -> str:
        exit_file = self.folder / name / ".slurm_sweep" / f"{self.jobs[name][number]}.exit"
        return exit_file.read_text().splitlines()[0]


@pytest.fixture
def site(
    cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Site:
    connected(cluster)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "1")
    (tmp_path / "train.py").write_text(TRAIN)
    return Site(box=cluster, folder=tmp_path, jobs={})


def together(*work: Coroutine[Any, Any, JobEnd]) -> list[JobEnd]:
    async def gather() -> list[JobEnd]:
        return await asyncio.wait_for(asyncio.gather(*work), 560)

    return asyncio.run(gather())


DOCUMENTED = re.findall(r"```text\n(import .*?)```", (PROJECT / "docs" / "long_jobs.md").read_text(), re.DOTALL)
RAY_SUB = """\
#!/bin/bash
set -e
trap 'exit 0' TERM
bash -c "$COMMAND" &
wait
"""


@pytest.mark.slow("limits of a minute, of which Slurm looks every half")
@pytest.mark.all
def test_trainings_that_outlast_their_limit(site: Site) -> None:
    """All at once, since each takes minutes."""
    (site.folder / "ray.sub").write_text(RAY_SUB)
    (script,) = DOCUMENTED
    script = script.replace("step += 1  # train", "import time; time.sleep(0.05); step += 1")
    (site.folder / "documented.py").write_text(script)
    ray = {"script": "", "warn": 0, "batch_script": str(site.folder / "ray.sub")}
    reached = {"jobs": 6, "until": {"total_steps": 1200}}
    saves, dies, ignores, ends_by_itself, used_up, idle, broken, single, by_ray, half, documented = together(
        site.run(site.training("saves", 800, 0, "SIGUSR1")),
        site.run(site.training("dies", 800, 10)),
        site.run(site.training("ignores", 800, 10, "SIGTERM", warn=0)),
        site.run(site.training("ends_by_itself", 100, 0, chain={"jobs": 6, "until": {"total_steps": 100}})),
        site.run(site.training("used_up", 9000, 10, "SIGUSR1", chain={"jobs": 2})),
        site.run(site.request("idle", "sleep 600", chain={"jobs": 6})),
        site.run(site.request("broken", "exit 7", chain={"jobs": 6})),
        site.run(site.training("single", 800, 0, "SIGUSR1", chain={})),
        site.run(site.training("by_ray", 1200, 10, chain=reached, **ray)),
        site.run(site.training("half", 100, 0, chain=reached)),
        site.run(site.request("documented", f"{sys.executable} {site.folder}/documented.py", chain={"jobs": 6})),
    )
    longer = {"saves": saves, "dies": dies, "ignores": ignores, "by_ray": by_ray}
    for name, end in longer.items():
        steps = 1200 if name == "by_ray" else 800
        assert end.status.state.value == "COMPLETED", end.text
        assert len(site.jobs[name]) >= 2
        assert [*(job for job, _ in end.status.earlier), end.status.job_id] == site.jobs[name]
        assert all(seconds(elapsed) for _, elapsed in end.status.earlier), end.status.earlier
        assert json.loads((site.folder / name / "checkpoint.json").read_text()) == {"step": steps}
        assert set(site.steps(name)) == set(range(1, steps + 1))
        assert end.status.chain.startswith(f"{len(site.jobs[name])} of 6 jobs")
    assert site.steps("saves") == list(range(1, 801)), "each once"
    assert (site.signal("saves", 0), site.signal("saves")) == ("0 USR1", "0 -")
    assert (site.signal("dies", 0), site.signal("dies")) == ("138 USR1", "0 -")
    assert ends_by_itself.status.chain == "1 of 6 jobs, total_steps 100"
    assert (used_up.status.text, used_up.status.chain) == ("INCOMPLETE", "2 of 2 jobs")
    assert "ended as INCOMPLETE (the chain is used up), 2 of 2 jobs" in used_up.text
    assert len(site.jobs["used_up"]) == 2
    assert "the job made no progress" in idle.text
    assert len(site.jobs["idle"]) == 2
    assert (broken.status.text, broken.status.exit_code, len(site.jobs["broken"])) == ("FAILED", "7:0", 1)
    assert (single.status.text, len(site.jobs["single"])) == ("COMPLETED", 1)
    assert "the job got SIGUSR1 before it ended; its work may be incomplete" in single.text
    assert half.status.chain == "2 of 6 jobs, total_steps 100"
    assert "INCOMPLETE (the job made no progress)" in half.text, "COMPLETED, and the metric did not move"
    assert documented.status.state.value == "COMPLETED", documented.text
    assert json.loads((site.folder / "documented" / "checkpoint.json").read_text()) == {"step": 2000}
    assert len(site.jobs["documented"]) >= 2


@pytest.mark.all
def test_a_chain_that_is_cancelled_ends(site: Site) -> None:
    async def work() -> JobEnd:
        running = asyncio.create_task(site.run(site.request("cancelled", "sleep 600", chain={"jobs": 6})))
        while "cancelled" not in site.jobs:
            await asyncio.sleep(0.1)
        await until(site.box, site.jobs["cancelled"][0], "RUNNING")
        site.box.slurm("scancel", site.jobs["cancelled"][0])
        return await asyncio.wait_for(running, 240)

    end = asyncio.run(work())
    assert (end.status.state.value, end.status.chain) == ("CANCELLED", "1 of 6 jobs")
    assert len(site.jobs["cancelled"]) == 1


@pytest.mark.all
def test_a_chain_that_is_out_of_time_leaves_no_job(site: Site) -> None:
    """Its time ends while Slurm is asked for the next job."""
    request = site.training("limited", 3, 1, chain={"jobs": 6, "until": {"total_steps": 9000}})

    async def work() -> None:
        task = replace(attempt(), task_id="limited", id="limited")
        async with cluster_session(request.site) as cluster:
            job = (await cluster.submit(request, task)).of(request)
        with pytest.raises(TaskTimeoutError):
            await site.wait(job, request, "w", seconds=2)
        await asyncio.sleep(3)

    asyncio.run(work())
    shown = site.box.slurm("squeue", "--noheader", "--format=%j %T", "--states=PENDING,RUNNING")
    assert "limited" not in shown


AGAIN = """\
cd "$BASE_LOG_DIR"
scontrol show job "$SLURM_JOB_ID" | tr ' ' '\\n' | grep -E '^(MinMemoryNode|ExcNodeList|NodeList|TimeLimit)=' > "job$SLURM_JOB_ID"
[ "$(ls job* | wc -l)" -ge 3 ] || exit 75
"""


def test_a_job_is_run_again_with_what_cures_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airflow_slurm_sweep")
    rule = {"on": "FAILED", "times": 2, "exit_codes": [75], "mem": "x2", "time": "x1.5", "exclude_node": True}
    retry: dict[str, Any] = {"time": "10", "warn": 0, "options": {"mem": "100M"}}
    retry["chain"] = {"jobs": 0, "on": [], "retry": [rule]}
    cured, hopeless, other = together(
        site.run(site.request("cured", AGAIN, **retry)),
        site.run(site.request("hopeless", "exit 75", **retry)),
        site.run(site.request("other", "exit 3", **retry)),
    )
    assert (cured.status.text, len(site.jobs["cured"])) == ("COMPLETED", 3), cured.text
    assert [job for job, _ in cured.status.earlier] == site.jobs["cured"][:2]
    assert all(re.fullmatch("00:00:[0-9]{2}", elapsed) for _, elapsed in cured.status.earlier), cured.status.earlier
    shown = []
    for job in site.jobs["cured"]:
        lines = (site.folder / "cured" / f"job{job}").read_text().splitlines()
        shown.append(dict(line.partition("=")[::2] for line in lines))
    assert [each["MinMemoryNode"] for each in shown] == ["100M", "200M", "400M"]
    assert [each["TimeLimit"] for each in shown] == ["00:10:00", "00:15:00", "00:22:00"]
    nodes = [each["NodeList"] for each in shown]
    assert len(set(nodes)) == 3, "each on another node"
    assert cured.status.chain == f"2 retries, time=22, mem=400M, exclude={nodes[0]},{nodes[1]}"
    assert f"follows with time=22, mem=400M, exclude={nodes[0]},{nodes[1]}" in caplog.text
    assert (hopeless.status.text, len(site.jobs["hopeless"])) == ("FAILED", 3)
    assert "after 2 retries for this" in hopeless.text
    assert (other.status.text, len(site.jobs["other"])) == ("FAILED", 1)


@pytest.mark.slow("limits of a minute, of which Slurm looks every half")
@pytest.mark.all
def test_signals_reach_a_command_in_a_container(site: Site) -> None:
    inside = {**site.in_container(), "chain": {"jobs": 12}}
    warned, ended = together(
        site.run(site.training("warned", 800, 0, "SIGUSR1", **inside)),
        site.run(site.training("ended", 1500, 0, "SIGTERM", warn=0, **inside)),
    )
    for name, end, steps, sent in (("warned", warned, 800, "USR1"), ("ended", ended, 1500, "TERM")):
        assert end.status.state.value == "COMPLETED", end.text
        assert len(site.jobs[name]) >= 2
        assert site.steps(name) == list(range(1, steps + 1)), "each once: it saved when the signal came, and only then"
        assert (site.signal(name, 0).split()[1], site.signal(name)) == (sent, "0 -")
        options = (site.folder / name / ".slurm_sweep" / f"{site.jobs[name][0]}.options").read_text().splitlines()
        assert options == [
            "--container-image=/images/x.sqsh",
            f"--container-workdir={site.box.directory}/home",
            "--container-mounts=/a:/b,/c:/d",
        ]
