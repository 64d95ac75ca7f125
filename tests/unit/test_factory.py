"""Sweep files become Dags, and faults become import errors."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction

from airflow_slurm_sweep.errors import SlurmSweepError, SweepFileError
from airflow_slurm_sweep.factory import check_dag, check_sweeps, launch_dag, sweep_dag, sweep_dags
from airflow_slurm_sweep.sweep.setting_types import only_pattern
from airflow_slurm_sweep.sweep.spec import SweepSpec, load_sweep
from airflow_slurm_sweep.tasks import configuration

PROJECT = Path(__file__).parents[2]
GOOD = "script_path: train.py\noptim.lr: [1e-6, 5e-6]\n"
BROKEN = "script_path: train.py\noptim.lr: []\nslurm: {nodess: 2}\n"


def write(include: Path, name: str, text: str) -> Path:
    path = include / "sweeps" / f"{name}.yaml"
    path.write_text(text)
    return path


def serialised_size(dag: DAG) -> int:
    return len(json.dumps(DagSerialization.to_dict(dag)))


def test_the_shape_of_the_dag(include: Path) -> None:
    dag = sweep_dag(write(include, "grpo", GOOD), include)
    assert dag.dag_id == "grpo"
    downstream = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
    assert downstream == {
        "plan": ["combination.submit"],
        "combination.submit": ["combination.wait"],
        "combination.wait": ["report"],
        "report": [],
    }


def test_a_file_whose_fault_nobody_foresaw_takes_no_other_dag_along(
    include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(include, "good", GOOD)
    bad = write(include, "bad", GOOD)

    def load(path: Path, **options: Any) -> SweepSpec:
        if path == bad:
            raise ZeroDivisionError("by zero")
        return load_sweep(path, **options)

    monkeypatch.setattr("airflow_slurm_sweep.factory.load_sweep", load)
    assert list(sweep_dags(include)) == ["good"]
    said = r"bad\.yaml: unexpected error, please report it: ZeroDivisionError: by zero"
    with pytest.raises(SlurmSweepError, match=said):
        check_sweeps(include)


def test_a_job_script_that_cannot_be_read_is_a_fault_of_each_file(include: Path) -> None:
    write(include, "good", GOOD)
    (include / "job.sh").mkdir()
    with pytest.raises(SlurmSweepError, match=r"job\.sh: cannot be read: Is a directory"):
        check_sweeps(include)


@pytest.mark.parametrize(("file", "profile"), [("sweep: {approve: RULE}", ""), ("", "approve: RULE"), ("", "")])
def test_only_a_dag_that_may_need_approval_has_the_task_and_its_form(include: Path, file: str, profile: str) -> None:
    rule = "{above_gpu_hours: 1}"
    (include / "clusters" / "default.yaml").write_text("nodes: 1\n" + profile.replace("RULE", rule))
    dag = sweep_dag(write(include, "grpo", GOOD + file.replace("RULE", rule)), include)
    asks = bool(file or profile)
    assert dag.has_task("approve") == asks
    submit: Any = dag.get_task("combination.submit")
    assert submit.source.task_id == ("approve" if asks else "plan")
    if asks:
        assert dag.get_task("approve").upstream_task_ids == {"plan"}
        assert list(dag.get_task("approve").params) == ["only"]
        assert dag.get_task("plan").params == {}


def test_launch_may_need_approval_for_any_sweep(include: Path) -> None:
    assert launch_dag(include).has_task("approve")


def test_the_dag_section(include: Path) -> None:
    section = """\
dag:
  schedule: 0 3 * * *
  start_date: 2026-01-31
  timezone: Europe/Berlin
  catchup: true
  tags: [nightly]
  owner: me
  description: A sweep.
  retries: 2
  max_active_runs: 3
"""
    dag = sweep_dag(write(include, "a", GOOD + section), include)
    assert dag.start_date is not None
    assert dag.start_date.isoformat() == "2026-01-30T23:00:00+00:00"
    assert str(dag.timezone) == "Europe/Berlin", "the schedule's hours are local ones"
    assert str(dag.schedule) == "0 3 * * *"
    assert (dag.catchup, dag.max_active_runs, dag.description) == (True, 3, "A sweep.")
    assert dag.tags == {"sweep", "nightly"}
    assert {task.owner for task in dag.tasks} == {"me"}
    assert dag.get_task("plan").retries == 2


@pytest.mark.parametrize("start_date", ["'2026-01-31T00:00:00+01:00'", "'2026-01-30T23:00:00Z'", "2026-01-31"])
def test_a_schedule_keeps_to_its_timezone_over_daylight_saving(include: Path, start_date: str) -> None:
    section = f"dag: {{schedule: '0 3 * * *', start_date: {start_date}, timezone: Europe/Berlin}}"
    dag = sweep_dag(write(include, "a", GOOD + section), include)
    assert dag.start_date is not None
    assert dag.start_date.isoformat() == "2026-01-30T23:00:00+00:00"
    timetable: Any = coerce_to_core_timetable(dag.timetable)
    begin = TimeRestriction(earliest=pendulum.datetime(2026, 3, 28, tz="UTC"), latest=None, catchup=True)
    info: Any = None
    hours = []
    for _ in range(3):
        last = info and info.data_interval
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=begin)
        hours.append(info.run_after.in_timezone("UTC").isoformat()[:16])
    assert hours == ["2026-03-28T02:00", "2026-03-29T01:00", "2026-03-30T01:00"], "3 o'clock in Berlin"


def test_a_sweep_begins_when_all_its_assets_were_updated(include: Path) -> None:
    section = "dag: {schedule: {assets: [sweep_other, 's3://bucket/data']}}"
    dag = sweep_dag(write(include, "a", GOOD + section), include)
    condition = DagSerialization.to_dict(dag)["dag"]["timetable"]["__var"]["asset_condition"]
    assert condition == {
        "__type": "asset_all",
        "objects": [
            {"__type": "asset_ref", "name": "sweep_other"},
            {"__type": "asset_ref", "uri": "s3://bucket/data"},
        ],
    }


def test_what_airflow_needs_to_know_of_workers_goes_to_plan_and_report_only(include: Path) -> None:
    section = "dag: {queue: slow, pool: few, executor: LocalExecutor, priority_weight: 7}"
    dag = sweep_dag(write(include, "a", GOOD + section), include)
    tasks: list[Any] = dag.tasks
    given = {task.task_id: (task.queue, task.pool, task.executor, task.priority_weight) for task in tasks}
    assert given["plan"] == given["report"] == ("slow", "few", "LocalExecutor", 7)
    assert given["combination.submit"] == given["combination.wait"] == ("default", "default_pool", None, 1)


def test_the_dags_of_a_bundle_have_its_prefix(include: Path) -> None:
    write(include, "a", GOOD)
    others = [launch_dag(include, prefix="x_"), check_dag(include, prefix="x_")]
    assert [*sweep_dags(include, prefix="x_"), *(dag.dag_id for dag in others)] == [
        "x_a",
        "x_launch",
        "x_check_cluster",
    ]


def test_the_folders_of_a_bundle_are_below_its_own_include(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__SWEEPS_FOLDER", "team/sweeps")
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__CLUSTERS_FOLDER", "/shared/clusters")
    folders = configuration.folders(include)
    assert (folders.sweeps, folders.clusters) == (include / "team" / "sweeps", Path("/shared/clusters"))


def test_a_bundle_without_sweep_files_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(SlurmSweepError, match=f"^{tmp_path}/include/sweeps: .* cannot be read: No such file"):
        check_sweeps(tmp_path / "include")


def test_the_documentation_shows_what_is_swept_and_what_for(include: Path) -> None:
    dag = sweep_dag(write(include, "a", GOOD + "sweep: {objective: {metric: loss, goal: minimize}}"), include)
    assert dag.doc_md is not None
    assert "2 combinations of `train.py`. The report ranks by `loss`: minimize.\n" in dag.doc_md
    assert "| `optim.lr` | 2 | `1e-06, 5e-06` |" in dag.doc_md


def test_the_documentation_shows_what_a_space_leaves_out_and_draws(include: Path) -> None:
    path = include / "sweeps" / "a.yaml"
    path.write_text(
        'script_path: a.py\nlr: {loguniform: [1e-7, 1e-4]}\n"a, b": [[1, x], [2, y]]\n'
        "sweep: {search: random, trials: 4, repeat: {seed: [1, 2]}}\n"
    )
    dag = sweep_dag(path, include)
    text = str(dag.doc_md)
    assert "8 combinations of `a.py`. sweep.search: random takes 4 of infinitely many combinations." in text
    assert text.splitlines()[-3:] == [
        "| `lr` |  | `{loguniform: [1e-07, 0.0001]}` |",
        "| `a`, `b` | 2 | `[1,x], [2,y]` |",
        "| `seed` | 2 | `1, 2` |",
    ]
    assert dag.params.get_param("only").schema["pattern"] == f"^$|{only_pattern(8)}"


def test_without_a_section_the_dag_waits_to_be_triggered(include: Path) -> None:
    dag = sweep_dag(write(include, "a", GOOD), include)
    assert dag.schedule is None
    assert (dag.catchup, dag.max_active_runs) == (False, 1)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a", GOOD + f"dag: {{tags: [{'x' * 101}]}}", "dag.tags.*: expected at most 100 characters, got 101"),
        (
            "a",
            GOOD + "dag: {schedule: '@continuous', start_date: 2026-01-31, max_active_runs: 2}",
            "dag: max_active_runs: expected 1 with the schedule @continuous, got 2",
        ),
        ("launch", GOOD, "the name 'launch' is reserved; rename the file"),
        ("check_cluster", GOOD, "the name 'check_cluster' is reserved; rename the file"),
        ("two words", GOOD, "expected a file name of letters, digits and _ . -"),
        (
            "a",
            GOOD + "dag: {schedule: often, start_date: 2026-01-31}",
            "dag.schedule: expected a cron expression, a preset",
        ),
        ("a", GOOD + "dag: {executor: none}", "dag: dag.executor: expected one of .core. executor .*, got 'none'"),
        ("a", GOOD + "dag: {schedule: 61 * * * *, start_date: 2026-01-31}", r"got '61 \* \* \* \*'"),
    ],
)
def test_faults_that_only_airflow_finds(include: Path, name: str, text: str, fault: str) -> None:
    with pytest.raises(SweepFileError, match=rf"^include/sweeps/{name}.yaml: .*{fault}"):
        sweep_dag(write(include, name, text), include)


def test_a_broken_file_does_not_take_the_others_down(include: Path) -> None:
    write(include, "good", GOOD)
    write(include, "broken", BROKEN)
    write(include, "worse", "a: [")
    assert list(sweep_dags(include)) == ["good"]
    with pytest.raises(SlurmSweepError) as caught:
        check_sweeps(include)
    assert [line.partition(": ")[::2] for line in str(caught.value).splitlines()][:2] == [
        ("include/sweeps/broken.yaml", "optim.lr: expected a list of values, got an empty one"),
        (
            "include/sweeps/broken.yaml",
            "slurm.nodess: unknown key 'nodess'; did you mean 'nodes'? Valid keys: account, batch_script, chain, container, "
            "env, existing, extra_nodes, gpu_request, gpus_per_node, jobname, log_file, max_parallel_jobs, mounts, nodes, partition, profile, "
            "queue_limit, retry, sbatch, setup, stream_log, submit, time, warn, workdir, and the long options of sbatch",
        ),
    ]


def test_files_are_loaded_by_names_and_folders_and_leftovers_are_passed_over(include: Path) -> None:
    sweeps = include / "sweeps"
    for folder in ("team", ".ipynb_checkpoints"):
        (sweeps / folder).mkdir()
        (sweeps / folder / "c.yaml").write_text(GOOD)
    for name in ("a.yaml", "b.yml", "a.yml", ".#a.yaml", "a.yaml~", "._a.yaml", "#a.yaml#", ".DS_Store", "notes.txt"):
        (sweeps / name).write_text(GOOD)
    (sweeps / ".#b.yaml").symlink_to("someone@host.1234")  # as Emacs locks a file
    assert sorted(sweep_dags(include, prefix="x_")) == ["x_a", "x_b", "x_team.c"]
    with pytest.raises(SlurmSweepError) as caught:
        check_sweeps(include)
    assert str(caught.value) == (
        "include/sweeps/a.yml: a.yaml has the name 'a' too, and is read instead; rename one of them"
    )


def test_a_warning_about_a_file_stands_in_its_dags_documentation(include: Path) -> None:
    dag = sweep_dag(write(include, "a", GOOD + "seed: 1\nseed: 1\n"), include)
    assert str(dag.doc_md).startswith(
        "**include/sweeps/a.yaml: line 4: the key 'seed' stands in line 3 too, with the same value.** "
    )


def test_airflow_shows_faults_as_an_import_error_of_a_file_without_dags(
    include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(include, "good", GOOD)
    write(include, "broken", BROKEN)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__SWEEPS_FOLDER", str(include / "sweeps"))
    bag = DagBag(str(PROJECT / "dags"))
    assert sorted(bag.dags) == ["check_cluster", "good", "launch"]
    ((path, message),) = bag.import_errors.items()
    assert path.endswith("sweep_errors.py")
    assert "broken.yaml: optim.lr: expected a list of values, got an empty one\n" in message


def test_the_projects_own_sweeps_load() -> None:
    bag = DagBag(str(PROJECT / "dags"))
    assert bag.import_errors == {}
    assert sorted(bag.dags) == ["check_cluster", "demo", "grpo", "launch", "learning_rate", "model_comparison"]


def test_max_combinations_is_a_setting(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(include, "a", GOOD)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__MAX_COMBINATIONS", "1")
    with pytest.raises(SweepFileError, match="2 combinations, but at most 1 are allowed"):
        sweep_dag(path, include)


def test_a_large_sweep_is_as_small_a_dag_as_a_small_one(include: Path) -> None:
    small, large = (
        serialised_size(sweep_dag(write(include, "a", f"script_path: t.py\nseed: {list(range(n))}"), include))
        for n in (101, 1000)
    )
    assert abs(large - small) < 100, "a few digits and the first values in the documentation"


@pytest.mark.parametrize(
    "space",
    [
        "a: [1, 2, 3, 4]\nb: [1e-6, 5e-6]\nc: [x, y, z]\n",
        "a: {loguniform: [1e-7, 1e-4]}\nb: [1, 2]\nsweep: {search: random, trials: 40, exclude: [{a: {above: 1e-5}, b: 1}]}\n",
    ],
    ids=["product", "search"],
)
def test_200_sweeps_load_in_two_seconds(include: Path, space: str) -> None:
    for number in range(200):
        write(include, f"sweep{number}", f"script_path: train.py\n{space}")

    def seconds() -> float:
        began = time.process_time()
        assert len(sweep_dags(include)) == 200
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 2, "the least disturbed one: on a busy machine each takes longer"


def test_a_task_reads_its_own_file_only(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(include, "one", GOOD)
    write(include, "two", GOOD)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "two")
    assert list(sweep_dags(include)) == ["two"]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_submit_and_wait_start_in_the_triggerer_at_every_size(include: Path, size: int) -> None:
    dag = sweep_dag(write(include, "a", f"script_path: t.py\nseed: {list(range(size))}\n"), include)
    for name in ("combination.submit", "combination.wait"):
        task: Any = dag.get_task(name)
        assert task.start_from_trigger
        assert task.retries == 0, "Airflow takes a retry in the triggerer for a clear"


def test_an_obsolete_setting_is_refused_with_what_replaced_it(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__WORKERS_UP_TO", "1")
    with pytest.raises(SlurmSweepError, match=r"workers_up_to .* is no setting any more: .* Remove it"):
        check_sweeps(include)


def test_a_sweep_that_airflow_would_not_take_is_a_fault_with_the_setting_to_raise(
    include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "1")
    path = write(include, "a", GOOD)
    with pytest.raises(SweepFileError, match=r"2 combinations are more than this Airflow takes \(1\): raise \[core\]"):
        sweep_dag(path, include)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("CAPACITY", "100", "sees to 100 tasks at a time; the other combinations wait for a place: raise"),
        ("MAX_TRIGGER_TO_SELECT_PER_LOOP", "500", "starts 500 tasks at once can hang"),
    ],
)
def test_what_will_hold_up_a_large_sweep_is_told(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    assert configuration.warnings(1000) == []
    monkeypatch.setenv(f"AIRFLOW__TRIGGERER__{setting}", value)
    (warning,) = configuration.warnings(1000)
    assert said in warning
    assert configuration.warnings(100) == []
