"""The Dag ``launch``, with the examples of the command-line launcher's own documentation."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from shlex import split
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from airflow_slurm_sweep.factory import launch_dag
from airflow_slurm_sweep.names import PLAN

GRPO = {"script": "examples/train_grpo.py", "config": "examples/configs/grpo.yaml"}
GIVEN = {"nodes": 1, "gpus_per_node": 8}  # else the config on the cluster is read
SWEEP = "script_path: a.py\nconfig_path: c.yaml\nseed: [1, 2]\nslurm: {nodes: 2, gpus_per_node: 8, time: 1:0:0}\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOG": "/l", "ACCOUNT": "a", "CON": "/c"}.items():
        monkeypatch.setenv(name, value)


def launch(include: Path, **conf: Any) -> list[dict[str, Any]]:
    """Do what Airflow does with a run's conf, and plan."""
    dag, conf = launch_dag(include), {"dry_run": True, **conf}
    params = copy(dag.params)
    params.update(conf)
    context = {
        "params": params.validate(),
        "dag_run": SimpleNamespace(run_type="manual", conf=conf),
        "ti": SimpleNamespace(id="1", xcom_push=lambda **_: None),
    }
    plan: Any = dag.get_task(PLAN)
    jobs: list[dict[str, Any]] = plan.execute(context)
    return jobs


def overrides(job: dict[str, Any]) -> list[str]:
    return [word for word in split(job["command"]) if "=" in word]


def test_example_1(include: Path) -> None:
    (job,) = launch(
        include,
        **GRPO,
        nodes=2,
        gpus_per_node=8,
        time="6:0:0",
        jobname="grpo_llama_7b",
        overrides=["model.model_name=meta-llama/Llama-3.2-7B"],
    )
    assert split(job["command"])[:5] == ["uv", "run", *[GRPO["script"], "--config", GRPO["config"]]]
    assert (job["name"], job["nodes"], job["time"], job["run_dir"]) == (
        "grpo_llama_7b",
        2,
        "6:0:0",
        "/l/nemo-rl/grpo_llama_7b",
    )
    assert {"model.model_name=meta-llama/Llama-3.2-7B", "cluster.num_nodes=2"} <= set(overrides(job))


def test_example_5(include: Path) -> None:
    said = [
        "model.model_name=meta-llama/Llama-3.2-8B",
        "ppo.epochs=4",
        "ppo.learning_rate=3e-6",
        "logger.wandb.project=ppo_experiments",
    ]
    (job,) = launch(
        include,
        script="examples/train_ppo.py",
        config="examples/configs/ppo.yaml",
        nodes=4,
        gpus_per_node=8,
        time="10:0:0",
        jobname="ppo_large_model",
        overrides=said,
    )
    assert (job["name"], job["nodes"], job["time"]) == ("ppo_large_model", 4, "10:0:0")
    assert overrides(job)[-4:] == said


def test_example_6(include: Path) -> None:
    said = ["logger.wandb.project=my_research", 'logger.wandb.tags=["experiment1", "baseline"]']
    (job,) = launch(include, script="examples/train_grpo.py", jobname="custom_experiment", overrides=said)
    assert job["name"] == "custom_experiment"
    assert overrides(job)[-2:] == said
    assert "logger.wandb.name=custom_experiment" in overrides(job)


def test_a_command_in_place_of_a_script(include: Path) -> None:
    (job,) = launch(include, command="echo {lr} > {run_dir}/x", overrides=["lr=1e-6"], jobname="mine")
    assert (job["command"], job["run_dir"]) == ("echo 1e-06 > /l/mine/mine/x", "/l/mine/mine")


def test_a_sweep_as_text_and_by_name(include: Path) -> None:
    (include / "sweeps" / "mine.yaml").write_text(SWEEP)
    for conf in ({"sweep": "mine"}, {"sweep_text": SWEEP}, {"sweep": "mine", "script": "a.py", "config": "c.yaml"}):
        assert [job["name"] for job in launch(include, **conf)] == ["a_sweep_1", "a_sweep_2"]
    (job,) = launch(include, sweep="mine", only="2", time="2:0:0", workdir="/w", sbatch={"qos": "high"}, env={"A": "b"})
    assert (job["name"], job["time"], job["nodes"], job["workdir"]) == ("a_sweep_2", "2:0:0", 2, "/w")
    assert (job["options"], job["env"]) == ({"qos": "high"}, {"A": "b"})


def test_a_sweep_by_name_keeps_its_name_where_no_script_has_one(include: Path) -> None:
    (include / "sweeps" / "mine.yaml").write_text("command: python t.py {flags}\nseed: [1, 2]\n")
    assert [job["name"] for job in launch(include, sweep="mine")] == ["mine_sweep_1", "mine_sweep_2"]


def test_empty_fields_leave_the_sweep_as_it_is(include: Path) -> None:
    text = SWEEP.replace("time: 1:0:0", "time: 1:0:0, env: {A: b}, workdir: /w, stream_log: true")
    untouched: dict[str, Any] = {
        "env": {},
        "sbatch": None,
        "workdir": "",
        "stream_log": None,
        "submit": None,
        "time": "",
    }
    assert launch(include, sweep_text=text, **untouched) == launch(include, sweep_text=text)
    assert launch(include, sweep_text=text)[0]["env"] == {"A": "b"}


def test_the_form_wins_over_rules(include: Path) -> None:
    text = "script_path: a.py\nx: [1, 2]\nsweep: {rules: [{if: {x: 2}, slurm: {workdir: /two, mem: 9G}}]}"
    assert [job.get("workdir") for job in launch(include, sweep_text=text)] == [None, "/two"]
    jobs = launch(include, sweep_text=text, workdir="/form", sbatch={"qos": "high"})
    assert [(job["workdir"], job["options"]) for job in jobs] == [
        ("/form", {"qos": "high"}),
        ("/form", {"qos": "high", "mem": "9G"}),
    ]


def test_the_forms_mappings_and_setup_are_joined_with_the_sweeps(include: Path) -> None:
    text = "script_path: a.py\nslurm: {env: {A: file, B: file}, mem: 4G, qos: low, setup: [module load x]}"
    (job,) = launch(include, sweep_text=text, env={"A": "form"}, sbatch={"qos": "high"}, setup=["echo hi"])
    assert job["env"] == {"A": "form", "B": "file"}
    assert job["options"] == {"mem": "4G", "qos": "high"}
    assert [*job["setup"]] == ["module load x", "echo hi"]


def test_the_forms_mappings_win_over_those_of_rules(include: Path) -> None:
    rule = "{if: {x: 1}, slurm: {env: {A: rule, B: rule}, qos: low, mem: 4G, setup: [module load x]}}"
    text = f"script_path: a.py\nx: [1]\nsweep: {{rules: [{rule}]}}"
    form = {"env": {"A": "form"}, "sbatch": {"qos": "high", "mem-per-cpu": "1G"}, "setup": ["echo hi"]}
    (job,) = launch(include, sweep_text=text, **form)
    assert job["env"] == {"A": "form", "B": "rule"}
    assert job["options"] == {"qos": "high", "mem-per-cpu": "1G"}
    assert sorted(job["setup"]) == ["echo hi", "module load x"]


def test_a_sweep_by_name_has_its_table_beside_it(include: Path) -> None:
    (include / "sweeps" / "t.csv").write_text("x,y\n1,a\n2,b\n")
    (include / "sweeps" / "t.yaml").write_text('script_path: a.py\n"x, y": {csv: t.csv}\n')
    assert [job["label"] for job in launch(include, sweep="t")] == ["x=1 y=a", "x=2 y=b"]


def test_a_sweep_without_a_script_takes_the_forms(include: Path) -> None:
    jobs = launch(include, sweep_text="seed: [1, 2]", script="x.py")
    assert [split(job["command"])[2] for job in jobs] == ["x.py", "x.py"]


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({}, "script_path: missing; the command is 'uv run"),
        ({"sweep": "none"}, "none.yaml: cannot be read: No such file"),
        ({"sweep": "../secret"}, "sweep: expected a name of letters"),
        ({"sweep": "a", "sweep_text": "b"}, "sweep and sweep_text: give one of them"),
        ({"sweep_text": "a: ["}, "sweep_text: line 2: not YAML"),
        (
            {"sweep_text": SWEEP, "config": "other.yaml"},
            "sweep_text: config_path: the sweep has 'c.yaml', but the run was started with config 'other.yaml'; remove one",
        ),
        (
            {"sweep_text": SWEEP, "script": "b.py"},
            "script_path: the sweep has 'a.py', but the run was started with script 'b.py'",
        ),
        ({"script": "a.py", "env": {"COMMAND": "x"}}, "env: the variable 'COMMAND' is reserved"),
        (
            {"script": "a.py", "env": {"A": {"variable": "x"}}},
            "env: A: only a sweep file or a cluster profile may name",
        ),
        ({"sweep_text": "script_path: a.py\nslurm: {env: {A: {connection: x}}}"}, "env: A: only a sweep file"),
        (
            {
                "sweep_text": "script_path: a.py\nx: [1, 2]\n"
                "sweep: {rules: [{if: {x: 1}, slurm: {env: {A: {variable: x}}}}]}"
            },
            "env: A: only a sweep file",
        ),
        (
            {"sweep_text": "script_path: a.py\nx: {csv: /etc/hosts}"},
            "x: csv: /etc/hosts would stand beside the sweep f",
        ),
        (
            {"sweep_text": "script_path: a.py\nslurm: {jobname: '{{ conn.x.password }}'}"},
            "only a sweep file may have a template",
        ),
        (
            {"script": "a.py", "sbatch": {"arr": "1-9"}},
            "sbatch: the option 'array' is reserved; use the setting 'submit'",
        ),
        ({"script": "a.py", "env": {"SBATCH_EXPORT": "NONE"}}, "env: the variable 'SBATCH_EXPORT' is reserved"),
        ({"script": "a.py", "profile": "far"}, "slurm.profile: the file include/clusters/far.yaml does not exist"),
        ({"script": "a.py", "cluster": "far"}, "conf: unknown key 'cluster'; it is called 'profile'"),
        ({"script": "a.py", "walltime": 60}, "conf: unknown key 'walltime'; did you mean 'time'?"),
        ({"script": "a.py", "lr": 1}, "conf: unknown key 'lr'. A parameter goes into overrides: [\"lr=…\"]"),
        ({"script": "a.py", "mem": "4G"}, "conf: unknown key 'mem'; options of sbatch stand in a sweep file, or below"),
    ],
)
def test_invalid_input_is_refused(include: Path, conf: dict[str, Any], said: str) -> None:
    with pytest.raises(AirflowFailException) as caught:
        launch(include, **conf)
    assert said in str(caught.value)


def test_null_means_none(include: Path) -> None:
    text = f"{SWEEP}preset: plain\ncommand: t {{flags}}\n".replace("slurm: {", "slurm: {batch_script: a.sub, ")
    job, _ = launch(include, sweep_text=text, time="null", batch_script="null")
    assert not {"time", "batch_script"} & job.keys()


@pytest.mark.parametrize("conf", [{"env": ["a"]}, {"profile": "a/b"}, {"script": 1}])
def test_the_form_refuses_values_of_another_type(include: Path, conf: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        launch(include, **conf)


@pytest.mark.parametrize(("file", "name"), [("a.yml", "a"), ("team/a.yaml", "team.a")])
def test_a_sweep_is_found_by_the_name_of_its_dag(include: Path, file: str, name: str) -> None:
    path = include / "sweeps" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(SWEEP)
    assert len(launch(include, sweep=name)) == 2
