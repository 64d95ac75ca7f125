"""What jobs leave to be compared by: metrics in their files, a W&B run's address in their logs. Ask and read.

Of all jobs there is one question, which starts one program, and three more for each file with news.
"""

import logging
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from shlex import quote
from typing import Any, NamedTuple

from airflow_slurm_sweep.slurm.job import JobStatus
from airflow_slurm_sweep.slurm.job_logs import NEWEST
from airflow_slurm_sweep.slurm.shell import script

JSON_BYTES = 1024 * 1024  # of a JSON file, which is read whole
PIECE_BYTES = 128 * 1024  # of another file in one answer
GAP_BYTES = 16 * 1024 * 1024  # of its end, read where a last value is missing when the job has ended

_ROOM = 1024 * 1024  # bytes of all files in one answer; it may be exceeded by one file
_FILE_COST = 8 * 1024  # bytes for which a file counts besides its own, since it starts programs

_WANDB_BYTES = 256 * 1024  # at the beginning of a log, where wandb prints the run's address
# For sed, quoted for the shell.
_VIEW_RUN = r"'\|.*View run .*\(https\{0,1\}://[A-Za-z0-9._:/%-]*/runs/[A-Za-z0-9._%-]*\).*|{ s||\1|; p; q; }'"
_WANDB_LINE = re.compile(r"^@ ([0-9]+) (https?://\S+)$", re.MULTILINE)
_NEWS = re.compile(r"^= ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+) (/.*)\n((?:[A-Za-z0-9+/=]+\n)*)", re.MULTILINE)
_STALE = re.compile(r"^~ ([0-9]+)$", re.MULTILINE)
_MARKED = re.compile(r"^([!-]) ([0-9]+)(?: (/.*))?$", re.MULTILINE)

_WANDB = f"""\
wandb() {{ # NUMBER WORDS
  number=$1
  shift
  find_log "$@"
  [ -f "$log" ] && [ ! -L "$log" ] || return 0
  url=$(head -c {_WANDB_BYTES} -- "$log" | LC_ALL=C sed -n {_VIEW_RUN})
  [ -z "$url" ] || printf '@ %s %s\\n' "$number" "$url"
}}"""

_IS_NEWER = 'is_newer() { [ -z "$newest" ] || [ "$newest" -nt "$1" ]; }'

# Where a job has ended: NFS asks its server for a file's size when it is opened; before, it may tell an old one.
_OPEN = '{ true < "${newest:-/dev/null}"; } 2> /dev/null'

# The arguments are the files of all jobs, "/" for none. A file that has vanished meanwhile has no line of stat's.
_READ = f"""\
left={_ROOM} next=0
stat -c '%i %s %Y %n' -- "$@" 2> /dev/null | while IFS=' ' read -r inode size mtime path; do
  while [ "$#" -gt 0 ] && [ "$1" != "$path" ]; do
    shift
    next=$((next + 1))
  done
  [ "$#" -gt 0 ] || break
  shift
  number=$next next=$((next + 1))
  [ "$path" != / ] || continue
  eval "known=\\$known_$number"
  start=0 length=$size
  case $path in
    *.json)
      [ "$known" != "$inode $size $mtime" ] || continue
      [ "$length" -le {JSON_BYTES} ] || length={JSON_BYTES + 1}
      ;;
    *)
      known=${{known% *}}
      [ "${{known% *}}" != "$inode" ] || [ "${{known#* }}" -gt "$size" ] || start=${{known#* }}
      length=$((size - start))
      [ "$length" -gt 0 ] || continue
      eval "reach=\\$reach_$number"
      [ "$start" -eq 0 ] || [ "$length" -le "$reach" ] || start=$((size - reach)) length=$reach
      [ "$length" -le {PIECE_BYTES} ] || length={PIECE_BYTES}
      ;;
  esac
  [ "$left" -gt 0 ] || {{
    printf '! %s\\n' "$number"
    continue
  }}
  left=$((left - length - {_FILE_COST}))
  printf '= %s %s %s %s %s %s\\n' "$number" "$start" "$inode" "$size" "$mtime" "$path"
  tail -c "+$((start + 1))" -- "$path" | head -c "$length" | base64
done"""


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a job left.

    ``fault`` is a warning about the rest of the file. ``sure`` are the metrics without its last row, where that lacks
    the newline at its end: that of a job that was killed may end within a number.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)  # see `History.to_json`
    fault: str = ""
    wandb: str = ""  # where Weights & Biases shows the run
    sure: Mapping[str, float] | None = None


def add(status: JobStatus, results: Results) -> JobStatus:
    """Return how a job ended, with what it left; a fault of its file is logged."""
    if results.fault:
        log.warning("%s", results.fault)
    metrics = results.metrics
    if results.sure is not None and not status.state.is_success:
        log.warning("The last row of the metrics has no newline at its end, and may be cut off; it is left out")
        metrics = results.sure
    return replace(status, metrics=metrics, wandb=results.wandb)


class Question(NamedTuple):
    """What is known of a job's file: words for the shell that name it, inode, bytes read, mtime.

    ``log`` are the words of `find_log` where the address of the W&B run is wanted. ``record`` is the record's path:
    a file older than it belongs to an earlier job. Where more than ``reach`` bytes are new, those before them are
    skipped.
    """

    words: str
    inode: int
    known: int
    mtime: int
    log: str
    record: str
    reach: int


class Piece(NamedTuple):
    """What is new in a job's file."""

    start: int = 0
    inode: int = 0
    size: int = 0
    mtime: int = 0
    path: str = ""
    data: bytes = b""
    has_room: bool = True  # False: there is news, for the next answer
    is_refused: bool = False  # the file is a link, a pipe, or not ours to read
    wandb: str = ""
    is_stale: bool = False  # the file was not written since the job's submission: it is an earlier job's


NO_NEWS = Piece()


def results(questions: Sequence[Question]) -> str:
    """Return the script that reads what is new in jobs' files.

    The answer has, for each file with news, a line ``= NUMBER START INODE SIZE MTIME PATH``, the job's number from 0,
    and lines of base64. A JSON file comes whole; of another one at most `PIECE_BYTES` bytes: the first, or, where those
    are known, the next ones within the question's reach. When `_ROOM` is used up, there is a line ``! NUMBER`` for each
    further file with news. A line ``- NUMBER PATH`` stands for a file that is not read: a link, a pipe. Where a
    question names the log and wandb printed the run's address at its beginning, there is a line ``@ NUMBER URL``. Where
    the file is older than the record, there is a line ``~ NUMBER``.
    """
    lines = ["set --"]
    for number, (words, inode, known, mtime, log, record, reach) in enumerate(questions):
        lines += [
            f"known_{number}='{inode} {known} {mtime}' reach_{number}={reach}",
            f"find_newest {words}",
            f'[ -n "$newest" ] || [ -z "$odd" ] || printf -- \'- %s %s\\n\' {number} "$odd"',
            *([_OPEN] if log else []),
            'set -- "$@" "${newest:-/}"',
            f"is_newer {quote(record)} || echo '~' {number}",
            *([f"wandb {number} {log}"] if log else []),  # after `is_newer`: it sets `newest` too
        ]
    return script(NEWEST, _WANDB, _IS_NEWER, *lines, _READ, "true")


def read_results(output: str, count: int) -> list[Piece]:
    """Read the answer to `results`: for each of ``count`` questions what is new, in their order."""
    found = {
        int(number): Piece(path=path, has_room=mark != "!", is_refused=mark == "-")
        for mark, number, path in _MARKED.findall(output)
    }
    for number, start, inode, size, mtime, path, body in _NEWS.findall(output):
        data = b""
        with suppress(ValueError):  # base64 that was cut off
            data = b64decode(body)
        found[int(number)] = Piece(int(start), int(inode), int(size), int(mtime), path, data)
    stale = set(map(int, _STALE.findall(output)))
    urls = {int(number): url for number, url in _WANDB_LINE.findall(output)}
    return [
        found.get(number, NO_NEWS)._replace(wandb=urls.get(number, ""), is_stale=number in stale)
        for number in range(count)
    ]
