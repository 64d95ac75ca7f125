"""What the jobs of a Dag run share on the cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.submit.script import variables
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.tasks.run_names import SettledNames
from tests.layers import make_layers

FIRST = Attempt(dag_id="d", run_id="r", task_id="submit", map_index=0, try_number=1, id="01-1", installation="a")


@pytest.mark.parametrize(
    ("run_dir", "folder"),
    [
        ("{log}/{base}/{job_name}", "/l/s"),
        ("{log}/{base}/{job_name}/out", "/l"),
        ("{log}/{base}/{index}/{job_name}", "/l"),
    ],
)
def test_all_jobs_of_a_run_count_their_parallel_jobs_in_one_place(run_dir: str, folder: str) -> None:
    layers = make_layers({"log": "/l"}, preset="plain", command="python a.py {flags}")
    layers = replace(layers, preset=layers.preset.model_copy(update={"run_dir": run_dir}))
    text = "command: python a.py\nlr: [1, 2]\nslurm: {jobname: s, max_parallel_jobs: 1}"
    plan = plan_run(parse_sweep(text, source="s.yaml"), layers)
    settled = SettledNames(base="s", earlier={}, done={}, first=plan.names)
    jobs = settled.added_to(plan).jobs
    gates = {word for job in jobs for word in variables(job, FIRST).split() if word.startswith("gate=")}
    assert len(gates) == 1
    assert gates.pop().startswith(f"gate={folder}/.slurm_sweep/")
    assert {job.shared_folder for job in jobs} == {folder}
