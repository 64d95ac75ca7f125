"""What Airflow gives no answer about is not missing: no second installation id, and no job without its secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms, task_runner

from airflow_slurm_sweep.errors import ClusterUnavailableError, SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks import installation as module
from airflow_slurm_sweep.tasks.installation import VARIABLE, installation
from airflow_slurm_sweep.tasks.secrets import with_secrets

AWAY = comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"message": "connection refused"})


class Supervisor:
    """Answers as Airflow's API server does, once it has been ``away`` for some questions; keeps what is asked."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.away = 0
        self.is_raised = False

    def send(self, message: Any) -> Any:
        if isinstance(message, comms.PutVariable):
            self.variables[message.key] = str(message.value)
        if not isinstance(message, comms.GetVariable | comms.GetConnection):
            return comms.OKResponse(ok=True)
        if self.away:
            self.away -= 1
            if self.is_raised:
                raise AirflowRuntimeError(AWAY)
            return AWAY
        if isinstance(message, comms.GetConnection):
            return comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)
        if message.key in self.variables:
            return comms.VariableResult(key=message.key, value=self.variables[message.key])
        return comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    supervisor = Supervisor()
    monkeypatch.setattr(configuration, "installation", lambda: "")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    monkeypatch.setattr(module, "_RACE", 0)
    installation.cache_clear()
    yield supervisor
    installation.cache_clear()


def request(secret: str) -> JobRequest:
    return JobRequest(ssh_conn_id="c", name="a", command="true", run_dir="/r/a", secrets={"KEY": secret})


@pytest.mark.parametrize("is_raised", [False, True])
@pytest.mark.parametrize("away", [1, 2])
def test_an_unanswered_question_makes_no_second_installation_id(
    airflow: Supervisor, away: int, is_raised: bool
) -> None:
    airflow.variables[VARIABLE] = "host-aaaaaa"
    airflow.away, airflow.is_raised = away, is_raised
    with pytest.raises(ClusterUnavailableError, match=r"^Airflow did not answer whether it has the variable"):
        installation()
    assert airflow.variables == {VARIABLE: "host-aaaaaa"}
    assert installation() == "host-aaaaaa"


def test_the_first_run_makes_the_installation_id(airflow: Supervisor) -> None:
    assert installation() == airflow.variables[VARIABLE]


@pytest.mark.parametrize("secret", ["variable:key", "connection:key"])
def test_a_secret_that_airflow_gives_no_answer_about_is_worth_another_try(airflow: Supervisor, secret: str) -> None:
    airflow.away = 2
    with pytest.raises(ClusterUnavailableError, match=r"^env: Airflow did not answer whether it has the "):
        with_secrets(request(secret))


@pytest.mark.parametrize("secret", ["variable:key", "variable:empty", "connection:key"])
def test_a_missing_secret_fails_at_once(airflow: Supervisor, secret: str) -> None:
    airflow.variables["empty"] = ""
    with pytest.raises(SettingsError, match=r"^env: there is no Airflow "):
        with_secrets(request(secret))
