"""The trigger form: Airflow checks its values before a run exists."""

from __future__ import annotations

import copy
import re
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from airflow_slurm_sweep.cli.run import add_arguments, conf_of
from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.factory import check_dag
from airflow_slurm_sweep.plan import read_options
from airflow_slurm_sweep.sweep.settings import RunOptions, SlurmSection
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.tasks.form import launch_form, sweep_form

SPEC = parse_sweep(
    "script_path: a.py\nseed: [1, 2]\nslurm: {nodes: 2, gpus_per_node: 0, account: null}", source="s.yaml"
)


def checked(**conf: Any) -> dict[str, Any]:
    """Do what Airflow does with a run's conf."""
    params = ParamsDict(copy.deepcopy(sweep_form(SPEC)))
    params.update(conf)
    values: dict[str, Any] = params.validate()
    return values


def test_an_untouched_form_changes_nothing() -> None:
    assert read_options(checked()) == RunOptions()


def test_the_form_has_a_field_for_every_option() -> None:
    assert sweep_form(SPEC).keys() == RunOptions.model_fields.keys()


def test_the_form_of_launch_has_every_setting_of_a_sweep_file_too() -> None:
    own = {"script", "config", "command", "preset", "sweep", "sweep_text"}
    assert launch_form().keys() == own | RunOptions.model_fields.keys() | SlurmSection.model_fields.keys()


def test_a_field_says_what_counts_if_it_is_empty() -> None:
    form = sweep_form(SPEC)
    assert str(form["nodes"].description).endswith(" If empty: 2, as in the sweep file.")
    assert str(form["gpus_per_node"].description).endswith(" If empty: 0, as in the sweep file.")
    assert str(form["account"].description).endswith(" If empty: null, as in the sweep file.")
    assert str(form["time"].description).endswith(" If empty: as in the profile.")
    assert str(form["existing"].description).endswith(" If empty: new.")
    assert "If empty" not in str(form["jobname"].description)
    launch = launch_form()
    assert str(launch["time"].description).endswith(" If empty: as in the sweep, else in the profile.")
    assert str(launch["existing"].description).endswith(" If empty: as in the sweep, else new.")
    assert str(launch["jobname"].description).endswith(" If empty: as in the sweep.")
    assert str(form["only"].description).endswith(" This sweep has 2: from 1 to 2.")


@pytest.mark.parametrize(
    "conf",
    [
        {"nodes": 4, "gpus_per_node": 0, "time": "8:0:0", "only": "1-2, 1", "jobname": "a.b-1"},
        {"time": "", "only": "", "jobname": "", "account": "", "overrides": None},
        {"overrides": ["a.b=1", "+x={a: 1}", "++y='it''s'", "~z", "empty=", "hydra/job@x=1"]},
        {"time": "1-0", "dry_run": True},
        {"chain": 6, "partition": "a,b"},
        {"time": "null", "account": "null"},
        {"chain": {"jobs": 6, "until": {"steps": 100}}, "partition": ["a", "b"]},
    ],
)
def test_valid_values_are_accepted(conf: dict[str, Any]) -> None:
    read_options(checked(**conf))


def test_the_options_of_run_are_what_the_form_takes() -> None:
    parser = ArgumentParser()
    add_arguments(parser)
    conf = conf_of(parser.parse_args(["s.yaml", "lr=1", "--chain", "6", "--partition", "a,b", "--existing", "resume"]))
    assert conf == {"chain": 6, "partition": "a,b", "existing": "resume", "overrides": ["lr=1"]}
    checked(**conf)


@pytest.mark.parametrize(
    "conf",
    [
        {"nodes": 0},
        {"nodes": "2"},
        {"chain": 0},
        {"chain": "six"},
        {"partition": 3},
        {"gpus_per_node": -1},
        {"time": "soon"},
        {"time": "1:2:3:4"},
        {"only": "1-"},
        {"only": "a"},
        {"only": "7-9"},
        {"jobname": "my job"},
        {"jobname": "../up"},
        {"overrides": "a=1"},
        {"overrides": ["no value"]},
        {"overrides": ["=1"]},
        {"dry_run": "yes"},
    ],
)
def test_invalid_values_are_refused(conf: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        checked(**conf)


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"overrides": ["a=1", "++a=2"]}, "overrides: several overrides of the same key: a"),
        ({"jobname": "x" * 201}, "jobname: expected a name of letters"),
    ],
)
def test_errors_beyond_json_schema_are_found_by_plan(conf: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_options(checked(**conf))


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"only": "7-9"}, "from 1 to 2"),
        ({"jobname": "my job"}, "letters, digits"),
        ({"time": "soon"}, "minutes, h:m:s"),
    ],
)
def test_what_airflow_says_of_a_refused_value_has_a_sentence(conf: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParamValidationError) as caught:
        checked(**conf)
    assert sentence in re.sub(r"'\s+'", "", str(caught.value))  # Python breaks long texts


def test_check_cluster_refuses_a_key_that_its_form_lacks(include: Path) -> None:
    check: Any = check_dag(include).get_task("check")
    context = {"params": {}, "dag_run": SimpleNamespace(conf={"profil": "far"})}
    with pytest.raises(AirflowFailException) as caught:
        check.execute(context)
    said = "conf: unknown key 'profil'; did you mean 'profile'? Valid keys: profile, submit"
    assert str(caught.value) == said
