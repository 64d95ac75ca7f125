"""The two files that tell what a run directory's combination is, written by record.sh before sbatch is called.

``parameters.json`` is the plain mapping in the order of the sweep file, for the training script and for people.
``.slurm_sweep/combination.json`` is ours: *resume* finds by it what is the same, search what was proposed.
"""

import json
from collections.abc import Mapping
from typing import Any

from airflow_slurm_sweep import __version__
from airflow_slurm_sweep.slurm.attempt import Attempt
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.slurm.parameters import json_values


def parameters_json(job: JobRequest) -> str:
    """Return the text of parameters.json; empty for a job of no sweep."""
    return "" if job.index is None else _dump(job.parameters)


def combination_json(job: JobRequest, attempt: Attempt) -> str:
    """Return the text of combination.json; empty for a job of no sweep."""
    if job.index is None:
        return ""
    return _dump(
        {
            "index": job.index,
            "name": job.name,
            "run": {"airflow": attempt.installation, "dag_id": attempt.dag_id, "run_id": attempt.run_id},
            "task": {"task_id": attempt.task_id, "map_index": attempt.map_index},
            "parameters": job.parameters,
            "swept": list(job.swept),
            "overrides": list(job.overrides),
            "command": job.command,
            "versions": {"airflow_slurm_sweep": __version__},
        }
    )


def _dump(values: Mapping[str, Any]) -> str:
    text = json.dumps(json_values(values), indent=2, ensure_ascii=False, allow_nan=False)
    # A half character of UTF-16 has no UTF-8; its escape is the one that JSON has for it.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
