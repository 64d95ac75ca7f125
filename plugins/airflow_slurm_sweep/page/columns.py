"""What a run's combinations differ in, from the plan: `JobRequest` as JSON, as the XCom of ``plan`` holds it.

A job's command is ``uv run SCRIPT [--config CONFIG] OVERRIDE...``, joined for a shell: exactly what its combination is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_slurm_sweep.sweep.overrides import quote

# shlex.join writes a word plain, or between single quotes with '"'"' for a single quote. shlex.split reads much more,
# and takes a second for 3,000 commands.
_WORD = re.compile(r"""(?:'[^']*'|"'"|[^\s'"]+)+""")
_QUOTED = re.compile(r"""'([^']*)'|"(')\"""")


def overrides(command: str) -> dict[str, str]:
    """Return a command's overrides, as ``{"optim.lr": "1e-06"}``; the values are in Hydra's grammar."""
    words = [_QUOTED.sub(r"\1\2", word) if "'" in word else word for word in _WORD.findall(command)][3:]
    if words[:1] == ["--config"]:
        words = words[2:]
    return {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in words)}


def parameters(plan: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the keys that the jobs differ in, and each job's values of them.

    What differs only because each job has its own name and run directory is no parameter.
    """
    jobs = [overrides(job["command"]) for job in plan]
    own = [(quote(job["name"]), quote(f"{job['run_dir']}/").removesuffix("'")) for job in plan]
    keys = list(dict.fromkeys(key for job in jobs for key in job))
    swept = [key for key in keys if len({_value(job, key, mine) for job, mine in zip(jobs, own, strict=True)}) > 1]
    return swept, [[job.get(key, "") for key in swept] for job in jobs]


def _value(job: Mapping[str, str], key: str, own: tuple[str, str]) -> str | None:
    """Return a job's value, and the same for all whose value is their own name or a path in their own directory."""
    value = job.get(key)
    name, folder = own
    return "" if value is not None and (value == name or value.startswith(folder)) else value


def number(name: str) -> int:
    """Return a combination's number in its sweep, which its job's name ends with; 1 for the only one."""
    last = name.rpartition("_sweep_")[2]
    return int(last) if last.isdecimal() else 1
