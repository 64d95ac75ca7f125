"""Parameter sweeps on Slurm clusters, as Airflow Dags.

A sweep file becomes a Dag; each combination of its parameters becomes a Slurm job. The way of the data:

    sweep file ── sweep.spec ──> SweepSpec ── factory ──> Dag: plan ─> combination[submit ─> wait] × N ─> report
"""

from typing import Any

__version__ = "0.2.0"


def results(sweep: str, run: str | None = None) -> list[dict[str, Any]]:
    """Return a row for each job of a Dag run: ``pandas.DataFrame(results("grpo"))``.

    Rows are ranked by the sweep's objective. Their keys are ``index``, ``combination``, ``job``, ``job_id``, ``state``,
    ``succeeded``, ``stopped`` (early), ``elapsed``, ``gpu_hours``, ``cpu_hours``, ``log``, ``parameters.NAME`` and
    ``metrics.NAME``. They come from Airflow's database, also while the run goes on; call it where Airflow's settings
    are.

    Args:
        sweep: The sweep's Dag, or the path of its file.
        run: The id of a Dag run; the latest by default.

    Raises:
        SettingsError: There is no such run, or no Airflow here.
    """
    from airflow_slurm_sweep.cli import results as command  # noqa: PLC0415  # Airflow imports this module everywhere

    return command.results(sweep, run)
