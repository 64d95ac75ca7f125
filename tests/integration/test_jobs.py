"""Real jobs on a real cluster over a real SSH connection, without Airflow's scheduler around them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airflow_slurm_sweep import __version__
from airflow_slurm_sweep.errors import ClusterRefusedError
from airflow_slurm_sweep.names import COMBINATION, PARAMETERS
from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.monitor import Monitor
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.sweep.values import protected
from airflow_slurm_sweep.tasks import one_job
from airflow_slurm_sweep.tasks.one_job import JobEnd, await_job
from airflow_slurm_sweep.tasks.ssh.shell import SshShell
from sandbox import Sandbox
from tests.layers import make_layers

pytestmark = pytest.mark.sandbox

DUMP = """\
import json, os, sys
from hydra.core.override_parser.overrides_parser import OverridesParser
words = [word for word in sys.argv[1:] if "=" in word]
values = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(words)}
json.dump({"values": values, "environment": dict(os.environ), "argv": sys.argv}, open(sys.argv[0] + ".json", "w"))
"""
Result = TypeVar("Result")
Request = Callable[..., JobRequest]


@pytest.fixture(params=["no accounting", "accounting", "forgetful"])
def any_cluster(request: pytest.FixtureRequest) -> Sandbox:
    """Three clusters: one forgets ended jobs after 300 s, one never, and one after 2 s."""
    names = {"no accounting": "cluster", "accounting": "cluster_accounting", "forgetful": "cluster_forgetful"}
    box: Sandbox = request.getfixturevalue(names[request.param])
    return box


def request_maker(box: Sandbox, folder: Path) -> Request:
    def make(command: str, **changes: Any) -> JobRequest:
        name = f"job{len(list(folder.iterdir()))}"
        (folder / name).mkdir()
        profile = box.profile
        return JobRequest(
            **{
                "ssh_conn_id": "slurm_sandbox",
                "name": name,
                "command": command,
                "run_dir": str(folder / name / "run"),
                "workdir": str(folder),
                "script": JOB_SCRIPT,
                "account": profile["account"],
                "partition": profile["partition"],
                **changes,
            }
        )

    return make


def attempt(number: int = 1) -> Attempt:
    return Attempt(
        dag_id="d", run_id="r", task_id="t", map_index=0, try_number=number, id=str(number), installation="a"
    )


def with_client(work: Callable[[SlurmClient], Coroutine[Any, Any, Result]]) -> Result:
    async def run() -> Result:
        async with SshShell("slurm_sandbox") as shell:
            return await work(SlurmClient(shell))

    return asyncio.run(run())


async def end(client: SlurmClient, job: SubmittedJob, grace: float = 5) -> JobStatus:
    return await asyncio.wait_for(Monitor(client, interval=0.3, grace=grace).wait(job), 240)


def run_job(request: JobRequest) -> tuple[SubmittedJob, JobStatus]:
    async def work(client: SlurmClient) -> tuple[SubmittedJob, JobStatus]:
        job = await client.submit(request, attempt())
        return job, await end(client, job)

    return with_client(work)


@pytest.mark.parametrize(
    ("command", "state", "exit_code"),
    [("echo fine", JobState.COMPLETED, "0:0"), ("echo broken; exit 3", JobState.FAILED, "3:0")],
)
def test_the_end_of_a_job(
    any_cluster: Sandbox,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    command: str,
    state: JobState,
    exit_code: str,
) -> None:
    connected(any_cluster)
    job, status = run_job(request_maker(any_cluster, tmp_path)(command))
    assert (status.state, status.exit_code) == (state, exit_code)
    log = with_client(lambda client: client.log_tail(job, status))
    assert log == ("fine" if state.is_success else "broken")


def test_a_job_without_its_command_fails(
    cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path
) -> None:
    """As where a plugin of the site drops the environment of sbatch."""
    connected(cluster)
    job, status = run_job(request_maker(cluster, tmp_path)("true", script=f"#!/bin/bash\nunset COMMAND\n{JOB_SCRIPT}"))
    assert (status.state, status.exit_code) == (JobState.FAILED, "64:0")
    log = with_client(lambda client: client.log_tail(job, status))
    assert log == "COMMAND is empty: the environment of sbatch did not reach this job"


@pytest.mark.parametrize("comes_late", [False, True])
def test_a_completed_job_without_an_exit_file_did_not_run(
    cluster: Sandbox,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    comes_late: bool,
) -> None:
    """As where a node could not launch it; here, job.sh cannot leave one. On NFS it may come late."""
    connected(cluster)
    monkeypatch.setattr(one_job, "_PAUSES", (0.5, 0.5, 1.0))
    aside = 'mv -- "$BASE_LOG_DIR/.slurm_sweep" "$BASE_LOG_DIR/aside"; : > "$BASE_LOG_DIR/.slurm_sweep"'
    job, status = run_job(request_maker(cluster, tmp_path)(aside))
    assert status.state is JobState.COMPLETED
    run_dir = Path(job.run_dir)
    (run_dir / ".slurm_sweep").unlink()
    (run_dir / "aside").rename(run_dir / ".slurm_sweep")

    async def work() -> JobStatus:
        waiting = asyncio.create_task(await_job(job))
        await asyncio.sleep(1)
        if comes_late:
            (run_dir / ".slurm_sweep" / f"{job.job_id}.exit").write_text("0 -\n")
        return (await waiting).status

    end = asyncio.run(work())
    if comes_late:
        assert end.state is JobState.COMPLETED
    else:
        why = "Slurm says COMPLETED, but job.sh left no exit file: it did not run, or the disk is full"
        assert str(end) == f"INCOMPLETE ({why})"


@pytest.mark.xdist_group("accounting")
@pytest.mark.parametrize(
    ("name", "source", "without_exit_file"),
    [("cluster_accounting", "sacct", JobState.FAILED), ("cluster_forgetful", "exit-status file", JobState.LOST)],
)
def test_jobs_that_squeue_has_forgotten(
    request: pytest.FixtureRequest,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    name: str,
    source: str,
    without_exit_file: JobState,
) -> None:
    box: Sandbox = request.getfixturevalue(name)
    connected(box)
    make = request_maker(box, tmp_path)

    async def work(client: SlurmClient) -> list[JobStatus]:
        jobs = [
            await client.submit(make("sleep 2", gpus_per_node=1), attempt()),
            await client.submit(make("exit 3", gpus_per_node=1), attempt()),
            await client.submit(make("true", script="#!/bin/bash\nexit 5\n"), attempt()),
            await client.submit(make("true", script="#!/bin/bash\n"), attempt()),  # ends in the second of its start
        ]
        while {job.job_id for job in jobs} & (await client.queue()).keys():
            await asyncio.sleep(0.5)
        (hours,) = await client.hours([[jobs[0].job_id, jobs[1].job_id]])
        is_known = source == "sacct"
        while is_known and "Unknown" in box.slurm("sacct", "-X", "-n", "-P", "-o", "End", "-j", jobs[1].job_id):
            await asyncio.sleep(0.1)  # slurmdbd gets to know of an end after squeue has forgotten it
        assert (bool(hours.gpu), hours.cpu is None) == (is_known, not is_known), hours
        return [await end(client, job) for job in jobs]

    ended_well, failed, silent, short = with_client(work)
    assert (ended_well.state, failed.state, failed.exit_code) == (JobState.COMPLETED, JobState.FAILED, "3:0")
    assert (ended_well.source, failed.source) == (source, source)
    assert silent.state is without_exit_file
    assert short.state is (JobState.COMPLETED if source == "sacct" else JobState.LOST)


@pytest.mark.xdist_group("accounting")
@pytest.mark.slow("the accounting database takes 4 s to write down an end")
def test_a_job_whose_end_reaches_the_accounting_database_late(
    cluster_accounting: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path
) -> None:
    """What begins while slurmdbd is away is recorded as begun when it has ended: FAILED, exit code 0:0, no end."""
    box = cluster_accounting
    connected(box)
    request = request_maker(box, tmp_path)("true", script="#!/bin/bash\nexit 3\n")

    def sql(text: str) -> None:
        subprocess.run(["mariadb", f"--socket={box.directory}/sql/s", "--user=root", "slurm", "-e", text], check=True)

    async def work(client: SlurmClient) -> JobStatus:
        os.kill(slurmdbd, signal.SIGSTOP)
        job = await client.submit(request, attempt())
        while job.job_id in await client.queue():
            await asyncio.sleep(0.2)
        os.kill(slurmdbd, signal.SIGCONT)
        return await end(client, job, grace=1)

    slurmdbd = box.status()["slurmdbd"] or 0
    assert slurmdbd
    late = "SET @slept = IF(NEW.time_end <> OLD.time_end, SLEEP(4), 0)"
    sql(f"CREATE TRIGGER late BEFORE UPDATE ON sandbox_job_table FOR EACH ROW {late}")
    try:
        status = with_client(work)
    finally:
        os.kill(slurmdbd, signal.SIGCONT)
        sql("DROP TRIGGER late")
    assert (status.state, status.exit_code, status.source) == (JobState.FAILED, "3:0", "sacct")


def test_a_job_cancelled_from_outside(
    any_cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path
) -> None:
    connected(any_cluster)
    request = request_maker(any_cluster, tmp_path)("exec sleep 100")

    async def work(client: SlurmClient) -> JobStatus:
        job = await client.submit(request, attempt())
        waiting = asyncio.create_task(end(client, job))
        while "RUNNING" not in any_cluster.slurm("squeue", "--noheader", "--format=%T", f"--jobs={job.job_id}"):
            await asyncio.sleep(0.1)
        any_cluster.slurm("scancel", job.job_id)
        return await waiting

    status = with_client(work)
    assert not status.state.is_success
    assert status.state is JobState.CANCELLED or "SIGTERM" in status.reason


@pytest.mark.slow("Slurm looks for jobs over their limit every 30 s")
def test_jobs_over_their_time_limit(
    cluster: Sandbox,
    cluster_accounting: Sandbox,
    cluster_forgetful: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The limit is a minute at least, so all clusters run at once."""

    async def run(number: int, box: Sandbox) -> JobStatus:
        monkeypatch.setenv(f"AIRFLOW_CONN_CLUSTER{number}", json.dumps(box.connection))
        request = request_maker(box, tmp_path)("exec sleep 300", time="0:1")
        async with SshShell(f"cluster{number}") as shell:
            client = SlurmClient(shell)
            return await end(client, await client.submit(request, attempt()))

    async def run_all() -> list[JobStatus]:
        boxes = (cluster, cluster_accounting, cluster_forgetful)
        return await asyncio.gather(*(run(number, box) for number, box in enumerate(boxes)))

    remembered, accounted, forgotten = asyncio.run(run_all())
    assert (remembered.state, accounted.state) == (JobState.TIMEOUT, JobState.TIMEOUT)
    assert forgotten.state in (JobState.TIMEOUT, JobState.FAILED)
    assert forgotten.state is JobState.TIMEOUT or "SIGTERM" in forgotten.reason


def test_slurm_gives_what_was_asked_for_and_the_job_finds_its_environment(
    cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path
) -> None:
    connected(cluster)
    (tmp_path / "ray.sub").write_text('#!/bin/bash\nenv -0 > env; pwd > pwd; scontrol show job "$SLURM_JOB_ID" > job\n')
    request = request_maker(cluster, tmp_path)(
        "uv run 'a b'",
        nodes=2,
        gpus_per_node=8,
        time="8:0:0",
        script="",
        batch_script="ray.sub",
        inputs=["ray.sub"],
        container="/images/x.sqsh",
        mounts="/lustre:/lustre,/home:/home",
        env={"MINE": "a\n'b'"},
        options={"comment": "it's $(mine)", "exclusive": True},
    )
    job, status = run_job(request)
    assert status.state is JobState.COMPLETED
    environment = dict(entry.partition("=")[::2] for entry in (tmp_path / "env").read_text().split("\0") if entry)
    expected = {
        "BASE_LOG_DIR": request.run_dir,
        "NUM_ACTOR_NODES": "2",
        "GPUS_PER_NODE": "8",
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_JOB_NUM_NODES": "2",
        "CONTAINER": "/images/x.sqsh",
        "MOUNTS": "/lustre:/lustre,/home:/home",
        "COMMAND": "uv run 'a b'",
        "WANDB_DIR": request.run_dir,
        "MINE": "a\n'b'",
    }
    assert {name: environment.get(name) for name in expected} == expected
    assert (tmp_path / "pwd").read_text().strip() == str(tmp_path)
    shown = (tmp_path / "job").read_text()
    assert "Comment=it's $(mine)" in shown
    assert "TimeLimit=08:00:00" in shown
    assert sorted(path.name for path in Path(request.run_dir).iterdir()) == [
        ".slurm_sweep",
        "logs",
    ]
    assert Path(job.log_path).exists()


def test_hostile_values_arrive_and_nothing_else_is_executed(
    cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path
) -> None:
    values: list[Any] = [
        "two words",
        "it's",
        'say "hi"',
        "$(touch x)",
        "`touch x`",
        "a\nb",
        "grüße 雪",
        "-x",
        "--flag",
        "a,b",
        "(",
        "{}",
        "null",
        "true",
        "1e-6",
        "",
        "ends with \\",
        "; touch x",
        "{{ 1 + 1 }}",
        "${HOME}",
        1e-6,
        True,
        None,
        [1, [2, "it's"]],
        {"a": {"b": ["$(touch x)", None]}},
    ]
    parameters = "".join(f"value{number}: {json.dumps([protected(value)])}\n" for number, value in enumerate(values))
    spec = parse_sweep(f"script_path: dump.py\n{parameters}", source="s.yaml")
    profile = {
        **cluster.profile,
        "workdir": str(tmp_path),
        "env": {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        "log": str(tmp_path),
    }
    connected(cluster)
    (tmp_path / "dump.py").write_text(DUMP)
    (tmp_path / "uv").write_text(f'#!/bin/sh\nshift\nexec {sys.executable} "$@"\n')
    (tmp_path / "uv").chmod(0o755)
    (request,) = plan_run(spec, make_layers(profile)).jobs
    job, status = run_job(request)
    assert status.state is JobState.COMPLETED, Path(job.log_path).read_text()
    arrived = json.loads((tmp_path / "dump.py.json").read_text())["values"]
    assert [arrived[f"value{number}"] for number in range(len(values))] == values
    run_dir = Path(request.run_dir)
    parameters = json.loads((run_dir / PARAMETERS).read_text())
    assert list(parameters.items()) == [(f"value{number}", value) for number, value in enumerate(values)]
    assert json.loads((run_dir / COMBINATION).read_text()) == {
        "index": 1,
        "run": {"airflow": "a", "dag_id": "d", "run_id": "r"},
        "task": {"task_id": "t", "map_index": 0},
        "name": request.name,
        "parameters": parameters,
        "swept": [],
        "command": request.command,
        "overrides": [],
        "versions": {"airflow_slurm_sweep": __version__},
    }
    assert list(tmp_path.rglob("x")) == []


def test_small_files_are_read_as_they_are(
    cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path
) -> None:
    connected(cluster)
    texts = {"a b.yaml": "x: 'grüße'\n\n", "empty.yaml": "", "dir/../a b.yaml": "x: 'grüße'\n\n"}
    (tmp_path / "dir").mkdir()
    for name in ("a b.yaml", "empty.yaml"):
        (tmp_path / name).write_text(texts[name], encoding="utf-8")
    names = [*texts, "none.yaml", "dir", str(tmp_path / "a b.yaml")]
    read = with_client(lambda client: client.read_files(str(tmp_path), names))
    assert read == {**texts, "none.yaml": None, "dir": None, str(tmp_path / "a b.yaml"): texts["a b.yaml"]}
    with pytest.raises(ClusterRefusedError, match="/no/such"):
        with_client(lambda client: client.read_files("/no/such", names))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": ["missing.py"]}, "no such file on the cluster: missing.py"),
        ({"batch_script": "ray.sub"}, "no such file on the cluster: ray.sub"),
        ({"workdir": "/no/such"}, "no such directory on the cluster: /no/such"),
        ({"run_dir": "/dev/null/log/nemo-rl/a"}, "cannot make the run directory /dev/null/log/nemo-rl/a"),
        ({"partition": "nowhere"}, "invalid partition specified: nowhere"),
        ({"time": "soon"}, "Invalid --time specification"),
        ({"options": {"no-such": "1"}}, "unrecognized option '--no-such=1'"),
        ({"account": "nobody"}, "Invalid account"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refusals_of_the_cluster_fail_at_once(
    cluster_accounting: Sandbox,
    connected: Callable[[Sandbox], None],
    tmp_path: Path,
    changes: dict[str, Any],
    said: str,
) -> None:
    connected(cluster_accounting)
    request = request_maker(cluster_accounting, tmp_path)("true", **changes)
    with pytest.raises(ClusterRefusedError, match=rf"(?s)^job0 was not submitted: .*({said})"):
        with_client(lambda client: client.submit(request, attempt()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (None, "There is no Airflow connection 'slurm_sandbox': add one of type ssh"),
        (
            {"host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGB+DJSJhb8F71LCDyYXvbtb15wDJHJa7gSg7UBKdaRO"},
            "the host key of .* is not the one that we know",
        ),
        ({"host_key": None}, "the host key of .* is not known to us"),
        ({"key_file": "host_key"}, "refuses the login: it does not know the user, or does not accept the key"),
        ({"key_file": "no_such_key"}, "the key file .* cannot be read on this machine"),
    ],
    ids=["no connection", "other host key", "unknown host key", "wrong key", "missing key"],
)
def test_a_login_that_cannot_work_fails_at_once(
    cluster: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any] | None, said: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no known_hosts of the machine's
    if changes is not None:
        extra = {**cluster.connection["extra"], **changes}  # type: ignore[dict-item]
        folder = cluster.directory / "ssh"
        extra["key_file"] = str(folder / extra["key_file"])
        connection = {**cluster.connection, "extra": {name: value for name, value in extra.items() if value}}
        monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(connection))
    with pytest.raises(ClusterRefusedError, match=said):
        with_client(lambda client: client.queue())


def test_all_triggers_of_a_process_share_one_connection(
    cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected(cluster)
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "0.5")
    request = request_maker(cluster, tmp_path)

    async def submit(client: SlurmClient) -> list[SubmittedJob]:
        return [
            await client.submit(request(f"echo of {number}; sleep 1; exit {number % 2}"), attempt())
            for number in range(20)
        ]

    jobs = with_client(submit)

    async def wait() -> list[JobEnd]:
        return await asyncio.wait_for(asyncio.gather(*map(await_job, jobs)), 240)

    logins, logouts = count_logins(cluster), count_logouts(cluster)
    ends = asyncio.run(wait())
    assert [end.status.state.value for end in ends] == ["COMPLETED", "FAILED"] * 10
    assert [end.text.rpartition("\n")[2] for end in ends] == [f"of {number}" for number in range(20)]
    assert count_logins(cluster) - logins == 1
    assert count_logouts(cluster) - logouts == 1, "it is closed when the event loop ends, if not before"


def count_logins(box: Sandbox) -> int:
    return sum(path.read_text().count("Accepted publickey") for path in (box.directory / "logs").glob("sshd*"))


def count_logouts(box: Sandbox) -> int:
    time.sleep(0.5)
    return sum(path.read_text().count("Disconnected from user") for path in (box.directory / "logs").glob("sshd*"))
