"""The table of states."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.slurm.states import JobState, Kind

# As sacct(1), squeue(1) and job_state_codes.html of Slurm 25.11 list them: the name, the short form where there is one.
STATES = {
    Kind.SUCCEEDED: "COMPLETED/CD",
    Kind.FAILED: "BOOT_FAIL/BF CANCELLED/CA DEADLINE/DL FAILED/F OUT_OF_MEMORY/OOM TIMEOUT/TO LOST",
    Kind.REQUEUEABLE: "LAUNCH_FAILED NODE_FAIL/NF PREEMPTED/PR RECONFIG_FAIL",
    Kind.ELSEWHERE: "REVOKED/RV",
    Kind.ACTIVE: (
        "COMPLETING/CG CONFIGURING/CF EXPEDITING PENDING/PD POWER_UP_NODE REQUEUED/RQ REQUEUE_FED/RF REQUEUE_HOLD/RH "
        "RESIZING/RS RESV_DEL_HOLD/RD RUNNING/R SIGNALING/SI SPECIAL_EXIT/SE STAGE_OUT/SO STOPPED/ST SUSPENDED/S "
        "UNKNOWN UPDATE_DB"
    ),
}
ROWS = [(kind, row.split("/")) for kind, rows in STATES.items() for row in rows.split()]


@pytest.mark.parametrize(("kind", "forms"), ROWS)
def test_every_state_in_both_forms(kind: Kind, forms: list[str]) -> None:
    state = JobState[forms[0]]
    assert [JobState.parse(form) for form in forms] == [state] * len(forms)
    assert state.kind is kind
    assert state.is_success == (kind is Kind.SUCCEEDED)
    assert state.is_final == (kind in (Kind.SUCCEEDED, Kind.FAILED))
    assert state.is_final_if_it_lasts == (kind not in (Kind.ACTIVE, Kind.ELSEWHERE))
    assert state.is_final_once_gone == (kind is not Kind.ACTIVE)


def test_the_table_is_complete() -> None:
    assert sorted(forms[0] for _, forms in ROWS) == sorted(JobState.__members__)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1001", JobState.CANCELLED),
        ("CA by 1001", JobState.CANCELLED),
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
