"""What is asked of a login node reaches it as it is, and what it says is judged."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from login_shell import SHELLS

from airflow_slurm_sweep.check import questions
from airflow_slurm_sweep.check.findings import Finding, Grade
from airflow_slurm_sweep.check.verdicts import CHECKS, WAY_IN, judge
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.shell import MARKER, Completed, Site

HOSTILE = 'a\'b $(touch x) `touch y` "c" ;& -z *'


def subject(log: str = "/l", **changes: object) -> questions.Subject:
    values: dict[str, object] = {"name": "check_cluster", "command": "true", "run_dir": "/l/c", "script": "#!/bin/sh\n"}
    job = JobRequest(ssh_conn_id="c", **{**values, **changes})  # type: ignore[arg-type]
    return questions.Subject(
        profile="p.yaml", site=Site(ssh_conn_id="x"), login="ssh me@host", log=log, job=job, program="uv"
    )


def judged(of: questions.Subject, completed: Completed, sent: float, received: float) -> dict[str, Finding]:
    found: dict[str, Finding] = {}

    def add(check: str, grade: Grade, text: str) -> None:
        found[check] = Finding(check=check, grade=grade, text=text)

    judge(of, completed, "mark", (sent, received), add)
    assert list(found) == list(CHECKS[len(WAY_IN) : -1])
    return found


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS.keys())
def test_hostile_names_on_a_machine_without_slurm(shell: list[str], tmp_path: Path) -> None:
    place = tmp_path / HOSTILE
    place.mkdir()
    (place / "job.sh").write_text("#!/bin/sh\n")
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    for name in (*questions.TOOLS, "date", "printenv", "uname"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    asked = subject(
        str(place), workdir=str(place), script="", batch_script="job.sh", container=f"/{HOSTILE}",
        mounts=f"/{HOSTILE}:/a", account=HOSTILE, partition=HOSTILE,
    )  # fmt: skip
    sent = time.time()
    done = subprocess.run(
        shell,
        input=questions.script(asked, "mark"),
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env={"PATH": str(programs), "HOME": str(home), "LC_ALL": "C.UTF-8"},
    )
    completed = Completed(exit_status=done.returncode, stdout=done.stdout, stderr=done.stderr)
    found = judged(asked, completed, sent, time.time())
    assert list(home.iterdir()) == []
    assert [path.name for path in place.iterdir()] == ["job.sh"], "nothing else ran, and nothing is left"
    assert found["log"].grade in (Grade.OK, Grade.WARNING)
    assert found["log"].text.startswith(f"{place} can be written")
    assert found["workdir"] == Finding(check="workdir", grade=Grade.OK, text=str(place))
    assert found["script"].grade is Grade.OK
    assert found["container"].text.startswith(f"/{HOSTILE} is not there, or ")
    assert found["commands"].text.startswith("not on the PATH of a login without a terminal: sbatch, squeue, ")
    assert (found["controller"].grade, found["sbatch"].grade) == (Grade.SKIPPED, Grade.SKIPPED)
    assert found["clock"].grade is Grade.OK


def test_the_programs_of_findutils_are_looked_for() -> None:
    assert "find" in questions.TOOLS  # gate.sh and traces.py run it


def answered(**answers: str) -> Completed:
    """Return what a good login node says, but for some answers: ``STATUS TEXT``."""
    good = {
        "clock": "0 1000", "user": "0 me", "slurm": "0 ", "tools": "0 ", "path": "0 /bin", "version": "0 slurm 25.05",
        "accounts": "0 lab", "accounting": "0 ", "log": "0 /l\n1000000 4096 lustre", "workdir": "0 ", "program": "0 loaded\n/bin/uv",
        "controller": "0 Slurmctld(primary) at c is UP", "config": "0 MinJobAge = 300 sec", "partitions": "0 batch",
        "sbatch": "0 sbatch: Job 1 to start", "clock_at_end": "0 1001",
    }  # fmt: skip
    lines = []
    for name, answer in {**good, **answers}.items():
        status, _, text = answer.partition(" ")
        lines.append(f"mark {name} {status}\n{text}\n")
    return Completed(exit_status=0, stdout=f"{MARKER}\n{''.join(lines)}", stderr="")


@pytest.mark.parametrize(
    ("check", "answer", "grade", "said"),
    [
        ("log", "0 /l\n1000000 4096 lustre", Grade.OK, "/l can be written (3.8 GiB free, file system lustre)"),
        ("log", "0 /\n1000000 4096 UNKNOWN (0xbd00bd0)", Grade.OK, "; the first run makes it (3.8 GiB free"),
        ("log", "0 /l\n1 4096 lustre", Grade.WARNING, "0.0 GiB free, file system lustre. Make room"),
        ("log", "0 /l\n1000000 4096 xfs", Grade.WARNING, "looks like a disk of the login node's own"),
        ("tools", "0 stat tr ", Grade.FAILED, "not on the PATH: stat, tr (PATH=/bin)"),
        ("tools", "0 find ", Grade.FAILED, "They are parts of coreutils, findutils and sed"),
        ("accounting", "1 Slurm accounting storage is disabled", Grade.WARNING, "for 300 sec after its end"),
        ("accounting", "127 timeout: failed to run command 'sacct': No such file", Grade.WARNING, "there is none"),
        ("accounting", "124 ", Grade.FAILED, "sacct does not answer: it said nothing in 20 s"),
        ("controller", "124 ", Grade.FAILED, "slurmctld does not answer: scontrol ping said nothing in 20 s"),
        ("sbatch", "1 sbatch: error: QOSMaxSubmitJobPerUserLimit", Grade.WARNING, "takes no job of 1 node now"),
        ("sbatch", "1 sbatch: error: no", Grade.FAILED, "of 1 node is refused: no. Correct what it names in p.yaml"),
        ("program", "0 loaded\n/bin/uv", Grade.OK, "uv is /bin/uv"),
        ("program", "124 loaded", Grade.FAILED, "`setup` in p.yaml did not end within 60 s on the login node"),
        ("program", "127 ", Grade.FAILED, "on the login node there is no uv ("),
        ("workdir", "2 sh: cd: permission denied", Grade.FAILED, "/w is not there, or me may not enter it"),
    ],
)
def test_an_answer(check: str, answer: str, grade: Grade, said: str) -> None:
    found = judged(subject(workdir="/w"), answered(**{check: answer}), 1000.2, 1001.5)
    finding = found["commands" if check == "tools" else check]
    assert finding.grade is grade, finding
    assert said in finding.text
    others = {name: one.grade for name, one in found.items() if one != finding and one.grade is not Grade.OK}
    assert others in [dict.fromkeys(names, Grade.SKIPPED) for names in ((), ("sbatch",), ("program", "sbatch"))]


TAKEN = "0 sbatch: Job 1 to start at 2026-11-26T07:57:42 using {} processors on nodes n[1-2] in partition gpu"
NODES = "0 cpu 64 (null)\ngpu 8+ (null)\ngpu 128+ nvme:2,gpu:a100:8(S:0-1)"


@pytest.mark.parametrize(
    ("processors", "options", "defaults", "config", "said"),
    [
        (2, {}, "DefMemPerCPU=2000 MaxMem=1", "", "gets 1 CPU and 2000 MB of memory for 8 GPUs; nodes of gpu have 128 CPUs for 8 GPUs. Set `sbatch: {cpus-per-gpu: 16}` in p.yaml"),
        (8, {}, "DefMemPerCPU=2000", "", "gets 4 CPUs and 8000 MB of memory for 8 GPUs"),
        (2, {}, "JobDefaults=DefMemPerGPU=100 DefMemPerNode=UNLIMITED", "", "gets 1 CPU and 800 MB of memory for 8 GPUs"),
        (2, {}, "DefMemPerNode=UNLIMITED", "DefMemPerNode           = 512", "gets 1 CPU and 512 MB of memory for 8 GPUs"),
        (2, {}, "DefMemPerNode=UNLIMITED", "DefMemPerNode           = UNLIMITED", "gets 1 CPU for 8 GPUs;"),
        (2, {"mem-per-gpu": "10G"}, "DefMemPerCPU=2000", "", "gets 1 CPU for 8 GPUs;"),
        (16, {}, "DefMemPerCPU=2000", "", None),
    ],
)  # fmt: skip
def test_a_job_with_fewer_cpus_than_gpus(
    processors: int, options: dict[str, str], defaults: str, config: str, said: str | None
) -> None:
    asked = subject(workdir="/w", nodes=2, gpus_per_node=8, options=options)
    partitions = f"0 PartitionName=cpu DefMemPerCPU=7\nPartitionName=gpu {defaults}"
    answers = answered(sbatch=TAKEN.format(processors), defaults=partitions, config=f"0 {config}", nodes=NODES)
    finding = judged(asked, answers, 1000.2, 1001.5)["sbatch"]
    assert finding.grade is (Grade.WARNING if said else Grade.OK)
    assert (said or "would be taken") in finding.text


@pytest.mark.parametrize(
    ("sent", "received", "grade"),
    [
        (1000.9, 1001.0, Grade.OK),  # the script took no time
        (996.0, 1001.2, Grade.OK),
        (1007.5, 1008.6, Grade.WARNING),  # the login node is behind
        (990.0, 991.2, Grade.WARNING),  # ahead
    ],
)
def test_clocks(sent: float, received: float, grade: Grade) -> None:
    assert judged(subject(workdir="/w"), answered(), sent, received)["clock"].grade is grade
