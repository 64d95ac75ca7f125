"""What a searched Dag run has proposed, in order, and what became of it: ask and read.

``proposals`` in the run's gate folder lists run directories in the order in which their parameters were proposed. The
parameters stand in each one's combination.json, its job in its record, and how that ended in ``result``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from shlex import quote
from typing import Any, NamedTuple

from airflow_slurm_sweep.names import COMBINATION, RECORD, RESULT, place_file
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest, JobStatus, SubmittedJob
from airflow_slurm_sweep.slurm.shell import script
from airflow_slurm_sweep.slurm.submit.script import gate_folder

# Lines of combination.json begin with a blank or a brace, so that no other begins as these do. A file that was cut off
# may lack its last line's end.
_SHOW = f"""show() {{
  printf 'proposal %s\\n' "$1"
  [ ! -f "$1/{RECORD}" ] || sed -n 's/^job /job /p' "$1/{RECORD}"
  [ ! -f "$1/{RESULT}" ] || sed -n 's/^/result /p' "$1/{RESULT}"
  echo
  [ ! -f "$1/{COMBINATION}" ] || cat -- "$1/{COMBINATION}"
  echo
}}"""


class Proposal(NamedTuple):
    """A combination that a Dag run has proposed.

    ``result`` is how its job ended: ``state``, ``value``, and the ``step`` at which it was stopped early; None while it
    has not, or its task does not say so yet.
    """

    run_dir: str
    parameters: Mapping[str, Any]
    result: Mapping[str, Any] | None


class Proposals(NamedTuple):
    """All that a Dag run has proposed; ``number`` counts also those whose parameters are not there (any more)."""

    number: int
    found: list[Proposal]

    def of(self, run_dir: str) -> Mapping[str, Any] | None:
        """Return the parameters of a run directory; None where none were proposed."""
        return next((each.parameters for each in self.found if each.run_dir == run_dir), None)


def proposals(job: JobRequest, attempt: Attempt) -> str:
    """Return the script that shows all proposals of a Dag run, and at last the job's own run directory."""
    listed = quote(f"{gate_folder(job.shared_folder, attempt.run)}/proposals")
    return script(
        _SHOW,
        f'[ ! -f {listed} ] || while IFS= read -r run_dir; do show "$run_dir"; done < {listed}',
        f"echo own; show {quote(job.run_dir)}",
    )


def read_proposals(output: str, attempt: Attempt) -> Proposals:
    """Read the answer to `proposals`; what is another Dag run's is left out."""
    listed, _, own = f"\n{output}".rpartition("\nown\n")
    texts = listed.split("\nproposal ")[1:]
    found = [_proposal(text, attempt) for text in texts]
    found += [_proposal(text, attempt) for text in f"\n{own}".split("\nproposal ")[1:]]
    by_folder = {each.run_dir: each for each in found if each}
    return Proposals(len(texts), [*by_folder.values()])


def leave_result(job: SubmittedJob, status: JobStatus, stopped_at: float | None) -> str:
    """Return the script that writes how a job ended, for the proposals to come, and frees its place."""
    value = status.metrics.get(job.objective)
    result = {"job": status.job_id, "state": status.state.value, "value": value, "step": stopped_at}
    path, place = quote(f"{job.run_dir}/{RESULT}"), quote(place_file(job.run_dir, job.job_id))
    leave = f"printf '%s\\n' {quote(json.dumps(result))} > {path}.new && mv -fT -- {path}.new {path}"
    return script(f"{leave} && rm -f -- {place}")


def _proposal(text: str, attempt: Attempt) -> Proposal | None:
    run_dir, *lines = text.rstrip("\n").split("\n")
    words = {name: value for name, _, value in (line.partition(" ") for line in lines) if name in ("job", "result")}
    try:
        combination = json.loads("\n".join(line for line in lines if line[:1] in (" ", "{", "}")))
        run, parameters = combination["run"], combination["parameters"]
        owner = (run["airflow"], run["dag_id"], run["run_id"])
    except (ValueError, KeyError, TypeError):  # being written, damaged, or a job's that is no combination
        return None
    result = None
    with suppress(ValueError):
        result = json.loads(words.get("result", "null"))
    if owner != (attempt.installation, attempt.dag_id, attempt.run_id):
        return None
    is_its = isinstance(result, dict) and result.get("job") == words.get("job")
    return Proposal(run_dir, parameters, result if is_its else None)
