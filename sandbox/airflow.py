"""An Airflow home that runs this project against a sandbox: for the demonstration and for tests."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from sandbox.cluster import Sandbox

PROJECT = Path(__file__).parents[1]


def airflow_environment(home: Path, box: Sandbox, *, sweeps: Path | None = None) -> dict[str, str]:
    """Prepare ``home`` and return the environment that every Airflow command of it needs.

    The cluster profile ``default`` is the sandbox's, the workspace of the examples is copied to the cluster, and jobs
    get this Python with its packages, so that ``uv run`` downloads nothing. Settings of another Airflow are left out.

    Args:
        home: Airflow's home; made if it is not there.
        box: The cluster, up.
        sweeps: The folder of sweep files; the project's own by default.
    """
    clusters = home / "clusters"
    clusters.mkdir(parents=True, exist_ok=True)
    programs = Path(sys.executable).parent
    jobs = {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "UV_NO_PROJECT": "1",
        "UV_OFFLINE": "1",
        "UV_PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # JSON is YAML, and quotes what has to be quoted.
    (clusters / "default.yaml").write_text(json.dumps({**box.profile, "env": jobs}, indent=2))
    shutil.copytree(PROJECT / "include" / "workspace", str(box.profile["workdir"]), dirs_exist_ok=True)
    settings = {
        "CORE__DAGS_FOLDER": PROJECT / "dags",
        "CORE__PLUGINS_FOLDER": PROJECT / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "SLURM_SWEEP__CLUSTERS_FOLDER": clusters,
        "SLURM_SWEEP__SWEEPS_FOLDER": sweeps or PROJECT / "include" / "sweeps",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_SLURM_SANDBOX": json.dumps(box.connection),
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }


def merge(environment: Mapping[str, str], **settings: object) -> dict[str, str]:
    """Return the environment with further settings of Airflow: ``merge(e, LOGGING__JSON_LOGS=True)``."""
    return {**environment, **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()}}
