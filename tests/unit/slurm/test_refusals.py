"""What sbatch's messages mean. Those that real Slurm can be made to print here: tests/integration/test_refusals.py."""

from __future__ import annotations

import pytest

from slurm_sweep.slurm.refusals import PASSING, UNCLEAR, is_passing, is_unclear

FAILED = "sbatch: error: Batch job submission failed:"
POLICY = f"{FAILED} Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("said", "passing", "unclear"),
    [
        (f"{FAILED} Socket timed out on send/recv operation", True, True),
        (f"{FAILED} Zero Bytes were transmitted or received", True, True),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", True, False),
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}", True, False),
        (f"sbatch: error: AssocGrpSubmitJobsLimit\n{POLICY}", True, False),
        (f"{FAILED} Unable to contact slurm controller (connect failure)", True, False),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", True, True),
        (f"{FAILED} Protocol authentication error", True, False),
        (f"sbatch: error: QOSMaxNodePerJobLimit\n{POLICY}", False, False),
        (f"sbatch: error: AssocMaxWallDurationPerJobLimit\n{POLICY}", False, False),
        (POLICY, False, False),
        (f"{FAILED} Invalid account or account/partition combination specified", False, False),
        (f"{FAILED} Requested node configuration is not available", False, False),
        (f"{FAILED} Invalid qos specification", False, False),
        ("sbatch: error: invalid partition specified: nowhere", False, False),
        ("sbatch: error: You must name a project (job_submit.lua)", False, False),
        ("", False, False),
    ],
)
def test_messages(said: str, passing: bool, unclear: bool) -> None:
    assert (is_passing(said), is_unclear(said)) == (passing, unclear)


def test_what_is_unclear_is_waited_for() -> None:
    assert set(UNCLEAR) <= set(PASSING)
