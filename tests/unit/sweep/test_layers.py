"""The batch script of a sweep's jobs."""

from __future__ import annotations

from pathlib import Path

from airflow_slurm_sweep.slurm.job import JOB_SCRIPT
from airflow_slurm_sweep.sweep.layers import Folders, read_layers
from airflow_slurm_sweep.sweep.settings import SlurmSection


def test_a_job_sh_in_include_replaces_the_packages(include: Path) -> None:
    folders = Folders(include=include, sweeps=include / "sweeps", clusters=include / "clusters")
    assert read_layers(SlurmSection(), folders, {}).job_script == JOB_SCRIPT
    (include / "job.sh").write_text('#!/bin/bash -l\nmodule load cuda\nexec bash -c "$COMMAND"\n')
    assert "module load cuda" in read_layers(SlurmSection(), folders, {}).job_script
