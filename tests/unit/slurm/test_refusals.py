"""The table of what Slurm says when it fails."""

from __future__ import annotations

import subprocess

import pytest

from airflow_slurm_sweep.slurm.refusals import PASSING, UNCLEAR, is_passing, is_unclear

SUBMISSION = "sbatch: error: Batch job submission failed: "
POLICY = f"{SUBMISSION}Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"

UNCLEAR_WORDS = [
    f"{SUBMISSION}Socket timed out on send/recv operation",
    f"{SUBMISSION}Zero Bytes were transmitted or received",
    f"{SUBMISSION}Header lengths are longer than data received",
    f"{SUBMISSION}Unexpected message received",
    f"{SUBMISSION}Message receive failure",
    f"{SUBMISSION}Unable to contact slurm controller (send failure)",
    f"{SUBMISSION}Unable to contact slurm controller (receive failure)",
    f"{SUBMISSION}Unable to contact slurm controller (shutdown failure)",
    f"{SUBMISSION}Connection reset by peer",
    f"{SUBMISSION}Broken pipe",
    f"{SUBMISSION}Connection timed out reading",
    f"{SUBMISSION}Protocol authentication error",
    "sbatch: error: Munge decode failed: Invalid credential",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
    f"{SUBMISSION}Socket timed out on send/recv operation",
    "slurm_load_jobs error: Socket timed out on send/recv operation",
]
PASSING_WORDS = [
    f"{SUBMISSION}Unable to contact slurm controller (connect failure)",
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    "scancel: error: Kill job error on job id 1: Unable to contact slurm controller (connect failure)",
    f"{SUBMISSION}Connection refused",
    "sbatch: error: fetch_config: DNS SRV lookup failed\nsbatch: fatal: Could not establish a configuration source",
    "sacct: error: Problem talking to the database: Connection refused",
    f"{SUBMISSION}Slurm backup controller in standby mode",
    f"{SUBMISSION}Controller is in standby mode, try a different controller",
    f"{SUBMISSION}Resource temporarily unavailable",
    f"{SUBMISSION}MaxJobCount limit reached",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    "sbatch: error: Slurm job queue full, sleeping and retrying",
    f"{SUBMISSION}Rate limit exceeded, please retry momentarily",
    f"{SUBMISSION}System submissions disabled",
    f"{SUBMISSION}Required partition not available (inactive or drain)",
    "sbatch: error: Munge encode failed: Failed to connect to socket: No such file or directory",
    *(
        f"sbatch: error: {limit}\n{POLICY}"
        for limit in [
            *["AssocMaxSubmitJobLimit", "AssocGrpSubmitJobsLimit", "QOSMaxSubmitJobPerUserLimit"],
            *["QOSGrpSubmitJobsLimit", "MaxSubmitJobsPerAccount"],
        ]
    ),
]
FINAL_WORDS = [
    POLICY,  # an old sbatch does not say which limit
    *(
        f"sbatch: error: {limit}\n{POLICY}"
        for limit in [
            *["QOSMaxNodePerJobLimit", "QOSMaxNodePerUserLimit", "QOSMaxWallDurationPerJobLimit", "QOSGrpCpuLimit"],
            *["QOSMaxCpuPerUserLimit", "AssocMaxNodePerJobLimit", "AssocGrpMemLimit", "MaxNodePerAccount"],
        ]
    ),
    f"{SUBMISSION}Invalid account or account/partition combination specified",
    f"sbatch: error: invalid partition specified: nope\n{SUBMISSION}Invalid partition name specified",
    f"{SUBMISSION}Invalid qos specification",
    f"{SUBMISSION}Invalid feature specification",
    f"{SUBMISSION}Requested node configuration is not available",
    f"{SUBMISSION}Requested partition configuration not available now",
    f"{SUBMISSION}Node count specification invalid",
    f"{SUBMISSION}More processors requested than permitted",
    f"{SUBMISSION}Requested time limit is invalid (missing or exceeds some limit)",
    f"{SUBMISSION}Requested reservation is invalid",
    f"{SUBMISSION}Requested account has breached requested QOS usage threshold",
    f"{SUBMISSION}User's group not permitted to use this partition",
    f"{SUBMISSION}Pathname of a file, directory or other parameter too long",
    "sbatch: error: Invalid --time specification",
    "sbatch: unrecognized option '--no-such=1'",
    "sbatch: fatal: Unable to process configuration file",
    "sbatch: error: Unable to open file ray.sub",
    "sh: 1: sbatch: not found",
    "slurm_load_jobs error: Invalid job id specified",
    "something that nobody has seen yet",
    "",
]


@pytest.mark.parametrize(
    ("said", "passing", "unclear"),
    [
        *((said, True, True) for said in UNCLEAR_WORDS),
        *((said, True, False) for said in PASSING_WORDS),
        *((said, False, False) for said in FINAL_WORDS),
    ],
)
def test_classification(said: str, passing: bool, unclear: bool) -> None:
    assert (is_passing(said), is_unclear(said)) == (passing, unclear)


def test_unclear_errors_are_passing_errors() -> None:
    assert set(UNCLEAR) < set(PASSING)
    assert len(set(PASSING)) == len(PASSING)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_finds_the_same_words(shell: str) -> None:
    patterns = "|".join(f'*"{words}"*' for words in PASSING)
    script = f'case "$1" in {patterns}) echo yes ;; *) echo no ;; esac'
    for said in [*UNCLEAR_WORDS, *PASSING_WORDS, *FINAL_WORDS]:
        answer = subprocess.run([shell, "-c", script, shell, said], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == ("yes" if is_passing(said) else "no"), said
