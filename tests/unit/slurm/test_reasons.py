"""Why jobs wait, and which of them time alone will not start."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.slurm import queue
from airflow_slurm_sweep.slurm.reasons import explained, in_words, is_stuck


@pytest.mark.parametrize(
    "reason",
    """JobHeldUser JobHeldAdmin JobHoldMaxRequeue DependencyNeverSatisfied BadConstraints PartitionTimeLimit
    PartitionNodeLimit PartitionConfig AccountNotAllowed InvalidAccount InvalidQOS QOSNotAllowed MaxMemPerLimit
    ReservationDeleted ReservationInvalid DeadLine AssocMaxWallDurationPerJobLimit AssocMaxCpuPerJobLimit
    AssocMaxGRESPerJob AssocMaxGRESMinutesPerJob QOSMaxGRESPerNode QOSMaxNodePerJobLimit QOSMaxCpuPerNode
    QOSMinCpuNotSatisfied QOSMinGRES launch_failed_requeued_held""".split(),
)
def test_reasons_that_nothing_but_a_person_mends(reason: str) -> None:
    assert is_stuck(reason)
    assert in_words(reason)


@pytest.mark.parametrize("reason", ["launch failed requeued held", "job requeued in held state", "(JobHeldUser)"[1:-1]])
def test_reasons_are_free_text(reason: str) -> None:
    assert is_stuck(reason)


@pytest.mark.parametrize(
    "reason",
    """Priority Resources Dependency BeginTime Reservation Licenses JobArrayTaskLimit Prolog Cleaning
    ReqNodeNotAvail,UnavailableNodes:n[1-2] QOSMaxJobsPerUserLimit QOSMaxGRESPerUser MaxGRESPerAccount
    AssocMaxJobsLimit AssocGrpGRES AssocGrpCPURunMinutesLimit QOSGrpGRESRunMinutes BurstBufferStageIn
    PartitionDown PartitionInactive NodeDown AssocGrpCPUMinutesLimit QOSGrpGRESMinutes AssocGrpBillingMinutes
    AssocGrpWallLimit BurstBufferOperation""".split(),
)
def test_reasons_that_pass_or_that_the_site_mends(reason: str) -> None:
    assert not is_stuck(reason)
    assert in_words(reason)


def test_the_site_has_to_act_where_a_budget_is_used_up() -> None:
    assert "the site renews it" in in_words("AssocGrpCPUMinutesLimit")
    assert "jobs that end make room" in in_words("AssocGrpCPURunMinutesLimit")


@pytest.mark.parametrize("reason", ["FlockOfBirds", "", "None"])
def test_an_unknown_reason_is_shown_as_it_is(reason: str) -> None:
    assert explained(reason) == reason
    assert not is_stuck(reason)


def test_of_several_partitions_slurm_shows_what_keeps_a_job_out_of_one() -> None:
    assert not is_stuck("PartitionTimeLimit", partitions="debug,batch")
    assert not is_stuck("PartitionTimeLimit", partitions="batch", has_start=True)
    assert is_stuck("JobHeldUser", partitions="debug,batch", has_start=True)


@pytest.mark.parametrize(
    ("line", "pending"),
    [
        ("1|PENDING|0:00|900|4600 a,b||Priority|", (100, 3600, False)),
        ("1|PENDING|0:00|900|990 a|||BeginTime", (100, None, False)),
        ("1|PENDING|0:00|N/A|N/A a|||Priority", (None, None, False)),
        ("1|PENDING|0:00|900|1120 a|||job requeued in held state", (100, None, True)),
        ("1|RUNNING|0:10|900|990 a|n1|None|", None),
    ],
)
def test_times_in_the_queue_are_by_the_clusters_own_clock(
    line: str, pending: tuple[int | None, int | None, bool] | None
) -> None:
    found = queue.read_squeue(f"now=1000\n{line}\n")["1"].pending
    assert (found and (found.seconds, found.starts_in, found.is_stuck)) == pending
