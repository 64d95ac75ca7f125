"""All checks in their order, and the verdicts on the answers of a login node: what is wrong, and what cures it.

Here are those on the login node and its cluster, in job_needs.py those on what a job needs. A verdict is how a check
ended and why; a check that cannot be made raises `SkippedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from airflow_slurm_sweep.check import job_needs
from airflow_slurm_sweep.check.findings import Add, Answers, Grade, SkippedError, Verdict
from airflow_slurm_sweep.check.questions import Subject
from airflow_slurm_sweep.slurm.ended import NO_ACCOUNTING
from airflow_slurm_sweep.slurm.shell import END, MARKER, Completed, printable

_SKEW = 5.0  # seconds


def _no_shell(completed: Completed, login: str) -> str:
    """Return why our script did not run, and the cure."""
    said = " ".join(printable(f"{completed.stdout}\n{completed.stderr}").split())[-300:]
    return (
        f"the login shell did not run our script; it said: {said or 'nothing'}. The account's start-up files end the "
        "shell, start another one or read its input. Have them do nothing without a terminal: begin ~/.bashrc with "
        f"`case $- in *i*) ;; *) return ;; esac`. This has to print `works`: echo echo works | {login} sh -s"
    )


def _shell(noise: str) -> str:
    """Return what the login shell printed besides our script's output."""
    if not noise:
        return "runs our script, and prints nothing of its own"
    return f"runs our script; what its start-up files print is ignored: {noise.splitlines()[0][:80]!r}"


def _judge_commands(answers: Answers) -> Verdict:
    path = answers.text("path")
    if slurm := answers.text("slurm").split():
        return Grade.FAILED, (
            f"not on the PATH of a login without a terminal: {', '.join(slurm)} (PATH={path}). Set PATH, or load the "
            "site's module, with `login_setup` in the profile, such as [module load slurm]. "
            f"This has to print a path: {answers.subject.login} 'command -v {slurm[0]}'"
        )
    if tools := answers.text("tools").split():
        packages = "coreutils, findutils and sed"
        return Grade.FAILED, f"not on the PATH: {', '.join(tools)} (PATH={path}). They are parts of {packages}"
    return Grade.OK, f"{answers.text('version')}, and all else that our scripts need"


def _judge_controller(answers: Answers) -> Verdict:
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


def _judge_accounting(answers: Answers) -> Verdict:
    if answers.works("accounting"):
        return Grade.OK, "sacct answers: how a job ended is known for good"
    said = answers.text("accounting").replace("\n", "; ")
    if not any(
        words in said
        for words in (NO_ACCOUNTING, "sacct: not found", "sacct: command not found", "failed to run command")
    ):
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
            "leaves no exit status. Have it write one as job.sh does, or ask the site for accounting or a "
            "longer MinJobAge"
        )
    return Grade.WARNING, (
        f"{known}, and then from the exit status that job.sh leaves: TIMEOUT, CANCELLED and PREEMPTED then "
        "read FAILED. Sweeps run all the same"
    )


def _judge_clock(answers: Answers) -> Verdict:
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


WAY_IN = ("profile", "settings", "connection", "host", "host key", "login")
_VERDICTS: Mapping[str, Callable[[Answers], Verdict]] = {
    "commands": _judge_commands,
    "controller": _judge_controller,
    "accounting": _judge_accounting,
    "log": job_needs.judge_log,
    "workdir": job_needs.judge_workdir,
    "script": job_needs.judge_script,
    "container": job_needs.judge_container,
    "program": job_needs.judge_program,
    "sbatch": job_needs.judge_sbatch,
    "clock": _judge_clock,
}
CHECKS = (*WAY_IN, "shell", *_VERDICTS, "job")  # in their order


def judge(subject: Subject, completed: Completed, mark: str, airflow_times: tuple[float, float], add: Add) -> bool:
    """Add a finding for the login shell and, if it ran `questions.script` with ``mark``, for each check behind it.

    Returns:
        Whether none of them failed.
    """
    noise, marker, output = completed.stdout.partition(f"{MARKER}\n")
    if not marker:
        add("shell", Grade.FAILED, _no_shell(completed, subject.login))
        return False
    add("shell", Grade.OK, _shell(printable(noise).strip()))
    answers = Answers(
        subject=subject, said=dict(_answers(output.removesuffix(f"{END}\n"), mark)), airflow_times=airflow_times
    )
    is_well = True
    for check, verdict in _VERDICTS.items():
        try:
            grade, text = verdict(answers)
        except SkippedError as reason:
            grade, text = Grade.SKIPPED, str(reason)
        add(check, grade, text)
        is_well = is_well and grade is not Grade.FAILED
    return is_well


def _answers(output: str, mark: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for answer in output.split(f"{mark} ")[1:]:
        head, _, said = answer.partition("\n")
        name, _, status = head.partition(" ")
        yield name, (int(status), printable(said).strip())
