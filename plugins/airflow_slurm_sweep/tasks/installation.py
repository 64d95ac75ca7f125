"""Which Airflow this is: two of them may have the same Dag and run ids, on one log directory."""

from __future__ import annotations

import socket
import time
from functools import cache
from secrets import token_hex

from airflow.sdk import Variable

from airflow_slurm_sweep.errors import ClusterUnavailableError, SettingsError
from airflow_slurm_sweep.tasks import configuration
from airflow_slurm_sweep.tasks.internals import is_missing
from airflow_slurm_sweep.tasks.requests import ask_airflow

VARIABLE = "slurm_sweep_installation"
_RACE = 1.0  # seconds in which another process may make an id too: the last one counts for both


@cache
def installation() -> str:
    """Return the id of this Airflow: the setting, or the Variable, which the first run makes; asks Airflow, and blocks.

    Records on clusters hold it: with another id this Airflow takes its earlier runs for those of another one.

    Raises:
        ClusterUnavailableError: Airflow gave no answer.
        SettingsError: Airflow has several teams, and no id is set.
    """
    if found := configuration.installation() or Variable.get(VARIABLE, default=""):
        return str(found)
    if configuration.has_teams():  # a Variable is a team's: triggerers do not find it
        raise SettingsError(
            "core.multi_team is on: set [slurm_sweep] installation (AIRFLOW__SLURM_SWEEP__INSTALLATION) to a name of "
            "this Airflow, in all its components"
        )
    if not is_missing("variable", VARIABLE):  # a new id over the old one would disown all earlier runs
        raise ClusterUnavailableError(f"Airflow did not answer whether it has the variable {VARIABLE!r}")
    description = "The id of this Airflow in the records of Slurm sweeps. Keep it."
    Variable.set(VARIABLE, f"{socket.gethostname().partition('.')[0]}-{token_hex(3)}", description=description)
    time.sleep(_RACE)
    return str(Variable.get(VARIABLE))


async def known_installation() -> str:
    """Return `installation` in a triggerer, where thousands of tasks want it: none asks for what is known."""
    if not _known:
        _known.append(await ask_airflow(installation))
    return _known[0]


_known: list[str] = []
