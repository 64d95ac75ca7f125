"""The lines of ``setup`` in front of a job's command: modules, virtual environments, conda."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

_BEGIN = Path(__file__).with_name("setup.sh").read_text(encoding="utf-8")
_CHECK = 'slurm_sweep_status=$?; [ "$slurm_sweep_status" -eq 0 ] || slurm_sweep_fail "$slurm_sweep_status"\n'
# A function cannot remove the trap ERR.
_END = "case $(trap -p ERR) in *slurm_sweep_check*) trap - ERR ;; esac\nslurm_sweep_finish\n"


def with_setup(lines: Sequence[str], command: str) -> str:
    """Return a text for bash that runs the lines one by one, and then the command in the same shell.

    A line that fails, leaves the shell or replaces it ends the job with exit status 78. Of an item of several lines,
    what fails in a condition does not count, nor in a function, file or text that it runs. The command comes last as
    it is, not by `eval`: bash replaces itself with a single program, which then receives the job's signals.
    """
    if not lines:
        return command
    each = [
        f'slurm_sweep_number={number} slurm_sweep_line={quote(line)}\neval -- "$slurm_sweep_line"\n{_CHECK}'
        for number, line in enumerate(lines, start=1)
    ]
    return f"{_BEGIN}{''.join(each)}{_END}{command}"
