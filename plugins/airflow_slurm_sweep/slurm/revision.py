"""Which commit of a git repository the jobs of a run find in their working directory. Ask and read."""

import re
from dataclasses import dataclass
from shlex import quote

from airflow_slurm_sweep.slurm.shell import script, shell_path

_GIT = "timeout 20 git --no-optional-locks"  # a file server may be slow, and the plan waits for it
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit, and whether files that git knows have changed since."""

    commit: str
    is_changed: bool

    def __str__(self) -> str:
        return f"commit {self.commit[:12]}{', with uncommitted changes' if self.is_changed else ''}"


def revision(directory: str | None) -> str:
    """Return the script that asks for the `Revision`, of the login directory for None.

    Its answer is empty where there is no repository, or no git.
    """
    return script(
        f"if cd -- {quote(shell_path(directory or '.'))} && {_GIT} rev-parse --verify HEAD &&",
        f'  [ -n "$({_GIT} status --porcelain --untracked-files=no | head -n 1)" ]; then',
        "  echo changed",
        "fi < /dev/null 2> /dev/null",
    )


def read_revision(output: str) -> Revision | None:
    """Read the answer to `revision`."""
    words = output.split()
    return Revision(commit=words[0], is_changed="changed" in words) if words and _COMMIT.fullmatch(words[0]) else None
