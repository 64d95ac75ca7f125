"""There is one copy of this package in an Airflow: installed by pip, or in its plugins folder.

With both, the installed one runs and the other is dead, whichever of them is edited or upgraded.
"""

from __future__ import annotations

import sys
from pathlib import Path


def second_copy() -> str:
    """Say so if Python finds this package twice; return an empty text if not."""
    ours = Path(__file__).resolve().parent
    found = {(Path(entry) / ours.name).resolve() for entry in sys.path}
    others = sorted(str(folder) for folder in found - {ours} if (folder / "__init__.py").exists())
    if not others:
        return ""
    return (
        f"airflow_slurm_sweep is in this Airflow twice: {ours} is in use, {' and '.join(others)} is not. Keep "
        "one: `pip uninstall airflow-slurm-sweep`, or take airflow_slurm_sweep/ and airflow_slurm_sweep_plugin.py out "
        "of the plugins folder. Then restart all components"
    )
