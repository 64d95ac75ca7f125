"""The line that `run` shows: what it begins with, then how many combinations are submitted, run, are done, failed."""

from __future__ import annotations

import time
from typing import TextIO

from airflow_slurm_sweep.slurm.states import JobState

_PAUSE = 2.0  # seconds between two lines that are not redrawn


class Progress:
    """Counts a run's combinations, and shows the counts: a line that is redrawn on a terminal, else one now and then.

    Args:
        name: The sweep's.
        stream: Where people read it.
        redraw: Whether the line may be written over; None: if the stream is a terminal.
    """

    def __init__(self, name: str, stream: TextIO, *, redraw: bool | None = None) -> None:
        self.total = 0
        self.refused = 0  # combinations whose job was not submitted, for good
        self._name, self._stream = name, stream
        self._redraw = stream.isatty() if redraw is None else redraw
        self._states: dict[str, JobState] = {}  # of the submitted combinations, by run directory
        self._shown, self._next = "", 0.0

    def note(self, run_dir: str, state: JobState) -> None:
        """Note how a combination stands; an end stays."""
        if not (run_dir in self._states and self._states[run_dir].is_final):
            self._states[run_dir] = state
            self.show()

    @property
    def live(self) -> int:
        """The number of combinations that have not ended."""
        return sum(not state.is_final for state in self._states.values())

    def show(self, *, last: bool = False) -> None:
        """Show the counts, if they have changed; where lines are not redrawn, not too often but for the ``last``."""
        if not (self._redraw or last or time.monotonic() >= self._next):
            return
        states = list(self._states.values())
        done = sum(state.is_success for state in states)
        failed = sum(state.is_final and not state.is_success for state in states) + self.refused
        running = states.count(JobState.RUNNING)
        counts = f"{len(states)} submitted, {running} running, {done} done, {failed} failed"
        line = f"{self._name}: {self.total} jobs: {counts}"
        if self.total and line != self._shown:
            self._next = time.monotonic() + _PAUSE
            self._draw(line)

    def begin(self, what: str) -> None:
        """Show what takes its time before there are counts."""
        self._draw(f"{self._name}: {what} ...")

    def _draw(self, line: str) -> None:
        self._shown = line
        print(f"\r\x1b[K{line}" if self._redraw else line, end="" if self._redraw else "\n", file=self._stream)
        self._stream.flush()

    def say(self, text: str) -> None:
        """Print something; the counts stand below it."""
        if self._redraw and self._shown:
            print("\r\x1b[K", end="", file=self._stream)
        print(text, file=self._stream, flush=True)
        if self._redraw:
            self._shown = ""
            self.show()

    def ask(self, question: str) -> None:
        """Print a question, which somebody answers in its line."""
        print(f"\n{question} " if self._redraw else f"{question} ", end="", file=self._stream, flush=True)
