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
from airflow_slurm_sweep.sweep.layers import Layers, RunSettings
from airflow_slurm_sweep.sweep.section import Section, read_settings
from airflow_slurm_sweep.sweep.setting_types import only_pattern
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions, SlurmSection, given, setting
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
