"""The text of jobs' logs: the last lines of one, and what is new in many. Ask and read.

A log may hold anything, and any amount of it: what is read and shown is bounded, and what is left out is stated.
"""

import re
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from shlex import quote
from typing import TypeAlias

from airflow_slurm_sweep.slurm.shell import Completed, error_text, output, printable, script

TAIL_LINES = 50
_TAIL_BYTES = 64 * 1024

NEW_BYTES = 16 * 1024  # of one log in one answer
NEW_BYTES_IN_ALL = 256 * 1024
NEW_LINES = 200  # of one log in one answer
LINE_LENGTH = 1000  # characters
PREFIX = "| "

Piece: TypeAlias = tuple[int, bytes]  # of a log: its offset in bytes, and its content

_NEWS = re.compile(r"^= ([0-9]+) ([0-9]+)\n((?:[A-Za-z0-9+/=]+\n)*)", re.MULTILINE)
_NO_ROOM = re.compile(r"^! ([0-9]+)$", re.MULTILINE)


def tail(path: str) -> str:
    """Return the script that prints a log's last lines. Slurm's logs are regular files: nothing else is read."""
    file = quote(path)
    refusal = quote(f"{path} is no regular file; it is not read")
    return script(
        f"if [ -L {file} ] || {{ [ -e {file} ] && [ ! -f {file} ]; }}; then printf '%s\\n' {refusal} >&2; exit 1; fi",
        f"tail -c {_TAIL_BYTES} -- {file} | tail -n {TAIL_LINES}",
    )


def read_tail(completed: Completed) -> str:
    """Read the answer to `tail`: the lines, or why there are none."""
    lines = printable(output(completed)).rstrip().splitlines()[-TAIL_LINES:]
    return "\n".join(lines) or error_text(completed) or "(the log is empty)"


def new_output(logs: Iterable[tuple[str, int]]) -> str:
    """Return the script that reads what is new in logs, given as path and the number of bytes that are known already.

    The answer has, for each log with news, a line ``= NUMBER START``, the number from 0, and lines of base64: the last
    `NEW_BYTES` bytes at most. START is less than the known offset if the log is shorter. After `NEW_BYTES_IN_ALL` bytes
    there is a line ``! NUMBER`` for each further log with news.
    """
    return script(
        f"left={NEW_BYTES_IN_ALL}",
        "follow() {",
        '  [ -f "$3" ] && [ ! -L "$3" ] && [ -r "$3" ] && size=$(stat -c %s -- "$3") || return 0',
        '  if [ "$size" -ge "$2" ]; then start=$2; else start=0; fi',
        '  [ "$size" -gt "$start" ] || return 0',
        '  [ "$left" -gt 0 ] || { printf \'! %s\\n\' "$1"; return 0; }',
        f'  [ "$((size - start))" -le {NEW_BYTES} ] || start=$((size - {NEW_BYTES}))',
        "  left=$((left - size + start))",
        '  printf \'= %s %s\\n\' "$1" "$start"',
        '  tail -c "+$((start + 1))" -- "$3" | head -c "$((size - start))" | base64',
        "}",
        *(f"follow {number} {known} {quote(path)}" for number, (path, known) in enumerate(logs)),
        "true",
    )


def read_new_output(output: str) -> dict[int, Piece | None]:
    """Read the answer to `new_output`, by the logs' numbers; None for news that had no room."""
    found: dict[int, Piece | None] = dict.fromkeys(map(int, _NO_ROOM.findall(output)))
    for number, start, body in _NEWS.findall(output):
        with suppress(ValueError):  # base64 that was cut off
            found[int(number)] = int(start), b64decode(body)
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
