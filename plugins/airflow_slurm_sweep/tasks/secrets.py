"""Secrets that Airflow keeps: they go to the cluster, in the environment of sbatch, and nowhere else."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace

from airflow.sdk import BaseHook, Variable
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

from airflow_slurm_sweep.errors import ClusterUnavailableError, SettingsError
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.tasks.internals import is_missing


def with_secrets(request: JobRequest, known: MutableMapping[str, str] | None = None) -> JobRequest:
    """Return the request with the values of its secrets in the environment.

    ``known`` has values by reference, which earlier calls learned and this one adds to.

    Raises:
        SettingsError: Airflow has no such Variable or connection.
        ClusterUnavailableError: Airflow gave no answer.
    """
    if not request.secrets:
        return request
    known = {} if known is None else known
    for reference in request.secrets.values():
        if reference not in known:
            known[reference] = _value(reference)
    values = {name: known[reference] for name, reference in request.secrets.items()}
    return replace(request, env={**request.env, **values})


def _value(reference: str) -> str:
    kind, _, name = reference.partition(":")
    try:
        value = Variable.get(name) if kind == "variable" else BaseHook.get_connection(name).password
    except (AirflowRuntimeError, AirflowNotFoundException, KeyError):
        value = None
    if not value and not is_missing(kind, name):
        raise ClusterUnavailableError(f"env: Airflow did not answer whether it has the {kind} {name!r}")
    if not value:
        raise SettingsError(f"env: there is no Airflow {kind} {name!r}, or it holds no secret")
    return str(value)
