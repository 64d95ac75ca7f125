"""From a sweep and its settings to what is submitted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from shlex import split
from typing import Any

import pytest

from airflow_slurm_sweep.counts import counts_to_read, disagreements
from airflow_slurm_sweep.errors import SettingsError, SweepFileError
from airflow_slurm_sweep.plan import RunPlan, plan_run
from airflow_slurm_sweep.slurm.durations import hours, minutes
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, JobRequest
from airflow_slurm_sweep.slurm.runs.earlier import EarlierJob, match
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.settings import RunOptions
from airflow_slurm_sweep.sweep.spec import parse_sweep
from tests.layers import make_layers

SWEEP = "script_path: examples/train_grpo.py\nconfig_path: configs/grpo.yaml\noptim.lr: [1e-6, 5e-6]\n"
ENVIRONMENT = {"LOG": "/lustre/log", "ACCOUNT": "research", "CON": "/lustre/images/"}


def layers(profile: dict[str, object] | None = None, environment: dict[str, str] | None = None) -> Layers:
    return make_layers(profile or {}, ENVIRONMENT if environment is None else environment)


def planned(
    text: str, profile: dict[str, object] | None = None, environment: dict[str, str] | None = None
) -> list[JobRequest]:
    return list(plan_run(parse_sweep(text, source="s.yaml"), layers(profile, environment)).jobs)


def overrides(job: JobRequest) -> list[str]:
    words = split(job.command)
    return words[words.index("configs/grpo.yaml") + 1 :] if "--config" in words else words[3:]


def test_the_predecessors_defaults() -> None:
    first, second = planned(SWEEP)
    assert first == JobRequest(
        ssh_conn_id="slurm",
        name="train_grpo_sweep_1",
        label="lr=1e-06",
        index=1,
        parameters={"optim.lr": 1e-6},
        swept=["optim.lr"],
        command=(
            "uv run examples/train_grpo.py --config configs/grpo.yaml "
            "logger.log_dir=/lustre/log/nemo-rl/train_grpo_sweep_1/logs logger.wandb_enabled=True "
            "logger.wandb.name=train_grpo_sweep_1 "
            "checkpointing.checkpoint_dir=/lustre/log/nemo-rl/train_grpo_sweep_1/checkpoints cluster.num_nodes=1 "
            "optim.lr=1e-06"
        ),
        run_dir="/lustre/log/nemo-rl/train_grpo_sweep_1",
        inputs=["examples/train_grpo.py", "configs/grpo.yaml"],
        folders=["checkpoints", "wandb"],
        script=JOB_SCRIPT,
        nodes=1,
        gpus_per_node=8,
        time="4:0:0",
        account="research",
        partition="batch",
        container="/lustre/images/nemo_rl_base.sqsh",
        mounts="/lustre:/lustre",
        metrics=("metrics.json", "checkpoints/step_*/training_info.json"),
    )
    assert second.name == "train_grpo_sweep_2"


def test_a_single_combination_has_no_index() -> None:
    (job,) = planned("script_path: a.py\nslurm: {jobname: mine}")
    assert (job.name, job.run_dir) == ("mine", "/lustre/log/nemo-rl/mine")


def test_first_found_wins_sweep_then_profile_then_environment_then_default() -> None:
    profile: dict[str, object] = {
        "account": "p",
        "partition": "p",
        "time": "1:0:0",
        "log": "/p",
        "env": {"A": "p", "B": "p"},
    }
    environment = {**ENVIRONMENT, "PARTITION": "e"}
    section = "slurm: {account: s, env: {A: s}, sbatch: {qos: high}}"
    (job,) = planned(f"script_path: a.py\n{section}", profile, environment)
    assert (job.account, job.partition, job.time, job.run_dir) == ("s", "p", "1:0:0", "/p/nemo-rl/a")
    assert (job.env, job.options) == ({"A": "s", "B": "p"}, {"qos": "high"})
    (job,) = planned("script_path: a.py", None, environment)
    assert (job.account, job.partition, job.time, job.run_dir) == ("research", "e", "4:0:0", "/lustre/log/nemo-rl/a")


@pytest.mark.parametrize("place", ["sweep", "profile"])
def test_null_means_none_and_ends_the_search(place: str) -> None:
    nothing: dict[str, object] = {"container": None, "mounts": None, "account": None}
    section = "slurm: {container: null, mounts: null, account: null}" if place == "sweep" else ""
    (job,) = planned(f"script_path: a.py\n{section}", nothing if place == "profile" else None)
    assert (job.container, job.mounts, job.account) == (None, None, None)


def test_missing_settings_are_one_error_with_all_places() -> None:
    with pytest.raises(SettingsError) as caught:
        planned("script_path: a.py", None, {"ACCOUNT": ""})
    assert str(caught.value) == (
        "Required settings are missing. Set account: the trigger form, `slurm.account` in the sweep file, `account` in "
        "include/clusters/default.yaml, or ACCOUNT in the environment (null in a file: none); "
        "container: the trigger form, `slurm.container` in the sweep file, `container` in "
        "include/clusters/default.yaml, or CON in the environment (null in a file: none); "
        "log: `log` in include/clusters/default.yaml, or LOG in the environment"
    )


def test_a_relative_log_directory_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected an absolute path on the cluster"):
        planned("script_path: a.py", None, {**ENVIRONMENT, "LOG": "logs"})


def test_a_sweeps_own_value_replaces_the_automatic_one() -> None:
    own = "logger.wandb_enabled: false\n++logger.log_dir: /mine\ncluster.num_nodes: [2, 4]\n"
    two, four = planned(SWEEP.replace("optim.lr: [1e-6, 5e-6]\n", own))
    assert overrides(four) == [
        "logger.wandb.name=train_grpo_sweep_2",
        "checkpointing.checkpoint_dir=/lustre/log/nemo-rl/train_grpo_sweep_2/checkpoints",
        "logger.wandb_enabled=False",
        "++logger.log_dir=/mine",
        "cluster.num_nodes=4",
    ]
    assert (two.nodes, four.nodes) == (2, 4), "Slurm is asked for what the script is told"


def test_a_swept_number_of_nodes_has_to_be_a_number() -> None:
    with pytest.raises(SettingsError, match=r"cluster.num_nodes: expected a whole number from 1, got 'two'"):
        planned("script_path: a.py\ncluster.num_nodes: [two]")
    with pytest.raises(SettingsError, match=r"cluster.num_nodes: expected a whole number from 1, got 0"):
        planned("script_path: a.py\ncluster.num_nodes: [0]\nslurm: {gpus: 4}")
    with pytest.raises(SettingsError, match=r"cluster.gpus_per_node: expected a whole number from 0, got -1"):
        planned("script_path: a.py\ncluster.gpus_per_node: [-1]")


def test_a_number_of_nodes_that_an_override_deletes_is_that_of_the_settings() -> None:
    (job,) = triggered("script_path: a.py\nslurm: {nodes: 2}", overrides=["~cluster.num_nodes"]).jobs
    assert (job.nodes, [word for word in split(job.command) if "num_nodes" in word]) == (2, ["~cluster.num_nodes"])


def test_a_batch_script_of_the_clusters_replaces_ours() -> None:
    (job,) = planned("script_path: a.py\nslurm: {batch_script: ray.sub, workdir: /lustre/nemo-rl}")
    assert (job.batch_script, job.script, job.workdir) == ("ray.sub", "", "/lustre/nemo-rl")


def test_an_absolute_script_may_exist_in_the_container_only() -> None:
    (job,) = planned("script_path: /opt/a.py\nconfig_path: b.yaml")
    assert job.inputs == ["b.yaml"]
    (job,) = planned("script_path: /opt/a.py\nslurm: {container: null}")
    assert job.inputs == ["/opt/a.py"]


def test_a_request_survives_json() -> None:
    (job,) = planned("script_path: a.py\nslurm: {env: {A: b}, sbatch: {exclusive: true}}")
    assert JobRequest.from_json(job.to_json()) == job


def triggered(text: str, **options: object) -> RunPlan:
    return plan_run(parse_sweep(text, source="s.yaml"), layers(), RunOptions.model_validate(options))


def test_the_form_sets_the_number_of_canaries() -> None:
    text = "command: a\nlr: [1, 2, 3, 4]\n"
    canaries = [triggered(text + file, **form).jobs[0].canaries for file in ("", "sweep: {canary: 2}") for form in
                ({}, {"canary": 3}, {"canary": 0})]  # fmt: skip
    assert canaries == [0, 3, 0, 2, 3, 0]


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("stop: {rule: asha, from_step: 1}", "lower canary"),
        ("search: tpe, trials: 4", "canary does not go with search: tpe"),
    ],
)
def test_canaries_of_the_form_that_do_not_fit_the_sweep(sweep: str, expected: str) -> None:
    text = f"""\
command: a
lr: {"{uniform: [1, 2]}" if "search" in sweep else "[1, 2]"}
slurm: {{max_parallel_jobs: 2}}
sweep: {{objective: {{metric: a, goal: minimize}}, {sweep}}}
"""
    with pytest.raises(SettingsError, match=expected):
        triggered(text, canary=3)


def test_the_form_wins_over_everything() -> None:
    text = "script_path: a.py\nslurm: {nodes: 2, time: 1:0:0, account: s, partition: s, jobname: s}"
    form = {"nodes": 4, "gpus_per_node": 0, "time": "2:0:0", "account": "f", "partition": "f", "jobname": "f"}
    (job,) = triggered(text, **form).jobs
    assert (job.nodes, job.gpus_per_node, job.time, job.account, job.partition, job.name) == (
        4,
        0,
        "2:0:0",
        "f",
        "f",
        "f",
    )
    assert "cluster.num_nodes=4" in split(job.command)


def test_an_empty_field_is_as_in_the_sweep() -> None:
    (job,) = triggered("script_path: a.py\nslurm: {time: 1:0:0}", time="", nodes="", only="").jobs
    assert (job.time, job.nodes) == ("1:0:0", 1)


def test_an_override_wins_over_parameters_and_automatic_values() -> None:
    planned = triggered(
        SWEEP + "seed: [1, 2]\n", overrides=["++optim.lr=3e-6", "logger.wandb_enabled=False", "+x='a b'"]
    )
    assert [job.name for job in planned.jobs] == ["train_grpo_sweep_1", "train_grpo_sweep_2"]
    assert planned.notes == [
        "s.yaml: 2 of 2 combinations",
        "The run's own settings replace optim.lr of the sweep: 4 combinations become 2",
    ]
    assert overrides(planned.jobs[1])[-4:] == [
        "seed=2",
        "++optim.lr=3e-6",
        "logger.wandb_enabled=False",
        "+x='a b'",
    ]
    assert "logger.wandb_enabled=True" not in overrides(planned.jobs[1])


def test_only_keeps_numbers_and_names_of_the_whole_sweep() -> None:
    planned = triggered("script_path: a.py\nseed: [1, 2, 3, 4, 5]", only="1-2, 5")
    assert [job.name for job in planned.jobs] == ["a_sweep_1", "a_sweep_2", "a_sweep_5"]
    assert planned.notes == ["s.yaml: 3 of 5 combinations"]


@pytest.mark.parametrize("only", ["0", "6", "3-2", "2-9"])
def test_only_refuses_combinations_that_the_sweep_lacks(only: str) -> None:
    with pytest.raises(SettingsError, match=f"^only: expected indices from 1 to 5 such as 1-4,9, got '{only}'"):
        triggered("script_path: a.py\nseed: [1, 2, 3, 4, 5]", only=only)


def test_slurm_is_asked_for_what_an_override_tells_the_script() -> None:
    (job,) = triggered("script_path: a.py", overrides=["cluster.num_nodes=16", "cluster.gpus_per_node=4"]).jobs
    assert (job.nodes, job.gpus_per_node) == (16, 4)
    with pytest.raises(SettingsError, match=r"cluster.num_nodes: expected a whole number from 1, got '\$\{x\}'"):
        triggered("script_path: a.py", overrides=["cluster.num_nodes=${x}"])


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("cluster.num_nodes: [1, 2]", {"nodes": 4}, "nodes: s.yaml sweeps over cluster.num_nodes"),
        (
            "seed: 1",
            {"nodes": 4, "overrides": ["cluster.num_nodes=4"]},
            "nodes: the overrides set cluster.num_nodes too",
        ),
    ],
)
def test_two_sources_that_disagree_are_an_error(text: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        triggered(f"script_path: a.py\n{text}", **options)


def test_a_form_value_replaces_a_constant_of_the_sweep() -> None:
    (job,) = triggered("script_path: a.py\ncluster.num_nodes: 2", nodes=4).jobs
    assert job.nodes == 4
    assert [word for word in split(job.command) if "num_nodes" in word] == ["cluster.num_nodes=4"]
    (job,) = triggered("script_path: a.py\ncommand: x {flags}\n--cluster.num_nodes: 2", nodes=4).jobs
    assert (job.nodes, split(job.command)[-1]) == (4, "--cluster.num_nodes=4")


@pytest.mark.parametrize(
    ("text", "form", "told"),
    [
        ("cluster.gpus_per_node: 8", {"gpus_per_node": 4}, [4]),
        ("config_path: c.yaml", {"gpus_per_node": 4}, [4]),
        ("slurm: {gpus_per_node: 2}", {}, [2]),
        ("slurm: {gpus_per_node: 2}", {"overrides": ["~cluster.gpus_per_node"]}, []),
        ("m: [1, 2]\nsweep: {rules: [{if: {m: 2}, slurm: {gpus_per_node: 2}}]}", {"only": "2"}, [2]),
        ("m: [1, 2]\nsweep: {rules: [{if: {m: 2}, slurm: {gpus_per_node: 2}}]}", {"only": "1"}, []),
        ("config_path: c.yaml", {}, []),
    ],
)
def test_the_script_is_told_of_the_gpus_that_are_set_above_its_config(
    text: str, form: dict[str, object], told: list[int]
) -> None:
    (job,) = triggered(f"script_path: a.py\n{text}", **form).jobs
    words = [word for word in split(job.command) if word.startswith("cluster.gpus_per_node=")]
    assert words == [f"cluster.gpus_per_node={number}" for number in told]
    assert told in ([], [job.gpus_per_node])


def test_the_upper_bound_in_gpu_hours() -> None:
    text = "script_path: a.py\nseed: [1, 2]\nslurm: {nodes: 2, gpus_per_node: 4, time: 1-12:30:00}"
    assert triggered(text).cost.gpu_hours == 2 * 2 * 4 * 36.5


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 1.5),
        ("1:30", 0.025),
        ("4:0:0", 4),
        ("1-2", 26),
        ("1-2:30", 26.5),
        ("0-0:0:36", 0.01),
        ("UNLIMITED", float("inf")),
    ],
)
def test_time_limits_in_hours(time: str, expected: float) -> None:
    assert hours(time) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("time", "expected"),
    [("0:30", 1), ("1:30", 2), ("50", 50), ("4:0:0", 240), ("0-0:0:61", 2), ("0", None), (None, None)],
)
def test_time_limits_in_whole_minutes(time: str | None, expected: int | None) -> None:
    assert minutes(time) == expected


@pytest.mark.parametrize("setting", ["time: ١", "queue_limit: 1-٢"])
def test_a_time_limit_has_the_digits_that_slurm_reads(setting: str) -> None:
    with pytest.raises(SweepFileError, match="expected minutes, h:m:s"):
        parse_sweep(f"script_path: a.py\nslurm: {{{setting}}}", source="s.yaml")


@pytest.mark.parametrize(
    ("text", "options", "wanted"),
    [
        ("", {}, {"nodes", "gpus_per_node"}),
        ("slurm: {nodes: 2}", {}, {"gpus_per_node"}),
        ("+cluster.num_nodes: [1, 2]", {}, {"gpus_per_node"}),
        ("", {"nodes": 2, "overrides": ["cluster.gpus_per_node=4"]}, set()),
    ],
)
def test_counts_that_only_the_config_can_set_are_read_there(
    text: str, options: dict[str, object], wanted: set[str]
) -> None:
    spec = parse_sweep(f"script_path: a.py\nconfig_path: c.yaml\n{text}", source="s.yaml")
    assert counts_to_read(spec, layers(), RunOptions.model_validate(options)).keys() == wanted


def test_without_a_config_there_is_nothing_to_read() -> None:
    assert counts_to_read(parse_sweep("script_path: a.py", source="s.yaml"), layers(), RunOptions()) == {}


def test_the_config_wins_over_the_profile_and_the_default() -> None:
    spec = parse_sweep("script_path: a.py\nconfig_path: c.yaml", source="s.yaml")
    (job,) = plan_run(spec, layers({"nodes": 2}), from_config={"nodes": 16, "gpus_per_node": 4}).jobs
    assert (job.nodes, job.gpus_per_node) == (16, 4)
    assert "cluster.num_nodes=16" in split(job.command)


def test_a_template_that_airflow_has_not_rendered_is_no_job_name() -> None:
    text = 'script_path: a.py\nslurm: {jobname: "a_{{ ds }}"}'
    with pytest.raises(SettingsError, match="is a template, which Airflow renders in a run; give a job name"):
        triggered(text)
    (job,) = triggered(text, jobname="b").jobs
    assert job.name == "b"


def test_secrets_are_references() -> None:
    text = "script_path: a.py\nslurm: {env: {A: b, KEY: {variable: wandb}, TOKEN: {connection: store}}}"
    (job,) = triggered(text).jobs
    assert (job.env, job.secrets) == ({"A": "b"}, {"KEY": "variable:wandb", "TOKEN": "connection:store"})


def test_jobs_go_as_an_array_if_the_sweep_or_the_profile_says_so() -> None:
    sweep = SWEEP + "slurm: {submit: array}\n"
    assert [job.array for job in planned(SWEEP)] == [False, False]
    assert [job.array for job in planned(sweep)] == [True, True]
    assert [job.array for job in planned(SWEEP, {"submit": "array"})] == [True, True]
    assert [job.array for job in planned(SWEEP + "slurm: {submit: each}\n", {"submit": "array"})] == [False, False]
    limited = planned(sweep, {"max_parallel_jobs": 2})
    assert [(job.array, job.max_parallel_jobs) for job in limited] == [(True, 2)] * 2
    with pytest.raises(
        SettingsError, match=r"submit is array, and max_parallel_jobs is 2: Slurm does not count the jobs"
    ):
        planned(sweep, {"max_parallel_jobs": 2, "chain": 3})


def test_parameters_travel_with_their_types() -> None:
    values = [1e16, 10**16, 1.0, 1, True, "1", "é\U0001f600", None, math.inf, [1, {"a": 2.0}], 2**70]
    text = "script_path: a.py\nslurm: {container: null}\nx:\n" + "".join(f"- {yaml(value)}\n" for value in values)
    for job, value in zip(planned(text), values, strict=True):
        xcom = json.loads(json.dumps(job.to_json(), allow_nan=False))
        assert isinstance(xcom["parameters"], str), "a database would change the type of a number"
        found = JobRequest.from_json(xcom)
        assert repr(found.parameters) == repr({"x": value})
        assert replace(found, inputs=job.inputs, metrics=job.metrics) == job


def yaml(value: object) -> str:
    return (
        ".inf" if value == math.inf else "1.0e+16" if repr(value) == "1e+16" else json.dumps(value, ensure_ascii=False)
    )


def test_the_json_of_a_job_leaves_out_defaults() -> None:
    (job,) = planned("script_path: a.py\nslurm: {container: null, mounts: null, gpus_per_node: 0, account: null}")
    assert set(job.to_json()) == {
        "ssh_conn_id",
        "name",
        "command",
        "folders",
        "run_dir",
        "index",
        "inputs",
        "script",
        "time",
        "partition",
        "metrics",
    }


@pytest.mark.parametrize(
    ("sbatch", "told"),
    [
        ("gpus-per-node: 4", 4),
        ('gres: "gpu:a100:4"', 4),
        ("gpus-per-node: 0", 0),
        ("gpus: 4", 2),
        ('gres: "nvme:1"', 8),
        ("gres: none", 8),
        ("qos: high", 8),
    ],
)
def test_the_script_is_told_of_the_gpus_that_the_options_of_sbatch_ask_for(sbatch: str, told: int) -> None:
    (job,) = triggered(f"script_path: a.py\nslurm: {{nodes: 2, sbatch: {{{sbatch}}}}}").jobs
    assert job.gpus_per_node == told


@pytest.mark.parametrize(
    ("sweep", "profile", "form", "config", "said"),
    [
        (
            "slurm: {sbatch: {gpus-per-node: 4}}",
            {"gpus_per_node": 8},
            {},
            {},
            "4 GPUs on each node by `sbatch: {gpus-per-node: 4}` (the sweep file's `slurm:`), but the script is told 8 by "
            "gpus_per_node (include/clusters/default.yaml); make them equal",
        ),
        (
            "config_path: c.yaml",
            {"sbatch": {"gres": "gpu:h100:4"}},
            {},
            {"gpus_per_node": 8},
            "4 GPUs on each node by `sbatch: {gres: gpu:h100:4}` (include/clusters/default.yaml), but the script is told 8 "
            "by gpus_per_node (the script's config)",
        ),
        ("slurm: {sbatch: {gpus: 4}}", {}, {"gpus_per_node": 2}, {}, "told 2 by gpus_per_node (the trigger form)"),
        (
            "slurm: {sbatch: {gpus: 4}}\ncluster.gpus_per_node: [4, 2]",
            {},
            {},
            {},
            "told 2 by cluster.gpus_per_node of the run's parameters",
        ),
        (
            "slurm: {sbatch: {gpus-per-socket: 4}}",
            {},
            {},
            {},
            "`sbatch: {gpus-per-socket: 4}` (the sweep file's `slurm:`) does not tell the number of GPUs on each node; set",
        ),
        (
            "slurm: {sbatch: {gpus: 4, gres: gpu}}",
            {},
            {},
            {},
            "on each node gpus for 4 and gres for 1 GPUs; keep one of them",
        ),
    ],
)
def test_two_numbers_of_gpus_are_an_error_that_names_both_places(
    sweep: str, profile: dict[str, object], form: dict[str, object], config: dict[str, int], said: str
) -> None:
    spec = parse_sweep(f"script_path: a.py\n{sweep}", source="s.yaml")
    with pytest.raises(SettingsError) as caught:
        plan_run(spec, layers(profile), RunOptions.model_validate(form), config)
    assert said in str(caught.value)


def test_an_explicit_number_tells_the_script_where_the_options_of_sbatch_do_not() -> None:
    (job,) = triggered("script_path: a.py\nslurm: {gpus_per_node: 8, sbatch: {gpus-per-socket: 4}}").jobs
    assert job.gpus_per_node == 8


@pytest.mark.parametrize(
    ("text", "partition"),
    [("[a, b]", "a,b"), ('"a,b"', "a,b"), ('"a, b"', "a,b"), ("[a]", "a"), ("a", "a"), ("", None)],
)
def test_several_partitions_are_written_as_slurm_does(text: str, partition: str | None) -> None:
    (job,) = triggered(f"script_path: a.py\nslurm: {{partition: {text}}}").jobs
    assert job.partition == partition


@pytest.mark.parametrize("text", ["[]", "[a, '']", "'a,'", "[[a]]", "[true]", "{a: b}"])
def test_what_is_no_list_of_partitions_is_a_fault(text: str) -> None:
    with pytest.raises(SweepFileError, match=r"s\.yaml: slurm\.partition: expected "):
        triggered(f"script_path: a.py\nslurm: {{partition: {text}}}")


@pytest.mark.parametrize(
    ("limit", "seconds"), [("2-0", 172800), ("90", 5400), ("0:0:30", 30), ("0", None), ("UNLIMITED", None), ("", None)]
)
def test_a_limit_in_the_queue_is_a_duration_of_slurms(limit: str, seconds: int | None) -> None:
    (job,) = planned("script_path: a.py", {"queue_limit": limit or None})
    assert job.queue_limit == seconds


def test_extra_nodes_count_and_the_script_is_not_told_of_them() -> None:
    plan = triggered("script_path: a.py\nslurm: {nodes: 2, extra_nodes: 1, time: 1:0:0}")
    (job,) = plan.jobs
    assert (job.nodes, job.extra_nodes, plan.cost.gpu_hours) == (2, 1, 24)
    assert "cluster.num_nodes=2" in split(job.command)


RULES = (
    "script_path: a.py\nmodel: [8B, 70B]\nlr: [1e-6, 1e-5]\nsweep:\n  exclude: [{model: 70B, lr: 1e-5}]\n"
    "  rules: [{if: {model: 70B}, set: {tp: 8}, slurm: {nodes: 8, time: 12:0:0, partition: large, mem: 9G}}]\n"
)


def test_a_rule_gives_its_combinations_their_own_resources() -> None:
    small, *_, large = planned(RULES, {"time": "1:0:0", "qos": "high"})
    assert (small.nodes, small.time, small.partition, small.options) == (1, "1:0:0", "batch", {"qos": "high"})
    assert (large.nodes, large.time, large.partition) == (8, "12:0:0", "large")
    assert large.options == {"qos": "high", "mem": "9G"}
    assert large.parameters == {"model": "70B", "lr": 1e-6, "tp": 8}
    assert "cluster.num_nodes=8" in split(large.command)
    assert large.label == "model=70B lr=1e-06"


def test_the_form_wins_over_rules() -> None:
    assert [job.nodes for job in triggered(RULES, nodes=2).jobs] == [2, 2, 2]
    assert [job.parameters.get("tp") for job in triggered(RULES, overrides=["tp=4"]).jobs] == [4, 4, 4]


def test_an_override_is_a_constant_that_rules_and_exclusions_see() -> None:
    (job,) = triggered(RULES, overrides=["model=70B"]).jobs
    assert (job.parameters, job.nodes, job.index) == ({"lr": 1e-6, "tp": 8, "model": "70B"}, 8, 1)
    plan = triggered("command: python a.py {flags}\n" + RULES, overrides=["lr=1e-6"])
    assert [dict(job.parameters) for job in plan.jobs] == [
        {"model": "8B", "lr": 1e-6},
        {"model": "70B", "lr": 1e-6, "tp": 8},
    ]
    with pytest.raises(
        SettingsError, match=r"^with the run's own settings: sweep\.exclude leaves no combination; exclu"
    ):
        triggered(RULES, overrides=["model=70B", "lr=1e-5"])


def test_an_override_that_undoes_an_exclusion_leaves_no_more_combinations_than_allowed() -> None:
    axes = "a: {range: [0, 300]}\nb: {range: [0, 300]}\nx: 1\nsweep: {exclude: [{x: 1, a: {above: 0}}]}"
    assert len(triggered(f"command: a\n{axes}").jobs) == 300
    with pytest.raises(SettingsError, match=r"^with the run's own settings: 90000 combinations, but at most 1000 are"):
        triggered(f"command: a\n{axes}", overrides=["x=2"])


def test_a_joint_choice_of_which_a_part_is_overridden_runs_once() -> None:
    plan = triggered('script_path: a.py\n"a, b": [[1, 1], [2, 1], [2, 2]]\n', overrides=["a=5"])
    assert [job.parameters for job in plan.jobs] == [{"b": 1, "a": 5}, {"b": 2, "a": 5}]


def test_the_same_number_of_nodes_is_told_to_slurm_and_to_the_script_of_a_rule() -> None:
    rule = (
        "script_path: a.py\nm: [1, 2]\nsweep: {rules: [{if: {m: 2}, set: {cluster.num_nodes: 4}, slurm: {nodes: 8}}]}"
    )
    spec = parse_sweep(rule, source="s.yaml")
    (found,) = disagreements(spec, layers().preset.counts)
    assert str(found) == (
        "sweep.rules.0.cluster.num_nodes: the parameter is 4, but slurm.nodes is 8; remove one of them"
    )
    one, two = planned(rule.replace("slurm: {nodes: 8}", "slurm: {time: 5}"))
    assert (one.nodes, two.nodes, two.time) == (1, 4, "5")


def test_a_placeholder_that_some_combinations_have_no_value_for_is_refused() -> None:
    text = "command: python a.py {tp}\nm: [1, 2]\ntp: 1\nsweep: {rules: [{if: {m: 2}, set: {tp: 8}}]}"
    assert [job.command for job in triggered(text).jobs] == ["python a.py 1", "python a.py 8"]
    with pytest.raises(SettingsError, match=r"command: \{tp\} has a value by rules only, which some combinations lack"):
        triggered(text.replace("tp: 1\n", ""))


def test_repeats_are_jobs_of_their_own_that_say_so() -> None:
    plan = triggered("script_path: a.py\nlr: [1, 2]\nsweep: {repeat: {seed: [7, 8]}}", only="2-3")
    assert [(job.name, job.parameters, job.repeated) for job in plan.jobs] == [
        ("a_sweep_2", {"lr": 1, "seed": 8}, ["seed"]),
        ("a_sweep_3", {"lr": 2, "seed": 7}, ["seed"]),
    ]
    assert "sweep.repeat: each of 2 combinations runs 2 times, over seed" in plan.notes
    assert JobRequest.from_json(plan.jobs[0].to_json()) == plan.jobs[0]


def test_an_override_in_a_search_is_named_alone() -> None:
    text = (
        "script_path: a.py\nlr: {loguniform: [1e-7, 1e-4]}\nwd: {uniform: [0, 1]}\nsweep: {search: random, trials: 4}"
    )
    plan = triggered(text, overrides=["wd=0.5"])
    assert "The run's own settings replace wd of the sweep" in plan.notes
    assert [list(job.parameters) for job in plan.jobs] == [["lr", "wd"]] * 4


SEARCH = "script_path: a.py\nlr: {loguniform: [1e-7, 1e-4]}\nsweep: {search: random, trials: 4, repeat: {seed: [1, 2]}}"


def earlier(job: JobRequest) -> EarlierJob:
    return EarlierJob(
        base="a",
        run_dir=job.run_dir,
        job_id="1",
        exit="0 -",
        name=job.name,
        parameters=json.loads(json.dumps(job.parameters)),
        swept=tuple(job.swept),
    )


def test_resume_finds_drawn_values_and_repeats_again() -> None:
    first = triggered(SEARCH).jobs
    places = [earlier(job) for job in first]
    again = match(triggered(SEARCH).jobs, places)
    assert [found[0].run_dir for found in again.values()] == [job.run_dir for job in first]
    more = triggered(SEARCH.replace("trials: 4", "trials: 6").replace("[1, 2]", "[0, 1, 2]")).jobs
    found = match(more, places)
    assert len(more) == 18
    assert sorted(each[0].run_dir for each in found.values()) == sorted(job.run_dir for job in first)
    for index, (place, *_) in found.items():
        assert more[index - 1].parameters == place.parameters


# Jobs that follow


CHAIN = {"jobs": 6, "until": {}, "on": ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"], "progress": "", "retry": []}


@pytest.mark.parametrize(
    ("section", "chain", "warn"),
    [
        ("chain: 6, time: 4:0:0", CHAIN, 120),
        ("chain: 6, time: 4", CHAIN, 60),
        ("chain: 6, time: 0", CHAIN, 120),
        ("chain: 6, warn: 300", CHAIN, 300),
        ("chain: 6, warn: 0", CHAIN, 0),
        ("chain: 6, batch_script: ray.sub", CHAIN, 0),
        ("chain: 6, batch_script: ray.sub, warn: 60", CHAIN, 60),
        ('chain: 6, signal: "USR2@30"', CHAIN, 0),
        ("chain: {jobs: 6, until: {steps: 20}}", {**CHAIN, "until": {"steps": 20.0}}, 120),
        ("time: 4:0:0", {}, 0),
        ("warn: 60", {}, 60),
        (
            "retry: [{on: FAILED, exit_codes: [75]}]",
            {"jobs": 0, "on": [], "progress": "", "retry": [{"on": "FAILED", "times": 1, "exit_codes": [75]}]},
            0,
        ),
    ],
)
def test_jobs_that_others_follow(section: str, chain: dict[str, Any], warn: int) -> None:
    (job,) = triggered(f"script_path: a.py\nslurm: {{{section}}}").jobs
    assert (job.chain, job.warn) == (chain, warn)


def test_the_upper_bound_counts_chains_and_retries() -> None:
    retry = "[{on: OUT_OF_MEMORY, times: 2, mem: 9G, time: x2}, {on: FAILED, time: 30}]"
    plan = triggered(f"script_path: a.py\nslurm: {{time: 1:0:0, gpus_per_node: 1, chain: 3, retry: {retry}}}")
    assert plan.cost.gpu_hours == 1 + 2 + 4 + 2 * 4 + 0.5
    assert plan.summary == "1 job that may be followed by 5 more each, at most 15.5 GPU-hours"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("chain: 0", "chain.jobs: expected greater than or equal to 1, got 0"),
        ("chain: {jobs: 3, until: {a: 1, b: 2}}", "chain.until: expected one metric, got a, b"),
        ("chain: {jobs: 3, on: [LOST]}", "chain.on.0: expected 'TIMEOUT', .*, got 'LOST'"),
        (
            "chain: 3, retry: [{on: NODE_FAIL}]",
            r"retry: NODE_FAIL stands in chain.on too \(TIMEOUT, PREEMPTED, NODE_FAIL, BOOT_FAIL\)",
        ),
        ("retry: [{on: FAILED}, {on: FAILED}]", "retry: FAILED has two rules; keep one of them"),
        ("retry: [{on: FAILED, mem: lots}]", "retry.0.mem: expected 64G, or a factor such as x2, got 'lots'"),
        ("retry: [{on: FAILED, time: soon}]", "retry.0.time: expected 8:0:0, or a factor such as x2, got 'soon'"),
        ('warn: 60, signal: "USR1@30"', "warn is 60, but sbatch has signal too; remove one of them"),
    ],
)
def test_what_contradicts_itself_is_a_fault_of_the_file(section: str, said: str) -> None:
    with pytest.raises(SweepFileError, match=said):
        triggered(f"script_path: a.py\nslurm: {{{section}}}")


def test_nothing_is_multiplied_that_nobody_has_set() -> None:
    with pytest.raises(SettingsError, match="retry: mem: x2 multiplies the job's mem, which is not set"):
        triggered("script_path: a.py\nslurm: {retry: [{on: OUT_OF_MEMORY, mem: x2}]}")
