"""Settings: what each declaration says holds everywhere that is made from it."""

from __future__ import annotations

import re

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.schema import field_schemas
from airflow_slurm_sweep.slurm.durations import hours
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.submit.sbatch import environment
from airflow_slurm_sweep.slurm.validation import OUR_OPTIONS, OUR_VARIABLES
from airflow_slurm_sweep.sweep.dag_section import DagSection
from airflow_slurm_sweep.sweep.layers import Layers, RunSettings
from airflow_slurm_sweep.sweep.presets import Preset
from airflow_slurm_sweep.sweep.sbatch_options import OTHER_WORDS
from airflow_slurm_sweep.sweep.section import Section, read_settings
from airflow_slurm_sweep.sweep.setting_types import only_pattern
from airflow_slurm_sweep.sweep.settings import (
    NONE_IN_A_FORM,
    ClusterProfile,
    RunOptions,
    SlurmSection,
    given,
    setting,
)
from airflow_slurm_sweep.sweep.sweep_section import RuleSection, SweepSection
from tests.layers import make_layers

SECTIONS = [SlurmSection, ClusterProfile, RunOptions]
PROFILE = {"account": "a", "container": None, "log": "/l"}


def layers(profile: dict[str, object], **environment: str) -> Layers:
    return make_layers(profile, environment)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_each_setting_has_a_title_a_description_and_one_type(section: type[Section]) -> None:
    for name, schema in field_schemas(section).items():
        assert {"title", "description", "type", "default"} <= schema.keys(), name
        assert schema["description"].endswith("."), name


def test_each_replaced_option_is_reserved() -> None:
    options = [setting(field).option for field in SlurmSection.model_fields.values()]
    assert set(options) - {""} <= OUR_OPTIONS


def test_the_reserved_variables_are_those_that_each_job_gets() -> None:
    job = JobRequest(ssh_conn_id="c", name="n", command="true", run_dir="/r")
    assert environment(job).keys() == OUR_VARIABLES


def test_an_empty_field_of_the_form_says_nothing() -> None:
    assert given(RunOptions.model_validate({"nodes": None, "time": "", "only": "", "overrides": None})) == {}
    assert given(RunOptions.model_validate({"nodes": 2, "dry_run": False})) == {"nodes": 2, "dry_run": False}


def test_mappings_of_all_layers_are_joined_and_other_values_replaced() -> None:
    below = layers({**PROFILE, "env": {"A": "p", "B": "p"}, "sbatch": {"qos": "p"}, "nodes": 2, "submit": "array"})
    section = SlurmSection.model_validate({"env": {"A": "s"}, "sbatch": {"comment": "s"}, "nodes": 3})
    resolved = below.resolve(
        RunSettings(section=section, options=RunOptions(nodes=4), from_config={"gpus_per_node": 1})
    )
    assert (resolved.env, resolved.sbatch) == ({"A": "s", "B": "p"}, {"qos": "p", "comment": "s"})
    assert (resolved.nodes, resolved.gpus_per_node, resolved.submit, resolved.time) == (4, 1, "array", "4:0:0")


def test_setup_lines_of_the_profile_come_before_those_of_the_sweep() -> None:
    below = layers({**PROFILE, "setup": ["module load cuda", "conda activate x"]})
    section = SlurmSection.model_validate({"setup": ["export A=1", "export B=2"]})
    lines = ("module load cuda", "conda activate x", "export A=1", "export B=2")
    assert below.resolve(RunSettings(section=section)).setup == lines
    assert below.job_arguments(below.resolve(RunSettings(section=section)))["setup"] == lines
    for wrong in (["a", " "], ["a\0b"]):
        with pytest.raises(SettingsError, match="setup: expected a shell line, got "):
            read_settings(SlurmSection, {"setup": wrong})


@pytest.mark.parametrize("text", ["if [ -d venv ]; then\n  . venv/bin/activate\nfi", "module load a \\\n  b"])
def test_a_text_of_setup_is_one_item(text: str) -> None:
    assert SlurmSection.model_validate({"setup": f"{text}\n"}).setup == (text,)
    assert SlurmSection.model_validate({"setup": ""}).setup == ()


def test_the_launchers_variables_are_checked_like_settings() -> None:
    below = layers({"container": None}, ACCOUNT="two words", LOG="logs")
    with pytest.raises(SettingsError) as caught:
        below.resolve(RunSettings(section=SlurmSection()))
    account, log = str(caught.value).splitlines()
    assert account.startswith("account: expected a name of letters")
    assert log.startswith("log: expected an absolute path on the cluster")


@pytest.mark.parametrize("name", ["nodes", "gpus_per_node", "submit", "stream_log", "log"])
def test_null_is_refused_where_none_means_nothing(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: expected "):
        read_settings(ClusterProfile, {name: None})


@pytest.mark.parametrize("section", [*SECTIONS, SweepSection, DagSection], ids=lambda section: section.__name__)
def test_null_is_accepted_where_the_description_says_what_it_means(section: type[Section]) -> None:
    named = [name for name, field in section.model_fields.items() if "null:" in (field.description or "")]
    for name in named:
        assert given(read_settings(section, {name: "null" if section is RunOptions else None}))[name] is None
    assert named


def test_null_in_a_form_is_none_where_the_description_says_what_it_means() -> None:
    fields = field_schemas(SlurmSection).items()
    assert {name for name, schema in fields if "null:" in schema["description"] and schema["type"] == "string"} == (
        NONE_IN_A_FORM
    )


@pytest.mark.parametrize("section", [SlurmSection, ClusterProfile, Preset], ids=lambda section: section.__name__)
def test_gpus_per_node_may_be_written_as_sbatch_does(section: type[Section]) -> None:
    assert given(read_settings(section, {"gpus-per-node": 2, "cpus-per-task": 8})) == {
        "gpus_per_node": 2,
        "sbatch": {"cpus-per-task": 8},
    }
    with pytest.raises(SettingsError, match=r"^'gpus_per_node' stands there twice, with - and with _; remove one"):
        read_settings(section, {"gpus-per-node": 2, "gpus_per_node": 2})


def test_the_settings_of_a_rule_may_be_written_as_sbatch_does() -> None:
    rule = read_settings(RuleSection, {"if": {"x": 1}, "slurm": {"gpus-per-node": 2}})
    assert rule.slurm
    assert given(rule.slurm) == {"gpus_per_node": 2}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("timelimit", "time"),
        ("time-limit", "time"),
        ("walltime", "time"),
        ("timeout_min", "time"),
        ("time_max", "time"),
        ("cpus", "cpus_per_task"),
        ("ncpus", "cpus_per_task"),
        ("cpus_per_node", "cpus_per_task"),
        ("cores", "cpus_per_task"),
        ("mem_gb", "mem: 32G"),
        ("memory", "mem: 32G"),
        ("queue", "partition"),
        ("slurm_partition", "partition"),
        ("project", "account"),
        ("ngpus", "gpus_per_node"),
        ("nnodes", "nodes"),
        ("name", "jobname"),
        ("tasks_per_node", "ntasks_per_node"),
        ("additional_parameters", "sbatch"),
        ("partion", "partition"),
        ("Nodes", "nodes"),
        ("max-parallel-jobs", "max_parallel_jobs"),
        ("gpus_per_nodes", "gpus_per_node"),
        ("log_dir", None),
        ("retries", None),
        ("cpus_per_job", None),
        ("mem_per_task", None),
    ],
)
def test_the_hint_at_an_unknown_key_means_the_same(key: str, meant: str | None) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(SlurmSection, {key: 1})
    hint = re.search(r"; did you mean '(.*?)'\?", str(caught.value))
    assert (hint and hint[1]) == meant


def test_each_word_of_another_tool_is_none_of_ours_and_has_a_key() -> None:
    ours = {*SlurmSection.model_fields, *SlurmSection.further_keys, *ClusterProfile.model_fields}
    assert not ours & OTHER_WORDS.keys()
    assert {meant.partition(":")[0] for meant in OTHER_WORDS.values()} <= ours
    with pytest.raises(SettingsError, match=r"unknown key 'log_dir'; did you mean 'log'\?"):
        read_settings(ClusterProfile, {"log_dir": "/l"})
    with pytest.raises(SettingsError, match=r"unknown key 'name'\. Valid keys"):
        read_settings(ClusterProfile, {"name": "a"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            (key, path)
            for key in ("workdir", "container", "batch_script")
            for path in ("~/x", "$HOME/x", "/a/${USER}/x")
        ],
        ("mounts", "~/x:/x"),
        ("mounts", "/a:/b,$HOME/x:/x"),
        ("log_file", "~/x.log"),
        ("log_file", "$BASE_LOG_DIR/x.log"),
        ("metrics", "~/metrics.json"),
        ("log", "/lustre/$USER/logs"),
    ],
)
def test_a_path_that_only_a_shell_would_replace_is_refused(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key}[a-z0-9.]*: expected a path without ~ and variables, .*; write "):
        read_settings(ClusterProfile, {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workdir", "/a/b~/c$"),
        ("workdir", "project"),
        ("container", "nvcr.io#nvidia/nemo-rl:v0.4"),
        ("container", "docker://$oauthtoken@nvcr.io#nvidia/nemo-rl:v0.4"),
        ("mounts", "/lustre/$USER:/data,tmpfs:/tmp"),
        ("log_file", "{job_id}-logs/*.log"),
        ("setup", "source ~/venv/bin/activate"),
        ("login_setup", "module use $HOME/modules"),
        ("command", "python ~/a.py"),
    ],
)
def test_a_path_that_stands_as_it_is_or_in_a_shell_is_accepted(key: str, value: str) -> None:
    assert read_settings(ClusterProfile, {key: value}).model_fields_set == {key}


@pytest.mark.parametrize("value", ["B:ALRM@60", "B:KILL", "RB:18@60"])
def test_a_signal_that_would_end_job_sh_alone_is_refused(value: str) -> None:
    above = RunSettings(section=read_settings(SlurmSection, {"signal": value}))
    with pytest.raises(SettingsError, match=r"^signal: expected one that job\.sh hands on, HUP, INT"):
        layers({**PROFILE}).resolve(above)
    assert layers({**PROFILE, "batch_script": "/x.sh"}).resolve(above).sbatch["signal"] == value


@pytest.mark.parametrize("value", ["B:USR2@90", "B:sigint@60", "BR:12@60", "ALRM@60", 10])
def test_a_signal_that_reaches_the_command_is_accepted(value: str | int) -> None:
    above = RunSettings(section=read_settings(SlurmSection, {"signal": value}))
    assert layers({**PROFILE}).resolve(above).sbatch["signal"] == value


def test_one_rule_of_retry_needs_no_list() -> None:
    rule = {"on": "OUT_OF_MEMORY", "times": 2, "mem": "x2"}
    assert read_settings(SlurmSection, {"retry": rule}) == read_settings(SlurmSection, {"retry": [rule]})
    with pytest.raises(SettingsError, match=r"^retry: expected a list, got 2"):
        read_settings(SlurmSection, {"retry": 2})


@pytest.mark.parametrize("above", [{"mem": "1G"}, {"mem_per_cpu": "1G"}, {"sbatch": {"mem-per-gpu": "1G"}}])
def test_options_of_memory_replace_each_other_across_layers(above: dict[str, object]) -> None:
    section = SlurmSection.model_validate(above)
    resolved = layers({**PROFILE, "mem": "9G", "qos": "p"}).resolve(RunSettings(section=section))
    assert resolved.sbatch == {"qos": "p", **section.sbatch}


@pytest.mark.parametrize("time", ["0", "0:0", "0:00:00", "0-0", "UNLIMITED", "INFINITE"])
def test_a_time_of_zero_is_no_limit_as_in_slurm(time: str) -> None:
    assert hours(time) == float("inf")


@pytest.mark.parametrize("size", [1, 2, 9, 10, 42, 99, 100, 101, 250, 1000])
def test_the_pattern_of_indices_takes_those_of_the_sweep_and_no_others(size: int) -> None:
    pattern = re.compile(only_pattern(size))
    assert [number for number in range(1200) if pattern.match(str(number))] == list(range(1, size + 1))
    assert pattern.match(f" 1 - {size}, 1")
    assert not pattern.match(f"1-{size + 1}")
