"""A run that costs more than its sweep or cluster profile lets pass waits for a person, in all of Airflow, running."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from airflow_slurm_sweep.page import PREFIX
from sandbox import Sandbox
from sandbox.airflow import PROJECT, Api
from sandbox.processes import wait_until
from tests.fixtures import Airflow
from tests.integration.test_airflow import dags_test
from tests.integration.test_contract import Run

pytestmark = pytest.mark.sandbox

RULE = "approve: {above_cpu_hours: 0, by: [admin]}"
SLURM = 'time: "10"'
APPROVE, REJECT = "Approve", "Reject"


class Asking(Run):
    """A Dag run of a sweep with ``approve``."""

    def __init__(
        self, airflow: Airflow, cluster: Sandbox, sweeps: Path, name: str, *, rule: str = RULE, **more: Any
    ) -> None:
        self.processes = 1  # of workers, for approve
        super().__init__(airflow, cluster, sweeps, name, "true", 4, sweep=rule, slurm=SLURM, **more)

    def wait_until_asked(self) -> dict[str, Any]:
        self.wait_for({("approve", -1): "awaiting_input"})
        # Airflow takes an answer that comes before this event for a failure of the task, and asks again later: its issues
        # 71580 and 72716. A person takes longer.
        ended = f"state success for task instance TaskInstanceKey(dag_id='{self.name}', task_id='approve'"
        assert wait_until(lambda: self._airflow.log.read_text().count(ended) >= self.processes)
        return self._look("/taskInstances/approve/-1/hitlDetails")

    def answer(self, option: str, only: str | None = None, *, api: Api | None = None) -> None:
        body = {"chosen_options": [option], "params_input": {"only": only}}
        (api or self._airflow).call("PATCH", f"{self.path}/taskInstances/approve/-1/hitlDetails", body)
        self.processes += 1

    def clear_plan(self) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": self.id,
            "task_ids": ["plan"],
            "include_downstream": True,
            "only_failed": False,
        }
        self._airflow.act("POST", f"/api/v2/dags/{self.name}/clearTaskInstances", body)
        self.processes += 1

    def approve_log(self) -> str:
        answer = self._look("/taskInstances/approve/logs/1?full_content=true")
        return "\n".join(str(line.get("event", "")) for line in answer["content"])

    def report(self) -> str:
        return str(self._look("/taskInstances/report/xcomEntries/report")["value"])

    def has_asset_event(self) -> bool:
        events = self._airflow.call("GET", f"/api/v2/assets/events?source_dag_id={self.name}")
        return bool(events["total_entries"])


def log_in(airflow: Airflow, user: str) -> Api:
    api = Api(airflow.url, airflow.home)
    api._token = api.call("POST", "/auth/token", {"username": user, "password": user})["access_token"]
    return api


def test_approved_in_part_each_combination_stays_what_it_was(airflow: Airflow, cluster: Sandbox, sweeps: Path) -> None:
    run = Asking(airflow, cluster, sweeps, "part")
    asked = run.wait_until_asked()
    assert "4 jobs, at most 0.6667 CPU-hours" in asked["subject"]
    assert "| 3        | seed=2        | part_each_sweep_3 | at most 0.1667 CPU-hours |" in asked["body"]
    assert "above_cpu_hours is 0 (`sweep:` of " in asked["body"]
    assert "admin may approve it" in asked["body"]
    with pytest.raises(HTTPError) as refused:
        run.answer(APPROVE, api=log_in(airflow, "op"))
    refused.value.close()
    assert refused.value.code == 403, "who is not in `by` cannot answer"

    run.answer(APPROVE, "3-9")
    assert wait_until(lambda: "only: expected indices from 1 to 4 such as 1-4,9, got '3-9'" in run.approve_log())
    run.wait_until_asked()
    assert not any(run.jobs(index) for index in range(4))

    run.answer(APPROVE, "3-4")
    assert run.wait_for_end() == "success"
    assert "approved by admin, only 3-4: 2 of 4 combinations): 2 of 2 combinations succeeded" in run.report()
    assert [len(run.jobs(index)) for index in range(4)] == [0, 0, 1, 1]
    assert [run.name_in_grid("submit", index) for index in (0, 1)] == ["seed=2", "seed=3"]

    run.clear("submit", 0, downstream=True)
    assert wait_until(lambda: len(run.jobs(2)) == 2)
    assert run.wait_for_end() == "success"
    assert [len(run.jobs(index)) for index in range(4)] == [0, 0, 2, 1], "the same combination once more, no other"

    run.clear_plan()
    run.wait_until_asked()
    assert [len(run.jobs(index)) for index in range(4)] == [0, 0, 2, 1]
    run.answer(APPROVE, "1,4")
    assert run.wait_for_end() == "success"
    assert [len(run.jobs(index)) for index in range(4)] == [1, 0, 2, 2]
    assert "approved by admin, only 1,4: 2 of 4" in run.report()
    assert [run.name_in_grid("submit", index) for index in (0, 1)] == ["0", "1"], "no name of the first choice"


@pytest.mark.all
def test_rejected_the_run_submits_nothing_and_says_who_refused(
    airflow: Airflow, cluster: Sandbox, sweeps: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    notify = f'notify: [{{on: finished, notifier: told.FileNotifier, arguments: {{path: {told}, text: "{{{{ summary }}}}"}}}}]'
    run = Asking(airflow, cluster, sweeps, "rejected", dag=notify)
    run.wait_until_asked()
    run.answer(REJECT)
    assert run.wait_for_end() == "success"
    words = "rejected by admin; nothing was submitted"
    assert words in run.report()
    assert wait_until(lambda: told.exists() and words in told.read_text())
    assert run.tasks()["submit", -1] == run.tasks()["wait", -1] == "skipped"
    assert not any(run.jobs(index) for index in range(4))
    assert not run.has_asset_event()
    page = airflow.call("GET", f"/{PREFIX}/run?{urlencode({'dag_id': run.name, 'run_id': run.id})}")
    assert page["notice"] == f"The run was {words}."
    assert page["counts"] == {"skipped": 4}


@pytest.mark.all
def test_without_an_answer_in_time_the_run_submits_nothing(airflow: Airflow, cluster: Sandbox, sweeps: Path) -> None:
    run = Asking(airflow, cluster, sweeps, "silence", rule='approve: {above_cpu_hours: 0, within: "0:5"}')
    assert run.wait_for_end() == "success"
    assert "not approved by anybody in time; nothing was submitted" in run.report()
    assert not any(run.jobs(index) for index in range(4))
    assert not run.has_asset_event()


@pytest.mark.all
def test_launch_and_its_form_do_not_go_round_the_profile(airflow: Airflow, request: pytest.FixtureRequest) -> None:
    clusters = airflow.home / "clusters"
    for name, rule in (("asks", {"approve": {"above_cpu_hours": 0}}), ("limits", {"max_cpu_hours": 1})):
        (clusters / f"{name}.yaml").write_text(
            json.dumps({**json.loads((clusters / "default.yaml").read_text()), **rule})
        )
        request.addfinalizer((clusters / f"{name}.yaml").unlink)
    text = "command: 'true'\nseed: [1, 2]\nslurm: {time: '60', nodes: 1, gpus_per_node: 0}\n"
    loose = "sweep: {max_cpu_hours: 9, approve: {above_cpu_hours: 9}}"
    path, states = "/api/v2/dags/launch/dagRuns", {}
    for profile in ("asks", "limits"):
        conf = {"sweep_text": text + loose, "profile": profile, "jobname": f"launch_{profile}", "approved": True}
        run = airflow.call("POST", path, {"logical_date": None, "conf": conf})["dag_run_id"]
        assert wait_until(partial(has_decided, airflow, f"{path}/{run}"))
        states[profile] = tasks(airflow, f"{path}/{run}")
        airflow.mark_run(f"{path}/{run}", "failed")
    assert states["asks"]["approve"] == "awaiting_input"
    assert states["limits"]["plan"] == "failed"


def tasks(airflow: Airflow, run: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in airflow.call("GET", f"{run}/taskInstances")["task_instances"]}


def has_decided(airflow: Airflow, run: str) -> bool:
    return bool({"awaiting_input", "failed", "deferred"} & set(tasks(airflow, run).values()))


@pytest.mark.all
def test_without_a_scheduler_the_run_is_approved_on_the_command_line(environment: dict[str, str], sweeps: Path) -> None:
    for name in ("tested", "ran"):
        (sweeps / f"{name}.yaml").write_text(
            f"command: 'true'\nseed: [1, 2]\nslurm: {{jobname: {name}, gpus_per_node: 0, time: '10'}}\nsweep: {{{RULE}}}\n"
        )
    exit_code, log = dags_test(environment, "tested", conf={"dry_run": False, "approved": True})
    assert exit_code == 0, log
    assert re.search(r"approved by \w+ on the command line", log)
    assert "2 of 2 combinations succeeded" in log

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airflow_slurm_sweep", "run", str(sweeps / "ran.yaml"), *options]
        env = {**environment, "PYTHONPATH": str(PROJECT / "plugins")}
        return subprocess.run(command, env=env, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL)

    refused = run()
    assert refused.returncode == 1
    assert "the run waits for approval (" in refused.stdout
    assert "there is no terminal to ask; add --approved" in refused.stdout
    done = run("--approved")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 combinations succeeded" in done.stdout
