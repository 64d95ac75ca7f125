"""The ways in that sites have: jump hosts, ssh's own configuration, certificates, agents, second factors."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep.check.findings import Finding
from airflow_slurm_sweep.check.way_in import check_login
from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.shell import Completed
from airflow_slurm_sweep.slurm.states import JobState
from airflow_slurm_sweep.tasks.one_job import JobEnd, await_job, submit_job
from airflow_slurm_sweep.tasks.ssh import output, shell
from airflow_slurm_sweep.tasks.ssh.pace import LoginPace
from airflow_slurm_sweep.tasks.ssh.shell import SshShell
from sandbox import Sandbox
from tests.integration.sshd import Sshd, known_hosts, second_sshd
from tests.integration.test_jobs import attempt, request_maker

pytestmark = pytest.mark.sandbox

Connect = Callable[..., None]
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGB+DJSJhb8F71LCDyYXvbtb15wDJHJa7gSg7UBKdaRO"
KEY = "ssh/id_ed25519"


@pytest.fixture
def connect(
    cluster: Sandbox, connected: Callable[[Sandbox], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Connect:
    """Set the Airflow connection: the cluster's own, with other fields, and another extra (None: not in it)."""
    connected(cluster)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    def change(extra: dict[str, Any] | None = None, **fields: Any) -> None:
        connection: dict[str, Any] = {**cluster.connection, **fields}
        changed = {**connection["extra"], **(extra or {})}
        connection["extra"] = {name: value for name, value in changed.items() if value is not None}
        connection = {name: value for name, value in connection.items() if value is not None}
        monkeypatch.setenv("AIRFLOW_CONN_SLURM_SANDBOX", json.dumps(connection))

    return change


def run(script: str = "echo in") -> Completed:
    async def in_a_session() -> Completed:
        async with SshShell("slurm_sandbox") as shell:
            return await shell.run(script)

    return asyncio.run(asyncio.wait_for(in_a_session(), 240))


def refusal() -> str:
    with pytest.raises(LoginRefusedError) as caught:
        run()
    return str(caught.value)


def checked() -> dict[str, Finding]:
    found: dict[str, Finding] = {}

    async def check() -> None:
        async with SshShell("slurm_sandbox") as shell:
            add = lambda check, grade, text: found.update({check: Finding(check=check, grade=grade, text=text)})  # noqa: E731
            await check_login(shell, "slurm_sandbox", add)

    asyncio.run(check())
    return found


# By way of other hosts


def test_jump_hosts_of_the_connection(cluster: Sandbox, connect: Connect) -> None:
    user, port = cluster.connection["login"], cluster.connection["port"]
    with second_sshd(cluster) as jump, second_sshd(cluster, name="sshd3") as second:
        connect({"proxy_jump": f"127.0.0.1:{jump.port}, {user}@127.0.0.1:{second.port}"})
        found = checked()
        assert [finding.grade.value for finding in found.values()] == ["ok"] * 4
        way = f"{user}@127.0.0.1:{port} by way of 127.0.0.1:{jump.port}, {user}@127.0.0.1:{second.port}"
        assert found["host"].text == f"an SSH server answers at {way}"
        assert f"process {os.getpid()} on " in found["login"].text
        assert "Accepted publickey" in jump.log
        assert "Accepted publickey" in second.log
        connect({"proxy_jump": f"127.0.0.1:{jump.port}"}, port=1)
        with pytest.raises(ClusterUnavailableError, match=r"127\.0\.0\.1:1 could not be reached from the jump host \("):
            run()
        connect({"proxy_jump": f"127.0.0.1:{jump.port}", "key_file": str(cluster.directory / "ssh" / "host_key")})
        assert f"{user}@127.0.0.1:{jump.port} refuses the login" in refusal(), "the jump host is named"


def test_a_host_of_the_ssh_configuration(cluster: Sandbox, connect: Connect, tmp_path: Path) -> None:
    port = cluster.connection["port"]
    (tmp_path / ".ssh").mkdir()
    with second_sshd(cluster) as jump:
        (tmp_path / ".ssh" / "known_hosts").write_text(known_hosts(cluster, int(str(port)), jump.port))
        (tmp_path / ".ssh" / "config").write_text(
            f"Host hpc\n  HostName 127.0.0.1\n  Port {port}\n  ProxyJump gate\n"
            f"Host gate\n  HostName 127.0.0.1\n  Port {jump.port}\n"
            f"Host *\n  User {getpass.getuser()}\n  IdentityFile {cluster.directory / KEY}\n"
        )
        connect({"key_file": None, "host_key": None}, host="hpc", port=None, login=None)
        found = checked()
        assert [finding.grade.value for finding in found.values()] == ["ok"] * 4
        assert found["host"].text.endswith(f"@127.0.0.1:{port} by way of gate")
        assert "Accepted publickey" in jump.log


def test_a_connection_without_a_user_or_a_host(connect: Connect) -> None:
    connect(login=None)
    assert run("id -un").stdout.strip() == getpass.getuser()
    connect(host=None)
    assert refusal() == "Airflow connection 'slurm_sandbox': expected a host, the login node's name; got none"


# Keys


def test_a_private_key_in_the_connection(cluster: Sandbox, connect: Connect, tmp_path: Path) -> None:
    text = (cluster.directory / KEY).read_text()
    connect({"key_file": None, "private_key": text})
    assert run().stdout == "in\n"
    connect({"key_file": None, "private_key": text.replace("\n", "\\n")})
    assert run().stdout == "in\n", "as it arrives where a connection went through JSON twice"
    connect({"key_file": None, "private_key": text[:200]})
    assert re.search(r"expected a whole private key in the extra field `private_key`, from -----BEGIN", refusal())

    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True, capture_output=True)
    connect({"key_file": str(tmp_path / "key")})
    assert refusal().endswith("its key is encrypted; put the passphrase into the extra field `private_key_passphrase`")
    connect({"key_file": str(tmp_path / "key"), "private_key_passphrase": "wrong"})
    assert "`private_key_passphrase` is not the passphrase of its key (" in refusal()
    connect({"key_file": str(tmp_path / "key"), "private_key_passphrase": "open sesame"})
    assert run().stdout == "in\n"


@contextmanager
def agent(folder: Path, keys: int, last: Path) -> Iterator[str]:
    """Run an agent that holds some keys that nobody accepts, and one more."""
    path = str(folder / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not Path(path).exists():
            time.sleep(0.02)
        for number in range(keys):
            key = folder / f"key{number}"
            if not key.exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        held: list[str] = [*(f"{folder}/key{number}" for number in range(keys)), str(last)]
        subprocess.run(["ssh-add", "-q", *held], env={**os.environ, "SSH_AUTH_SOCK": path}, check=True)
        yield path
    finally:
        process.terminate()
        process.wait()


def test_an_agent(cluster: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect({"key_file": None})
    with agent(tmp_path, 1, cluster.directory / KEY) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        assert run().stdout == "in\n"
    with agent(tmp_path, 7, cluster.directory / KEY) as path, second_sshd(cluster, "MaxAuthTries 3") as sshd:
        connect({"key_file": None}, port=sshd.port)
        assert re.search(
            r"ended the login after too many tries \(.*\): an agent .* `key_file` or `private_key`", refusal()
        )
        connect(port=sshd.port)
        assert run().stdout == "in\n", "a key of the connection is the only one that is offered"


def test_a_certificate_that_is_renewed(cluster: Sandbox, connect: Connect, tmp_path: Path) -> None:
    def make(name: str) -> Path:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
        return tmp_path / name

    def certify(until: str) -> None:
        sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "id", "-n", user, "-V", f"-2h:{until}", f"{key}.pub"]
        subprocess.run(sign, check=True, capture_output=True)

    user = getpass.getuser()
    authority, key = make("authority"), make("key")
    lines = [f"TrustedUserCAKeys {authority}.pub", "AuthorizedKeysFile none"]
    with second_sshd(cluster, *lines) as sshd:
        connect({"key_file": str(key)}, port=sshd.port)
        certify("-1h")
        assert re.search(r"refuses the login: our certificate is no good \(Certificate expired\); renew it", refusal())

        async def renew() -> Completed:
            async with SshShell("slurm_sandbox") as shell:
                certify("+1h")
                await shell.run("true")
                certify("-1h")
                assert shell._session is not None
                shell._session.abort()
                await asyncio.sleep(0.2)
                with pytest.raises(
                    ClusterUnavailableError, match=r"Certificate expired.* It let us in before, so we try"
                ):
                    await shell.run("echo again")
                certify("+1h")
                return await shell.run("echo again")

        assert asyncio.run(renew()).stdout == "again\n"


# Host keys


def test_several_host_keys_behind_one_name(cluster: Sandbox, connect: Connect, tmp_path: Path) -> None:
    own = json.loads(json.dumps(cluster.connection))["extra"]["host_key"]
    connect({"host_key": f"{OTHER_KEY} second login node\n{own}"})
    assert run().stdout == "in\n"
    connect({"host_key": f"login1 {OTHER_KEY}\\nlogin2 {own}\\n"})
    assert run().stdout == "in\n", "as ssh-keyscan prints them"
    port = int(str(cluster.connection["port"]))
    connect({"host_key": None, "known_hosts": known_hosts(cluster, port)})
    assert run().stdout == "in\n", "the text of a file"
    connect({"host_key": None, "known_hosts": str(tmp_path / "none")})
    assert f"names the file {tmp_path}/none, which is not on this machine" in refusal()
    connect({"host_key": "AAAA no key"})
    assert "expected lines such as `ssh-ed25519 AAAA...` in the extra field `host_key`" in refusal()
    connect({"no_host_key_check": True})
    assert "`host_key` says which key to expect, and `no_host_key_check` not to look at it" in refusal()


# What a host asks for


def test_a_second_factor(cluster: Sandbox, connect: Connect, code: Path) -> None:
    with second_factor(cluster, code) as sshd:
        connect(port=sshd.port)
        said = refusal()
    assert "the host asks for a second factor after the key (keyboard-interactive). Ways out: a host or an acc" in said
    assert "`control_path`" in said


def test_other_refusals(cluster: Sandbox, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "banner").write_text("Maintenance until noon\n")
    with second_sshd(cluster, f"Banner {tmp_path}/banner", "AuthorizedKeysFile none") as sshd:
        connect(port=sshd.port)
        assert re.search(
            r"does not accept the key\. .* This has to work: ssh -i \S+ -p \d+ .*says: Maintenance", refusal()
        )
    with second_sshd(cluster, "PubkeyAuthentication no", "PasswordAuthentication yes", "PermitRootLogin yes") as sshd:
        connect(port=sshd.port)
        assert refusal().endswith("it takes no key, only password")
    with second_sshd(cluster, "PubkeyAuthentication no", "GSSAPIAuthentication yes") as sshd:
        connect(port=sshd.port)
        assert refusal().endswith("it takes neither a key nor a password from us")


# Through OpenSSH


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """A program that knows the second factor, and PAM's file that calls it; sshd takes PAM's service from its own name."""
    if os.geteuid():
        pytest.skip("only root can set PAM up for a second factor")
    tmp_path.chmod(0o711)
    program = tmp_path / f"slurm-sandbox-{os.getpid()}"
    program.symlink_to("/usr/sbin/sshd")
    check = tmp_path / "code"
    check.write_text('#!/bin/sh\n[ "$(/usr/bin/tr -d "\\0")" = 123456 ]\n')
    check.chmod(0o755)
    pam = Path("/etc/pam.d") / program.name
    stack = [f"auth required pam_exec.so quiet expose_authtok {check}", "auth required pam_permit.so"]
    pam.write_text("\n".join([*stack, "account required pam_permit.so", "session required pam_permit.so", ""]))
    try:
        yield program
    finally:
        pam.unlink()


@contextmanager
def second_factor(box: Sandbox, program: Path) -> Iterator[Sshd]:
    """Run an sshd that asks for a code after the key."""
    methods = "AuthenticationMethods publickey,keyboard-interactive"
    lines = [methods, "UsePAM yes", "KbdInteractiveAuthentication yes", "PermitRootLogin yes"]
    with second_sshd(box, *lines, program=str(program)) as sshd:
        yield sshd


@contextmanager
def master(box: Sandbox, port: int, socket: Path) -> Iterator[None]:
    """Open an OpenSSH connection as a person does, with the code typed in."""
    command = ["ssh", "-M", "-S", str(socket), "-N", "-F", f"{box.directory}/ssh/config", "-p", str(port)]
    command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "sandbox"]
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execvp(command[0], command)
    try:
        shown = b""
        while b"assword" not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, b"123456\n")
        while not socket.exists():
            time.sleep(0.02)
        yield
    finally:
        subprocess.run(["ssh", "-S", str(socket), "-O", "exit", "sandbox"], capture_output=True, check=False)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_commands_through_the_socket_of_openssh(cluster: Sandbox, connect: Connect, code: Path, tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    with second_factor(cluster, code) as sshd:
        connect({"key_file": None, "host_key": None, "control_path": str(socket)}, port=sshd.port)
        opened = rf"ssh -M -S {socket} -o ControlPersist=yes -fN -p {sshd.port} \S+@127.0.0.1$"
        assert re.search(
            rf"no OpenSSH connection is open behind its `control_path` \(.*\)\. Open it, .*: {opened}", refusal()
        )

        async def many() -> list[Completed]:
            async with SshShell("slurm_sandbox") as shell:
                wait = "printf '%s ' $(( $(date +%s%N) / 1000000 )); sleep 0.5; date +%s%N | cut -c-13; exit 3"
                return await asyncio.gather(*(shell.run(wait) for _ in range(8)))

        with master(cluster, sshd.port, socket):
            assert run("echo out; echo problem >&2; exit 7") == Completed(
                exit_status=7, stdout="out\n", stderr="problem\n"
            )
            assert len(run(f"# {'x' * 300_000}\nhead -c 300000 /dev/zero | tr '\\0' y").stdout) == 300_000
            done = asyncio.run(many())
            assert {each.exit_status for each in done} == {3}
            spans = [tuple(map(int, each.stdout.split())) for each in done]
            assert max(sum(begin <= other[0] < end for other in spans) for begin, end in spans) <= 4
            assert [finding.grade.value for finding in checked().values()] == ["ok"] * 4
            assert sshd.log.count("Accepted keyboard-interactive") == 1
        assert "no OpenSSH connection is open" in refusal()
    assert "Accepted publickey" not in sshd.log


def test_a_job_is_waited_for_while_the_socket_is_gone(
    cluster: Sandbox,
    connect: Connect,
    code: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AIRFLOW__SLURM_SWEEP__INTERVAL", "0.5")
    socket, request = tmp_path / "socket", request_maker(cluster, tmp_path)("until [ -e end ]; do sleep 0.2; done")

    async def wait(job: SubmittedJob, port: int) -> JobEnd:
        waiting = asyncio.create_task(await_job(job))
        while "no OpenSSH connection is open behind its `control_path`" not in caplog.text:
            await asyncio.sleep(0.1)
        assert not waiting.done()
        (tmp_path / "end").touch()
        with master(cluster, port, socket):
            return await asyncio.wait_for(waiting, 240)

    with second_factor(cluster, code) as sshd, caplog.at_level("INFO"):
        connect({"control_path": str(socket)}, port=sshd.port)
        with master(cluster, sshd.port, socket):
            job = asyncio.run(submit_job(request, attempt()))
        assert asyncio.run(asyncio.wait_for(wait(job, sshd.port), 240)).status.state is JobState.COMPLETED


# Bounds


def test_an_answer_has_a_bound(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connect()
    monkeypatch.setattr(output, "OUTPUT_LIMIT", 2**20)

    async def too_much() -> str:
        async with SshShell("slurm_sandbox") as shell:
            for stream in ("", ">&2"):
                with pytest.raises(ClusterUnavailableError, match="printed more than 1 MiB"):
                    await asyncio.wait_for(shell.run(f"exec yes {stream}"), 120)
            before = shell._session
            done = await shell.run(
                "for n in 1 2 3 4 5; do pgrep -u $(id -u) -x yes > /dev/null || break; sleep 1; done; echo ended"
            )
            assert shell._session is before, "the connection is kept"
            return done.stdout

    assert asyncio.run(too_much()) == "ended\n"


def test_a_process_logs_in_once_a_second(cluster: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with second_sshd(cluster, "AuthorizedKeysFile none") as sshd:
        connect(port=sshd.port)
        monkeypatch.setattr(shell, "PACE", LoginPace())
        began = time.monotonic()

        async def try_together() -> list[object]:
            async with SshShell("slurm_sandbox") as shell:
                return await asyncio.gather(*(shell.run("true") for _ in range(20)), return_exceptions=True)

        for _ in range(3):
            assert {type(answer) for answer in asyncio.run(try_together())} == {LoginRefusedError}
        took = time.monotonic() - began
        tries = sshd.log.count("Connection from")
    assert tries == 3, "callers that come together get the answer of one login"
    assert took >= 2
