"""Numbers in the script's own config, with NeMo RL's inheritance."""

from __future__ import annotations

import pytest

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.sweep.script_config import count, wanted_files

NODES = "cluster.num_nodes"


def read(files: dict[str, str], path: str = "c/child.yaml", key: str = NODES) -> int | None:
    """Do what the plan does: read what is wanted until nothing is."""
    texts: dict[str, str | None] = {}
    while wanted := wanted_files(path, texts):
        texts |= {name: files.get(name) for name in wanted}
    return count(path, texts, key)


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({"c/child.yaml": "cluster: {num_nodes: 2}"}, 2),
        ({"c/child.yaml": "a: 1"}, None),
        ({"c/child.yaml": ""}, None),
        ({"c/child.yaml": "defaults: base.yaml", "c/base.yaml": "cluster: {num_nodes: 3}"}, 3),
        ({"c/child.yaml": "defaults: base.yaml\ncluster: {num_nodes: 4}", "c/base.yaml": "cluster: {num_nodes: 3}"}, 4),
        (
            {
                "c/child.yaml": "defaults: [a.yaml, b.yaml]",
                "c/a.yaml": "cluster: {num_nodes: 1}",
                "c/b.yaml": "cluster: {num_nodes: 2}",
            },
            2,
        ),
        (
            {
                "c/child.yaml": "defaults: ../base/parent.yaml",
                "c/../base/parent.yaml": "defaults: grand.yaml",
                "c/../base/grand.yaml": "cluster: {num_nodes: 5}",
            },
            5,
        ),
        ({"c/child.yaml": "defaults: /opt/base.yaml", "/opt/base.yaml": "cluster: {num_nodes: 6}"}, 6),
        ({"c/child.yaml": "defaults: b.yaml\nn: 8", "c/b.yaml": "n: 7\ncluster: {num_nodes: '${n}'}"}, 8),
        (
            {
                "c/child.yaml": "defaults: b.yaml\ncluster: {_override_: true, gpus_per_node: 4}",
                "c/b.yaml": "cluster: {num_nodes: 7}",
            },
            None,
        ),
        (
            {
                "c/child.yaml": "defaults: [a.yaml, b.yaml]",
                "c/a.yaml": "cluster: {num_nodes: 7}",
                "c/b.yaml": "cluster: {_override_: true, gpus_per_node: 4}",
            },
            None,
        ),
    ],
)
def test_a_number_is_read_with_inheritance(files: dict[str, str], number: int | None) -> None:
    assert read(files) == number


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"^c/child.yaml: the config cannot be read on the cluster; .*slurm.nodes"),
        ({"c/child.yaml": "defaults: b.yaml"}, "^c/b.yaml: the config cannot be read"),
        ({"c/child.yaml": "a: [1"}, "^c/child.yaml: not a config: while parsing"),
        ({"c/child.yaml": "- a"}, "^c/child.yaml: not a config: expected keys with values"),
        (
            {"c/child.yaml": "cluster: {num_nodes: two}"},
            "^c/child.yaml: cluster.num_nodes: expected a whole number, got 'two'",
        ),
        ({"c/child.yaml": "cluster: {num_nodes: '${nowhere}'}"}, "^c/child.yaml: cluster.num_nodes: Interpolation key"),
        (
            {"c/child.yaml": "defaults: a.yaml", "c/a.yaml": "defaults: child.yaml"},
            "^c/child.yaml > c/a.yaml > c/child.yaml: the configs inherit from each other in a circle",
        ),
        ({"c/child.yaml": "defaults: ../c/child.yaml"}, "the configs inherit from each other in a circle"),
    ],
)
def test_an_unreadable_or_invalid_config_is_an_error(files: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(files)
