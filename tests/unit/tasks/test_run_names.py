"""What the jobs of a Dag run share on the cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, JobRequest, JobStatus
from airflow_slurm_sweep.slurm.results import Results
from airflow_slurm_sweep.slurm.rungs import Note
from airflow_slurm_sweep.slurm.runs.earlier import EarlierJob
from airflow_slurm_sweep.slurm.submit.script import variables
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.tasks.run_names import SettledNames, _choose
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


class Cluster:
    """Knows the end of each job, and one metric that each left."""

    def __init__(self, state: str, steps: float) -> None:
        self.state, self.steps = state, steps

    async def look_up(self, jobs: Any) -> tuple[dict[str, JobStatus], str]:
        return {job.job_id: JobStatus(job_id=job.job_id, text=self.state, source="sacct") for job in jobs}, ""

    async def results(self, readers: Any) -> list[Results]:
        return [Results(metrics={"total_steps": self.steps}) for _ in readers]


UNTIL: dict[str, Any] = {"jobs": 3, "until": {"total_steps": 2000}}


@pytest.mark.parametrize(
    ("exit_file", "state", "steps", "chain", "is_done"),
    [
        ("0 -", "", 2000, UNTIL, True),
        ("0 -", "", 1999, UNTIL, False),
        ("0 USR1", "", 2000, UNTIL, True),
        ("143 TERM", "", 2000, UNTIL, True),
        ("143 TERM", "", 1999, UNTIL, False),
        ("1 -", "", 2000, UNTIL, False),
        ("", "TIMEOUT", 2000, UNTIL, True),
        ("", "PREEMPTED", 2000, {**UNTIL, "on": ["TIMEOUT"]}, False),
        ("0 USR1", "", 2000, {"jobs": 3}, False),
        ("0 -", "", 2000, {}, True),
        ("143 TERM", "", 2000, {}, False),
        ("", "COMPLETED", 2000, UNTIL, True),
        ("", "COMPLETED", 2000, {}, False),  # it may never have run
    ],
)
def test_resume_skips_what_a_chain_would_call_done(
    exit_file: str, state: str, steps: float, chain: dict[str, Any], is_done: bool
) -> None:
    place = EarlierJob(base="s", run_dir="/r/s_1", job_id="7", exit=exit_file, name="s_1", parameters={}, swept=())
    like = JobRequest(ssh_conn_id="c", name="s_1", command="true", run_dir="/r/s_1", script=JOB_SCRIPT, chain=chain)
    earlier, done = asyncio.run(_choose(cast(SlurmClient, Cluster(state, steps)), like, {1: [place]}))
    assert earlier == {1: place}
    assert {index: end.state.value for index, end in done.items()} == ({1: "COMPLETED"} if is_done else {})


def test_resume_believes_slurm_where_the_batch_script_leaves_no_exit_file() -> None:
    place = EarlierJob(base="s", run_dir="/r/s_1", job_id="7", exit="", name="s_1", parameters={}, swept=())
    like = JobRequest(ssh_conn_id="c", name="s_1", command="true", run_dir="/r/s_1", batch_script="own.sh")
    _, done = asyncio.run(_choose(cast(SlurmClient, Cluster("COMPLETED", 9)), like, {1: [place]}))
    assert done.keys() == {1}


@pytest.mark.parametrize(("exit_file", "state"), [("143 TERM", ""), ("", "CANCELLED by 0")])
@pytest.mark.parametrize(("stopped", "is_done"), [("7", True), ("6", False)])
def test_resume_leaves_what_was_stopped_early(exit_file: str, state: str, stopped: str, *, is_done: bool) -> None:
    place = EarlierJob(
        base="s", run_dir="/r/s_1", job_id="7", exit=exit_file, name="s_1", parameters={}, swept=(),
        stop=Note(stopped, 30, "asha: loss 1 at step 30 is 7 of 9"),
    )  # fmt: skip
    like = JobRequest(ssh_conn_id="c", name="s_1", command="true", run_dir="/r/s_1", script="#!/bin/sh\n", chain=UNTIL)
    _, done = asyncio.run(_choose(cast(SlurmClient, Cluster(state, 9)), like, {1: [place]}))
    assert [str(end) for end in done.values()] == (
        ["STOPPED_EARLY (asha: loss 1 at step 30 is 7 of 9)"] if is_done else []
    )
