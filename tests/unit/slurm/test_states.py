"""The table of states."""

from __future__ import annotations

import pytest

from slurm_sweep.slurm.states import _SHORT, JobState


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("RUNNING", JobState.RUNNING),
        ("CANCELLED by 1001", JobState.CANCELLED),
        ("COMPLETED+", JobState.COMPLETED),
        ("OUT_OF_ME+", JobState.UNKNOWN),
        ("WHATEVER_COMES", JobState.UNKNOWN),
        ("", JobState.UNKNOWN),
    ],
)
def test_parse(text: str, state: JobState) -> None:
    assert JobState.parse(text) is state


def test_only_completed_is_success() -> None:
    assert [state for state in JobState if state.is_success] == [JobState.COMPLETED]


def test_an_unknown_state_is_neither_final_nor_a_success() -> None:
    assert not JobState.UNKNOWN.is_final
    assert not JobState.UNKNOWN.is_final_once_gone
    assert not JobState.UNKNOWN.is_success


@pytest.mark.parametrize("state", [JobState.PREEMPTED, JobState.NODE_FAIL])
def test_what_slurm_may_requeue_is_final_only_once_squeue_lost_it(state: JobState) -> None:
    assert not state.is_final
    assert state.is_final_once_gone


@pytest.mark.parametrize(
    "name",
    "COMPLETING CONFIGURING SUSPENDED STOPPED RESIZING SIGNALING STAGE_OUT REQUEUED REQUEUE_HOLD REQUEUE_FED "
    "SPECIAL_EXIT RESV_DEL_HOLD PENDING RUNNING".split(),
)
def test_active_states(name: str) -> None:
    assert not JobState.parse(name).is_final_once_gone


@pytest.mark.parametrize(
    "name", "BOOT_FAIL CANCELLED DEADLINE FAILED LAUNCH_FAILED OUT_OF_MEMORY REVOKED TIMEOUT LOST".split()
)
def test_failures(name: str) -> None:
    assert JobState.parse(name).is_final
    assert not JobState.parse(name).is_success


@pytest.mark.parametrize(
    ("short", "state"),
    [
        ("PD", JobState.PENDING),
        ("R", JobState.RUNNING),
        ("CG", JobState.COMPLETING),
        ("CD", JobState.COMPLETED),
        ("F", JobState.FAILED),
        ("CA+", JobState.CANCELLED),
        ("TO", JobState.TIMEOUT),
        ("OOM", JobState.OUT_OF_MEMORY),
        ("NF", JobState.NODE_FAIL),
        ("PR", JobState.PREEMPTED),
        ("XX", JobState.UNKNOWN),
    ],
)
def test_short_forms(short: str, state: JobState) -> None:
    assert JobState.parse(short) is state


def test_each_state_of_slurms_has_one_short_form() -> None:
    assert sorted(_SHORT.values()) == sorted(
        state.value
        for state in JobState
        if state not in (JobState.LOST, JobState.UNKNOWN, JobState.RECONFIG_FAIL)  # ours, and one that has none
    )
