"""Whole sweeps through Airflow, on a real cluster: by ``airflow dags test``, and with all of Airflow running."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from sandbox import Sandbox
from sandbox.airflow import PARTS, PROJECT
from sandbox.processes import tree, wait_until
from tests.fixtures import Airflow

pytestmark = pytest.mark.sandbox


def dags_test(
    environment: dict[str, str], dag_id: str, *, dry_run: bool | None = False, conf: dict[str, Any] | None = None
) -> tuple[int, str]:
    """Run a Dag in this process's child, and return its exit code and all it printed."""
    if conf is None:
        conf = {} if dry_run is None else {"dry_run": dry_run}
    done = subprocess.run(
        ["airflow", "dags", "test", dag_id, *(["--conf", json.dumps(conf)] if conf else [])],
        env=environment,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


def run_dir(cluster: Sandbox, job_name: str) -> Path:
    return Path(str(cluster.profile["log"])) / "nemo-rl" / job_name


@pytest.mark.all  # what it shows, a guide shows too
def test_the_demonstrations_sweep(cluster: Sandbox, environment: dict[str, str], sweeps: Path) -> None:
    (sweeps / "demo.yaml").write_text((PROJECT / "include" / "sweeps" / "demo.yaml").read_text())
    exit_code, log = dags_test(environment, "demo")
    assert exit_code == 0, log
    assert "4 of 4 combinations succeeded" in log
    expected = [(1e-6, 0.01), (1e-6, 0.05), (1e-5, 0.01), (1e-5, 0.05)]
    for index, (lr, kl_penalty) in enumerate(expected, start=1):
        folder = run_dir(cluster, f"demo_sweep_{index}")
        config = yaml.safe_load((folder / "logs" / "config.yaml").read_text())
        assert (float(config["optim"]["lr"]), config["grpo"]["kl_penalty"]) == (lr, kl_penalty)
        assert config["checkpointing"]["checkpoint_dir"] == str(folder / "checkpoints")
        assert json.loads((folder / "metrics.json").read_text())["steps"] == 200


def example(environment: dict[str, str], sweeps: Path, name: str, *, dry_run: bool) -> str:
    """Run an example of the command-line launcher's documentation, and return what it printed."""
    (sweeps / f"{name}.yaml").write_text((PROJECT / "include" / "sweeps" / f"{name}.yaml").read_text())
    exit_code, log = dags_test(environment, name, dry_run=dry_run)
    assert exit_code == 0, log
    return log


EXAMPLES = [
    pytest.param("grpo", "train_grpo", 54, marks=pytest.mark.all),
    pytest.param("learning_rate", "learning_rate", 8, marks=pytest.mark.all),
    pytest.param("model_comparison", "model_comparison", 6, marks=pytest.mark.all),
]


@pytest.mark.all  # `preview` prints the same without Airflow
@pytest.mark.parametrize(("name", "jobs"), [("learning_rate", 8), ("grpo", 54)])
def test_an_example_as_a_dry_run(environment: dict[str, str], sweeps: Path, name: str, jobs: int) -> None:
    log = example(environment, sweeps, name, dry_run=True)
    assert f"{jobs} jobs, at most" in log
    assert log.count('\n"$sbatch" --parsable') == jobs  # found before the PATH of the jobs


@pytest.mark.parametrize(("name", "base", "jobs"), EXAMPLES)
def test_an_example_on_the_cluster(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path, name: str, base: str, jobs: int
) -> None:
    log = example(environment, sweeps, name, dry_run=False)
    assert f"{jobs} of {jobs} combinations succeeded" in log
    assert all((run_dir(cluster, f"{base}_sweep_{index}") / "metrics.json").exists() for index in range(1, jobs + 1))


def test_a_failed_combination_fails_the_run_and_shows_why(environment: dict[str, str], sweeps: Path) -> None:
    (sweeps / "half.yaml").write_text(
        "script_path: examples/train_grpo.py\n"
        "grpo.num_episodes: [10, many]\n"
        "slurm: {jobname: half, gpus_per_node: 0}\n"
        "dag: {retries: 2}\n"
    )
    exit_code, log = dags_test(environment, "half")
    assert exit_code == 1
    assert "(half_sweep_2) ended as FAILED (NonZeroExitCode) (scontrol): exit code 2:0, elapsed 00:00:0" in log
    assert "train_grpo: grpo.num_episodes: expected a whole number, got 'many'" in log
    assert "1 of 2 combinations succeeded; failed: half_sweep_2" in log
    assert "try_number=2" not in log, "a job that failed is not waited for again"


def test_dags_test_is_a_dry_run_unless_told_otherwise(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path
) -> None:
    (sweeps / "dry.yaml").write_text(
        "script_path: examples/train_grpo.py\nseed: [1, 2]\nslurm: {jobname: dry, nodes: 2, time: 3:0:0}\n"
    )
    unreachable = {**environment, "AIRFLOW_CONN_SLURM_SANDBOX": "ssh://nobody@127.0.0.1:1"}
    exit_code, log = dags_test(unreachable, "dry", dry_run=None)
    assert exit_code == 0, log
    assert "2 jobs, at most 96 GPU-hours; dry run" in log
    assert re.search(r"dry_sweep_2  seed=2 +dry run", log)
    assert "Dry run: nothing was submitted" in log
    assert not run_dir(cluster, "dry_sweep_1").exists()
    # What it printed can be pasted into the cluster's shell.
    start = log.index("(\nmkdir -p")
    pasted = log[start : log.index("\n)", start) + 2]
    shown = subprocess.run(
        ["ssh", "-F", str(cluster.directory / "ssh" / "config"), "sandbox", "bash"],
        input=pasted,
        text=True,
        check=True,
        capture_output=True,
    )
    job_id = shown.stdout.strip()
    assert (
        cluster.slurm("squeue", "--states=all", "--noheader", "--format=%j %D", f"--jobs={job_id}") == "dry_sweep_1 2\n"
    )
    cluster.slurm("scancel", job_id)


@pytest.mark.all  # test_script_config.py shows what is read, test_plan.py what is made of it
def test_the_number_of_nodes_is_read_in_the_config_on_the_cluster(
    cluster: Sandbox, environment: dict[str, str], sweeps: Path
) -> None:
    configs = Path(str(cluster.profile["workdir"])) / "examples" / "configs"
    (configs / "base").mkdir()
    (configs / "base" / "big.yaml").write_text("defaults: ../grpo.yaml\ncluster: {num_nodes: 3}\n")
    (configs / "child.yaml").write_text("defaults: base/big.yaml\ncluster: {gpus_per_node: 4}\n")
    (sweeps / "inherit.yaml").write_text(
        "script_path: examples/train_grpo.py\nconfig_path: examples/configs/child.yaml\nslurm: {time: 1:0:0}\n"
    )
    exit_code, log = dags_test(environment, "inherit", dry_run=None)
    assert exit_code == 0, log
    assert "1 job, at most 12 GPU-hours; dry run" in log
    assert "cluster.num_nodes=3" in log
    assert "--nodes=3" in log
    assert "--gres=gpu:4" in log


@pytest.mark.all
@pytest.mark.parametrize(
    ("name", "section", "said"),
    [
        (
            "no_profile",
            "{profile: other}",
            "slurm.profile: the file .*other.yaml does not exist; existing profiles: default",
        ),
        ("no_script", "{workdir: /}", "was not submitted: no such file on the cluster: examples/train_grpo.py"),
    ],
)
def test_bad_input_fails_at_once(environment: dict[str, str], sweeps: Path, name: str, section: str, said: str) -> None:
    text = f"script_path: examples/train_grpo.py\nslurm: {section}\ndag: {{retries: 2}}\n"
    (sweeps / f"{name}.yaml").write_text(text)
    exit_code, log = dags_test(environment, name)
    assert exit_code == 1
    assert re.search(said, log), log
    assert "try_number=2" not in log


def test_all_of_airflow(cluster: Sandbox, sweeps: Path, airflow: Airflow) -> None:
    """Trigger with values of the form, and deferral for real: scheduler, worker, triggerer. Two of the jobs fail."""
    (sweeps / "real.yaml").write_text(
        "script_path: examples/train_grpo.py\n"
        "grpo.num_episodes: [10, 20, 60, many]\n"
        "seed: [1, 2]\n"
        "grpo.step_seconds: 0.5\n"
        "slurm: {jobname: real, gpus_per_node: 0}\n"
    )
    path = "/api/v2/dags/real"
    airflow.wait_for_dag("real")
    deadline = time.monotonic()
    with pytest.raises(urllib.error.HTTPError) as refused:
        airflow.call("POST", f"{path}/dagRuns", {"logical_date": None, "conf": {"time": "soon"}})
    assert refused.value.code == 400
    assert "'soon' does not match" in refused.value.read().decode()
    refused.value.close()
    form = {"overrides": ["+note='from the form'"], "time": "0:30:0", "only": "1-8"}
    run = airflow.call("POST", f"{path}/dagRuns", {"logical_date": None, "conf": form})["dag_run_id"]
    tasks: list[dict[str, Any]] = []
    deferred = set()
    while airflow.call("GET", f"{path}/dagRuns/{run}")["state"] not in ("success", "failed"):
        assert time.monotonic() < deadline + 240, airflow.log.read_text()[-5000:]
        tasks = airflow.call("GET", f"{path}/dagRuns/{run}/taskInstances")["task_instances"]
        deferred |= {task["map_index"] for task in tasks if task["state"] == "deferred"}
        time.sleep(1)
    tasks = airflow.call("GET", f"{path}/dagRuns/{run}/taskInstances")["task_instances"]
    waits = {task["map_index"]: task for task in tasks if task["task_id"] == "combination.wait"}
    assert [waits[index]["state"] for index in range(8)] == ["success"] * 6 + ["failed"] * 2
    assert deferred, "the longer jobs were waited for by the triggerer"
    assert waits[5]["rendered_map_index"] == "num_episodes=60 seed=2"
    assert next(task["state"] for task in tasks if task["task_id"] == "report") == "failed"
    names = cluster.slurm("squeue", "--states=all", "--noheader", "--format=%j").split()
    assert sorted(name for name in names if name.startswith("real_")) == [f"real_sweep_{n}" for n in range(1, 9)]
    config = yaml.safe_load((run_dir(cluster, "real_sweep_1") / "logs" / "config.yaml").read_text())
    assert config["note"] == "from the form"
    assert airflow.call("GET", "/api/v2/importErrors")["import_errors"] == []


def versions(airflow: Airflow, dag_id: str) -> int:
    return int(airflow.call("GET", f"/api/v2/dags/{dag_id}/dagVersions")["total_entries"])


@pytest.mark.all
@pytest.mark.parametrize("times", [6])
def test_dags_test_beside_a_live_scheduler_submits_nothing(
    cluster: Sandbox, sweeps: Path, airflow: Airflow, times: int
) -> None:
    """The scheduler takes the run up too: that it is dry stands in its conf. Form and versions stay as they are."""
    text = f"script_path: examples/train_grpo.py\nseed: [1, 2]\nslurm: {{jobname: beside{times}}}\n"
    (sweeps / f"beside{times}.yaml").write_text(text)
    airflow.wait_for_dag(f"beside{times}")
    for _ in range(times):
        exit_code, log = dags_test(airflow.environment, f"beside{times}", dry_run=None)
        assert "; dry run" in log or exit_code == 0, log
    details = airflow.call("GET", f"/api/v2/dags/beside{times}/details")
    assert details["params"]["dry_run"]["value"] is False
    assert versions(airflow, f"beside{times}") == 1
    runs = airflow.call("GET", f"/api/v2/dags/beside{times}/dagRuns")["dag_runs"]
    assert [run["conf"] for run in runs] == [{"dry_run": True}] * times
    assert f"beside{times}" not in cluster.slurm("squeue", "--states=all", "--noheader", "--format=%j")
    assert not run_dir(cluster, f"beside{times}_sweep_1").exists()


def test_scheduled_runs_have_directories_of_their_own(cluster: Sandbox, sweeps: Path, airflow: Airflow) -> None:
    """Two days that have passed are caught up with."""
    start = datetime.now(UTC) - timedelta(days=2)
    (sweeps / "daily.yaml").write_text(
        "script_path: examples/train_grpo.py\n"
        "seed: [1, 2]\n"
        "slurm: {gpus_per_node: 0, nodes: 1}\n"
        f"dag: {{schedule: '@daily', start_date: '{start:%Y-%m-%d}', catchup: true, "
        "timezone: Europe/Berlin}\n"
    )
    airflow.wait_for_dag("daily")

    def ended() -> list[dict[str, Any]]:
        runs = airflow.call("GET", "/api/v2/dags/daily/dagRuns")["dag_runs"]
        return [run for run in runs if run["state"] in ("success", "failed")]

    assert wait_until(lambda: len(ended()) >= 2), airflow.log.read_text()[-5000:]
    assert {run["state"] for run in ended()} == {"success"}
    folder = Path(str(cluster.profile["log"])) / "nemo-rl"
    for run in ended():
        date = datetime.fromisoformat(run["logical_date"]).astimezone(ZoneInfo("Europe/Berlin"))
        assert (date.hour, date.minute) == (0, 0)
        for index in (1, 2):
            record = folder / f"daily_{date:%Y%m%dT%H%M%S}_sweep_{index}" / ".slurm_sweep" / "record"
            assert f" daily {run['dag_run_id']}\n" in record.read_text()


def test_check_cluster_logs_in_from_the_triggerer(airflow: Airflow) -> None:
    airflow.wait_for_dag("check_cluster")
    body = {"dag_run_id": "looks", "logical_date": None, "conf": {"profile": "default"}}
    airflow.call("POST", "/api/v2/dags/check_cluster/dagRuns", body)
    task = "/api/v2/dags/check_cluster/dagRuns/looks/taskInstances/login_from_triggerer"
    assert wait_until(lambda: airflow.call("GET", task)["state"] in ("success", "failed"))
    assert airflow.call("GET", task)["state"] == "success"
    found = airflow.call("GET", f"{task}/xcomEntries/return_value")["value"]
    login = re.search(r"ok +login +\S+, in \d+\.\d s, from process (\d+) on ", str(found))
    assert login, found
    triggerer = airflow.pids[list(PARTS).index("triggerer")]
    assert int(login[1]) in tree([triggerer]), "no worker has looked"
