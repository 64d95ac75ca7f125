"""All checks in their order, and the verdicts on the answers of a login node: what is wrong, and what cures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from airflow_slurm_sweep.check import job_needs, login_node
from airflow_slurm_sweep.check.findings import Add, Answers, Grade, SkippedError, Verdict
from airflow_slurm_sweep.check.questions import Subject
from airflow_slurm_sweep.slurm.shell import MARKER, Completed, printable

_VERDICTS: Mapping[str, Callable[[Answers], Verdict]] = {
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
CHECKS = (*WAY_IN, "shell", *_VERDICTS)  # in their order


def judge(subject: Subject, completed: Completed, mark: str, airflow_times: tuple[float, float], add: Add) -> None:
    """Add a finding for the login shell and, if it ran `questions.script`, one for each check behind it.

    Args:
        subject: What was checked.
        completed: The answer.
        mark: The mark that `questions.script` got.
        airflow_times: See `Answers`.
        add: Takes the findings.
    """
    noise, marker, output = completed.stdout.partition(f"{MARKER}\n")
    if not marker:
        add("shell", Grade.FAILED, login_node.no_shell(completed, subject.login))
        return
    add("shell", Grade.OK, login_node.shell(printable(noise).strip()))
    answers = Answers(subject=subject, said=dict(_answers(output, mark)), airflow_times=airflow_times)
    for check, verdict in _VERDICTS.items():
        try:
            add(check, *verdict(answers))
        except SkippedError as reason:
            add(check, Grade.SKIPPED, str(reason))


def _answers(output: str, mark: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for answer in output.split(f"{mark} ")[1:]:
        head, _, said = answer.partition("\n")
        name, _, status = head.partition(" ")
        yield name, (int(status), printable(said).strip())
