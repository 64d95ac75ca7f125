"""A pytest plugin: which tests share a worker of pytest-xdist, and in which order the workers begin.

Tests that need the same Airflow, or the same cluster of a special kind, run in one worker, so that it is started once.
All others go to whichever worker is free; each worker has a cluster of its own for them. What takes longest begins first.
"""

from __future__ import annotations

import pytest

GROUPS = {  # by fixture
    "theatre": "faults",
    "airflow": "airflow",
    "own_airflow": "upgrade",
    "environment": "dags test",
    "prepared": "documentation",
    "box": "requeue",
    "cluster_accounting": "accounting",
    "cluster_forgetful": "accounting",
    "any_cluster": "accounting",
    "strict": "refusals",
    "full": "refusals",
    "fragile": "refusals",
    "wheel": "package",
}
FIRST = list(dict.fromkeys(GROUPS.values()))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test's group, and sort."""
    places: dict[pytest.Item, int] = {}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = next((group for fixture, group in GROUPS.items() if fixture in fixtures), None)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
        is_unit = item.get_closest_marker("sandbox") is None
        places[item] = FIRST.index(group) if group else len(FIRST) + is_unit
        for mark in item.iter_markers("slow"):
            if not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: pytest.mark.slow: expected the reason in brackets")
    items.sort(key=lambda item: places[item])
