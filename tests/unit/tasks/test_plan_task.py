"""The task that plans a run, and the names of its jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_slurm_sweep.factory import sweep_dag
from airflow_slurm_sweep.names import FAULT_KEY, PLAN
from airflow_slurm_sweep.tasks.plan_task import PlanSweepOperator

DATE = datetime(2026, 1, 31, 3, 0, tzinfo=UTC)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOG": "/l", "ACCOUNT": "a", "CON": "/c"}.items():
        monkeypatch.setenv(name, value)


def names(
    include: Path,
    text: str,
    *,
    run_type: str,
    dag_id: str = "s",
    date: datetime = DATE,
    xcoms: dict[str, Any] | None = None,
    **params: Any,
) -> list[str]:
    def push(*, key: str, value: Any) -> None:
        if xcoms is not None:
            xcoms[key] = value

    path = include / "sweeps" / "s.yaml"
    path.write_text(text)
    params = {"dry_run": True, **params}
    context = {
        "params": params,
        "dag_run": SimpleNamespace(dag_id=dag_id, run_type=run_type, logical_date=date, run_after=date, conf=params),
        "ds_nodash": "20260131",
        "ti": SimpleNamespace(id="1", xcom_push=push),
    }
    task = PlanSweepOperator(task_id="plan", sweep_file=str(path), include=str(include))
    return [job["name"] for job in task.execute(context)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("section", "run_type", "params", "name"),
    [
        ("", "manual", {}, "train"),
        ("", "scheduled", {}, "s_20260131T030000"),
        ("", "backfill", {}, "s_20260131T030000"),
        ("slurm: {jobname: mine}", "scheduled", {}, "mine"),
        ('slurm: {jobname: "mine_{{ ds_nodash }}"}', "scheduled", {}, "mine_20260131"),
        ("slurm: {jobname: mine}", "manual", {"jobname": "form"}, "form"),
    ],
)
def test_names_of_a_runs_jobs(include: Path, section: str, run_type: str, params: dict[str, Any], name: str) -> None:
    text = f"script_path: x/train.py\nseed: [1, 2]\n{section}"
    assert names(include, text, run_type=run_type, **params) == [f"{name}_sweep_1", f"{name}_sweep_2"]


@pytest.mark.usefixtures("environment")
def test_two_sweeps_of_one_script_have_names_of_their_own_when_scheduled(include: Path) -> None:
    first, second = (names(include, "script_path: a.py", run_type="scheduled", dag_id=dag_id) for dag_id in "ab")
    assert first == ["a_20260131T030000"]
    assert second == ["b_20260131T030000"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("others", "run", "said"),
    [
        ("script_path: x/train.py", "script_path: train.py", True),
        ("script_path: other.py", "script_path: train.py", False),
        ("script_path: train.py\nslurm: {jobname: mine}", "script_path: train.py", False),
        ("script_path: train.py", "script_path: train.py\nslurm: {jobname: mine}", False),
        ("script_path: [", "script_path: train.py", False),
        ("script_path: train.py\npreset: plain\ncommand: x", "script_path: train.py", False),
    ],
)
def test_another_sweep_file_with_the_same_names_is_said(
    include: Path, others: str, run: str, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (include / "sweeps" / "other.yaml").write_text(others)
    names(include, run, run_type="manual")
    note = "The jobs of include/sweeps/other.yaml have the name train too, that of the script"
    assert (note in "".join(capsys.readouterr())) is said


@pytest.mark.usefixtures("environment")
def test_scheduled_runs_are_named_in_the_sweeps_timezone(include: Path) -> None:
    text = "script_path: a.py\ndag: {timezone: Europe/Berlin}"
    midnight = datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert names(include, text, run_type="scheduled", date=midnight) == ["s_20261025T000000"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("template", "said"),
    [("{{ nowhere.x }}", "nowhere"), ("a {{ ds_nodash }}", "expected a name"), ("{{", "unexpected")],
)
def test_a_bad_template_fails_at_once(include: Path, template: str, said: str) -> None:
    xcoms: dict[str, Any] = {}
    with pytest.raises(AirflowFailException, match=rf"^slurm.jobname: .*{said}") as failed:
        names(include, f'script_path: a.py\nslurm: {{jobname: "{template}"}}', run_type="manual", xcoms=xcoms)
    assert xcoms == {FAULT_KEY: str(failed.value)}, "for the page"


def test_missing_settings_fail_at_once_in_one_error(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG", "ACCOUNT", "CON"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        AirflowFailException, match=r"(?s)^Required settings are missing.*account: .*container: .*log: "
    ):
        names(include, "script_path: a.py", run_type="manual")


def test_a_form_that_airflow_ignores_fails_the_run(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS", "False")
    with pytest.raises(AirflowFailException, match="Airflow ignores the run's conf, such as its dry_run"):
        names(include, "script_path: a.py", run_type="manual", dry_run=True)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"node": 4}, "conf: unknown key 'node'; did you mean 'nodes'? A parameter goes into overrides"),
        ({"optim.lr": 1e-5}, """conf: unknown key 'optim.lr'. A parameter goes into overrides: ["optim.lr=…"]"""),
        ({"approved": True, "openlineage": {"parentRunId": "1"}}, ""),
    ],
)
def test_a_key_of_the_conf_that_the_form_lacks_fails_the_run(include: Path, conf: dict[str, Any], said: str) -> None:
    path = include / "sweeps" / "s.yaml"
    path.write_text("script_path: a.py\noptim.lr: [1, 2]")
    plan: Any = sweep_dag(path, include).task_dict[PLAN]
    context = {
        "params": {"dry_run": True, **conf},
        "dag_run": SimpleNamespace(dag_id="s", run_type="manual", logical_date=None, run_after=DATE, conf=conf),
        "ti": SimpleNamespace(id="1", xcom_push=lambda **_: None),
    }
    if not said:
        assert len(plan.execute(context)) == 2
        return
    with pytest.raises(AirflowFailException) as caught:
        plan.execute(context)
    assert said in str(caught.value)
