"""check_cluster on real clusters: all is well, and what it says of each thing that can be wrong."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_slurm_sweep.check.findings import Finding, Grade
from airflow_slurm_sweep.check.operator import CheckClusterOperator, check_cluster
from airflow_slurm_sweep.check.verdicts import CHECKS
from sandbox import Sandbox
from sandbox.airflow import PROJECT
from sandbox.processes import wait_until
from tests.integration.test_airflow import dags_test
from tests.integration.test_clusters import second_cluster

pytestmark = pytest.mark.sandbox

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGB+DJSJhb8F71LCDyYXvbtb15wDJHJa7gSg7UBKdaRO"
IN_ORDER = list(CHECKS)
Check = Callable[..., dict[str, Finding]]
GPU_JOB = {"gpus_per_node": 8, "time": "4:0:0"}


@pytest.fixture
def check(connected: Callable[[Sandbox], None], include: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a cluster with a profile of its values and others (None: the key is not in the file)."""
    for name in ("LOG", "ACCOUNT", "PARTITION", "CON"):
        monkeypatch.delenv(name, raising=False)

    def run(
        box: Sandbox, connection: Mapping[str, Any] | None = None, *, submits: bool = False, **changes: Any
    ) -> dict[str, Finding]:
        Path(str(box.profile["workdir"])).mkdir(exist_ok=True)
        connected(box)
        if connection is not None:
            monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(connection))
        values = {**box.profile, **GPU_JOB, **changes}
        profile = {name: value for name, value in values.items() if name not in changes or value is not None}
        (include / "clusters" / "default.yaml").write_text(json.dumps(profile))

        shown: list[Finding] = []
        found = check_cluster("default", include, shown.append, submits=submits)
        assert shown == found
        assert [finding.check for finding in found] == IN_ORDER, "one line a check, whatever fails"
        assert all("\n" not in str(finding) for finding in found)
        return {finding.check: finding for finding in found}

    return run


def not_ok(found: Mapping[str, Finding]) -> dict[str, Grade]:
    """Return what is not ok.

    The sandbox's file system is this machine's own, which `log` warns of everywhere; its profile has no command.
    """
    always = [("log", Grade.WARNING), ("program", Grade.SKIPPED), ("job", Grade.SKIPPED)]
    return {
        name: finding.grade
        for name, finding in found.items()
        if finding.grade is not Grade.OK and (name, finding.grade) not in always
    }


@contextmanager
def program(box: Sandbox, name: str, text: str) -> Iterator[None]:
    """Put a program before the system's on the login node's PATH."""
    file = box.directory / "bin" / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def bashrc(box: Sandbox, text: str) -> Iterator[None]:
    """Give the account a start-up file."""
    file = box.directory / "home" / ".bashrc"
    file.write_text(text)
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def stopped(box: Sandbox, daemon: str) -> Iterator[None]:
    """Stop a daemon for a while."""
    box.stop(daemon)
    try:
        yield
    finally:
        box.start(daemon)
        assert wait_until(lambda: "idle" in box.slurm("sinfo", "--noheader", "--format=%T"))


def test_a_good_cluster(cluster_accounting: Sandbox, check: Check) -> None:
    found = check(cluster_accounting)
    assert not_ok(found) == {}, found
    assert "8 GPUs, time 4:0:0, account sandbox, partition batch would be taken: Job " in found["sbatch"].text
    log = found["log"]
    assert "can be written" in log.text
    assert log.grade is Grade.OK or "srun --account=sandbox --partition=batch ls -d /" in log.text
    assert list(Path(str(cluster_accounting.profile["log"])).glob(".slurm_sweep_check*")) == [], "it leaves nothing"
    assert "check_cluster" not in cluster_accounting.slurm("squeue", "--states=all", "--format=%j"), "nor a job"


def test_a_gpu_job_that_gets_a_single_cpu(cluster_accounting: Sandbox, check: Check) -> None:
    found = check(cluster_accounting, partition="high")
    assert not_ok(found) == {"sbatch": Grade.WARNING}
    assert re.search(
        r"But on each node it gets 1 CPU for 8 GPUs; nodes of high have 16 CPUs for 8 GPUs\. "
        r"Set `sbatch: \{cpus-per-gpu: 2\}` in \S+/clusters/default.yaml, or `sbatch: \{exclusive: true\}` for whole nodes$",
        found["sbatch"].text,
    )
    for options in ({"cpus-per-gpu": 2}, {"exclusive": True}):
        assert not_ok(check(cluster_accounting, partition="high", sbatch=options)) == {}


def test_a_batch_script_that_asks_for_other_gpus(cluster_accounting: Sandbox, check: Check) -> None:
    script = Path(str(cluster_accounting.profile["workdir"])) / "gpus.sh"
    script.write_text("#!/bin/sh\n#SBATCH --gpus-per-node=4 # half of them\n#SBATCH --exclusive\n")
    found = check(cluster_accounting, batch_script="gpus.sh")
    assert found["script"].grade is Grade.WARNING
    assert "#SBATCH lines of gpus.sh ask for 4 GPUs on each node (--gpus-per-node=4), but " in found["script"].text
    assert (
        "clusters/default.yaml tells the script of 8. Remove those lines, or set `gpus_per_node`"
        in found["script"].text
    )
    assert check(cluster_accounting, batch_script="gpus.sh", gpus_per_node=4)["script"].grade is Grade.OK


def test_without_accounting(cluster: Sandbox, check: Check) -> None:
    found = check(cluster)
    assert not_ok(found) == {"accounting": Grade.WARNING}
    assert "is known for 300 sec after its end from squeue, and then from the exit status" in found["accounting"].text
    (Path(str(cluster.profile["workdir"])) / "own.sh").write_text("#!/bin/sh\n")
    found = check(cluster, batch_script="own.sh")
    assert "counts as LOST, a failure, since own.sh leaves no exit status" in found["accounting"].text


ON_NODES = '[ -z "$SLURMD_NODENAME" ] || '  # in front of a setup line: only on compute nodes
ON_LOGIN_NODE = '[ -n "$SLURMD_NODENAME" ] || '
NOT_FOUND = r"there is no (uv|sh) \(looked for from \S+/workspace, PATH=/nowhere\)\. Install it, or have `setup` in \S+/default.yaml"


@pytest.mark.parametrize(
    ("changes", "grade", "said"),
    [
        ({"command": "A=1 exec python3 train.py {flags}"}, Grade.OK, "^python3 is /.*/python3$"),
        ({"preset": "hydra", "env": {"PATH": "/nowhere"}}, Grade.FAILED, "there is no python .*PATH=/nowhere"),
        ({"command": "uv run train.py", "setup": ["PATH=/nowhere"]}, Grade.FAILED, NOT_FOUND),
        ({"command": ".venv/bin/python a.py"}, Grade.FAILED, r"there is no .venv/bin/python \(looked for from \S+/workspace, "),
        ({"command": "python a.py", "setup": ["true", "module load it"]}, Grade.FAILED, "setup line 2 failed with exit status 127: module load it. Correct"),
        ({"command": "own a.py", "setup": ["own() { echo; }"]}, Grade.OK, "^own is own$"),
        ({"command": "{lr} a.py"}, Grade.SKIPPED, "no command that begins with a program's name"),
        ({"command": "uv run a.py", "workdir": "/no/such"}, Grade.SKIPPED, "the working directory is not there"),
        ({"command": "uv run a.py", "container": "/etc/passwd"}, Grade.SKIPPED, "in the container, by a job"),
    ],
)  # fmt: skip
def test_the_program_of_the_command_is_looked_for_after_setup(
    cluster_accounting: Sandbox, check: Check, changes: dict[str, Any], grade: Grade, said: str
) -> None:
    found = check(cluster_accounting, **{"gpus_per_node": 0, **changes})
    assert found["program"].grade is grade, found
    assert_says(found["program"], said)


@pytest.mark.parametrize(
    ("changes", "program", "job", "said"),
    [
        ({}, Grade.SKIPPED, Grade.OK, r"^job \d+ on n\d wrote its log in /"),
        ({"setup": [f"{ON_LOGIN_NODE}PATH=/nowhere"], "command": "sh -c a"}, Grade.WARNING, Grade.OK, r"on n\d has sh, and wrote"),
        ({"setup": [f"{ON_NODES}PATH=/nowhere"], "command": "sh run"}, Grade.OK, Grade.FAILED, rf"^job \d+ on n\d: {NOT_FOUND}"),
        ({"setup": [f"{ON_NODES}(exit 4)"], "command": "sh run"}, Grade.OK, Grade.FAILED, r"on n\d: setup line 1 failed with exit status 4: .*Correct `setup`"),
        ({"batch_script": "no_command.sh"}, Grade.SKIPPED, Grade.FAILED, r"ended as FAILED.*exit code 3:0: .*no GPU here\. Where there is no log"),
    ],
    ids=["plain", "only on nodes", "not on nodes", "setup", "batch script"],
)  # fmt: skip
def test_a_job_tells_what_compute_nodes_lack(
    cluster_accounting: Sandbox, check: Check, changes: dict[str, Any], program: Grade, job: Grade, said: str
) -> None:
    (Path(str(cluster_accounting.profile["workdir"])) / "no_command.sh").write_text(
        "#!/bin/sh\necho no GPU here\nexit 3"
    )
    found = check(cluster_accounting, submits=True, **changes)
    assert (found["program"].grade, found["job"].grade) == (program, job), found
    assert_says(found["job"], said)
    assert left_behind(cluster_accounting) == ([], [])


def test_no_job_is_submitted_where_another_check_failed(cluster_accounting: Sandbox, check: Check) -> None:
    found = check(cluster_accounting, submits=True, account="nobody")
    assert found["job"] == Finding(check="job", grade=Grade.SKIPPED, text="the check 'sbatch' failed")


def left_behind(box: Sandbox) -> tuple[list[Path], list[str]]:
    """Return the folders of tried jobs, and such jobs that live."""
    jobs = box.slurm("squeue", "--noheader", "--format=%j").split()
    return list(Path(str(box.profile["log"])).glob("check_cluster*")), [job for job in jobs if "check_cluster" in job]


def test_ctrl_c_cancels_the_job(cluster: Sandbox, environment: dict[str, str], include: Path) -> None:
    profile = {**cluster.profile, "setup": [f"{ON_NODES}sleep 600"], "command": "sh run"}
    (include / "clusters" / "mine.yaml").write_text(json.dumps(profile))
    settings = {
        "PYTHONPATH": str(PROJECT / "plugins"),
        "AIRFLOW__SLURM_SWEEP__CLUSTERS_FOLDER": str(include / "clusters"),
    }
    command = [sys.executable, "-m", "airflow_slurm_sweep", "check-cluster", "mine", "--submit"]
    with subprocess.Popen(
        command, env={**environment, **settings}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert wait_until(lambda: left_behind(cluster)[1] != [])
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr
        assert process.stderr.read().decode().splitlines()[-1] == "interrupted"
    assert left_behind(cluster) == ([], [])


WRONG: dict[str, tuple[dict[str, Any], dict[str, Grade], str]] = {
    "unknown account": (
        {"account": "nobody"},
        {"sbatch": Grade.FAILED},
        r"Invalid account .*\. Set `account` in \S+/clusters/default.yaml to one of .*'s here: .*sandbox",
    ),
    "unknown partition": (
        {"partition": "gpu"},
        {"sbatch": Grade.FAILED},
        r"partition.*: gpu; .*\. Set `partition` in .* to an existing one: batch, debug, high, low$",
    ),
    "too many GPUs": ({"gpus_per_node": 9}, {"sbatch": Grade.FAILED}, r"1 node with 9 GPUs.*`gpus_per_node` in .*0: no GPUs"),
    "unknown option": (
        {"sbatch": {"no-such": 1}},
        {"sbatch": Grade.FAILED},
        r"unrecognized option '--no-such=1'.*Correct the section `sbatch` of",
    ),
    "log not writable": (
        {"log": "/proc/logs"},
        {"log": Grade.FAILED},
        r"/proc/logs is not there, and \w+ cannot write into /proc: .*Set `log` in .* all nodes share",
    ),
    "no working directory": (
        {"workdir": "/no/such"},
        {"workdir": Grade.FAILED, "sbatch": Grade.SKIPPED},
        r"/no/such is not there, or \w+ may not enter it: .*can't cd.*Set `workdir` in",
    ),
    "no batch script": (
        {"batch_script": "ray.sub"},
        {"script": Grade.FAILED, "sbatch": Grade.SKIPPED},
        r"ray.sub is not there, .*\(from /.*\)\. Correct `batch_script` in",
    ),
    "no container": (
        {"container": "/no/image.sqsh"},
        {"container": Grade.FAILED},
        r"/no/image.sqsh is not there, .*\. Correct `container` in",
    ),
    "no pyxis": (
        {"container": "nvcr.io#nvidia/pytorch:25.05-py3"},
        {"container": Grade.FAILED},
        r"srun knows no --container-image here: the site has no pyxis",
    ),
    "no log said": (
        {"log": None},
        {"settings": Grade.FAILED, **dict.fromkeys(("log", "workdir", "script", "container", "sbatch"), Grade.SKIPPED)},
        r"Required settings are missing. Set log: `log` in .*default.yaml, or LOG in the environment",
    ),
    "no account said": (
        {"account": None, "preset": "nemo-rl", "command": "true"},
        {"settings": Grade.WARNING},
        r"Set account: the trigger form, .* Sweeps that do not set it fail",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "grades", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_profile_that_is_wrong(
    cluster_accounting: Sandbox, check: Check, changes: dict[str, Any], grades: dict[str, Grade], said: str
) -> None:
    found = check(cluster_accounting, **changes)
    assert not_ok(found) == grades
    assert_says(found[next(iter(grades))], said)


def assert_says(finding: Finding, said: str) -> None:
    __tracebackhide__ = True
    assert re.search(said, finding.text), finding


@pytest.mark.parametrize(
    ("changes", "failed", "said"),
    [
        ({"host_key": OTHER_KEY}, "host key", r"is not the one that we know .*man in the middle.* It shows: ssh-ed25519 AAAA\S+$"),
        ({"host_key": None}, "host key", r"is not known to us .*\. Compare it with what the site publishes.*: ssh-ed25519 "),
        ({"key_file": "ssh/host_key"}, "login", r"does not accept the key.*authorized_keys .* public half of .*: ssh -i \S+host_key "),
        ({"key_file": "none"}, "login", r"the key file \S+/none cannot be read on this machine \(No such file"),
        ({"port": 1}, "host", r"nothing listens at 127.0.0.1:1: correct"),
        ({"host": "no.such.invalid"}, "host", r"the name 'no.such.invalid' is not known to this machine"),
        ({"conn_type": "http"}, "connection", r"expected the type 'ssh', got 'http'"),
    ],
    ids=["other host key", "unknown host key", "wrong key", "no key file", "port", "name", "type"],
)  # fmt: skip
def test_a_way_in_that_is_closed(
    cluster_accounting: Sandbox,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    changes: dict[str, Any],
    failed: str,
    said: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no known_hosts of the machine's
    connection: dict[str, Any] = {**cluster_accounting.connection}
    connection |= {name: value for name, value in changes.items() if name not in ("host_key", "key_file")}
    extra = {**connection["extra"], **{name: value for name, value in changes.items() if name in connection["extra"]}}
    extra["key_file"] = str(cluster_accounting.directory / extra["key_file"])
    connection["extra"] = {name: value for name, value in extra.items() if value is not None}
    found = check(cluster_accounting, connection)
    assert_says(found[failed], said)
    before = IN_ORDER[: IN_ORDER.index(failed)]
    assert {found[name].grade for name in before} <= {Grade.OK, Grade.SKIPPED}
    assert {finding.grade for name, finding in found.items() if name not in [*before, failed]} == {Grade.SKIPPED}


def test_a_missing_airflow_connection(cluster_accounting: Sandbox, check: Check) -> None:
    found = check(cluster_accounting, ssh_conn_id="none")
    assert_says(found["connection"], "There is no Airflow connection 'none': add one of type ssh")


def test_a_host_key_that_is_not_checked(cluster_accounting: Sandbox, check: Check) -> None:
    key_file = cluster_accounting.connection["extra"]["key_file"]  # type: ignore[index]
    connection = {**cluster_accounting.connection, "extra": {"key_file": key_file, "no_host_key_check": True}}
    found = check(cluster_accounting, connection)
    assert not_ok(found) == {"host key": Grade.WARNING}
    assert_says(found["host key"], r"is not checked.*`host_key` instead; it shows: ssh-ed25519 AAAA")


def test_two_host_keys_while_one_replaces_the_other(cluster_accounting: Sandbox, check: Check, tmp_path: Path) -> None:
    """As docs/operations.md says: in a file of known hosts."""
    extra: dict[str, Any] = {**cluster_accounting.connection["extra"]}  # type: ignore[dict-item]
    host = f"[127.0.0.1]:{cluster_accounting.connection['port']}"
    (tmp_path / "known_hosts").write_text(f"{host} {OTHER_KEY}\n{host} {extra.pop('host_key')}\n")
    extra["known_hosts"] = str(tmp_path / "known_hosts")
    assert not_ok(check(cluster_accounting, {**cluster_accounting.connection, "extra": extra})) == {}


def test_a_noisy_shell_is_passed_over(cluster_accounting: Sandbox, check: Check) -> None:
    with bashrc(cluster_accounting, "echo Welcome to the cluster\necho motd >&2\n"):
        found = check(cluster_accounting)
    assert not_ok(found) == {}
    assert "is ignored: 'Welcome to the cluster'" in found["shell"].text


@pytest.mark.parametrize("text", ["echo bye; exit 0\n", "echo bye; cat > /dev/null\n"], ids=["ends", "reads"])
def test_a_shell_that_does_not_run_our_script(cluster_accounting: Sandbox, check: Check, text: str) -> None:
    with bashrc(cluster_accounting, text):
        found = check(cluster_accounting)
    behind = IN_ORDER[IN_ORDER.index("shell") + 1 :]
    assert {name: found[name].grade for name in behind} == dict.fromkeys(behind, Grade.SKIPPED)
    assert not_ok(found)["shell"] is Grade.FAILED
    assert_says(
        found["shell"], r"it said: bye\..*~/\.bashrc.*has to print `works`: echo echo works \| ssh -i \S+ -p \d+ "
    )


def test_commands_that_are_not_on_the_path(cluster_accounting: Sandbox, check: Check) -> None:
    tools = cluster_accounting.directory / "home" / "tools"
    tools.mkdir()
    for tool in ("cat", "date", "head", "id", "printenv", "rm", "sed", "sh", "stat", "tail", "timeout", "tr", "uname"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    with bashrc(cluster_accounting, f"PATH={tools}\n"):
        found = check(cluster_accounting)
    assert not_ok(found)["commands"] is Grade.FAILED
    assert_says(
        found["commands"],
        rf"not on the PATH of a login without a terminal: sbatch, squeue, scancel, scontrol \(PATH={tools}\)\. Set PATH",
    )
    assert (found["controller"].grade, found["sbatch"].grade) == (Grade.SKIPPED, Grade.SKIPPED)


@pytest.mark.parametrize(("shift", "way"), [("-1 hour", "behind"), ("+10 minutes", "ahead of")])
def test_a_clock_that_is_wrong(cluster_accounting: Sandbox, check: Check, shift: str, way: str) -> None:
    wrong = f"""[ "$*" = +%s ] && exec /usr/bin/date -d '{shift}' +%s; exec /usr/bin/date "$@\""""
    with program(cluster_accounting, "date", wrong):
        found = check(cluster_accounting)
    assert not_ok(found) == {"clock": Grade.WARNING}
    assert_says(found["clock"], rf"login node's is (3[56]\d\d|[56]\d\d) s {way} Airflow's: .* UTC there")


def test_the_controller_is_down(cluster_accounting: Sandbox, check: Check) -> None:
    with stopped(cluster_accounting, "slurmctld"):
        found = check(cluster_accounting)
    assert not_ok(found) == {"controller": Grade.FAILED, "sbatch": Grade.SKIPPED}
    assert_says(
        found["controller"], r"slurmctld does not answer: Slurmctld\(primary\) at \S+ is DOWN\. Nothing is lost"
    )


def test_the_accounting_database_is_down(cluster_accounting: Sandbox, check: Check) -> None:
    with stopped(cluster_accounting, "slurmdbd"):
        found = check(cluster_accounting)
    assert not_ok(found) == {"accounting": Grade.FAILED}, found
    assert_says(found["accounting"], r"sacct does not answer: .*Tell the site's administrators \(slurmdbd\)")


@pytest.mark.all
def test_another_cluster_behind_the_same_login(
    cluster_accounting: Sandbox, check: Check, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each answer is that of the profile's cluster."""
    sacctmgr = ("sacctmgr", "-i")
    cluster_accounting.slurm(*sacctmgr, "add", "account", "first", "cluster=sandbox")
    user = str(cluster_accounting.connection["login"])
    cluster_accounting.slurm(*sacctmgr, "add", "user", user, "account=first", "cluster=sandbox")
    with second_cluster(cluster_accounting, tmp_path_factory.mktemp("b"), "third", "PartitionName=own Nodes=ALL"):
        with program(cluster_accounting, "sacct", f'echo "$*" > {tmp_path}/asked; exec /usr/bin/sacct "$@"'):
            assert not_ok(check(cluster_accounting, clusters="third", partition="own", gpus_per_node=0)) == {}
        assert (tmp_path / "asked").read_text().startswith("--clusters=third ")
        found = check(cluster_accounting, clusters="third", account="nobody")
        assert_says(found["sbatch"], r"to one of \w+'s here: (root, )?sandbox$")
    assert_says(check(cluster_accounting, account="nobody")["sbatch"], r"here: first, (root, )?sandbox$")


@pytest.mark.all  # `run` finds it likewise
def test_the_command_finds_a_connection_in_airflows_database(
    cluster: Sandbox, environment: dict[str, str], include: Path
) -> None:
    """Not only in the environment, where all other tests have it."""
    extra = json.dumps(cluster.connection["extra"])
    login = [f"--conn-{name}={cluster.connection[name]}" for name in ("host", "port", "login")]
    add = ["airflow", "connections", "add", "in_database", "--conn-type=ssh", *login, f"--conn-extra={extra}"]
    subprocess.run(add, env=environment, check=True, capture_output=True)
    clusters = include / "clusters"
    environment = {
        **environment,
        "PYTHONPATH": str(PROJECT / "plugins"),
        "AIRFLOW__SLURM_SWEEP__CLUSTERS_FOLDER": str(clusters),
    }

    def run(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airflow_slurm_sweep", "check-cluster", name, f"--include={include}"]
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)

    (clusters / "mine.yaml").write_text(json.dumps({**cluster.profile, **GPU_JOB, "ssh_conn_id": "in_database"}))
    done = run("mine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\nok       connection  'in_database' is {cluster.connection['login']}@127.0.0.1:" in done.stdout
    assert "\nok       sbatch      a job of 1 node with 8 GPUs" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("18 checks: 14 ok, 2 warning, 2 skipped")
    done = run("other")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED   profile     slurm.profile: the file")
    assert done.stdout.splitlines()[-1] == "18 checks: 1 failed, 17 skipped"


def test_the_dag(environment: dict[str, str], include: Path) -> None:
    exit_code, log = dags_test(environment, "check_cluster", conf={"profile": "default", "submit": True})
    assert exit_code == 0, log
    assert "ok       sbatch      a job of 1 node" in log
    assert "ok       job         job " in log
    task = CheckClusterOperator(task_id="check", include=str(include))
    with pytest.raises(AirflowFailException, match=r"^none: 18 checks: 1 failed, 17 skipped; checks failed: profile$"):
        task.execute({"params": {"profile": "none"}})
