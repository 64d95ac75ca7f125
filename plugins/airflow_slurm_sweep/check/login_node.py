"""Verdicts on the login node and its cluster: shell, commands, controller, accounting, clock.

Each function returns how a check ended and why; one that cannot be made raises `SkippedError`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_slurm_sweep.check.findings import Answers, Grade, SkippedError, Verdict
from airflow_slurm_sweep.slurm.queue import NO_ACCOUNTING
from airflow_slurm_sweep.slurm.shell import Completed, printable

_SKEW = 5.0  # seconds


def no_shell(completed: Completed, login: str) -> str:
    """Return why our script did not run, and the cure."""
    said = " ".join(printable(f"{completed.stdout}\n{completed.stderr}").split())[-300:]
    return (
        f"the login shell did not run our script; it said: {said or 'nothing'}. The account's start-up files end the "
        "shell, start another one or read its input. Have them do nothing without a terminal: begin ~/.bashrc with "
        f"`case $- in *i*) ;; *) return ;; esac`. This has to print `works`: echo echo works | {login} sh -s"
    )


def shell(noise: str) -> str:
    """Return what the login shell printed besides our script's output."""
    if not noise:
        return "runs our script, and prints nothing of its own"
    return f"runs our script; what its start-up files print is ignored: {noise.splitlines()[0][:80]!r}"


def judge_commands(answers: Answers) -> Verdict:
    """Judge whether all commands that our scripts call are on the PATH."""
    path = answers.text("path")
    if slurm := answers.text("slurm").split():
        return Grade.FAILED, (
            f"not on the PATH of a login without a terminal: {', '.join(slurm)} (PATH={path}). Set PATH, or load the "
            "site's module, in ~/.bashrc above the line that returns where there is no terminal (zsh: in ~/.zshenv). "
            f"This has to print a path: {answers.subject.login} 'command -v {slurm[0]}'"
        )
    if tools := answers.text("tools").split():
        return Grade.FAILED, f"not on the PATH: {', '.join(tools)} (PATH={path}). They are parts of coreutils and sed"
    return Grade.OK, f"{answers.text('version')}, and all else that our scripts need"


def judge_controller(answers: Answers) -> Verdict:
    """Judge whether slurmctld answers."""
    said = answers.text("controller")
    if "scontrol" in answers.text("slurm").split():
        raise SkippedError("there is no scontrol")
    if " is UP" in said:
        return Grade.OK, said.replace("\n", ", ")
    shown = said.partition("*")[0].strip() or "scontrol ping said nothing in 20 s"
    return Grade.FAILED, (
        f"slurmctld does not answer: {shown}. Nothing is lost: submissions and waits go on when it is back. If it "
        "stays so, tell the site's administrators"
    )


def judge_accounting(answers: Answers) -> Verdict:
    """Judge whether sacct answers, and what is lost where it does not."""
    if answers.works("accounting"):
        return Grade.OK, "sacct answers: how a job ended is known for good"
    said = answers.text("accounting").replace("\n", "; ")
    if not any(words in said for words in (*NO_ACCOUNTING, "failed to run command")):
        return Grade.FAILED, (
            f"sacct does not answer: {said or 'it said nothing in 20 s'}. A job that squeue has forgotten is waited "
            "for until it does. Tell the site's administrators (slurmdbd)"
        )
    config = answers.text("config").split("\n")
    age = next((line.partition("=")[2].strip() for line in config if line.startswith("MinJobAge")), "MinJobAge")
    known = f"there is none ({said}). How a job ended is known for {age} after its end from squeue"
    job = answers.subject.job
    if job and job.batch_script:
        return Grade.WARNING, (
            f"{known}; one whose end nobody saw in that time counts as LOST, a failure, since {job.batch_script} "
            "leaves no exit status. Have it write one as include/job.sh does, or ask the site for accounting or a "
            "longer MinJobAge"
        )
    return Grade.WARNING, (
        f"{known}, and then from the exit status that include/job.sh leaves: TIMEOUT, CANCELLED and PREEMPTED then "
        "read FAILED. Sweeps run all the same"
    )


def judge_clock(answers: Answers) -> Verdict:
    """Judge whether the clocks of Airflow and the login node agree."""
    first, last = answers.text("clock"), answers.text("clock_at_end")
    if not first.isdecimal() or not last.isdecimal():
        return Grade.WARNING, f"the login node's date says {first!r}, expected seconds since 1970"
    # Both times lie between the two of Airflow's; `date` cuts the fraction off.
    sent, received = answers.airflow_times
    ahead, behind = int(last) - received, sent - (int(first) + 1)
    skew = max(ahead, behind)
    if skew <= _SKEW:
        return Grade.OK, "Airflow's and the login node's agree to within seconds"
    here, there = (datetime.fromtimestamp(seconds, UTC) for seconds in (sent, int(first)))
    return Grade.WARNING, (
        f"the login node's is {skew:.0f} s {'ahead of' if ahead > 0 else 'behind'} Airflow's: {there:%F %T} UTC there, "
        f"{here:%F %T} UTC here. Sweeps do not depend on it, but times in logs do not match, and Slurm refuses work "
        "between nodes that differ by five minutes. Let NTP set the wrong one (`timedatectl` shows its state)"
    )
