"""What an operator's collector gets, through Airflow's own metrics: real jobs, real datagrams."""

from __future__ import annotations

import asyncio
import atexit
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk._shared.observability.metrics.otel_logger import flush_otel_metrics
from airflow.sdk._shared.observability.metrics.stats import _get_backend
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from opentelemetry import metrics

from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.shell import Site
from airflow_slurm_sweep.tasks.cluster import cluster_session
from sandbox import Sandbox
from sandbox.airflow import PROJECT, merge
from sandbox.processes import wait_until
from tests.integration.collectors import Figures, OtelCollector, StatsdCollector
from tests.integration.test_jobs import request_maker

pytestmark = pytest.mark.sandbox

TABLE = re.findall(
    r"^\| `(slurm_sweep\.\S+)` \| (\w+) \|", (PROJECT / "docs" / "operations.md").read_text(), re.MULTILINE
)
STATE = re.compile(r"(?<=slurm_sweep.jobs)\..*|(?<=slurm_sweep.jobs_ended)\..*")
DOCUMENTED = {f"{name} {kind}" for name, kind in TABLE}


@pytest.fixture(params=[StatsdCollector, OtelCollector], ids=["statsd", "otel"])
def collected(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Figures]:
    """What a collector gets from Airflow's metrics, initialised as Airflow does it for a task."""
    with request.param() as collector:
        for name, value in merge({}, **collector.settings).items():
            monkeypatch.setenv(name, value)
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
        yield collector.figures
        if isinstance(collector, OtelCollector):
            metrics.get_meter_provider().shutdown()  # type: ignore[attr-defined]  # the SDK's
            atexit.unregister(flush_otel_metrics)  # Airflow registers it
        else:
            _get_backend().statsd.close()  # type: ignore[union-attr]  # Airflow leaves that to the process's end
    stats.initialize(factory=NoStatsLogger, export_legacy_names=True)


def attempt(task: str, number: int) -> Attempt:
    return Attempt(
        dag_id="d", run_id="r", task_id=task, map_index=0, try_number=number, id=f"{task}{number}", installation="a"
    )


def test_jobs_through_a_triggers_session(
    cluster: Sandbox,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    collected: Figures,
) -> None:
    connected(cluster)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "0.5")
    make = request_maker(cluster, tmp_path)
    good, bad, unwanted = make("sleep 3"), make("sleep 3; exit 3"), make("sleep 100")

    async def work() -> list[JobStatus]:
        async with cluster_session(Site(ssh_conn_id="slurm_sandbox")) as here:
            jobs = await asyncio.gather(
                *(here.submit(job, attempt(job.name, 1)) for job in (good, bad, unwanted)),
            )
            # As after a lost answer: no job is submitted, and none is counted.
            assert await here.submit(good, attempt(good.name, 1)) == jobs[0]
            await here.client.cancel(jobs[2])
            await here.client.withdraw(bad, attempt("another", 1))
            ends = await asyncio.gather(*(here.monitor.wait(job) for job in jobs))
            cluster.stop("sshd")
            waiting = asyncio.create_task(here.monitor.wait(jobs[0]))
            await asyncio.sleep(2)
            cluster.start("sshd")
            await waiting
            return list(ends)

    ends = asyncio.run(work())
    assert [end.text.partition(" ")[0] for end in ends] == ["COMPLETED", "FAILED", "CANCELLED"]

    def seen() -> dict[str, Any]:
        names = ("jobs_submitted", "jobs_cancelled", "jobs_ended.completed", "jobs_ended.failed")
        return {name: collected.counters[f"airflow.slurm_sweep.{name}.slurm_sandbox"] for name in names}

    expected = {
        "jobs_submitted": 3, "jobs_cancelled": 1, "jobs_ended.completed": 2, "jobs_ended.failed": 1,
    }  # fmt: skip
    assert wait_until(lambda: seen() == expected), collected.counters
    counters = {
        name: collected.counters[f"airflow.slurm_sweep.{name}.slurm_sandbox"] for name in ("logins", "logins_failed")
    }
    assert counters["logins"] == 2, "one, and one when sshd was back"
    assert counters["logins_failed"] >= 1
    assert collected.counters["airflow.slurm_sweep.connections_lost.slurm_sandbox"] >= 1
    assert collected.counters["airflow.slurm_sweep.ticks_unanswered.slurm_sandbox"] >= 1
    assert collected.timers["airflow.slurm_sweep.squeue.slurm_sandbox"] >= 3
    assert collected.timers["airflow.slurm_sweep.tick.slurm_sandbox"] >= 4
    assert wait_until(lambda: collected.gauges["airflow.slurm_sweep.jobs.running.slurm_sandbox"][-1] == 0)
    assert max(collected.gauges["airflow.slurm_sweep.jobs.running.slurm_sandbox"]) >= 2
    assert names(collected) == DOCUMENTED


def names(collected: Figures) -> set[str]:
    """Return the names that arrived, and what kind each is, as the documentation has them."""
    kinds: dict[str, Any] = {"counter": collected.counters, "gauge": collected.gauges, "timer": collected.timers}
    ours = [
        (kind, match[1])
        for kind, figures in kinds.items()
        for name in figures
        if (match := re.fullmatch(r"airflow\.(slurm_sweep\..*)\.slurm_sandbox", name))
    ]
    return {f"{STATE.sub('.STATE', name)}.CONNECTION {kind}" for kind, name in ours}
