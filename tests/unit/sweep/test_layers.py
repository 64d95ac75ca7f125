"""The layers below a sweep: its batch script, its cluster profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import SettingsError, SweepFileError
from airflow_slurm_sweep.plan import layers_of
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT
from airflow_slurm_sweep.sweep.layers import Folders, read_layers
from airflow_slurm_sweep.sweep.settings import SlurmSection
from airflow_slurm_sweep.sweep.spec import parse_sweep


def test_a_job_sh_in_include_replaces_the_packages(include: Path) -> None:
    folders = Folders(include=include, sweeps=include / "sweeps", clusters=include / "clusters")
    assert read_layers(SlurmSection(), folders, {}).job_script == JOB_SCRIPT
    (include / "job.sh").write_text('#!/bin/bash -l\nmodule load cuda\nexec bash -c "$COMMAND"\n')
    assert "module load cuda" in read_layers(SlurmSection(), folders, {}).job_script


def test_the_working_directory_of_a_preset_is_the_one_that_a_sweep_starts_from(include: Path) -> None:
    folders = Folders(include=include, sweeps=include / "sweeps", clusters=include / "clusters")
    (include / "presets").mkdir()
    (include / "presets" / "ours.yaml").write_text("workdir: /shared\nenvironment: {workdir: $OURS}\n")
    ours = SlurmSection()
    assert read_layers(ours, folders, {}, preset="ours").workdir(ours) == "/shared"
    assert read_layers(ours, folders, {"OURS": "/mine"}, preset="ours").workdir(ours) == "/mine"
    (include / "presets" / "ours.yaml").write_text("environment: {ssh_conn_id: $OURS}\n")
    with pytest.raises(SweepFileError, match="ssh_conn_id stands in the profile only: it tells where the cluster is"):
        read_layers(ours, folders, {}, preset="ours")


def test_profiles_end_in_yml_too_and_two_of_one_name_are_refused(include: Path) -> None:
    folders = Folders(include=include, sweeps=include / "sweeps", clusters=include / "clusters")
    (include / "clusters" / "big.yml").write_text("qos: a\n")
    (include / "clusters" / "._big.yaml").write_text("not a profile")
    assert read_layers(SlurmSection(profile="big"), folders, {}).profile.sbatch == {"qos": "a"}
    (include / "clusters" / "big.yaml").write_text("qos: b\n")
    message = r"include/clusters/big.yaml and include/clusters/big.yml have one name; rename one of them"
    with pytest.raises(SettingsError, match=message):
        read_layers(SlurmSection(profile="big"), folders, {})
    with pytest.raises(SettingsError, match=r"existing profiles: big$"):
        read_layers(SlurmSection(profile="small"), folders, {})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("slurm: {profile: small}", "slurm.profile: the file include/clusters/small.yaml does not exist"),
        ("preset: small", "preset 'small': there is no such preset"),
    ],
)
def test_what_a_sweep_names_and_is_not_there_is_a_fault_of_its_file(include: Path, line: str, said: str) -> None:
    folders = Folders(include=include, sweeps=include / "sweeps", clusters=include / "clusters")
    with pytest.raises(SweepFileError, match=f"^s.yaml: {said}"):
        layers_of(parse_sweep(f"script_path: a.py\n{line}\n", source="s.yaml"), folders, {})
