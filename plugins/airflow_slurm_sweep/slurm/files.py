"""Small text files on the cluster: ask and read."""

from base64 import b64decode
from collections.abc import Sequence
from shlex import join, quote

from airflow_slurm_sweep.errors import ClusterUnavailableError
from airflow_slurm_sweep.slurm.shell import script, shell_path

_MAX_BYTES = 1 << 20  # of one file


def files(directory: str | None, paths: Sequence[str]) -> str:
    """Return the script that prints a line of base64 for the first MiB of each file, or ``-`` if it cannot be read.

    Relative paths start from ``directory``, or else from the login directory.
    """
    return script(
        *([f"cd -- {quote(shell_path(directory))} || exit"] if directory else []),
        f"for file in {join(map(shell_path, paths))}; do",
        '  if [ -f "$file" ] && [ -r "$file" ]; then',
        f"""    printf '%s\\n' "$(head -c {_MAX_BYTES} -- "$file" | base64 | tr -d '\\n')" """.rstrip(),
        "  else",
        "    echo -",
        "  fi",
        "done",
    )


def remove(path: str) -> str:
    """Return the script that removes a file; one that is not there is fine."""
    return script(f"rm -f -- {quote(path)}")


def read_files(output: str, paths: Sequence[str]) -> dict[str, str | None]:
    """Read the answer to `files`: the text by path, None for a file that cannot be read."""
    lines = output.splitlines()
    if len(lines) != len(paths):
        raise ClusterUnavailableError(f"expected {len(paths)} files, got {len(lines)}")
    texts = (None if line == "-" else b64decode(line).decode("utf-8", "replace") for line in lines)
    return dict(zip(paths, texts, strict=True))
