"""The numbers that a training script writes: JSON, JSON lines or CSV, read piece by piece while the file grows.

{"step": 10, "loss": 0.7}         # a line of metrics.jsonl; metrics.json is one such mapping
step,loss                         # CSV, as Lightning writes it
{"log_history": [{...}, ...]}     # trainer_state.json of Hugging Face
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf, nan
from typing import Any

from airflow_slurm_sweep.names import RECORD
from airflow_slurm_sweep.slurm.finite import is_finite, is_step, numbers
from airflow_slurm_sweep.slurm.history import History
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.job_logs import glob_words, log_words
from airflow_slurm_sweep.slurm.results import GAP_BYTES, JSON_BYTES, PIECE_BYTES, Piece, Question, Results
from airflow_slurm_sweep.slurm.stopping import Rungs, asha

STEPS = ("step", "global_step", "total_steps", "steps", "iteration", "epoch")  # the first that a row has is its step

# Of one job, and the objective: Airflow's database keeps them, and report reads those of thousands of jobs.
_MAX_METRICS = 200
_MAX_NAME = 100  # characters of a metric's name
_MAX_FAULTS = 3  # that a warning lists
_MAX_REREADS = 5  # of a CSV file whose header changes


class MetricsReader:
    """One job's metrics so far.

    Attributes:
        latest: The last value of each metric. A value that is not finite takes the metric away, and so does a part of
            the file that is skipped, until the next value.
        history: The values over the steps.
    """

    def __init__(self, job: SubmittedJob) -> None:
        self._words = glob_words(job.metrics, job.run_dir, job.job_id)
        self._log = log_words(job)
        self._names, self._step = job.metric_names, job.metric_step
        self.latest: dict[str, float] = {}
        self.history = History(job.objective)
        self._rungs: dict[int, float] = {}
        self._is_stale = False
        self._asha, self._objective = asha(job.stop), job.objective
        self._record = f"{job.run_dir}/{RECORD}"
        self._path = ""
        self._inode = self._known = self._mtime = 0
        self._columns: list[str] = []
        self._line: int | None = 0  # lines read; None behind a part that was skipped
        self._gap = 0  # where the first part begins that was skipped
        self._kept: dict[str, float] = {}  # values of the file's end, while the reader goes back
        self._missing: dict[str, float | None] = {}  # values before skipped parts, of metrics without one behind them
        self._reach = GAP_BYTES if self._asha else PIECE_BYTES  # a rung wants the first value behind its step
        self._has_gone_back = False
        self._unseen: float | None = -inf  # the step up to which a part was skipped; None until the next row tells
        self._refusal = ""  # why nothing of the file is taken
        self._faults: list[str] = []  # the first ones
        self._fault_count = 0
        self._rereads = 0
        self._sure: dict[str, float] | None = None  # see `Results`
        self._wandb = ""

    def question(self, *, ended: bool) -> Question:
        """Return the question for what is new; a JSON file of a job that has ended is read in any case."""
        mtime, log = (0, self._log) if ended else (self._mtime, "")
        return Question(self._words, self._inode, self._known, mtime, log, self._record, self._reach)

    @property
    def rungs(self) -> Rungs:
        """What the rule of ``stop`` goes by; an earlier job's file counts once this job goes on in it."""
        return {} if self._is_stale else self._rungs

    @property
    def results(self) -> Results:
        """What the job has left so far."""
        more = f", and {self._fault_count - len(self._faults)} more such" if self._fault_count > _MAX_FAULTS else ""
        fault = self._refusal or (f"{'; '.join(self._faults)}{more}; left out" if self._faults else "")
        return Results(
            metrics=dict(self.latest),
            history=self.history.to_json(),
            fault=fault and f"{self._path}: {fault}",
            wandb=self._wandb,
            sure=self._sure,
        )

    def take(self, piece: Piece, *, ended: bool) -> bool:
        """Read a piece; return whether nothing is left."""
        self._wandb = piece.wandb or self._wandb
        if piece.is_refused:
            self._path = piece.path
            self._refusal = "expected a regular file that we may read, got another; it is not read"
            return piece.has_room
        if not piece.path:
            return piece.has_room and (not ended or self._is_settled())
        if piece.inode != self._inode or piece.start < self._known:
            self._begin(piece)
        self._is_stale = piece.is_stale
        if is_gap := piece.start > self._known:
            self._skip()
        elif piece.start == self._gap:
            self._gap = 0  # it is read now
        self._path, self._inode, self._mtime = piece.path, piece.inode, piece.mtime
        if piece.path.endswith(".json"):
            self._known = piece.size
            self._forget_faults()
            self._refusal = self._take_json(piece.data)
            return True
        whole = piece.data[: piece.data.rfind(b"\n") + 1]
        reaches_end = piece.start + len(piece.data) >= piece.size
        if ended and piece.has_room and not whole and not reaches_end and len(piece.data) < PIECE_BYTES:
            self._refusal = "it cannot be read to its end"
            return True
        if (ended and reaches_end) or (not whole and len(piece.data) >= PIECE_BYTES):  # the last, or an endless line
            whole = piece.data
        self._known = piece.start + len(whole)
        lines = whole.decode("utf-8-sig", "replace").removesuffix("\n").split("\n")
        if is_gap:
            self._line, lines = None, lines[1:]
        is_read = self._take_lines(lines, piece.start == 0, whole.endswith(b"\n")) and reaches_end
        return is_read and (not ended or self._is_settled())

    def _begin(self, piece: Piece) -> None:
        """Begin a file from its start: another one, or one that was written anew."""
        self._columns, self._line = [], 0
        self._gap, self._missing = 0, {}
        self._forget_faults()
        if self._is_stale and not piece.is_stale:
            self._forget_numbers()  # of an earlier job

    def _skip(self) -> None:
        """Forget all values, since a part that is skipped may have later ones."""
        self._gap = self._gap or self._known
        self._missing |= self.latest
        self._unseen = None
        if self._objective:
            self._missing.setdefault(self._objective, None)
        self.latest = {}

    def _is_settled(self) -> bool:
        """Return whether an ended job's last values are known.

        If the objective's is not, go back, once, to what was skipped first: that may be many pieces.
        """
        if self._objective in self._missing and not self._has_gone_back:
            self._known, self._reach, self._has_gone_back = self._gap, GAP_BYTES, True
            self._kept, self.latest = self.latest, {}
            self._forget_faults()
            return False
        self.latest = {**self._kept, **self.latest}
        for name, value in self._missing.items():
            if name in self.latest:
                continue
            if self._gap:
                self._add_fault(f"{name}: expected a value in the part of the file that is read, got none")
            elif value is not None:  # all was read in the end, and no later value came
                self.latest[name] = value
        self._missing = {}
        return True

    def _take_lines(self, lines: Sequence[str], is_first: bool, is_ended: bool) -> bool:
        """Read lines; return False where the file has to be read again from its beginning."""
        is_csv = self._path.endswith((".csv", ".tsv"))
        for number, line in enumerate(lines, start=1):
            if self._line is not None:
                self._line += 1
            if not line.strip():
                continue
            if is_csv and self.latest and not is_ended and number == len(lines):
                self._sure = dict(self.latest)
            where = "a later line" if self._line is None else f"line {self._line}"
            if not is_csv:
                self._take_json_line(line, where)
            elif not self._columns:
                self._columns = [name.strip() for name in self._cells(line)]
                separator, others = ("a tab", ",;") if self._path.endswith(".tsv") else ("a comma", ";\t")
                if len(self._columns) == 1 and any(other in self._columns[0] for other in others):
                    self._add_fault(f"{where}: expected {separator} between the names, got {line!r:.60}")
            elif len(cells := self._cells(line)) == len(self._columns):
                # pandas writes a first column without a name.
                self._take_row({name: value for name, value in numbers(self._columns, cells) if name}, where)
            elif len(cells) > len(self._columns) and self._rereads < _MAX_REREADS and not is_first:
                self._reread()
                return False
            else:
                self._add_fault(f"{where}: expected {len(self._columns)} cells as in the header, got {len(cells)}")
        return True

    def _cells(self, line: str) -> list[str]:
        with suppress(csv.Error):
            return next(
                csv.reader([line], delimiter="\t" if self._path.endswith(".tsv") else ",", skipinitialspace=True)
            )
        return []

    def _reread(self) -> None:
        """Begin again: Lightning writes the file anew, with a longer header, when a new metric comes."""
        self._rereads += 1
        self._inode = self._known = self._mtime = 0
        self._forget_numbers()

    def _forget_numbers(self) -> None:
        self.latest, self.history, self._rungs = {}, self.history.empty(), {}
        self._kept = {}

    def _take_json_line(self, line: str, where: str) -> None:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            self._add_fault(f'{where}: expected JSON such as {{"step": 10, "reward": 0.9}} ({error})')
            return
        if isinstance(row, dict):
            self._take_row(row, where)
        else:
            self._add_fault(f"{where}: expected numbers by name, got a {type(row).__name__}")

    def _take_json(self, data: bytes) -> str:
        """Read a whole file; return why nothing of it is taken."""
        self.latest = {}
        if len(data) > JSON_BYTES:
            return f"expected at most {JSON_BYTES // 1024} KiB, got more; none of it is taken"
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            return f'expected JSON such as {{"reward": 0.9}} ({error}); none of it is taken'
        if not isinstance(found, dict):
            kind = type(found).__name__
            return f'expected numbers by name such as {{"reward": 0.9}}, got a {kind}; none of it is taken'
        rows = found.get("log_history")
        if not isinstance(rows, list):
            self._take_row(found, "", is_all=True)
            return ""
        for number, row in enumerate(rows, start=1):
            if isinstance(row, dict):
                self._take_row(row, f"log_history, row {number}")
        return ""

    def _take_row(self, row: Mapping[str, Any], where: str, *, is_all: bool = False) -> None:
        """Take the numbers of a row. Text among them is a fault only where the row is ``is_all`` that the file has."""
        steps = (self._step,) if self._step else STEPS
        step = next((row[name] for name in steps if is_step(row.get(name))), None)
        for key, value in row.items():
            name = self._names.get(key, key)
            if self._asha and name == self._objective and step is not None and type(value) in (int, float):
                self._unseen = step if self._unseen is None else self._unseen
                number = float(value) if is_finite(value) else nan
                self._asha.climb(self._rungs, step, number, unseen=self._unseen)
            if not name.isprintable() or not 0 < len(name) <= _MAX_NAME:  # no database takes NUL and half characters
                problem = f"expected a printable name of at most {_MAX_NAME} characters, got {name!r:.120}"
            elif name not in self.latest and len(self.latest) >= _MAX_METRICS and name != self._objective:
                problem = f"expected at most {_MAX_METRICS} names, got more"
            elif is_finite(value):
                # No event of a trigger holds a larger whole number: its runner would end, with all triggers.
                self.latest[name] = value if abs(value) < 2**63 else float(value)
                self._missing.pop(name, None)
                if step is not None and key not in steps:
                    self.history.add(name, step, value)
                continue
            elif not is_all and not isinstance(value, float):
                continue
            else:
                self.latest.pop(name, None)
                self._missing.pop(name, None)
                problem = f"{name}: expected a finite number, got {value!r:.60}"
            self._add_fault(f"{where}: {problem}" if where else problem)

    def _add_fault(self, fault: str) -> None:
        self._fault_count += 1
        if self._fault_count <= _MAX_FAULTS:
            self._faults.append(fault)

    def _forget_faults(self) -> None:
        self._refusal, self._faults, self._fault_count = "", [], 0
