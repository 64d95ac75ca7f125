"""The login node's shell: how a script reaches it, and how its output is read.

Every script is one brace group, so that a shell that receives only half of it (a cut connection) runs nothing. It
begins with prelude.sh. Marker lines enclose its output: login banners and start-up files may have printed before it,
and an answer that was cut off lacks the end.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Protocol

from airflow_slurm_sweep.errors import ClusterUnavailableError, LoginRefusedError

ARGUMENT = "slurm_sweep"
COMMAND = f"exec /bin/sh -s {ARGUMENT}"
"""What a login shell of any kind is to run. The script follows on standard input."""

MARKER = "@slurm_sweep@"
END = "@slurm_sweep_end@"
BOUND = "timeout -k 5 120"  # for a command of Slurm whose answer may take long

PRELUDE = Path(__file__).with_name("prelude.sh").read_text(encoding="utf-8")
_REFUSED = 78  # the exit status with which prelude.sh says that nothing can run in this login

# What a terminal would obey: escape sequences such as colours, and control characters.
_ESCAPES = re.compile(r"\x1b(\[[0-9;:<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[^\[\]])")
_CONTROLS = re.compile(r"[^\n\t -~\xa0-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ran to its end: its exit status and what it printed."""

    exit_status: int
    stdout: str
    stderr: str


class Shell(Protocol):
    """Runs a script in a POSIX shell on the login node."""

    async def run(self, script: str) -> Completed:
        """Run ``script``.

        It raises `ClusterUnavailableError` where the script may have run, in part or whole, and `LoginRefusedError`
        where the login node refuses us.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a cluster profile says about the login node of an SSH connection.

    Attributes:
        ssh_conn_id: The Airflow connection.
        clusters: The cluster that Slurm's commands speak to (SLURM_CLUSTERS), where several share a login node.
        login_setup: Commands that run before every script, such as ``module load slurm``.
    """

    ssh_conn_id: str
    clusters: str = ""
    login_setup: tuple[str, ...] = ()

    def script(self, script: str) -> str:
        """Return a script with the site's values, which prelude.sh reads."""
        lines = "\n".join(self.login_setup)
        return f"site_setup={quote(lines)} site_clusters={quote(self.clusters)}\n{script}"


def script(*lines: str) -> str:
    """Return a script that runs ``lines`` as a whole or not at all, and marks where its output begins and ends."""
    end = f"""[ "$status" -ne 0 ] || printf '%s\\n' {END}"""
    return "\n".join(["{", PRELUDE, f"printf '%s\\n' {MARKER}", *lines, "status=$?", end, 'exit "$status"', "}", ""])


def shell_path(path: str) -> str:
    """Return a path that no command takes for an option, nor `cd` for the previous directory."""
    return f"./{path}" if path.startswith("-") else path


def heredoc_text(text: str) -> str:
    """Return a text as one quoted word, for a variable that a here-document expands."""
    return quote(text.removesuffix("\n"))  # the here-document ends with a newline of its own


def output(completed: Completed) -> str:
    """Return what our script printed, without what the login shell printed before; raise if it did not run to its end.

    A script that failed has no end marker.
    """
    _, marker, printed = completed.stdout.partition(f"{MARKER}\n")
    if not marker:
        reason = (error_text(completed) or printable(completed.stdout).strip() or "nothing")[-2000:]
        if completed.exit_status == _REFUSED:
            raise LoginRefusedError(f"the login cannot run our scripts: {reason}")
        raise ClusterUnavailableError(f"the login shell did not run our script; it said: {reason}")
    answer, end, _ = printed.rpartition(f"{END}\n")
    if not end and completed.exit_status == 0:
        raise ClusterUnavailableError("the answer of the login node was cut off")
    return answer if end else printed


def output_of_success(completed: Completed) -> str:
    """Return what `output` does of a script that succeeded; raise if it did not."""
    printed = output(completed)  # first: a login in which nothing can run is refused
    if completed.exit_status != 0:
        raise ClusterUnavailableError(error_text(completed) or f"exit status {completed.exit_status}, no reason")
    return printed


def error_text(completed: Completed) -> str:
    """Return what a command printed on standard error, made printable."""
    return printable(completed.stderr).strip()


def printable(text: str) -> str:
    r"""Return text without what a terminal would obey; ``\r``, as progress bars print it, ends a line."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
