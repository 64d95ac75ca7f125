"""What a sweep's submit and wait leave, and what they do on a click, with all of Airflow running.

What arrays share with single submissions runs twice with `scripts/test --all`; test_array_airflow.py has what is theirs.
"""

from __future__ import annotations

import json
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.airflow import Standalone
from sandbox.processes import wait_until

pytestmark = pytest.mark.sandbox

EACH_AND_ARRAYS = pytest.mark.parametrize("submit", ["each", pytest.param("array", marks=pytest.mark.all)])
LIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")


class Run:
    """A Dag run of jobs that do what ``script`` says, which finds its index in INDEX; ``submit`` as in a sweep file."""

    def __init__(
        self,
        airflow: Standalone,
        cluster: Sandbox,
        sweeps: Path,
        name: str,
        script: str,
        jobs: int,
        submit: str = "each",
        sweep: str = "",
        dag: str = "",
        slurm: str = "",
        **conf: Any,
    ) -> None:
        self._airflow, self._cluster = airflow, cluster
        self.name = name = f"{name}_{submit}"
        file = Path(str(cluster.profile["workdir"])) / f"{name}.sh"
        file.write_text(f"#!/bin/bash\nINDEX=${{BASE_LOG_DIR##*_}}\n{script}\n")
        (sweeps / f"{name}.yaml").write_text(
            f"script_path: examples/train_grpo.py\nseed: {list(range(jobs))}\n"
            f"slurm: {{jobname: {name}, nodes: 1, gpus_per_node: 0, batch_script: {name}.sh, "
            f"submit: {submit}, {slurm}}}\n"
            f"sweep: {{{sweep}}}\ndag: {{{dag}}}\n"
        )
        airflow.wait_for_dag(name)
        path = f"/api/v2/dags/{name}/dagRuns"
        self.id = airflow.call("POST", path, {"logical_date": None, "conf": conf})["dag_run_id"]
        self.path = f"{path}/{self.id}"

    def wait_for_end(self) -> str:
        assert wait_until(lambda: self._look("")["state"] in ("success", "failed")), self.tasks()
        return str(self._look("")["state"])

    def tasks(self) -> dict[tuple[str, int], str]:
        tasks = self._look("/taskInstances")["task_instances"]
        return {(task["task_id"].removeprefix("combination."), task["map_index"]): task["state"] for task in tasks}

    def wait_for(self, states: dict[tuple[str, int], str]) -> None:
        assert wait_until(lambda: states.items() <= self.tasks().items()), self.tasks()

    def xcom(self, task: str, index: int, key: str = "return_value") -> Any:
        path = f"/taskInstances/{task}/xcomEntries/{key}?map_index={index}&deserialize=false"
        value = self._look(path)["value"]
        while isinstance(value, str):  # what a trigger leaves is JSON twice
            value = json.loads(value)
        return value

    def name_in_grid(self, task: str, index: int) -> str:
        return str(self._look(f"/taskInstances/combination.{task}/{index}")["rendered_map_index"])

    def links(self, task: str, index: int) -> dict[str, str | None]:
        """Return the buttons that Airflow shows."""
        path = f"/taskInstances/combination.{task}/links?map_index={index}"
        return dict(self._look(path)["extra_links"])

    def log(self, task: str, index: int, attempt: int = 1) -> str:
        task = task if task == "report" else f"combination.{task}"
        answer = self._look(f"/taskInstances/{task}/logs/{attempt}?map_index={index}&full_content=true")
        lines = [str(line.get("event", "")) for line in answer["content"]]
        errors = [error["exc_value"] for line in answer["content"] for error in line.get("error_detail") or ()]
        return "\n".join(lines + errors)

    def jobs(self, index: int) -> dict[str, str]:
        """Return the states of a combination's jobs, by id: of those that write into its run directory."""
        columns = "--Format=JobArrayID:20,State:20,StdOut:300"
        lines = self._cluster.slurm("squeue", "--array", "--me", "--states=all", "--noheader", columns).splitlines()
        rows = [line.split() for line in lines]
        return {job: state for job, state, log in rows if f"/{self.name}_sweep_{index + 1}/logs/" in resolved(log, job)}

    def live(self, index: int) -> list[str]:
        return [job for job, state in self.jobs(index).items() if state in LIVE]

    def set(self, task: str, index: int, state: str) -> None:
        self._airflow.mark_task(self.path, f"combination.{task}", index, state)

    def clear(self, task: str, index: int, *, downstream: bool) -> None:
        self._airflow.clear_task(self.name, self.id, f"combination.{task}", index, downstream=downstream)

    def mark(self, state: str) -> None:
        self._airflow.mark_run(self.path, state)

    def delete(self) -> None:
        self._airflow.act("DELETE", self.path)

    def _look(self, path: str) -> dict[str, Any]:
        return self._airflow.call("GET", f"{self.path}{path}")


def resolved(log: str, job_id: str) -> str:
    """Return an element's log: squeue shows its array's."""
    return log.replace("%a", job_id.partition("_")[2])


def test_what_a_run_leaves(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    script = 'sleep $((INDEX * 3)); seq 100; [ "$INDEX" != 2 ] || exit 7'
    run = Run(airflow, cluster, sweeps, "leaves", script, 4)
    assert run.wait_for_end() == "failed"
    tasks = run.tasks()
    assert [tasks["submit", index] for index in range(4)] == ["success"] * 4
    assert [tasks["wait", index] for index in range(4)] == ["success", "failed", "success", "success"]
    assert tasks["report", -1] == "failed"
    for index in range(4):
        assert list(run.jobs(index).values()) == ["FAILED" if index == 1 else "COMPLETED"], "one job each"
        (job_id,) = run.jobs(index)
        run_dir = f"{cluster.profile['log']}/nemo-rl/{run.name}_sweep_{index + 1}"
        log = f"{run_dir}/logs/slurm-{job_id}.out"
        assert run.xcom("combination.submit", index) == {
            "ssh_conn_id": "slurm_sandbox",
            "job_id": job_id,
            "job_name": f"{run.name}_sweep_{index + 1}",
            "run_dir": run_dir,
            "log_path": log,
            "label": f"seed={index}",
            "index": index + 1,
            "metrics": ["metrics.json", "checkpoints/step_*/training_info.json"],
        }
        assert f"Job {job_id} ({run.name}_sweep_{index + 1}) submitted, its log: {log}" in run.log("submit", index)
        status = run.xcom("combination.wait", index, "status" if index == 1 else "return_value")
        assert (status["job_id"], status["state"]) == (job_id, "FAILED" if index == 1 else "COMPLETED")
        if index != 1:
            assert re.search(rf"Job {job_id} \(\S+\) completed in [\d:]+ on n\d", run.log("wait", index))
        last = "\n".join(str(number) for number in range(51, 101))
        assert f"The log's last 50 lines:\n{last}" in run.log("wait", index)
    (job_id,) = run.jobs(1)
    assert f"Job {job_id} ({run.name}_sweep_2) ended as FAILED (NonZeroExitCode) (scontrol): exit code 7:0," in run.log(
        "wait", 1
    )
    rows = run.xcom("report", -1, "rows")
    assert [row["state"] for row in rows] == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert [run.name_in_grid("wait", index) for index in range(4)] == [f"seed={index}" for index in range(4)]


def test_what_jobs_leave_in_metrics_json(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    script = """
        metrics=$BASE_LOG_DIR/metrics.json
        case $INDEX in
          1) echo '{"reward": 0.25, "steps": 3}' > $metrics; echo wandb: View run at https://wandb.ai/me/p/runs/1 ;;
          2) echo '{"reward": 0.75, "loss": NaN}' > $metrics ;;
          3) echo '{"reward": 9}' > $metrics; exit 3 ;;
          4) head -c 20000 /dev/zero > $metrics ;;
        esac"""
    objective = "objective: {metric: reward, goal: maximize}"
    run = Run(airflow, cluster, sweeps, "metrics", script, 5, sweep=objective)
    assert run.wait_for_end() == "failed"
    found = [run.xcom("combination.wait", index, "status" if index == 2 else "return_value") for index in range(5)]
    expected = [{"reward": 0.25, "steps": 3}, {"reward": 0.75}, {"reward": 9}, {}, {}]
    assert [status["metrics"] for status in found] == expected
    for index, fault in [
        (1, "loss: expected a finite number, got nan; left out"),
        (3, "expected JSON such as"),
    ]:
        assert f"{run.name}_sweep_{index + 1}/metrics.json: {fault}" in run.log("wait", index)
    assert run.xcom("combination.wait", 0, "history") == {"reward": [[3], [0.25]]}
    links = [run.links("wait", index) for index in range(3)]
    assert [link["Weights & Biases"] for link in links] == ["https://wandb.ai/me/p/runs/1", None, None]
    assert [str(link["On the page Sweeps"]).rpartition("&")[2] for link in links] == ["index=0", "index=1", "index=2"]
    assert "metrics.json" not in run.log("wait", 0) + run.log("wait", 4)
    rows = run.xcom("report", -1, "rows")
    assert [row["job"].rpartition("_")[2] for row in rows] == ["2", "1", "3", "4", "5"]
    assert f"Best: reward 0.75 with seed=1 ({run.name}_sweep_2)" in run.log("report", -1)


@EACH_AND_ARRAYS
def test_new_lines_of_a_log_are_shown_while_the_job_runs(
    airflow: Standalone, cluster: Sandbox, sweeps: Path, submit: str
) -> None:
    script = """
        printf 'begun %s\\n\\033[31mred\\033[0m \\377\\n1%%\\r2%%\\n' "$INDEX"
        until [ -e "$BASE_LOG_DIR/go" ]; do sleep 1; done
        printf 'y%.0s' $(seq 100000); echo; printf 'over %s' "$INDEX"; [ "$INDEX" = 1 ]"""
    run = Run(airflow, cluster, sweeps, "streams", script, 2, submit, slurm="stream_log: true")
    run.wait_for({("wait", index): "deferred" for index in range(2)})
    for index in range(2):
        begun = f"| begun {index + 1}\n| red \ufffd\n| 2%"
        assert wait_until(partial(lambda number, text: text in run.log("wait", number), index, begun))
    assert [len(run.live(index)) for index in range(2)] == [1, 1], "they run meanwhile"
    for index in range(2):
        (Path(str(cluster.profile["log"])) / f"nemo-rl/{run.name}_sweep_{index + 1}/go").touch()
    assert run.wait_for_end() == "failed"
    for index in range(2):
        log = run.log("wait", index)
        assert log.count(f"| begun {index + 1}") == 1
        assert f"| over {index + 1}" in log
        assert " KiB left out; all of it, on the cluster: " in log


def test_a_refused_job_fails_at_once_with_slurms_words(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    run = Run(airflow, cluster, sweeps, "refused", "true", 2, partition="nowhere")
    assert run.wait_for_end() == "failed"
    assert {state for (task, _), state in run.tasks().items() if task == "submit"} == {"failed"}
    assert f"{run.name}_sweep_1 was not submitted: sbatch: error: invalid partition specified: nowhere" in run.log(
        "submit", 0
    )


def test_a_dry_run_submits_nothing(airflow: Standalone, cluster: Sandbox, sweeps: Path) -> None:
    run = Run(airflow, cluster, sweeps, "dry", "true", 2, dry_run=True)
    assert run.wait_for_end() == "success"
    assert {run.tasks()[task, index] for task in ("submit", "wait") for index in (0, 1)} == {"skipped"}
    assert f"{run.name}_sweep_1 is not submitted: this is a dry run" in run.log("submit", 0)
    assert not run.jobs(0)


@EACH_AND_ARRAYS
def test_who_acts_on_one_task_cancels_one_job(airflow: Standalone, cluster: Sandbox, sweeps: Path, submit: str) -> None:
    run = Run(airflow, cluster, sweeps, "acts", "exec sleep 600", 5, submit)
    run.wait_for({("wait", index): "deferred" for index in range(5)})
    assert wait_until(lambda: all("is RUNNING" in run.log("wait", index) for index in range(5)))
    jobs = [run.live(index) for index in range(5)]
    assert [len(job) for job in jobs] == [1] * 5
    run.set("wait", 0, "failed")
    run.set("wait", 1, "success")
    run.clear("wait", 2, downstream=True)
    run.clear("submit", 3, downstream=True)
    assert wait_until(lambda: not run.live(0) and not run.live(1)), "marked"
    assert wait_until(lambda: run.live(3) not in ([], jobs[3])), "cleared, and submitted again"
    run.wait_for({("wait", index): "deferred" for index in (2, 3, 4)})
    assert run.live(2) == jobs[2], "clearing wait alone keeps the job"
    assert run.live(4) == jobs[4]
    (new,) = run.live(3)
    assert new not in jobs[3]
    assert "_" not in new, "one alone is no array"
    run.mark("failed")
    assert wait_until(lambda: not any(run.live(index) for index in range(5))), "the Dag run failed"
    run.wait_for({("report", -1): "failed"})


def test_jobs_that_no_task_waited_for_yet_are_cancelled_too(
    airflow: Standalone, cluster: Sandbox, sweeps: Path
) -> None:
    """Where submit is done and wait has not begun, no trigger is there that could."""
    run = Run(airflow, cluster, sweeps, "early", "exec sleep 600", 6)
    assert wait_until(lambda: any(run.live(index) for index in range(6)))
    run.mark("success")
    run.wait_for({("report", -1): "failed"})
    assert wait_until(lambda: not any(run.live(index) for index in range(6)))
    time.sleep(3)
    assert not any(run.live(index) for index in range(6)), "none comes later"
    run.delete()


def test_a_submission_waits_for_the_cluster_in_the_triggerer(
    airflow: Standalone, cluster: Sandbox, sweeps: Path
) -> None:
    cluster.stop("slurmctld")
    try:
        run = Run(airflow, cluster, sweeps, "patient", "exec sleep 600", 2)
        run.wait_for({("submit", 0): "deferred", ("submit", 1): "deferred"})
        assert wait_until(lambda: "Waiting: " in run.log("submit", 1))
        run.set("submit", 0, "failed")
    finally:
        cluster.start("slurmctld")
    run.wait_for({("wait", 1): "deferred"})
    assert len(run.live(1)) == 1
    assert run.live(0) == []
    run.mark("failed")
    assert wait_until(lambda: not run.live(1))


def test_a_run_that_is_resumed_leaves_the_waits_of_the_earlier_one_their_jobs(
    airflow: Standalone, cluster: Sandbox, sweeps: Path
) -> None:
    script = '[ "$INDEX" = 2 ] || [ -e "$BASE_LOG_DIR/failed" ] || { touch "$BASE_LOG_DIR/failed"; exit 1; }'
    run = Run(airflow, cluster, sweeps, "resumed", script, 2)
    assert run.wait_for_end() == "failed"
    (first,) = run.jobs(0)
    path = run.path.rpartition("/")[0]
    later = airflow.call("POST", path, {"logical_date": None, "conf": {"existing": "resume"}})["dag_run_id"]
    assert wait_until(lambda: airflow.call("GET", f"{path}/{later}")["state"] == "success")
    assert len(run.jobs(0)) == 2
    assert len(run.jobs(1)) == 1, "no exit file, but Slurm says COMPLETED"
    run.clear("wait", 0, downstream=True)
    run.wait_for({("wait", 0): "failed", ("report", -1): "failed"})
    assert run.xcom("combination.wait", 0, "status")["job_id"] == first, "the record is the later run's"
