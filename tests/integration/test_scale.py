"""A thousand jobs and more: what they cost the cluster, the event loop of the triggerer, and the triggerer itself."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseHook

from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks.job_source import JobSource
from airflow_slurm_sweep.tasks.triggers import SubmitTrigger, WaitTrigger
from bench.logs import logins, remote_calls
from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until
from tests.full import FULL

pytestmark = [pytest.mark.sandbox, pytest.mark.alone]

INTERVAL = 3
LONGEST_STALL = 0.1  # seconds; Airflow complains of 0.2, and a slow machine takes twice as long as a fast one
STORM = 3000 if FULL else 800  # tasks


def connections(box: Sandbox) -> int:
    """Return how many SSH connections sshd has let in."""
    return logins((box.directory / "logs" / "sshd.log").read_text())


def calls(box: Sandbox) -> Counter[str]:
    """Return what slurmctld was asked for since `sdiag --reset`, how often."""
    return Counter(remote_calls(box.slurm("sdiag")))


class Loop:
    """Finds for how long an event loop belonged to one turn of callbacks: in CPU time, so that nobody else counts."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            last = now


@contextmanager
def no_collector() -> Iterator[None]:
    """Keep Python's collector away: it looks through all of Airflow's objects, for 0.06 to 0.2 s each time."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def task(task_id: str, index: int) -> Any:
    """Return a task instance as a trigger has it."""
    return SimpleNamespace(
        dag_id="d",
        run_id="r",
        task_id=task_id,
        map_index=index,
        try_number=1,
        id=f"01-{index}",
    )


async def started(kind: type[SubmitTrigger | WaitTrigger], task_id: str, partner: str, index: int) -> Any:
    plan = asdict(JobSource(task_id="plan", key="return_value", is_list=True))
    source = asdict(JobSource(task_id="g.submit", key="return_value", is_mapped=True))
    trigger: Any = (
        SubmitTrigger(source=plan, partner=partner)
        if kind is SubmitTrigger
        else WaitTrigger(source=source, partner=partner, planned_by=plan)
    )
    trigger._task_instance = task(task_id, index)
    return [event async for event in trigger.run()]


@pytest.mark.parametrize("size", [1000])
def test_one_connection_and_one_question_a_tick_and_no_stall(
    cluster: Sandbox, connected: Callable[[Sandbox], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    """All but Airflow is real: it hands out the plan, and says that all tasks live."""
    connected(cluster)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", str(INTERVAL))
    plan = [
        JobRequest(
            ssh_conn_id="slurm_sandbox",
            name=f"scale_sweep_{index}",
            command=f"exit {index % 100 == 0:d}",
            run_dir=f"{tmp_path}/scale_sweep_{index}",
            label=f"seed={index}",
        ).to_json()
        for index in range(size)
    ]
    read: list[dict[str, Any]] = []

    def get_one(**key: Any) -> list[dict[str, Any]] | str:
        read.append(key)
        others = {"script": '#!/bin/bash\neval "$COMMAND"\n', "consent": "", "attempt": "1"}
        return others.get(key["key"], plan)

    monkeypatch.setattr("airflow_slurm_sweep.tasks.requests.XCom.get_one", get_one)
    monkeypatch.setattr("airflow_slurm_sweep.tasks.orphans.RuntimeTaskInstance.get_ti_count", lambda **_: 0)
    loop = Loop()

    async def start_all(kind: Any, task_id: str, partner: str) -> list[Any]:
        tasks = []
        for index in range(size):
            tasks.append(asyncio.create_task(started(kind, task_id, partner, index)))
            await asyncio.sleep(0)  # as Airflow's triggerer does
        return await asyncio.gather(*tasks)

    async def run() -> tuple[list[Any], list[Any], float, Counter[str]]:
        watch = asyncio.create_task(loop.watch())
        submitted = await start_all(SubmitTrigger, "g.submit", "g.wait")
        before, began = calls(cluster), time.monotonic()
        ended = await start_all(WaitTrigger, "g.wait", "g.submit")
        watch.cancel()
        return submitted, ended, time.monotonic() - began, calls(cluster) - before

    BaseHook.get_connection("slurm_sandbox")  # Airflow imports what it needs for it, as it has in a triggerer
    cluster.slurm("sdiag", "--reset")
    before = connections(cluster)
    with no_collector():
        submitted, ended, seconds, asked = asyncio.run(run())
    assert connections(cluster) - before == 1
    assert calls(cluster)["REQUEST_SUBMIT_BATCH_JOB"] == size
    questions = asked["REQUEST_JOB_INFO"] + asked["REQUEST_JOB_USER_INFO"]
    assert 1 <= questions <= seconds + 2, "squeue: at most one a second, whoever waits"
    once = sorted(key["key"] for key in read if key["key"] != "attempt")
    assert once == ["consent", "return_value", "script"], "each is read once for all tasks"
    jobs = {event.xcoms["return_value"]["job_id"] for (event,) in submitted}
    assert len(jobs) == size
    ends = [event.xcoms.get("return_value") or event.xcoms["status"] for (event,) in ended]
    states = Counter(end["state"] for end in ends)
    assert states == {"COMPLETED": size - size // 100, "FAILED": size // 100}
    print(f"{size} jobs, {seconds:.0f} s, {questions} questions, longest stall {loop.longest * 1000:.0f} ms")
    assert loop.longest < LONGEST_STALL


def test_three_hundred_combinations_through_airflow(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    script = Path(str(cluster.profile["workdir"])) / "short.sh"
    script.write_text("#!/bin/bash\nexec sleep 1\n")
    (sweeps / "hundreds.yaml").write_text(
        f"script_path: examples/train_grpo.py\nseed: {list(range(300))}\n"
        "slurm: {jobname: hundreds, nodes: 1, gpus_per_node: 0, batch_script: short.sh}\n"
    )
    airflow.wait_for_dag("hundreds")
    before = connections(cluster)
    path = "/api/v2/dags/hundreds/dagRuns"
    run = airflow.call("POST", path, {"logical_date": None})["dag_run_id"]
    assert wait_until(lambda: over(airflow, f"{path}/{run}"))
    counts = airflow.call("GET", f"{path}/{run}/taskInstances?state=success&limit=1")["total_entries"]
    assert counts == 2 * 300 + 2, "no task failed"
    names = Counter(cluster.slurm("squeue", "--states=all", "--noheader", "--format=%j").split())
    assert {names[f"hundreds_sweep_{index:03d}"] or names[f"hundreds_sweep_{index}"] for index in range(1, 301)} == {1}
    assert connections(cluster) - before <= 3, "the triggerer's, and those of plan and report"


def test_three_thousand_rows_of_a_table_run_as_arrays(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    size = 3000
    rows = {number: number / 7 for number in range(size)}
    (sweeps / "rows.csv").write_text("seed,lr\n" + "".join(f"{seed},{lr}\n" for seed, lr in rows.items()))
    (sweeps / "table.yaml").write_text(
        "command: echo {seed} {lr} > {run_dir}/row\n"
        '"seed, lr": {csv: rows.csv}\n'
        "slurm: {jobname: table, submit: array, time: 0:5:0}\n"
    )
    airflow.wait_for_dag("table")
    path, began = "/api/v2/dags/table/dagRuns", time.monotonic()
    run = airflow.call("POST", path, {"logical_date": None})["dag_run_id"]
    assert wait_until(lambda: over(airflow, f"{path}/{run}"), 1500)
    seconds = time.monotonic() - began
    counts = airflow.call("GET", f"{path}/{run}/taskInstances?state=success&limit=1")["total_entries"]
    assert counts == 2 * size + 2, "no task failed"
    places = [Path(str(cluster.profile["log"])) / "table" / f"table_sweep_{number}" for number in range(1, size + 1)]
    found = [(place / "row").read_text().split() for place in places]
    assert [(int(seed), float(lr)) for seed, lr in found] == list(rows.items())
    jobs = [log.stem.removeprefix("slurm-") for place in places for log in (place / "logs").iterdir()]
    assert len(jobs) == len(set(jobs)) == size, "one job each"
    arrays = {job.partition("_")[0] for job in jobs if "_" in job}
    print(f"{size} rows: {len(arrays)} arrays, {sum('_' not in job for job in jobs)} single jobs, {seconds:.0f} s")
    assert len(arrays) < size / 10


def test_a_storm_of_log_lines_hangs_no_triggerer(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    """Hundreds of submissions, in the full form thousands, find out at the same moment that the login node does not answer, and say so."""
    (sweeps / "storm.yaml").write_text(
        f"script_path: examples/train_grpo.py\nseed: {list(range(STORM))}\n"
        "slurm: {jobname: storm, nodes: 1, gpus_per_node: 0}\n"
    )
    airflow.wait_for_dag("storm")
    path = "/api/v2/dags/storm/dagRuns"
    run = airflow.call("POST", path, {"logical_date": None})["dag_run_id"]
    planned = f"{path}/{run}/taskInstances/plan"
    assert wait_until(lambda: airflow.call("GET", planned)["state"] == "success"), "it asks the cluster, too"
    cluster.stop("sshd")
    try:
        logs = Path(airflow.home) / "logs" / "dag_id=storm"
        waiting = "no answer from the login node"

        def have_said_so() -> bool:
            time.sleep(5)
            files = list(logs.glob("run_id=*/task_id=combination.submit/map_index=*/*"))
            return sum(waiting in file.read_text() for file in files) >= STORM - 100

        assert wait_until(have_said_so, 400), "all said so, or nearly all"
        seen: set[str] = set()
        assert wait_until(lambda: beats(airflow, seen) > 4), airflow.log.read_text()[-3000:]
        airflow.patience = 120
        airflow.mark_run(f"{path}/{run}", "failed")
    finally:
        cluster.start("sshd")
    seen = set()
    assert wait_until(lambda: beats(airflow, seen) > 4), "the triggerer lives on"


def beats(airflow: Standalone, seen: set[str]) -> int:
    """Return how many heartbeats of the triggerer were seen: it has none while its event loop hangs."""
    time.sleep(1)
    with suppress(OSError):  # the api-server has much to do
        seen.add(airflow.call("GET", "/api/v2/monitor/health")["triggerer"]["latest_triggerer_heartbeat"])
    return len(seen)


def over(airflow: Standalone, run: str) -> bool:
    time.sleep(2)
    return airflow.call("GET", run)["state"] in ("success", "failed")
