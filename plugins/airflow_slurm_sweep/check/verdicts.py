"""Whether a login node and a cluster profile are fit for sweeps, in words: what is wrong, and what cures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from shlex import join

from airflow_slurm_sweep.check.questions import Subject
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.queue import NO_ACCOUNTING
from airflow_slurm_sweep.slurm.refusals import is_passing
from airflow_slurm_sweep.slurm.shell import MARKER, Completed, printable

_ROOM = 1 << 30  # bytes
_SKEW = 5.0  # seconds
# File systems, as `stat -f` names them, that other machines can see only if the login node is their server.
_LOCAL = frozenset({"btrfs", "ext2/ext3", "overlayfs", "ramfs", "tmpfs", "xfs", "zfs"})

# What sbatch says, in part, and what to do about it.
_CURES: Mapping[str, str] = {
    "nvalid account": "Set `account` in {profile} to one of {user}'s here: {accounts}",
    "nvalid partition": "Set `partition` in {profile} to one of those there are: {partitions}",
    "nvalid qos": "Correct `sbatch: {{qos: ...}}` in {profile}",
    "node configuration is not available": "The partition has no such nodes or not so many, and you set `nodes` and "
    "`gpus_per_node` in {profile} (0: no GPUs); or its nodes are down (`sinfo -R` says why), and you wait",
    "Node count specification invalid": "The partition has not so many nodes. Set `nodes` in {profile}",
    "eneric resource": "The cluster has no such GPUs. Set `gpus_per_node` in {profile} (0: none)",
    "ime limit": "Set `time` in {profile}",
    "nvalid --time": "Set `time` in {profile}",
    "nrecognized option": "Correct the section `sbatch` of {profile}",
}


class Grade(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The end of one check; as text, one line: ``FAILED   log         /lustre/me/logs cannot be written ...``."""

    check: str
    grade: Grade
    text: str

    def __str__(self) -> str:
        return f"{self.grade.value:8} {self.check:11} {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a login node said.

    Attributes:
        subject: What was asked about.
        said: Exit status and output, by the question's name; questions that do not arise are not there.
        sent: Airflow's time when it sent the script, in seconds since 1970; so is
        received: when it had the answers.
    """

    subject: Subject
    said: Mapping[str, tuple[int, str]]
    sent: float
    received: float

    def works(self, question: str) -> bool:
        """Whether the command ended well."""
        return self.said.get(question, (1, ""))[0] == 0

    def text(self, question: str) -> str:
        """Return what the command printed."""
        return self.said.get(question, (1, ""))[1]

    def words(self, question: str) -> str:
        """Return what a command that lists names printed, as a list for a sentence."""
        names = sorted(set(self.text(question).split())) if self.works(question) else []
        return ", ".join(names) or "none that we can see"


class _SkippedError(Exception):
    """This check cannot be made; the message says why."""


Verdict = tuple[Grade, str]


def findings(subject: Subject, completed: Completed, mark: str, sent: float, received: float) -> Iterator[Finding]:
    """Judge the answer to `checks.script`.

    Args:
        subject: What was checked.
        completed: The answer.
        mark: As `checks.script` got it.
        sent: See `Answers`.
        received: Likewise.
    """
    noise, marker, output = completed.stdout.partition(f"{MARKER}\n")
    if not marker:
        yield Finding(check="shell", grade=Grade.FAILED, text=_no_shell(completed, subject.login))
        yield from skipped("the login shell did not run our script", after="shell")
        return
    yield Finding(check="shell", grade=Grade.OK, text=_shell(printable(noise)))
    answers = Answers(subject=subject, said=dict(_answers(output, mark)), sent=sent, received=received)
    for check, judge in _CHECKS.items():
        try:
            grade, text = judge(answers)
        except _SkippedError as reason:
            grade, text = Grade.SKIPPED, str(reason)
        yield Finding(check=check, grade=grade, text=text)


def skipped(why: str, *, after: str | None = None) -> Iterable[Finding]:
    """Say of the checks on the login node that they cannot be made; ``after`` one of them, of those that follow."""
    begin = CHECKS.index(after) + 1 if after else 0
    return [Finding(check=check, grade=Grade.SKIPPED, text=why) for check in CHECKS[begin:]]


def _answers(output: str, mark: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for answer in output.split(f"{mark} ")[1:]:
        head, _, said = answer.partition("\n")
        name, _, status = head.partition(" ")
        yield name, (int(status), printable(said).strip())


def _no_shell(completed: Completed, login: str) -> str:
    said = " ".join(printable(f"{completed.stdout}\n{completed.stderr}").split())[-300:]
    return (
        f"the login shell did not run our script; it said: {said or 'nothing'}. The account's start-up files end the "
        "shell, start another one or read its input. Have them do nothing without a terminal: begin ~/.bashrc with "
        f"`case $- in *i*) ;; *) return ;; esac`. This has to print `works`: echo echo works | {login} sh -s"
    )


def _shell(noise: str) -> str:
    if not noise.strip():
        return "runs our script, and prints nothing of its own"
    return f"runs our script; what its start-up files print is passed over: {noise.strip().splitlines()[0][:80]!r}"


def _commands(answers: Answers) -> Verdict:
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


def _controller(answers: Answers) -> Verdict:
    said = answers.text("controller")
    if "scontrol" in answers.text("slurm").split():
        raise _SkippedError("there is no scontrol")
    if " is UP" in said:
        return Grade.OK, said.replace("\n", ", ")
    shown = said.partition("*")[0].strip() or "scontrol ping said nothing in 20 s"
    return Grade.FAILED, (
        f"slurmctld does not answer: {shown}. Nothing is lost: submissions and "
        "waits go on when it is back. If it stays so, tell the site's administrators"
    )


def _sbatch(answers: Answers) -> Verdict:
    job = _job(answers)
    _need_controller(answers)
    if not answers.works("workdir"):
        raise _SkippedError("the working directory is not there")
    if job.batch_script and answers.text("script") != "readable":
        raise _SkippedError("the batch script is not there")
    said = answers.text("sbatch").replace("sbatch: ", "").replace("error: ", "").replace("\n", "; ")
    asked = _asked(job)
    if answers.works("sbatch"):
        return Grade.OK, f"a job of {asked} would be taken: {said}"
    if is_passing(said):
        return Grade.WARNING, f"takes no job of {asked} now: {said}. Submissions wait until it does"
    names = {
        "profile": answers.subject.profile,
        "user": answers.text("user"),
        "asked": asked,
        "accounts": answers.words("accounts"),
        "partitions": answers.words("partitions"),
    }
    cure = next((text for words, text in _CURES.items() if words in said), "Correct what it names in {profile}")
    return Grade.FAILED, f"a job of {asked} is refused: {said}. {cure.format(**names)}"


def _asked(job: JobRequest) -> str:
    """Say what a job asks Slurm for."""
    gpus = f" with {job.gpus_per_node} GPUs" if job.gpus_per_node else ""
    options = {"time": job.time, "account": job.account, "partition": job.partition, **job.options}
    said = [f"{key} {value}" for key, value in options.items() if value is not None]
    return ", ".join([f"{job.nodes} node{'s' if job.nodes > 1 else ''}{gpus}", *said])


def _accounting(answers: Answers) -> Verdict:
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
    job = answers.subject.job
    if job and job.batch_script:
        return Grade.WARNING, (
            f"there is none ({said}). How a job ended is known for {age} after its end, from squeue; one whose end "
            f"nobody saw in that time counts as LOST, a failure, since {job.batch_script} leaves no exit status. Have "
            "it write one as include/job.sh does, or ask the site for accounting or a longer MinJobAge"
        )
    return Grade.WARNING, (
        f"there is none ({said}). How a job ended is known for {age} after its end from squeue, and then from the exit "
        "status that include/job.sh leaves: TIMEOUT, CANCELLED and PREEMPTED then read FAILED. Sweeps run all the same"
    )


def _log(answers: Answers) -> Verdict:
    log = answers.subject.log
    if log is None:
        raise _SkippedError("nothing says where it is")
    user, profile = answers.text("user"), answers.subject.profile
    lines = answers.text("log").split("\n")
    place, blocks = lines[0], lines[1].split(" ", 2) if len(lines) > 1 else []
    absent = f"{log} is not there, and " if place != log else ""
    if not answers.works("log"):
        return Grade.FAILED, (
            f"{absent}{user} cannot write into {place}: {' '.join(lines[2:])}. Every run directory is made in there. "
            f"Set `log` in {profile} to a directory that {user} may write, on a file system that all nodes share"
        )
    room = int(blocks[0]) * int(blocks[1]) if len(blocks) == 3 and blocks[0].isdecimal() else _ROOM
    kind = blocks[2] if len(blocks) == 3 else "unknown"
    free = f"{room / (1 << 30):.1f} GiB free, file system {kind}"
    if room < _ROOM:
        return Grade.WARNING, f"{log}: {free}. Make room: jobs write their logs and checkpoints there"
    if kind in _LOCAL:
        return Grade.WARNING, (
            f"{log} can be written ({free}), but that looks like a disk of the login node's own. If other nodes do not "
            f"see it, jobs fail before their first line, without a log. This has to work there: {_srun(answers)} ls -d "
            f"{place}"
        )
    made = "; the first run makes it" if absent else ""
    return Grade.OK, f"{log} can be written{made} ({free})"


def _srun(answers: Answers) -> str:
    """Return the beginning of a command that runs on a compute node."""
    job = answers.subject.job
    options = {"account": job.account, "partition": job.partition} if job else {}
    return join(["srun", *(f"--{key}={value}" for key, value in options.items() if value is not None)])


def _workdir(answers: Answers) -> Verdict:
    job = _job(answers)
    if job.workdir is None:
        return Grade.WARNING, (
            f"none is set: jobs run in the login directory, and scripts are looked for there. Set `workdir` in "
            f"{answers.subject.profile} to where the training code is"
        )
    if answers.works("workdir"):
        return Grade.OK, job.workdir
    return Grade.FAILED, (
        f"{job.workdir} is not there, or {answers.text('user')} may not enter it: {answers.text('workdir')}. Set "
        f"`workdir` in {answers.subject.profile} to the directory that scripts are relative to"
    )


def _script(answers: Answers) -> Verdict:
    job = _job(answers)
    if job.batch_script is None:
        return Grade.OK, "include/job.sh, which is sent along"
    if not answers.works("workdir"):
        raise _SkippedError("the working directory is not there")
    if answers.text("script") == "readable":
        return Grade.OK, f"{job.batch_script} can be read"
    return Grade.FAILED, _not_readable(answers, "script", job.batch_script, "batch_script", f" (from {job.workdir})")


def _container(answers: Answers) -> Verdict:
    job = _job(answers)
    if job.container is None:
        return Grade.OK, "none"
    profile = answers.subject.profile
    if answers.text("container") in ("unreadable", "absent"):
        return Grade.FAILED, _not_readable(answers, "container", job.container, "container", "")
    if "pyxis" in answers.said and "--container-image" not in answers.text("pyxis"):
        return Grade.FAILED, (
            "srun knows no --container-image here: the site has no pyxis, which include/job.sh starts containers with. "
            f"Name a batch script that knows the site's way (`batch_script` in {profile}), or no container "
            "(`container:` with nothing behind it)"
        )
    if absent := answers.text("mounts").split():
        return Grade.WARNING, (
            f"{job.container}; mounted into it, but not on the login node: {', '.join(absent)}. If compute nodes lack "
            f"it too, jobs fail at their start. Set `mounts` in {profile}; nothing behind it: no mounts"
        )
    if "container" not in answers.said:
        return Grade.OK, f"{job.container}: no path, so that nobody looked; each job pulls it"
    return Grade.OK, f"{job.container} can be read"


def _not_readable(answers: Answers, question: str, path: str, setting: str, where: str) -> str:
    user = answers.text("user")
    is_absent = answers.text(question) == "absent"
    problem = f"is not there, or {user} may not enter its folder" if is_absent else f"is no file that {user} may read"
    return f"{path} {problem}{where}. Correct `{setting}` in {answers.subject.profile}, or the file's permissions"


def _clock(answers: Answers) -> Verdict:
    first, last = answers.text("clock"), answers.text("clock_at_end")
    if not first.isdecimal() or not last.isdecimal():
        return Grade.WARNING, f"the login node's date says {first!r}, expected seconds since 1970"
    # Both times lie between the two of Airflow's; `date` cuts the fraction off.
    ahead, behind = int(last) - answers.received, answers.sent - (int(first) + 1)
    skew = max(ahead, behind)
    if skew <= _SKEW:
        return Grade.OK, "Airflow's and the login node's agree to within seconds"
    here, there = (datetime.fromtimestamp(seconds, UTC) for seconds in (answers.sent, int(first)))
    return Grade.WARNING, (
        f"the login node's is {skew:.0f} s {'ahead of' if ahead > 0 else 'behind'} Airflow's: {there:%F %T} UTC there, "
        f"{here:%F %T} UTC here. Sweeps do not depend on it, but times in logs do not match, and Slurm refuses work "
        "between nodes that differ by five minutes. Let NTP set the wrong one (`timedatectl` shows its state)"
    )


def _job(answers: Answers) -> JobRequest:
    if answers.subject.job is None:
        raise _SkippedError("settings are missing")
    return answers.subject.job


def _need_controller(answers: Answers) -> None:
    if " is UP" not in answers.text("controller"):
        raise _SkippedError("the controller does not answer")


_CHECKS: Mapping[str, Callable[[Answers], Verdict]] = {
    "commands": _commands,
    "controller": _controller,
    "accounting": _accounting,
    "log": _log,
    "workdir": _workdir,
    "script": _script,
    "container": _container,
    "sbatch": _sbatch,
    "clock": _clock,
}
CHECKS = ("shell", *_CHECKS)  # in their order
