"""Our figures among Airflow's own: StatsD, Datadog or OpenTelemetry, as the section ``[metrics]`` of its settings says.

    slurm_sweep.logins.CONNECTION
    slurm_sweep.jobs.running.CONNECTION

The connection's id is the name's last part, as Airflow names what it counts for each pool: plain StatsD has no tags. A
dot in it becomes two underscores, as there.
"""

from __future__ import annotations

from airflow.sdk.observability import stats

from airflow_slurm_sweep.slurm.telemetry import Metrics


class AirflowMetrics(Metrics):
    """The figures of the cluster behind one connection. A call costs some microseconds."""

    def __init__(self, ssh_conn_id: str) -> None:
        connection = stats.normalize_name_for_stats(ssh_conn_id.replace(".", "__"), log_warning=False)
        self._name = f"slurm_sweep.{{}}.{connection}".format

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter."""
        stats.incr(self._name(name), number)

    def gauge(self, name: str, value: int) -> None:
        """Set a number that goes up and down."""
        stats.gauge(self._name(name), value)

    def time(self, name: str, seconds: float) -> None:
        """Report how long something took; Airflow's unit is milliseconds."""
        stats.timing(self._name(name), seconds * 1000)
