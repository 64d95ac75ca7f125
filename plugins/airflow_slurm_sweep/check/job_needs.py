"""Verdicts on what a job needs: log directory, working directory, batch script, container, and sbatch's consent."""

from __future__ import annotations

import re
from shlex import join

from airflow_slurm_sweep.check.findings import Answers, Grade, SkippedError, Verdict
from airflow_slurm_sweep.check.questions import SETUP_SECONDS, Subject
from airflow_slurm_sweep.slurm.gpus import gpu_options, requested_gpus
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.refusals import is_passing

_ROOM = 1 << 30  # bytes
# File systems, as `stat -f` names them, that other machines can see only if the login node is their server.
_LOCAL = frozenset({"btrfs", "ext2/ext3", "overlayfs", "ramfs", "tmpfs", "xfs", "zfs"})

_START = re.compile(r"using (\d+) processors on nodes \S+ in partition (\S+)")  # of sbatch --test-only
_DEFAULT_MEMORY = re.compile(r"\bDefMemPer(GPU|CPU|Node)\s*=\s*(\d+)")

# What sbatch says, in part, and what to do about it; the first one counts.
_CURES = {
    "nvalid account": "Set `account` in {profile} to one of {user}'s here: {accounts}",
    "nvalid partition": "Set `partition` in {profile} to an existing one: {partitions}",
    "nvalid qos": "Correct `sbatch: {{qos: ...}}` in {profile}",
    "node configuration is not available": "The partition has no such nodes, or too few: set `nodes` and "
    "`gpus_per_node` in {profile} (0: no GPUs). Or its nodes are down (`sinfo -R` says why): wait",
    "Node count specification invalid": "The partition has fewer nodes. Set `nodes` in {profile}",
    "eneric resource": "The cluster has no such GPUs. Set `gpus_per_node` in {profile} (0: none)",
    "ime limit": "Set `time` in {profile}",
    "nvalid --time": "Set `time` in {profile}",
    "nrecognized option": "Correct the section `sbatch` of {profile}",
    "": "Correct what it names in {profile}",
}


def judge_log(answers: Answers) -> Verdict:
    """Judge whether the log directory can be written, and seen by other nodes."""
    log = answers.subject.log
    if log is None:
        raise SkippedError("no setting names it")
    user, profile = answers.text("user"), answers.subject.profile
    place, _, rest = answers.text("log").partition("\n")
    stat, _, error = rest.partition("\n")
    absent = f"{log} is not there, and " if place != log else ""
    if not answers.works("log"):
        return Grade.FAILED, (
            f"{absent}{user} cannot write into {place}: {' '.join(error.split())}. Every run directory is made there. "
            f"Set `log` in {profile} to a directory that {user} may write, on a file system that all nodes share"
        )
    blocks, size, kind = stat.split(" ", 2) if stat.count(" ") >= 2 else ("", "", "unknown")
    room = int(blocks) * int(size) if blocks.isdecimal() else _ROOM
    free = f"{room / (1 << 30):.1f} GiB free, file system {kind}"
    if room < _ROOM:
        return Grade.WARNING, f"{log}: {free}. Make room: jobs write their logs and checkpoints there"
    if kind in _LOCAL:
        return Grade.WARNING, (
            f"{log} can be written ({free}), but that looks like a disk of the login node's own. If other nodes do not "
            f"see it, jobs fail before their first line, without a log. This has to work there: {_ls(answers, place)}"
        )
    made = "; the first run makes it" if absent else ""
    return Grade.OK, f"{log} can be written{made} ({free})"


def _ls(answers: Answers, directory: str) -> str:
    """Return a command that shows whether a compute node sees a directory."""
    job = answers.subject.job
    options = {"account": job.account, "partition": job.partition} if job else {}
    return join(["srun", *(f"--{key}={value}" for key, value in options.items() if value), "ls", "-d", directory])


def judge_workdir(answers: Answers) -> Verdict:
    """Judge whether the working directory is there."""
    job = answers.job
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


def judge_script(answers: Answers) -> Verdict:
    """Judge whether the batch script can be read."""
    job = answers.job
    if job.batch_script is None:
        return Grade.OK, "job.sh, which is sent along"
    if not answers.works("workdir"):
        raise SkippedError("the working directory is not there")
    if answers.text("script") == "readable":
        if asked := _gpus_of_script(answers):
            return Grade.WARNING, asked
        return Grade.OK, f"{job.batch_script} can be read"
    return Grade.FAILED, _not_readable(answers, "script", job.batch_script, "batch_script", f" (from {job.workdir})")


def _gpus_of_script(answers: Answers) -> str:
    """Say how the batch script's #SBATCH lines ask for another number of GPUs than the profile; empty if not."""
    job, profile = answers.job, answers.subject.profile
    lines = [re.split(r"[=\s]+", line, maxsplit=1) for line in answers.text("directives").split("\n")]
    directives = {line[0]: line[1].split()[0] for line in lines if len(line) == 2 and line[1].strip()}
    try:
        asked = requested_gpus(directives, job.nodes + job.extra_nodes)
    except ValueError as error:
        return f"#SBATCH lines of {job.batch_script}: {error}"
    if asked in (None, job.gpus_per_node):
        return ""
    line = ", ".join(f"--{name}={directives[name]}" for name in gpu_options(directives))
    return (
        f"the #SBATCH lines of {job.batch_script} ask for {asked} GPUs on each node ({line}), but {profile} tells the "
        f"script of {job.gpus_per_node}. Remove those lines, or set `gpus_per_node` in {profile} to {asked}"
    )


def judge_container(answers: Answers) -> Verdict:
    """Judge whether the container and its mounts are there, and whether srun can start it."""
    job = answers.job
    if job.container is None:
        return Grade.OK, "none"
    profile = answers.subject.profile
    if answers.text("container") in ("unreadable", "absent"):
        return Grade.FAILED, _not_readable(answers, "container", job.container, "container", "")
    if "pyxis" in answers.said and "--container-image" not in answers.text("pyxis"):
        return Grade.FAILED, (
            "srun knows no --container-image here: the site has no pyxis, which job.sh starts containers with. "
            f"Name a batch script that knows the site's way (`batch_script` in {profile}), or no container "
            "(`container:` with nothing behind it)"
        )
    if absent := answers.text("mounts").split():
        return Grade.WARNING, (
            f"{job.container}; mounted into it, but not on the login node: {', '.join(absent)}. If compute nodes lack "
            f"it too, jobs fail at their start. Set `mounts` in {profile}; nothing behind it: no mounts"
        )
    if "container" not in answers.said:
        return Grade.OK, f"{job.container}: not a path, so it is not checked; each job pulls it"
    return Grade.OK, f"{job.container} can be read"


def _not_readable(answers: Answers, question: str, path: str, setting: str, where: str) -> str:
    user = answers.text("user")
    is_absent = answers.text(question) == "absent"
    problem = f"is not there, or {user} may not enter its folder" if is_absent else f"is no file that {user} may read"
    return f"{path} {problem}{where}. Correct `{setting}` in {answers.subject.profile}, or the file's permissions"


def judge_program(answers: Answers) -> Verdict:
    """Judge whether the command's program is on the login node, behind the lines of `setup`."""
    subject = answers.subject
    if answers.job.container:
        raise SkippedError("it is looked for in the container, by a job: check-cluster --submit")
    if not subject.program:
        raise SkippedError("the profile has no command that begins with a program's name; sweeps bring theirs")
    if not answers.works("workdir"):
        raise SkippedError("the working directory is not there")
    status, said = answers.said["program"]
    if status == 0:
        return Grade.OK, f"{subject.program} is {_last_line(said)}"
    # A job looks again, and decides: compute nodes may have what the login node lacks.
    grade = Grade.WARNING if subject.submits else Grade.FAILED
    if status == 124:
        return (
            grade,
            f"`setup` in {subject.profile} did not end within {SETUP_SECONDS} s on the login node",
        )
    return grade, f"on the login node {why_not_found(subject, said)}"


def why_not_found(subject: Subject, said: str) -> str:
    """Return why a job's command finds no program, and the cure; ``said`` is what `questions.look_for` printed."""
    line, profile = _last_line(said), subject.profile
    if line.startswith("setup "):
        return f"{line}. Correct `setup` in {profile}"
    return (
        f"there is no {subject.program} ({line}). Install it, or have `setup` in {profile} load or activate what "
        "brings it, such as [source /path/of/venv/bin/activate], or set `env: {PATH: ...}`"
    )


def _last_line(said: str) -> str:
    return said.rpartition("\n")[2]


def judge_sbatch(answers: Answers) -> Verdict:
    """Judge whether sbatch would take the job."""
    job = answers.job
    if " is UP" not in answers.text("controller"):
        raise SkippedError("the controller does not answer")
    if not answers.works("workdir"):
        raise SkippedError("the working directory is not there")
    if job.batch_script and answers.text("script") != "readable":
        raise SkippedError("the batch script is not there")
    said = answers.text("sbatch").replace("sbatch: ", "").replace("error: ", "").replace("\n", "; ")
    asked = _asked(job)
    if answers.works("sbatch"):
        few = _too_few_cpus(answers, said)
        return Grade.WARNING if few else Grade.OK, f"a job of {asked} would be taken: {said}{few}"
    if is_passing(said):
        return Grade.WARNING, f"takes no job of {asked} now: {said}. Submissions wait until it does"
    cure = next(text for words, text in _CURES.items() if words in said).format(
        profile=answers.subject.profile,
        user=answers.text("user"),
        accounts=answers.words("accounts"),
        partitions=answers.words("partitions"),
    )
    return Grade.FAILED, f"a job of {asked} is refused: {said}. {cure}"


def _too_few_cpus(answers: Answers, said: str) -> str:
    """Return figures and cure for a job that gets fewer CPUs than GPUs; empty for any other."""
    job, found = answers.job, _START.search(said)
    cpus = int(found[1]) // (job.nodes + job.extra_nodes) if found else job.gpus_per_node
    if found is None or cpus >= job.gpus_per_node:
        return ""
    partition = found[2]
    nodes = re.search(
        rf"^{re.escape(partition)} (\d+)\S* \S*?gpu(?::[^:,()\s]+)?:(\d+)", answers.text("nodes"), re.MULTILINE
    )
    share = max(2, int(nodes[1]) // int(nodes[2])) if nodes else 8
    has = f"; nodes of {partition} have {nodes[1]} CPUs for {nodes[2]} GPUs" if nodes else ""
    return (
        f". But on each node it gets {cpus} CPU{'s' if cpus > 1 else ''}{_memory(answers, partition, cpus)} for "
        f"{job.gpus_per_node} GPUs{has}. Set `sbatch: {{cpus-per-gpu: {share}}}` in {answers.subject.profile}, or "
        "`sbatch: {exclusive: true}` for whole nodes"
    )


def _memory(answers: Answers, partition: str, cpus: int) -> str:
    """Return a job's default memory on each node: `` and 2000 MB of memory``; empty if it is all, or not known."""
    job, lines = answers.job, answers.text("defaults").split("\n")
    of_partition = next((line for line in lines if line.startswith(f"PartitionName={partition} ")), "")
    found = _DEFAULT_MEMORY.search(of_partition) or _DEFAULT_MEMORY.search(answers.text("config"))
    if found is None or any(name.startswith("mem") for name in job.options):
        return ""
    factor = {"GPU": job.gpus_per_node, "CPU": cpus, "Node": 1}[found[1]]
    return f" and {factor * int(found[2])} MB of memory"


def _asked(job: JobRequest) -> str:
    """Say what a job asks Slurm for."""
    gpus = f" with {job.gpus_per_node} GPUs" if job.gpus_per_node else ""
    options = {"time": job.time, "account": job.account, "partition": job.partition, **job.options}
    said = [f"{key} {value}" for key, value in options.items() if value is not None]
    nodes = job.nodes + job.extra_nodes
    return ", ".join([f"{nodes} node{'s' if nodes > 1 else ''}{gpus}", *said])
