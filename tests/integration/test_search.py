"""`search: tpe`: trials get their parameters when their turn comes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.errors import NotYetError, StaleError
from airflow_slurm_sweep.names import place_file
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.run_client import RunClient
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.sweep.spec import parse_sweep
from sandbox import Sandbox
from sandbox.processes import wait_until
from tests.docs import blocks, sections
from tests.fixtures import Airflow
from tests.integration.login import FIRST, Login
from tests.integration.test_contract import Run
from tests.integration.test_guides import PAGE as GUIDES
from tests.integration.test_guides import SEARCH

pytestmark = pytest.mark.sandbox

TRIALS = 18
# Each job waits for the results of all but the four latest trials: on a busy machine they may come late.
SWEEP = """\
command: |
  cd {run_dir}/..
  proposed=$(wc -l < .slurm_sweep/*/proposals)
  until [ "$(ls -d */.slurm_sweep/result | wc -l)" -ge $((proposed - 4)) ]; do sleep 0.2; done
  loss=$(awk -v x="$SWEEP_X" 'BEGIN {{ print (x - 0.3) * (x - 0.3) }}')
  printf '{{"loss": %s}}' "$loss" > {run_dir}/metrics.json
x: {uniform: [0, 1]}
kind: [a, b]
slurm: {gpus_per_node: 0, jobname: searched, max_parallel_jobs: 4}
sweep: {search: tpe, trials: 18, objective: {metric: loss, goal: minimize}}
"""


class Searched(Run):
    """A Dag run of the sweep."""

    def __init__(
        self, airflow: Airflow, cluster: Sandbox, sweeps: Path, name: str = "searched", text: str = SWEEP
    ) -> None:
        self._airflow, self._cluster, self.name = airflow, cluster, name
        (sweeps / f"{name}.yaml").write_text(text)
        airflow.wait_for_dag(name)
        path = f"/api/v2/dags/{name}/dagRuns"
        self.id = airflow.call("POST", path, {"logical_date": None, "conf": {}})["dag_run_id"]
        self.path = f"{path}/{self.id}"


def parameters(folder: Path, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"searched_sweep_{number}" / "parameters.json").read_text())
    return found


@pytest.mark.all
def test_each_trial_runs_once_and_the_page_and_report_know_what_was_proposed(
    airflow: Airflow, cluster: Sandbox, sweeps: Path
) -> None:
    run = Searched(airflow, cluster, sweeps)
    assert run.wait_for_end() == "success"
    folder = next(Path(str(cluster.profile["log"])).rglob("searched_sweep_1")).parent
    ran = {number: parameters(folder, number) for number in range(1, TRIALS + 1)}
    assert len({json.dumps(each) for each in ran.values()}) == TRIALS
    planned = parse_sweep(SWEEP, source="searched").space.chosen
    (listed,) = folder.rglob("proposals")
    order = [int(line.rpartition("_")[2]) for line in listed.read_text().splitlines()]
    assert sorted(order) == [*range(1, TRIALS + 1)]
    assert all(ran[number] == planned[number - 1] for number in order[:10]), "few results: as a random search"
    assert ran[order[-1]] not in planned, "proposed from the results"
    rows = {row["index"]: row for row in run.xcom("report", -1, "rows")}
    assert {number: row["parameters"] for number, row in rows.items()} == ran
    for number, row in rows.items():
        assert row["metrics"]["loss"] == pytest.approx((ran[number]["x"] - 0.3) ** 2, abs=1e-5)
    run.clear("submit", 2, downstream=True)
    assert run.wait_for_end() == "success"
    assert parameters(folder, 3) == ran[3], "a trial that runs again keeps its parameters"
    assert len(run_logs(folder, 3)) == 2


def run_logs(folder: Path, number: int) -> list[Path]:
    return [*(folder / f"searched_sweep_{number}" / "logs").glob("slurm-*.out")]


@pytest.mark.all
def test_the_guides_search_finds_what_is_good_and_stops_what_is_not(
    airflow: Airflow, cluster: Sandbox, sweeps: Path
) -> None:
    section = next(number for number, title in enumerate(sections(GUIDES), start=1) if title == SEARCH)
    script, sweep = (block.text for block in blocks(GUIDES) if block.section == section and block.file)
    folder = str(cluster.profile["workdir"])
    (Path(folder) / "train_search.py").write_text(script)
    text = sweep.replace("/lustre/me/search", folder).replace("python3 train.py", f"{sys.executable} train_search.py")
    run = Searched(airflow, cluster, sweeps, "search", f"preset: plain\n{text}")
    assert run.wait_for_end() == "success"
    rows = run.xcom("report", -1, "rows")
    stopped = [row for row in rows if row["stopped"]]
    assert len(rows) == 24
    assert 8 <= len(stopped) <= 22
    assert rows[0]["metrics"]["loss"] < 0.01
    assert all(row["metrics"]["loss"] > rows[0]["metrics"]["loss"] for row in stopped if "loss" in row["metrics"])


Trials = Callable[..., tuple[JobRequest, Attempt]]


@pytest.fixture
def login(cluster: Sandbox, tmp_path: Path) -> Login:
    return Login(box=cluster, folder=tmp_path)


@pytest.fixture
def trial(login: Login) -> Trials:
    def trial(number: int, **more: Any) -> tuple[JobRequest, Attempt]:
        more = {"index": number, "trial": number - 1, "max_parallel_jobs": 3, "objective": "loss"} | more
        request = login.request("sleep 60", f"trial_{number}", parameters={"x": number}, **more)
        return request, replace(FIRST, map_index=number, id=f"01-{number}")

    return trial


def test_a_place_is_free_once_the_result_is_known(login: Login, trial: Trials) -> None:
    first, second = (trial(number, max_parallel_jobs=1, proposals=number - 1) for number in (1, 2))
    job = login.submit(*first)
    assert wait_until(lambda: login.jobs("trial_1")[job] == "RUNNING")
    login.box.slurm("scancel", job)
    assert wait_until(lambda: login.jobs("trial_1")[job] == "CANCELLED")
    with pytest.raises(NotYetError, match="max_parallel_jobs is 1"):
        login.submit(*second)
    assert login.submit(*first) == job, "the task was killed, and asks again"
    leave = RunClient(login.client).leave_result
    asyncio.run(leave(submitted_job(first[0], job), JobStatus(job_id=job, text="CANCELLED", source="squeue")))
    other = login.submit(*second)
    assert login.live("trial_2") == [other]
    assert login.submit(*first) == job
    assert not Path(place_file(first[0].run_dir, job)).exists()


def test_a_proposal_counts_if_it_knows_all_before_it(login: Login, trial: Trials) -> None:
    async def propose() -> None:
        client = login.client
        run = RunClient(client)
        first = await client.submit(*trial(1, proposals=0))
        with pytest.raises(StaleError, match="another trial came before"):
            await client.submit(*trial(2, proposals=0))
        second = await client.submit(*trial(2, proposals=1))
        assert (await client.submit(*trial(2, proposals=1))).job_id == second.job_id
        known = await run.proposals(*trial(3))
        assert (known.number, [each.parameters for each in known.found]) == (2, [{"x": 1}, {"x": 2}])
        assert known.of(trial(2)[0].run_dir) == {"x": 2}
        assert known.of(trial(3)[0].run_dir) is None
        await run.leave_result(
            first, JobStatus(job_id=first.job_id, text="COMPLETED", metrics={"loss": 0.5}, source="squeue")
        )
        known = await run.proposals(*trial(3))
        assert [each.result for each in known.found] == [
            {"job": first.job_id, "state": "COMPLETED", "value": 0.5, "step": None},
            None,
        ]
        request, attempt = trial(3)
        other = await run.proposals(request, replace(attempt, run_id="another"))
        assert (other.number, other.found) == (0, [])
        # Six at once: the next place in the order goes to one.
        six = [client.submit(*trial(number, proposals=2)) for number in range(3, 9)]
        answers = await asyncio.gather(*six, return_exceptions=True)
        assert sum(isinstance(each, SubmittedJob) for each in answers) == 1, answers
        for job in [first, second, *answers]:
            if isinstance(job, SubmittedJob):
                await client.cancel(job)

    asyncio.run(propose())
