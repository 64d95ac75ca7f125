"""The table of states."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.slurm.states import JobState, Kind

# As sacct(1), squeue(1) and job_state_codes.html of Slurm 25.11 list them.
STATES = {
    Kind.SUCCEEDED: "COMPLETED STOPPED_EARLY",
    Kind.FAILED: "BOOT_FAIL CANCELLED DEADLINE FAILED OUT_OF_MEMORY TIMEOUT INCOMPLETE LOST",
    Kind.REQUEUEABLE: "LAUNCH_FAILED NODE_FAIL PREEMPTED RECONFIG_FAIL",
    Kind.ELSEWHERE: "REVOKED",
    Kind.QUEUED: "PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT",
    Kind.ACTIVE: (
        "COMPLETING CONFIGURING EXPEDITING POWER_UP_NODE RESIZING RUNNING SIGNALING STAGE_OUT STOPPED SUSPENDED UNKNOWN "
        "UPDATE_DB"
    ),
}
ROWS = [(kind, name) for kind, names in STATES.items() for name in names.split()]


@pytest.mark.parametrize(("kind", "name"), ROWS)
def test_every_state(kind: Kind, name: str) -> None:
    state = JobState.parse(name)
    assert (state.name, state.kind) == (name, kind)
    assert state.is_success == (kind is Kind.SUCCEEDED)
    assert state.is_final == (kind in (Kind.SUCCEEDED, Kind.FAILED))
    assert state.is_final_if_it_lasts == (kind not in (Kind.QUEUED, Kind.ACTIVE, Kind.ELSEWHERE))
    assert state.is_final_once_gone == (kind not in (Kind.QUEUED, Kind.ACTIVE))
    assert state.is_queued == (kind is Kind.QUEUED)


def test_the_table_is_complete() -> None:
    assert sorted(name for _, name in ROWS) == sorted(JobState.__members__)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1001", JobState.CANCELLED),
        ("COMPLETED+", JobState.COMPLETED),
        (" RUNNING ", JobState.RUNNING),
        ("OUT_OF_ME+", JobState.UNKNOWN),
        ("WHATEVER_COMES", JobState.UNKNOWN),
        ("COMPLETED,COMPLETING", JobState.UNKNOWN),
        ("X", JobState.UNKNOWN),
        ("completed", JobState.UNKNOWN),
        ("+", JobState.UNKNOWN),
        ("", JobState.UNKNOWN),
    ],
)
def test_parse(text: str, state: JobState) -> None:
    assert JobState.parse(text) is state


def test_a_state_travels_as_its_name() -> None:
    assert [state.value for state in JobState] == list(JobState.__members__)
