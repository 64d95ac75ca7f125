"""The text of jobs' logs: the last lines of one, and what is new in many. Ask and read.

A log may hold anything, and any amount of it: what is read and shown is bounded, and what is left out is stated.
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from shlex import quote
from typing import NamedTuple, TypeAlias

from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.shell import printable, script

TAIL_LINES = 50
SEARCHED_LINES = 200  # in which the cause of a failure is looked for: torchrun's table has seven for each rank

NEW_BYTES = 16 * 1024  # of one log in one answer
NEW_BYTES_IN_ALL = 256 * 1024
NEW_LINES = 200  # of one log in one answer
LINE_LENGTH = 1000  # characters
PREFIX = "| "


class Piece(NamedTuple):
    """What is new in a log: where it begins in the file, in bytes, its content, and which file that is."""

    start: int
    data: bytes
    inode: str = ""  # another one than before: the log is another file by now
    path: str = ""


Question: TypeAlias = tuple[str, str, int]  # of a log: `log_words`; inode and bytes that are known already

_NEWS = re.compile(r"^= ([0-9]+) ([0-9]+) ([0-9]+) (.+)\n((?:[A-Za-z0-9+/=]+\n)*)", re.MULTILINE)
_NO_ROOM = re.compile(r"^! ([0-9]+)$", re.MULTILINE)


# `find_newest` sets `newest` to the newest regular file among the matches of patterns, which jobs may name as they
# like, and `odd` to one that is none. `find_log` sets `log` to such a file, or else to Slurm's own. The shell leaves a
# pattern without a match as it is.
NEWEST = """\
find_newest() { # [MATCH ...]
  newest= odd=
  for match in "$@"; do
    case $match in *[[:cntrl:]]*) continue ;; esac
    if [ ! -f "$match" ] || [ -L "$match" ] || [ ! -r "$match" ]; then
      [ ! -e "$match" ] && [ ! -L "$match" ] || odd=$match
    else
      [ "$newest" -nt "$match" ] || newest=$match
    fi
  done
}
find_log() { # SLURM'S [MATCH ...]
  log=$1
  shift
  find_newest "$@"
  log=${newest:-$log}
}"""
_GLOB = re.compile(r"(\*|\?|\[[!^]?[\w.-]+\])", re.ASCII)


def log_words(job: SubmittedJob) -> str:
    """Return the arguments of `find_log`: Slurm's log, then the patterns of ``log_file`` for the shell to expand."""
    return f"{quote(job.log_path)} {glob_words(job.log_file, job.run_dir, job.job_id)}".rstrip()


def glob_words(patterns: Iterable[str], run_dir: str, job_id: str) -> str:
    """Return patterns of files, in which a job's run directory and id may stand, for the shell to expand."""
    values = {"{run_dir}": run_dir, "{job_id}": job_id}
    words = []
    for pattern in patterns:
        absolute = pattern if pattern.startswith(("/", "{run_dir}")) else f"{{run_dir}}/{pattern}"
        # What a placeholder stands for is no pattern, and nothing but a pattern is left unquoted.
        pieces = re.split(r"({run_dir}|{job_id})", absolute)
        words.append("".join(quote(values[piece]) if piece in values else _unquoted_globs(piece) for piece in pieces))
    return " ".join(words)


def _unquoted_globs(text: str) -> str:
    pieces = [piece for piece in _GLOB.split(text) if piece]
    # Not every sh knows [^ab] for [!ab].
    return "".join(piece.replace("[^", "[!") if _GLOB.fullmatch(piece) else quote(piece) for piece in pieces)


# `tail_log` prints, as base64, the last lines of a log, or why there are none, below a line with its path, which is
# empty for Slurm's own log. Logs are regular files: nothing else is read.
_NO_FILE = "is no regular file; it is not read"
TAIL = f"""\
{NEWEST}
tail_log() {{ # BYTES LINES SLURM'S [MATCH ...]
  bytes=$1 lines=$2
  shift 2
  find_log "$@"
  {{
    printf '%s\\n' "${{newest:+$newest:}}"
    if [ -L "$log" ] || {{ [ -e "$log" ] && [ ! -f "$log" ]; }}; then
      echo "$log {_NO_FILE}"
    else
      tail -c "$bytes" -- "$log" | tail -n "$lines"
    fi
  }} 2>&1 | base64
}}"""


def read_tail(base64: str) -> tuple[str, ...]:
    """Read what `tail_log` printed: its lines, the first of which is empty or names the file."""
    path, _, text = printable(b64decode(base64).decode("utf-8", "replace")).partition("\n")
    return path, *text.rstrip().splitlines()


def shown(tail: Sequence[str]) -> str:
    """Return the text to show of what `read_tail` read; empty if the log was not asked for."""
    if not tail:
        return ""
    path, *lines = tail
    return "\n".join([*filter(None, [path]), *(lines[-TAIL_LINES:] or ["(the log is empty)"])])


def new_output(logs: Iterable[Question]) -> str:
    """Return the script that reads what is new in logs.

    The answer has, for each log with news, a line ``= NUMBER START INODE PATH``, the number from 0, and lines of
    base64: the last `NEW_BYTES` bytes at most. START is 0 if the log is another file, or shorter than what is known.
    After `NEW_BYTES_IN_ALL` bytes there is a line ``! NUMBER`` for each further log with news.
    """
    return script(
        f"left={NEW_BYTES_IN_ALL}",
        NEWEST,
        "follow() { # NUMBER INODE KNOWN WORDS",
        "  number=$1 inode=$2 start=$3",
        "  shift 3",
        '  find_log "$@"',
        '  [ -f "$log" ] && [ ! -L "$log" ] && [ -r "$log" ] && size=$(stat -c "%i %s" -- "$log") || return 0',
        '  [ "${size% *}" = "$inode" ] && [ "${size#* }" -ge "$start" ] || start=0',
        "  inode=${size% *} size=${size#* }",
        '  [ "$size" -gt "$start" ] || return 0',
        '  [ "$left" -gt 0 ] || { printf \'! %s\\n\' "$number"; return 0; }',
        f'  [ "$((size - start))" -le {NEW_BYTES} ] || start=$((size - {NEW_BYTES}))',
        "  left=$((left - size + start))",
        '  printf \'= %s %s %s %s\\n\' "$number" "$start" "$inode" "$log"',
        '  tail -c "+$((start + 1))" -- "$log" | head -c "$((size - start))" | base64',
        "}",
        *(f"follow {number} '{inode}' {known} {words}" for number, (words, inode, known) in enumerate(logs)),
        "true",
    )


def read_new_output(output: str) -> dict[int, Piece | None]:
    """Read the answer to `new_output`, by the logs' numbers; None for news that had no room."""
    found: dict[int, Piece | None] = dict.fromkeys(map(int, _NO_ROOM.findall(output)))
    for number, start, inode, path, body in _NEWS.findall(output):
        with suppress(ValueError):  # base64 that was cut off
            found[int(number)] = Piece(int(start), b64decode(body), inode, printable(path))
    return found


def lines_of(path: str, offset: int, start: int, data: bytes, *, ended: bool) -> tuple[list[str], int]:
    r"""Return what to show of a piece of a log, and the offset from which to read on.

    An incomplete line is left for the next time. Of parts that ``\r`` overwrites, only the last is shown.

    Args:
        path: The log.
        offset: Up to where the log was shown.
        start: Where the piece begins: behind ``offset`` if there was more than fits, at 0 if the log was cut.
        data: The piece, at most `NEW_BYTES` bytes.
        ended: Nothing follows.
    """
    notices = []
    if start < offset:
        notices.append("… the log was cut meanwhile; from its beginning:")
        offset = 0
    whole = data if ended else data[: max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1]
    if not whole and len(data) >= NEW_BYTES:  # an endless line
        whole = data
    end = start + len(whole)
    if start > offset:  # the piece begins inside a line
        whole = whole[whole.find(b"\n") + 1 :]
    pieces = whole.removesuffix(b"\n").split(b"\n")[-NEW_LINES:] if whole else []
    taken = sum(len(piece) + 1 for piece in pieces)
    if (left_out := end - offset - taken) > 0:
        size = f"{left_out} bytes" if left_out < 1024 else f"{left_out // 1024} KiB"
        notices.append(f"… {size} left out; all of it, on the cluster: {path}")
    return notices + [PREFIX + _line(piece) for piece in pieces], end


def _line(piece: bytes) -> str:
    text = printable(piece.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace"))
    return text if len(text) <= LINE_LENGTH else f"{text[:LINE_LENGTH]}…"
