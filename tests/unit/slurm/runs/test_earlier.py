"""Which combination goes on in which directory of an earlier run."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from login_shell import SHELLS

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.names import COMBINATION, RECORD, RESERVATIONS, exit_file
from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.runs.earlier import EarlierJob, differences, match, read_runs
from airflow_slurm_sweep.slurm.runs.reservation import BASE, NUMBER, RunNames, list_runs
from airflow_slurm_sweep.slurm.shell import Completed, Site, output
from airflow_slurm_sweep.slurm.submit.combination import combination_json
from airflow_slurm_sweep.sweep.settings import RunOptions
from airflow_slurm_sweep.sweep.spec import parse_sweep
from tests.layers import make_layers

LAYERS = make_layers({"log": "/log", "command": "train {json}"}, preset="plain")


def jobs(text: str, **options: Any) -> list[JobRequest]:
    return list(plan_run(parse_sweep(text, source="s.yaml"), LAYERS, RunOptions(**{"jobname": "s", **options})).jobs)


def left(job: JobRequest, base: str = "s") -> EarlierJob:
    """Return what a job leaves, as combination.json brings it back."""
    attempt = Attempt(dag_id="d", run_id="r", task_id="t", map_index=0, try_number=1, id="1", installation="a")
    text = "".join(line.strip() for line in combination_json(job, attempt).splitlines())
    (found,) = read_runs(f"@ {base}\n/log/{base}/{job.name}\n7\n0 -\n\n{text}\n")
    return found


def places(text: str, *earlier: EarlierJob, **options: Any) -> list[str | None]:
    """Return the directory in which each combination goes on; None for one that starts."""
    planned = jobs(text, **options)
    found = match(planned, earlier)
    return [found[job.index][0].run_dir if job.index in found else None for job in planned]


def test_a_list_that_grew_in_front_changes_nothing_for_the_values_that_were_there() -> None:
    earlier = [left(job) for job in jobs("lr: [1e-6, 5e-6]")]
    assert places("lr: [1e-7, 1e-6, 3e-6, 5e-6]", *earlier) == [None, "/log/s/s_sweep_1", None, "/log/s/s_sweep_2"]


def test_values_are_compared_with_their_types() -> None:
    values = "a: [1, 1.0, true, '1', null, .nan, [1, {b: 2}], {x: 1, y: 2}]"
    earlier = [left(job) for job in jobs(values)]
    assert places(values, *earlier) == [job.run_dir for job in earlier]
    assert places("a: [false, 'true', 2]", *earlier) == [None, None, None]
    assert places("a: [{y: 2, x: 1}, 1]", *earlier) == ["/log/s/s_sweep_8", "/log/s/s_sweep_1"]


@pytest.mark.parametrize(
    ("text", "options", "now"),
    [
        ("lr: [1, 2]\nseed: [1, 2]", {}, "lr, seed"),
        ("lr: [1, 2]", {"overrides": ["lr=3"]}, "nothing"),
        ("lr: 1", {}, "nothing"),
        ("seed: [1, 2]", {}, "seed"),
    ],
)
def test_other_swept_parameters_are_refused(text: str, options: dict[str, Any], now: str) -> None:
    earlier = [left(job) for job in jobs("lr: [1, 2]")]
    with pytest.raises(
        SettingsError, match=rf"^existing is resume, but s swept over lr, and this run sweeps over {now};"
    ):
        places(text, *earlier, **options)


def test_runs_that_swept_over_other_parameters_are_passed_over_where_one_fits() -> None:
    (other, _), (fits, _) = jobs("seed: [1, 2]"), jobs("lr: [1, 2]")
    assert places("lr: [1, 2]", left(fits), left(other, "s_run2")) == ["/log/s/s_sweep_1", None]


def test_the_latest_run_comes_first_and_no_directory_twice() -> None:
    job, _ = jobs("lr: [1, 2]")
    earlier = [left(job, base) for base in ("s", "s_run9", "s_run10")]
    found = match([job, replace(job, index=2)], earlier)
    assert [place.base for place in found[1]] == ["s_run10", "s_run9", "s"]
    assert 2 not in found


def test_equal_combinations_share_out_the_directories_of_each_run() -> None:
    once = [left(job) for job in jobs("lr: [1, 1, 2]")]
    again = [left(job, "s_run2") for job in jobs("lr: [1, 1, 2]")]
    found = match(jobs("lr: [1, 1, 2]"), [*once, *again])
    assert {index: [place.run_dir for place in places] for index, places in found.items()} == {
        index: [f"/log/s_run2/s_sweep_{index}", f"/log/s/s_sweep_{index}"] for index in (1, 2, 3)
    }
    fewer = match(jobs("lr: [1, 2]"), once)
    assert [place.run_dir for place in fewer[1]] == ["/log/s/s_sweep_1", "/log/s/s_sweep_2"]
    assert places("lr: [1, 1, 1, 2]", *once) == ["/log/s/s_sweep_1", "/log/s/s_sweep_2", None, "/log/s/s_sweep_3"]


def test_a_directory_of_an_earlier_version_must_have_all_values() -> None:
    job, _ = jobs("lr: [1, 2]\nseed: 3")
    old = EarlierJob(
        base="s",
        run_dir="/log/s/s_sweep_1",
        job_id="7",
        exit="",
        name="s_sweep_1",
        parameters=job.parameters,
        swept=None,
    )
    assert places("lr: [1, 2]\nseed: 3", old) == ["/log/s/s_sweep_1", None]
    assert places("lr: [1, 2]\nseed: 4", old) == [None, None]


def test_other_values_and_another_command_are_said_once() -> None:
    earlier = [left(job) for job in jobs("lr: [1, 2]\nseed: 3\nold: 1")]
    planned = jobs("lr: [1, 2]\nseed: 4")
    assert differences(planned, dict(enumerate(earlier, 1))) == [
        "Compared with the earlier run, seed was 3 and is 4",
        "Compared with the earlier run, old was 1 and is absent",
    ]
    same = jobs("lr: [1, 2]\nseed: 3\nold: 1")
    assert differences(same, dict(enumerate(earlier, 1))) == []
    others = [replace(job, command="other") for job in same]
    assert differences(others, dict(enumerate(earlier, 1))) == [
        "Compared with the earlier run, the command is another one"
    ]
    warning = "Warning: combinations that are done stay done (existing: new runs them again), although "
    done = [replace(job, done={"job_id": "7"}) for job in planned]
    assert differences(done, dict(enumerate(earlier, 1))) == [
        f"{warning}seed was 3 and is 4",
        f"{warning}old was 1 and is absent",
    ]
    done = [replace(job, done={"job_id": "7"}) for job in others]
    assert differences(done, dict(enumerate(earlier, 1))) == [f"{warning}the command is another one"]


def test_a_job_of_no_sweep_goes_on_only_where_all_values_are_the_same() -> None:
    (job,) = jobs("lr: 1\nseed: 3")
    assert places("lr: 1\nseed: 3", left(job)) == ["/log/s/s"]
    assert places("lr: 2\nseed: 3", left(job)) == [None]


def test_a_combination_goes_on_under_its_earlier_name_and_a_new_one_has_the_runs() -> None:
    first, second = (left(job, "s_run3") for job in jobs("lr: [1, 2]"))
    spec = parse_sweep("lr: [0, 1, 2]", source="s.yaml")
    layers = make_layers({"log": "/log", "command": "train {flags} {run_dir} {job_name}"}, preset="plain")
    planned = plan_run(spec, layers, RunOptions(jobname="s_run4"), earlier={2: first, 3: second}).jobs
    assert [(job.index, job.resume, job.command) for job in planned] == [
        (1, False, "train --lr=0 /log/s_run4/s_run4_sweep_1 s_run4_sweep_1"),
        (2, True, "train --lr=1 /log/s_run3/s_sweep_1 s_sweep_1"),
        (3, True, "train --lr=2 /log/s_run3/s_sweep_2 s_sweep_2"),
    ]


@pytest.mark.parametrize("shell", [pytest.param("dash"), pytest.param("bash", marks=pytest.mark.all)])
def test_the_script_lists_what_the_dags_runs_left(shell: str, tmp_path: Path) -> None:
    names = RunNames(base="g", run_dirs=(f"{tmp_path}/{BASE}", f"{tmp_path}/{BASE}_sweep_{NUMBER}"))
    (tmp_path / RESERVATIONS).mkdir()
    hostile = {"b": 'it\'s \\n "x" $HOME  ', "c": "\u2028é"}
    for name, run, parameters in [
        ("g_sweep_1", "a d r1", hostile),
        ("g_run10_sweep_2", "a d r2", {"b": 1e16}),
        ("g_run2_sweep_1", "a d r3", {}),
        ("g_run2_sweep_2", "a d2 r3", {}),  # another Dag's
        ("g_run2_sweep_3", "b d r3", {}),  # of another Airflow
        ("g_run2_sweep_4", "a d r3", None),  # nothing to know it by
    ]:
        run_dir = tmp_path / name
        (run_dir / RECORD).parent.mkdir(parents=True)
        (run_dir / RECORD).write_text(f"run {run}\ntask t 0\nattempt 1 01-1\njob 7_1\njobs \nwithdrawn \nend\n")
        Path(exit_file(str(run_dir), "7_1")).write_text("0 -\n1700000000\n")
        if parameters is not None:
            values = {"parameters": parameters, "overrides": [], "swept": ["b"], "name": name}
            (run_dir / COMBINATION).write_text(json.dumps(values, indent=2, ensure_ascii=False))
        (tmp_path / RESERVATIONS / name.partition("_sweep")[0]).touch()
    script = Site(ssh_conn_id="c").script(list_runs(names, "a d"))
    done = subprocess.run(SHELLS[shell], input=script, capture_output=True, text=True, check=True)
    found = read_runs(output(Completed(exit_status=0, stdout=done.stdout, stderr=done.stderr)))
    assert [(job.base, job.name, job.parameters) for job in found] == [
        ("g", "g_sweep_1", hostile),
        ("g_run2", "g_run2_sweep_1", {}),
        ("g_run10", "g_run10_sweep_2", {"b": 1e16}),
    ]
    assert {(job.job_id, job.exit) for job in found} == {("7_1", "0 -")}
    assert found[0].run_dir == f"{tmp_path}/g_sweep_1"
