"""The packages of others that sweeps need, and the command that installs a missing one.

Without it Airflow's API server would not start: it imports the page "Sweeps" when it does.
"""

from __future__ import annotations

from importlib.util import find_spec

_PACKAGES = {  # by the module that is imported
    "croniter": "croniter",
    "omegaconf": "omegaconf",
    "pydantic": "pydantic",
    "tabulate": "tabulate",
    "yaml": "pyyaml",
    "yamlcore": "yamlcore",
}


def missing_packages() -> str:
    """Name the packages that are missing, with the command; return an empty text if none is."""
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if not missing:
        return ""
    return (
        f"airflow_slurm_sweep: packages are missing. Run `pip install {' '.join(missing)}` with the Python of "
        "Airflow's components, and restart them"
    )
