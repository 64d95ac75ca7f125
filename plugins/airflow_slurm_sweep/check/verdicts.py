"""All checks in their order, and the verdicts on the answers of a login node: what is wrong, and what cures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from airflow_slurm_sweep.check import job_needs, login_node
from airflow_slurm_sweep.check.findings import Answers, Finding, Grade, SkippedError, Verdict
from airflow_slurm_sweep.check.questions import Subject
from airflow_slurm_sweep.slurm.shell import MARKER, Completed, printable

_CHECKS: Mapping[str, Callable[[Answers], Verdict]] = {
    "commands": login_node.judge_commands,
    "controller": login_node.judge_controller,
    "accounting": login_node.judge_accounting,
    "log": job_needs.judge_log,
    "workdir": job_needs.judge_workdir,
    "script": job_needs.judge_script,
    "container": job_needs.judge_container,
    "sbatch": job_needs.judge_sbatch,
    "clock": login_node.judge_clock,
}
WAY_IN = ("profile", "settings", "connection", "host", "host key", "login")
CHECKS = (*WAY_IN, "shell", *_CHECKS)  # in their order


def findings(subject: Subject, completed: Completed, mark: str, sent: float, received: float) -> Iterator[Finding]:
    """Judge the answer to `questions.script`, check by check.

    Args:
        subject: What was checked.
        completed: The answer.
        mark: The mark that `questions.script` got.
        sent: See `Answers`.
        received: See `Answers`.
    """
    noise, marker, output = completed.stdout.partition(f"{MARKER}\n")
    if not marker:
        yield Finding(check="shell", grade=Grade.FAILED, text=login_node.no_shell(completed, subject.login))
        yield from skipped("the login shell did not run our script", after="shell")
        return
    yield Finding(check="shell", grade=Grade.OK, text=login_node.shell(printable(noise)))
    answers = Answers(subject=subject, said=dict(_answers(output, mark)), sent=sent, received=received)
    for check, judge in _CHECKS.items():
        try:
            grade, text = judge(answers)
        except SkippedError as reason:
            grade, text = Grade.SKIPPED, str(reason)
        yield Finding(check=check, grade=grade, text=text)


def skipped(reason: str, *, after: str) -> list[Finding]:
    """Return a finding for each check behind ``after``: it cannot be made, for that reason."""
    return [Finding(check=check, grade=Grade.SKIPPED, text=reason) for check in CHECKS[CHECKS.index(after) + 1 :]]


def _answers(output: str, mark: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for answer in output.split(f"{mark} ")[1:]:
        head, _, said = answer.partition("\n")
        name, _, status = head.partition(" ")
        yield name, (int(status), printable(said).strip())
