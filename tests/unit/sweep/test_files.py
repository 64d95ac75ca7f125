"""Which files of a folder are read, and by which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_slurm_sweep.sweep.files import yaml_files


@pytest.mark.parametrize(
    ("links", "names"),
    [
        ({"sweeps/team": "shared"}, ["own.b", "team.a", "team.sub.c"]),
        ({"sweeps/team": "shared", "sweeps/two": "shared"}, ["own.b", "team.a", "team.sub.c"]),
        ({"sweeps/latest": "sweeps/own"}, ["own.b"]),
        ({"sweeps/own/up": "sweeps", "sweeps/further": "."}, ["own.b"]),
        (
            {"sweeps/team": "shared", "shared/back": "sweeps", "shared/loop": "shared"},
            ["own.b", "team.a", "team.sub.c"],
        ),
        ({"sweeps/team": "sweeps/..data/team"}, ["own.b", "team.d"]),  # as Kubernetes mounts a ConfigMap
        ({"sweeps/.team": "shared", "sweeps/gone": "none"}, ["own.b"]),
        ({"linked": "sweeps", "sweeps/team": "shared"}, ["own.b", "team.a", "team.sub.c"]),
    ],
)
def test_links_to_folders_are_followed_once(tmp_path: Path, links: dict[str, str], names: list[str]) -> None:
    for name in ("sweeps/own/b.yaml", "sweeps/..data/team/d.yaml", "shared/a.yaml", "shared/sub/c.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("script_path: a.py\n")
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    folder = tmp_path / ("linked" if "linked" in links else "sweeps")
    assert list(yaml_files(folder)) == names
    assert all(path.is_relative_to(folder) for files in yaml_files(folder).values() for path in files)


def test_a_folder_that_is_missing_has_no_files(tmp_path: Path) -> None:
    assert yaml_files(tmp_path / "none") == {}
