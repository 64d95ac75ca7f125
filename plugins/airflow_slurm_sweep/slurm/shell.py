"""The login node's shell: how a script reaches it, and how its output is read.

Every script is one brace group, so that a shell that receives only half of it (a cut connection) runs nothing. Its
first output is a marker line: login banners and start-up files may have printed before it.
"""

import re
from dataclasses import dataclass
from shlex import quote
from typing import Protocol

from airflow_slurm_sweep.errors import ClusterUnavailableError

MARKER = "@slurm_sweep@"

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

        It raises `ClusterUnavailableError` where the script may have run, in part or whole, and `ClusterRefusedError`
        where the login node refuses us.
        """


def script(*lines: str) -> str:
    """Return a script that runs ``lines`` as a whole or not at all, and marks where its output begins."""
    return "\n".join(["{", f"printf '%s\\n' {MARKER}", *lines, "exit", "}", ""])


def shell_path(path: str) -> str:
    """Return a path that no command takes for an option, nor `cd` for the previous directory."""
    return f"./{path}" if path.startswith("-") else path


def heredoc_text(text: str) -> str:
    """Return a text as one quoted word, for a variable that a here-document expands."""
    return quote(text.removesuffix("\n"))  # the here-document ends with a newline of its own


def output(completed: Completed) -> str:
    """Return what our script printed, without what the login shell printed before; raise if it did not run."""
    _, marker, printed = completed.stdout.partition(f"{MARKER}\n")
    if not marker:
        reason = error_text(completed) or printable(completed.stdout).strip() or "nothing"
        raise ClusterUnavailableError(f"the login shell did not run our script; it said: {reason[-2000:]}")
    return printed


def error_text(completed: Completed) -> str:
    """Return what a command printed on standard error, made printable."""
    return printable(completed.stderr).strip()


def printable(text: str) -> str:
    r"""Return text without what a terminal would obey; ``\r``, as progress bars print it, ends a line."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
